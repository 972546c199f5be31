"""Initializers draw what they predict, are torch's where torch has them, and refuse bad settings."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from weightlab.networks.activations import activation
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, fans, initialization

RELU = activation("relu")
SHAPES = ((300, 200), (200, 300), (64, 16, 3, 3), (16, 64, 5))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(chosen: InitializationSettings, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    weight = torch.full(shape, torch.nan, dtype=torch.float64)
    chosen.apply(weight, RELU, generator(seed))
    return weight


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_measured_variance_is_the_predicted_one(name: str, shape: tuple[int, ...]) -> None:
    chosen = initialization(name)
    weights = torch.stack([drawn(chosen, shape, seed) for seed in range(10)])
    mean = chosen.initializer.mean(dict(chosen.settings))
    predicted = chosen.variance(weights[0], RELU)
    # the mean of N squares strays by sqrt(2/N) of itself (normal weights; less for uniform ones): four times that
    spread = 4 * math.sqrt(2 / weights.numel())
    assert (weights - mean).square().mean().item() == pytest.approx(predicted, rel=spread, abs=0)
    assert weights.mean().item() == pytest.approx(mean, abs=4 * math.sqrt(predicted / weights.numel()) + 1e-15)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(("xavier_uniform", "xavier_normal", "he_uniform", "he_normal", "orthogonal")),
    gain=st.floats(0.01, 10),
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
)
def test_a_gain_scales_the_weights_and_the_prediction(name: str, gain: float, rows: int, columns: int) -> None:
    unit, scaled = initialization(name, gain=1.0), initialization(name, gain=gain)
    weight = drawn(unit, (rows, columns))
    torch.testing.assert_close(drawn(scaled, (rows, columns)), gain * weight)
    assert scaled.variance(weight, RELU) == pytest.approx(gain**2 * unit.variance(weight, RELU))


TORCHS: dict[str, tuple[InitializationSettings, Callable[..., Any]]] = {
    "zeros": (initialization("zeros"), lambda w, g: nn.init.zeros_(w)),
    "constant": (initialization("constant", value=0.3), lambda w, g: nn.init.constant_(w, 0.3)),
    "normal": (initialization("normal", std=0.2), lambda w, g: nn.init.normal_(w, std=0.2, generator=g)),
    "xavier uniform": (initialization("xavier_uniform"), lambda w, g: nn.init.xavier_uniform_(w, generator=g)),
    "xavier normal": (
        initialization("xavier_normal", gain="activation"),
        lambda w, g: nn.init.xavier_normal_(w, gain=math.sqrt(2), generator=g),
    ),
    "he uniform": (
        initialization("he_uniform"),
        lambda w, g: nn.init.kaiming_uniform_(w, nonlinearity="relu", generator=g),
    ),
    "he uniform, fan out": (
        initialization("he_uniform", mode="fan_out"),
        lambda w, g: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu", generator=g),
    ),
    "he normal, fan out": (
        initialization("he_normal", mode="fan_out"),
        lambda w, g: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="relu", generator=g),
    ),
    "orthogonal": (initialization("orthogonal", gain=1.5), lambda w, g: nn.init.orthogonal_(w, 1.5, g)),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("case", TORCHS)
def test_weights_are_those_of_torch_nn_init(case: str, shape: tuple[int, ...]) -> None:
    chosen, torchs = TORCHS[case]
    theirs = torch.empty(shape, dtype=torch.float64)
    torchs(theirs, generator())
    torch.testing.assert_close(drawn(chosen, shape), theirs, rtol=1e-14, atol=0)


@pytest.mark.parametrize("make", [lambda: nn.Linear(30, 20), lambda: nn.Conv2d(3, 8, 3)], ids=["linear", "conv"])
def test_the_pytorch_default_is_what_a_fresh_layer_holds(make: Callable[[], nn.Module]) -> None:
    ours = make()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        fresh = make()
    initialization("pytorch_default").apply(ours, RELU, generator(7))
    for mine, theirs in zip(ours.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=0)


def test_the_pytorch_default_of_recurrent_layers_is_theirs_too() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        fresh = nn.GRU(3, 5)
    ours = nn.GRU(3, 5)
    initialization("pytorch_default").apply(ours, RELU, generator(7))
    for mine, theirs in zip(ours.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=0)


def test_applying_to_a_model_fills_weights_zeroes_biases_and_spares_normalization() -> None:
    model = nn.Sequential(nn.Linear(50, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 10))
    initialization("he_normal").apply(model, RELU, generator())
    first, normalization = model[0], model[1]
    assert isinstance(first, nn.Linear) and isinstance(normalization, nn.BatchNorm1d)
    assert first.weight.std().item() == pytest.approx(math.sqrt(2 / 50), rel=0.1)
    assert first.bias.abs().max() == 0
    assert torch.equal(normalization.weight, torch.ones(40))
    assert all(parameter.requires_grad and parameter.grad_fn is None for parameter in model.parameters())


@pytest.mark.parametrize("make", [nn.RNN, nn.LSTM, nn.GRU])
def test_each_gate_of_a_recurrent_layer_is_a_weight_of_its_own(make: Callable[..., nn.RNNBase]) -> None:
    layer = make(4, 6, num_layers=2)
    initialization("orthogonal").apply(layer, RELU, generator())
    for name, parameter in layer.named_parameters():
        if name.startswith("bias"):
            assert parameter.abs().max() == 0
        elif "hh" in name:
            for gate in parameter.detach().split(6):
                torch.testing.assert_close(gate @ gate.T, torch.eye(6), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_equal_seeds_give_equal_weights_and_the_global_generator_is_left_alone(name: str) -> None:
    state = torch.random.get_rng_state()
    chosen = initialization(name)
    assert torch.equal(drawn(chosen, (12, 9), 3), drawn(chosen, (12, 9), 3))
    if chosen.variance(torch.empty(12, 9), RELU) > 0:
        assert not torch.equal(drawn(chosen, (12, 9), 3), drawn(chosen, (12, 9), 4))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_auto_gain_is_the_activations_for_he_and_one_for_the_others() -> None:
    tanh = activation("tanh")
    assert initialization("he_normal").gain_for(tanh) == pytest.approx(5 / 3)
    assert initialization("xavier_normal").gain_for(tanh) == 1
    assert initialization("xavier_normal", gain="activation").gain_for(tanh) == pytest.approx(5 / 3)
    assert initialization("he_normal", gain=1).gain_for(tanh) == 1
    assert initialization("zeros").gain_for(tanh) == initialization("zeros", gain="activation").gain_for(tanh) == 1


def test_variances_follow_the_mode_and_the_sides_of_a_matrix() -> None:
    weight = torch.empty(7, 5)
    assert initialization("he_normal", mode="fan_out", gain=2.0).variance(weight, RELU) == pytest.approx(4 / 7)
    assert initialization("he_uniform", gain=2.0).variance(weight, RELU) == pytest.approx(4 / 5)
    assert initialization("orthogonal", gain=2.0).variance(torch.empty(1, 5), RELU) == pytest.approx(4 / 5)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_biases_have_the_variance_that_is_predicted_and_zeros_are_not_drawn(name: str) -> None:
    chosen, source = initialization(name), generator(5)
    bias = chosen.draw_bias(torch.empty(40_000, 12), source)
    predicted = chosen.initializer.bias_variance(12)
    assert bias.shape == (40_000,) and bias.square().mean().item() == pytest.approx(predicted, rel=0.02)
    assert (predicted > 0) == bool(chosen.initializer.bias_text)
    assert torch.equal(source.get_state(), generator(5).get_state()) == (predicted == 0)


def test_fans_count_as_torch_counts_them() -> None:
    for shape in SHAPES:
        assert fans(torch.empty(shape)) == nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


def test_settings_are_frozen_hashable_and_survive_copies() -> None:
    chosen = initialization("normal", std=0.5)
    assert chosen == initialization("normal", std=0.5) and hash(chosen) == hash(initialization("normal", std=0.5))
    assert copy.deepcopy(chosen) == pickle.loads(pickle.dumps(chosen)) == chosen
    assert chosen.replace(std=0.1) == initialization("normal", std=0.1)
    assert chosen.label == "N(0, σ²) std=0.5"
    with pytest.raises(AttributeError):
        chosen.std = 1.0  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="^initialization has no setting 'width'$"):
        _ = chosen.width
    with pytest.raises(AttributeError, match="^initialization has no setting 'std'$"):
        _ = object.__new__(InitializationSettings).std
    kept = initialization("he_normal", gain=2.0, mode="fan_out")
    assert kept.label == "He normal fan_out gain=2" and kept.replace() == kept
    assert (kept.replace(gain=3).gain, kept.replace(gain=3).mode) == (3.0, "fan_out")


REFUSALS: dict[str, Callable[[], object]] = {
    "unknown initializer 'he_norml': did you mean 'he_normal' or 'he_uniform' or 'normal'?": (
        lambda: initialization("he_norml")
    ),
    "unknown setting of 'normal' 'sdt': did you mean 'std'?": lambda: initialization("normal", sdt=1.0),
    "std must be in [0, 100], got nan; use a finite number": lambda: initialization("normal", std=math.nan),
    "std must be a number, got 'big'": lambda: initialization("normal", std="big"),
    "initializer 'zeros' has no setting 'std'; leave it out": lambda: initialization("zeros", std=1.0),
    "unknown setting of 'normal' 'value': choose one of 'std'": lambda: initialization("normal", value=1.0),
    f"unknown initializer 'x': choose one of {', '.join(map(repr, INITIALIZERS))}": lambda: initialization("x"),
    "unknown fan mode 'x': choose one of 'fan_in', 'fan_out'": lambda: initialization("he_normal", mode="x"),
    "unknown gain 'x': choose one of 'auto', 'activation'": lambda: initialization("he_normal", gain="x"),
    "std must be in [0, 100], got 101; weights this large overflow within a few layers": (
        lambda: initialization("normal", std=101)
    ),
    "value must be in [-100, 100], got -101; weights this large overflow within a few layers": (
        lambda: initialization("constant", value=-101)
    ),
    "gain must be in [0, 100], got 101; use 'auto', 'activation' or a number such as 5/3": (
        lambda: initialization("he_normal", gain=101)
    ),
    "initializer 'normal' takes no gain, got 2.0; leave gain at 'auto'": lambda: initialization("normal", gain=2.0),
    "a weight to initialize must have two or more dimensions (out, in, ...) and no empty one, got shape (3,); "
    "biases are set by apply(model, ...)": lambda: drawn(initialization("normal"), (3,)),
    "ReLU has no linear, convolutional or recurrent layer to initialize; pass a model with at least one, or a weight "
    "tensor": lambda: initialization("normal").apply(nn.ReLU(), RELU),
    "activation must be an entry of weightlab.networks.activations.ACTIVATIONS, got 'relu'; use activation('relu')": (
        lambda: initialization("normal").gain_for("relu")  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_a_refusal_says_exactly_this(message: str) -> None:
    with pytest.raises((ValueError, TypeError)) as refusal:
        REFUSALS[message]()
    assert str(refusal.value) == message


def test_the_ends_of_a_gain_are_allowed() -> None:
    assert initialization("he_normal", gain=0).gain == 0.0
    assert initialization("he_normal", gain=100).gain == 100.0
