"""Every activation is torch's own module, and its gain does what a gain is for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from weightlab.networks.activations import ACTIVATIONS, Activation, activation

every_activation = pytest.mark.parametrize("f", ACTIVATIONS.values(), ids=ACTIVATIONS)


@every_activation
def test_the_function_is_what_the_module_computes_and_leaves_its_input_alone(f: Activation) -> None:
    z = torch.linspace(-6, 6, 101, dtype=torch.float64)
    before = z.clone()
    assert torch.equal(f.function(z), f.module()(z))
    assert torch.equal(z, before)
    assert f.function(z).data_ptr() != z.data_ptr()


@every_activation
def test_the_derivative_equals_a_difference_quotient(f: Activation) -> None:
    z = torch.linspace(-4.05, 4.05, 82, dtype=torch.float64)  # not at zero, where ReLU has a corner
    quotient = (f.function(z + 1e-6) - f.function(z - 1e-6)) / 2e-6
    torch.testing.assert_close(f.derivative(z), quotient, rtol=1e-6, atol=1e-9)
    with torch.inference_mode():
        torch.testing.assert_close(f.derivative(z * 1), quotient, rtol=1e-6, atol=1e-9)
    with torch.no_grad():
        assert not f.derivative(z).requires_grad


@every_activation
def test_the_gain_is_torchs_or_undoes_what_the_activation_takes(f: Activation) -> None:
    if f.has_torch_gain:
        assert f.gain == nn.init.calculate_gain(f.name)  # type: ignore[arg-type]
        return
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        nn.init.calculate_gain(f.name)  # type: ignore[arg-type]
    z = torch.linspace(-12, 12, 240_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    kept = torch.trapezoid(f.function(z).square() * density, z)
    assert f.gain == pytest.approx(1 / math.sqrt(kept), rel=1e-8)


def test_the_gain_of_gelu_is_its_closed_form() -> None:
    # E[z² Φ(z)²] = 1/3 + 1/(2π√3), by parts
    assert ACTIVATIONS["gelu"].gain == pytest.approx((1 / 3 + 1 / (2 * math.pi * math.sqrt(3))) ** -0.5, rel=1e-9)


def test_an_unknown_activation_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match="unknown activation 'Leaky-ReLU': did you mean 'leaky_relu'"):
        activation("Leaky-ReLU")
    with pytest.raises(ValueError, match="choose one of 'sigmoid', 'tanh'"):
        activation("xyz")
