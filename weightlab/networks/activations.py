"""The nonlinearities between layers, each one entry of ACTIVATIONS: function, module, both in a program, and gain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from weightlab.validate import choose, registry

LEAKY_SLOPE = 0.01  # torch.nn.LeakyReLU's default negative_slope


@dataclass(frozen=True)
class Activation:
    """An elementwise function f, the module that applies it in a network, and what initializers need to know of it.

    function_text, module_text: both in a program, `torch.tanh({})` for the value of {}; a module "" is left out
    has_torch_gain: whether `torch.nn.init.calculate_gain` knows the name
    """

    name: str
    label: str
    function: Callable[[Tensor], Tensor]
    module: Callable[[], nn.Module]
    function_text: str
    module_text: str
    has_torch_gain: bool = True

    @property
    def gain(self) -> float:
        """Factor on the weights' standard deviation that keeps the signal's size: `torch.nn.init.calculate_gain`.

        Where PyTorch has none (GELU, SiLU): 1/sqrt(E[f(z)^2]) for z ~ N(0, 1), which is the rule that gives ReLU its
        sqrt(2) (He et al. 2015, eq. 9 and 10), by Gauss-Hermite quadrature. Unlike ReLU's it keeps only a signal of
        that very size: GELU and SiLU shrink a smaller one more.
        """
        if self.has_torch_gain:
            return float(nn.init.calculate_gain(self.name))  # type: ignore[arg-type]
        nodes, weights = np.polynomial.hermite_e.hermegauss(64)
        squares = self.function(torch.from_numpy(nodes)).square().numpy()
        return 1 / math.sqrt(float(weights @ squares) / math.sqrt(2 * math.pi))

    def derivative(self, z: Tensor) -> Tensor:
        """f'(z) elementwise, by autograd, in z's shape and dtype; works inside `no_grad` and `inference_mode` too."""
        with torch.inference_mode(False), torch.enable_grad():
            point = z.detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.function(point).sum(), point)
        return slope


def _leaky_relu(z: Tensor) -> Tensor:
    return functional.leaky_relu(z, LEAKY_SLOPE)


def _identity(z: Tensor) -> Tensor:
    return z * 1.0  # a new tensor, as every other activation returns


# What follows a layer that no activation follows.
IDENTITY = Activation("linear", "linear", _identity, nn.Identity, "{}", "")

ACTIVATIONS = registry(
    Activation("sigmoid", "sigmoid", torch.sigmoid, nn.Sigmoid, "torch.sigmoid({})", "nn.Sigmoid()"),
    Activation("tanh", "tanh", torch.tanh, nn.Tanh, "torch.tanh({})", "nn.Tanh()"),
    Activation("relu", "ReLU", torch.relu, nn.ReLU, "torch.relu({})", "nn.ReLU()"),
    Activation(
        "leaky_relu", "leaky ReLU", _leaky_relu, lambda: nn.LeakyReLU(LEAKY_SLOPE),
        f"nn.functional.leaky_relu({{}}, {LEAKY_SLOPE})", f"nn.LeakyReLU({LEAKY_SLOPE})",
    ),
    Activation(
        "gelu", "GELU", functional.gelu, nn.GELU, "nn.functional.gelu({})", "nn.GELU()", has_torch_gain=False
    ),
    Activation(
        "silu", "SiLU", functional.silu, nn.SiLU, "nn.functional.silu({})", "nn.SiLU()", has_torch_gain=False
    ),
    IDENTITY,
)


def activation(name: str) -> Activation:
    """The entry of ACTIVATIONS called `name`; an unknown name raises ValueError with the nearest ones."""
    return ACTIVATIONS[choose("activation", name, ACTIVATIONS)]
