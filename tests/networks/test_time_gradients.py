"""Gradients through time: equal to autograd's own, theory against measurement, gates, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from weightlab.networks.architectures import RecurrentNetwork
from weightlab.networks.datasets import Dataset, dataset
from weightlab.networks.initializers import initialization
from weightlab.networks.models import model
from weightlab.networks.time_gradients import (
    CELLS,
    gate_alone,
    measure_time_gradients,
    predict_time_gradients,
    predicted_radius,
    time_gradients,
)
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import train


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return dataset("digits")


def built(cell: str, data: Dataset, depth: int = 1, width: int = 8) -> RecurrentNetwork:
    network = model(cell, depth=depth, width=width, reading="pixels").build(data.shape, data.classes)
    assert isinstance(network, RecurrentNetwork)
    return network


def test_a_plain_rnns_gradients_equal_a_loop_written_out(digits: Dataset) -> None:
    network, x, y = built("rnn", digits), digits.x_train[:5].double(), digits.y_train[:5]
    layer = network.recurrent[0]
    w, u, b = layer.weight_hh_l0, layer.weight_ih_l0, layer.bias_ih_l0 + layer.bias_hh_l0  # type: ignore[operator]
    h, states = torch.zeros(5, 8, dtype=torch.float64), []
    for pixel in x.reshape(5, 64).T:
        h = torch.tanh(h @ w.T + pixel[:, None] @ u.T + b)  # type: ignore[operator]
        h.retain_grad()
        states.append(h)
    nn.functional.cross_entropy(network.output(h), y).backward()
    wanted = torch.stack([state.grad.norm() for state in states if state.grad is not None])
    norms, sizes = time_gradients(network, x, y)
    torch.testing.assert_close(norms[0], wanted, rtol=1e-9, atol=0.0)
    torch.testing.assert_close(sizes[0, -1], h.detach().square().mean().sqrt(), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("cell", CELLS)
def test_the_network_answers_as_when_it_reads_at_once_and_its_gradients_stay_untouched(
    cell: str, digits: Dataset
) -> None:
    network, x, y = built(cell, digits, depth=2), digits.x_train[:4].double(), digits.y_train[:4]
    seen: list[Tensor] = []
    network.output.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    norms, sizes = time_gradients(network, x, y)
    torch.testing.assert_close(seen[0], network(x).detach(), rtol=1e-9, atol=1e-12)
    assert norms.shape == sizes.shape == (2, 64) and bool((norms > 0).all())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("gain", [0.8, 1.0, 1.3, 2.0])
def test_mean_field_predicts_a_wide_plain_rnn_at_every_time_step(gain: float, digits: Dataset) -> None:
    start = initialization("orthogonal", gain=gain)
    record = measure_time_gradients("rnn", start, digits, width=128, seeds=5, batch=32)
    theory = predict_time_gradients(start, digits.x_train[:32], width=128)
    assert theory is not None and theory[-1] == 1
    measured = (record.gradients / record.gradients[:, -1:]).log().mean(0)
    # log of 63 factors, each within half a percent
    torch.testing.assert_close(measured, theory.log(), rtol=0.0, atol=63 * 0.005)
    assert record.radii.mean().item() == pytest.approx(gain, rel=1e-6)
    assert predicted_radius(start, 128, "tanh") == pytest.approx(gain, rel=1e-9)


def test_he_weights_keep_a_relu_rnn_level_in_theory(digits: Dataset) -> None:
    theory = predict_time_gradients("he_normal", digits.x_train[:8], activation_name="relu")
    assert theory is not None
    torch.testing.assert_close(theory, torch.ones(64, dtype=torch.float64), rtol=1e-9, atol=0.0)


def test_no_theory_is_given_for_equal_weights(digits: Dataset) -> None:
    assert predict_time_gradients(initialization("constant", value=0.1), digits.x_train[:8]) is None


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_an_open_gate_carries_what_a_half_open_one_loses(cell: str, digits: Dataset) -> None:
    ratios = [
        measure_time_gradients(cell, "pytorch_default", digits, keep_bias=bias, seeds=5, batch=16).ratios
        for bias in (0, 1, 3, 5)
    ]
    assert all(bool((low < high).all()) for low, high in zip(ratios[:-1], ratios[1:], strict=True))
    assert ratios[-1].mean().item() == pytest.approx(gate_alone(5, 2)[0].item(), abs=0.02)


def test_a_recurrent_run_that_explodes_names_the_time_step(digits: Dataset) -> None:
    run = TrainingExperiment(
        model("rnn", depth=1, width=16, activation="relu", reading="pixels"),
        digits,
        optimizer("gradient_descent", learning_rate=0.1),
        initialization("orthogonal", gain=4.0),
        batch_size=8,
        steps=20,
    )
    status = train(run).status
    assert status.kind == "diverged" and status.step == 0
    assert "passes the limit first at time step" in status.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "lstn"}, "did you mean 'lstm'"),
        ({"keep_bias": math.nan}, "keep_bias must be in"),
        ({"keep_bias": 21}, "keep_bias must be in"),
        ({"seeds": 0}, "seeds must be in"),
        ({"batch": 10**6}, "the training split has no more examples"),
        ({"width": 0}, "width must be in"),
        ({"activation_name": "sigmoid"}, "unknown activation of 'rnn'"),
    ],
)
def test_bad_input_is_refused_with_the_remedy(arguments: dict[str, object], message: str, digits: Dataset) -> None:
    given = {"cell": "rnn", "initialization_settings": "orthogonal", "data": digits, **arguments}
    with pytest.raises(ValueError, match=message):
        measure_time_gradients(**given)  # type: ignore[arg-type]
