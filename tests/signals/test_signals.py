"""Signals and gradients per layer: the labs' reference ratios, theory against measurement, refusals, speed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from refusals import refusals
from torch import Tensor, nn

from weightlab.networks.activations import ACTIVATIONS, activation
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, initialization
from weightlab.signals.figures import signals_figure
from weightlab.signals.measure import SignalRecord, measure_signals, predict_signals
from weightlab.theory.signals import signal_propagation

# RMS ratio per layer, forward and backward: width 256, 20 layers, unit-normal input, 20 seeds
REFERENCE: dict[str, tuple[str, InitializationSettings, float, float]] = {
    "ReLU, He": ("relu", initialization("he_normal"), 1.00, 1.00),
    "ReLU, Xavier": ("relu", initialization("xavier_normal"), 0.71, 0.71),
    "ReLU, nn.Linear": ("relu", initialization("pytorch_default"), 0.41, 0.41),
    "sigmoid, Xavier": ("sigmoid", initialization("xavier_normal"), 1.00, 0.236),
    "tanh, Xavier": ("tanh", initialization("xavier_normal", gain=1), 0.94, 0.94),
    "tanh, gain 5/3": ("tanh", initialization("xavier_normal", gain="activation"), 1.00, 1.10),
}


def ratio_of(magnitudes: Tensor) -> float:
    return float((magnitudes[-1] / magnitudes[2]) ** (1 / (len(magnitudes) - 3)))


@pytest.mark.parametrize("case", REFERENCE)
def test_the_labs_reference_ratios_are_measured_and_predicted(case: str) -> None:
    name, chosen, forward, backward = REFERENCE[case]
    record = measure_signals(name, chosen, depth=20, width=256, seeds=20)
    assert record.forward_ratios.mean().item() == pytest.approx(forward, abs=0.02)
    assert record.backward_ratios.mean().item() == pytest.approx(backward, abs=0.02)
    assert max(record.forward_ratios.std().item(), record.backward_ratios.std().item()) < 0.02
    predicted = predict_signals(name, chosen, depth=20, width=256)
    assert predicted is not None and predicted.source == "mean field"
    assert ratio_of(predicted.forward) == pytest.approx(forward, abs=0.01)
    assert 1 / ratio_of(predicted.backward) == pytest.approx(backward, abs=0.01)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_theory_predicts_every_layer_for_every_initializer(name: str) -> None:
    for initializer in INITIALIZERS:
        chosen = initialization(initializer, value=0.004) if initializer == "constant" else initialization(initializer)
        record = measure_signals(name, chosen, depth=8, width=200, seeds=8, batch=128)
        predicted = predict_signals(name, chosen, depth=8, width=200)
        assert predicted is not None
        for measured, wanted in ((record.forward, predicted.forward), (record.backward, predicted.backward)):
            mean = measured.double().square().mean(0).sqrt()
            # 8 networks of finite width: a ReLU layer's log RMS strays by about 5/(4·200), eight layers of it by 0.22
            torch.testing.assert_close(mean, wanted, rtol=0.15, atol=1e-12, msg=lambda text: f"{chosen.label}: {text}")  # noqa: B023


@pytest.mark.parametrize("bias", [False, True])
def test_biases_of_the_pytorch_default_keep_the_forward_signal_from_vanishing(bias: bool) -> None:
    record = measure_signals("relu", "pytorch_default", depth=20, width=256, seeds=5, biases=bias)
    predicted = predict_signals("relu", "pytorch_default", depth=20, width=256, biases=bias)
    assert predicted is not None
    last = record.forward[:, -1].double().square().mean().sqrt()
    assert last.item() == pytest.approx(predicted.forward[-1].item(), rel=0.2)
    assert (last > 0.01) == bias
    assert record.backward_ratios.mean().item() == pytest.approx(1 / math.sqrt(6), abs=0.02)


def signal_ratio(fan: float, variance: float, negative_slope: float = 0.0) -> float:
    """RMS ratio per layer with ReLU (0), leaky ReLU, or no activation (1) (He et al. 2015, eq. 9 to 15)."""
    return math.sqrt(fan * variance * (1 + negative_slope**2) / 2)


def test_the_closed_forms_of_relu_and_linear_layers() -> None:
    assert signal_ratio(256, 2 / 256) == pytest.approx(1)
    assert signal_ratio(256, 1 / 256) == pytest.approx(1 / math.sqrt(2))
    assert signal_ratio(256, 1 / (3 * 256)) == pytest.approx(1 / math.sqrt(6))
    assert signal_ratio(100, 1 / 100, negative_slope=1) == pytest.approx(1)
    for name, slope in (("relu", 0.0), ("leaky_relu", 0.01), ("linear", 1.0)):
        predicted = predict_signals(name, initialization("normal", std=0.07), depth=9, width=150)
        assert predicted is not None
        ratio = signal_ratio(150, 0.07**2, slope)
        assert ratio_of(predicted.forward) == pytest.approx(ratio, rel=1e-12)
        assert 1 / ratio_of(predicted.backward) == pytest.approx(ratio, rel=1e-12)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_the_measurement_is_what_autograd_gives_on_a_network_of_modules(name: str) -> None:
    depth, width, batch, seed = 5, 12, 7, 4
    record = measure_signals(
        name, "he_normal", depth, width, seeds=1, first_seed=seed, batch=batch, dtype=torch.float64
    )
    source = torch.Generator().manual_seed(seed)
    h = torch.randn(batch, width, generator=source, dtype=torch.float64)
    inputs = []
    for _ in range(depth):
        layer = nn.Linear(width, width, bias=False, dtype=torch.float64)
        initialization("he_normal").apply(layer, activation(name), source)
        z = layer(h)
        z.retain_grad()
        inputs.append(z)
        h = activation(name).module()(z)
    h.backward(torch.randn(batch, width, generator=source, dtype=torch.float64))
    for number, z in enumerate(inputs):
        assert z.grad is not None
        assert record.forward[0, number].item() == pytest.approx(z.square().mean().sqrt().item(), rel=1e-12)
        assert record.backward[0, number].item() == pytest.approx(z.grad.square().mean().sqrt().item(), rel=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_with_equal_weights_every_unit_does_what_its_neighbours_do(name: str) -> None:
    for chosen in ("zeros", "constant"):
        assert (measure_signals(name, chosen, 4, 32, seeds=2).unit_differences == 0).all()
    assert (measure_signals(name, "xavier_normal", 4, 32, seeds=2).unit_differences > 0.01).all()


def test_no_theory_is_claimed_where_none_holds() -> None:
    f = activation("tanh")
    common = {"depth": 3, "width": 10}
    assert signal_propagation(f.function, f.derivative, variance=0.1, mean=0.2, **common) is None
    assert signal_propagation(f.function, f.derivative, variance=0.0, mean=0.2, bias_variance=0.1, **common) is None
    # rare inputs whose units are not saturated make up all of the mean gradient: no batch shows it
    predicted = predict_signals("tanh", initialization("constant", value=0.05), depth=8, width=256)
    assert predicted is not None and predicted.source == "rank one"
    assert predicted.backward[0].isnan() and predicted.forward.isfinite().all()


def test_equal_seeds_measure_the_same_and_seeds_can_be_continued() -> None:
    whole = measure_signals("gelu", "he_uniform", 5, 20, seeds=4)
    part = measure_signals("gelu", "he_uniform", 5, 20, seeds=2, first_seed=2)
    assert torch.equal(whole.forward[2:], part.forward) and torch.equal(whole.backward[2:], part.backward)
    assert not torch.equal(whole.forward[0], whole.forward[1])
    assert whole.layers == ("layer 1", "layer 2", "layer 3", "layer 4", "layer 5")


test_bad_settings_are_refused_with_value_range_and_remedy = refusals(measure_signals, {
    "unknown activation 'rleu': did you mean 'relu'": {"activation_name": "rleu"},
    "unknown initializer 'he'": {"initialization_settings": "he"},
    r"depth must be in \[1, 500\], got 0": {"depth": 0},
    "depth must be a whole number": {"depth": 2.5},
    "width must be in .* got nan": {"width": math.nan},
    "make the network narrower or less deep": {"width": 4096, "depth": 100},
    r"seeds must be in \[1, 1000\], got 0": {"seeds": 0},
    "batch must be in": {"batch": -1},
    "first_seed must be in": {"first_seed": -1},
    "depth must be a number, got 'deep'": {"depth": "deep"},
})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"variance": -1.0}, r"variance must be in \[0, inf\), got -1"),
        ({"variance": math.inf}, "use a finite number"),
        ({"depth": 0}, "depth must be in"),
        ({"mean": math.nan}, "mean must be in"),
        ({"bias_variance": -0.1}, "bias_variance must be in"),
    ],
)
def test_theory_refuses_bad_input_too(changed: dict[str, float], message: str) -> None:
    f = activation("tanh")
    with pytest.raises(ValueError, match=message):
        signal_propagation(f.function, f.derivative, **({"variance": 0.1, "depth": 3, "width": 10} | changed))  # type: ignore[arg-type]


# ---- figures -----------------------------------------------------------------------------------------------------


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def records() -> dict[str, SignalRecord]:
    return {name: measure_signals("tanh", name, depth=6, width=32, seeds=3) for name in ("xavier_normal", "zeros")}


def test_a_signals_figure_draws_measured_means_and_theory_on_top(records: dict[str, SignalRecord]) -> None:
    record = records["xavier_normal"]
    theory = predict_signals("tanh", "xavier_normal", depth=6, width=32)
    assert theory is not None
    figure = signals_figure({"Xavier": record}, {"Xavier": theory})
    assert legend(figure) == ["Xavier", "theory"]
    for axes, measured, predicted in zip(
        figure.axes, (record.forward, record.backward), (theory.forward, theory.backward), strict=True
    ):
        assert axes.get_yscale() == "log"
        drawn, marks = (np.asarray(line.get_ydata(), dtype=float) for line in axes.lines[:2])
        np.testing.assert_allclose(drawn, measured.double().log().mean(0).exp().numpy(), rtol=1e-12)
        np.testing.assert_allclose(marks, predicted.numpy(), rtol=1e-12)


def test_a_predictions_ratios_are_those_of_its_magnitudes() -> None:
    predicted = predict_signals("relu", "pytorch_default", depth=20, width=256)
    assert predicted is not None
    assert predicted.forward_ratio == pytest.approx(1 / math.sqrt(6), rel=1e-12)
    assert predicted.backward_ratio == pytest.approx(1 / math.sqrt(6), rel=1e-12)
    tanh = predict_signals("tanh", "xavier_normal", depth=20, width=256)
    assert tanh is not None
    assert tanh.forward_ratio**17 == pytest.approx(float(tanh.forward[19] / tanh.forward[2]), rel=1e-12)
    assert tanh.backward_ratio**17 == pytest.approx(float(tanh.backward[2] / tanh.backward[19]), rel=1e-12)
