"""Measures how large signals and gradients are in each layer of a deep network before training -> SignalRecord."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.devices import settle_threads
from weightlab.networks.activations import Activation, activation
from weightlab.networks.initializers import InitializationSettings, as_settings
from weightlab.theory.signals import SignalPrediction, growth_per_layer, signal_propagation
from weightlab.validate import whole_number

MOST_DEPTH, MOST_WIDTH, MOST_SEEDS, MOST_BATCH = 500, 4096, 1000, 65536
MOST_WEIGHTS = 60_000_000  # all layers' weights are held at once: 240 MB in float32


def measure_signals(
    activation_name: str = "relu",
    initialization_settings: str | InitializationSettings = "he_normal",
    depth: int = 20,
    width: int = 256,
    *,
    seeds: int = 20,
    batch: int = 64,
    first_seed: int = 0,
    biases: bool = False,
    dtype: torch.dtype = torch.float32,
) -> SignalRecord:
    """Send a unit-normal batch up, and a unit-normal gradient down, through `depth` fully connected layers.

    h = f(z), z = W h (+ b), every layer and the input `width` wide. The gradient is given with respect to the last h
    and recorded with respect to each z. Seed s draws input, weights and gradient from its own torch.Generator,
    s = first_seed, ..., first_seed + seeds - 1. Without `biases` there are none; with them only pytorch_default draws
    any that are not zero.

    initialization_settings: a name of INITIALIZERS or `initialization(name, ...)`. Raises ValueError or TypeError that
    names value, range and remedy.

    Source: the measurement of Glorot & Bengio 2010, figures 6 and 7.
    """
    f, settings = activation(activation_name), as_settings(initialization_settings)
    depth, width = checked_size(depth, width)
    seeds = whole_number("seeds", seeds, 1, MOST_SEEDS)
    batch = whole_number("batch", batch, 1, MOST_BATCH)
    first_seed = whole_number("first_seed", first_seed, 0, 2**31)
    generators = [torch.Generator().manual_seed(first_seed + seed) for seed in range(seeds)]
    settle_threads()
    rows = [_one_network(f, settings, (depth, width, batch), source, biases, dtype) for source in generators]
    forward, backward, differences = (torch.stack(column) for column in zip(*rows, strict=True))
    return SignalRecord(forward, backward, differences, tuple(f"layer {number}" for number in range(1, depth + 1)))


def predict_signals(
    activation_name: str = "relu",
    initialization_settings: str | InitializationSettings = "he_normal",
    depth: int = 20,
    width: int = 256,
    *,
    biases: bool = False,
) -> SignalPrediction | None:
    """Theory's line for the same arguments as `measure_signals`, computed without drawing a weight.

    None where no theory holds (see `signal_theory.signal_propagation`).
    """
    f, settings = activation(activation_name), as_settings(initialization_settings)
    depth, width = checked_size(depth, width)
    entry, values = settings.initializer, dict(settings.settings)
    return signal_propagation(
        f.function,
        f.derivative,
        variance=entry.variance(width, width, settings.gain_for(f), values),
        mean=entry.mean(values),
        bias_variance=entry.bias_variance(width) if biases else 0.0,
        depth=depth,
        width=width,
    )


@torch.no_grad()
def _one_network(
    f: Activation,
    settings: InitializationSettings,
    shape: tuple[int, int, int],
    generator: torch.Generator,
    biases: bool,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    depth, width, batch = shape
    h = torch.randn(batch, width, generator=generator, dtype=dtype)
    weights = torch.empty(depth, width, width, dtype=dtype)
    inputs, forward, differences = [], [], []
    for weight in weights:
        settings.apply(weight, f, generator)
        z = h @ weight.T
        if biases:
            z += settings.draw_bias(weight, generator)
        inputs.append(z)
        forward.append(_rms(z))
        differences.append(_rms(z[:, 1:] - z[:, :-1]))
        h = f.function(z)
    gradient = torch.randn(batch, width, generator=generator, dtype=dtype)
    backward = []
    for z, weight in zip(inputs[::-1], list(weights)[::-1], strict=True):
        gradient = gradient * f.derivative(z)
        backward.append(_rms(gradient))
        gradient = gradient @ weight
    return torch.stack(forward), torch.stack(backward[::-1]), torch.stack(differences)


def _rms(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values) / max(1, values.numel()) ** 0.5


def checked_size(depth: object, width: object) -> tuple[int, int]:
    """Both as whole numbers; ValueError or TypeError where a network of that size is too large to be measured."""
    depth, width = whole_number("depth", depth, 1, MOST_DEPTH), whole_number("width", width, 1, MOST_WIDTH)
    if depth * width**2 > MOST_WEIGHTS:
        raise ValueError(
            f"depth {depth} and width {width} make {depth * width**2:,} weights, more than {MOST_WEIGHTS:,}; "
            "make the network narrower or less deep"
        )
    return depth, width


@dataclass(frozen=True)
class SignalRecord:
    """How large a deep network's signals and gradients are before training, measured for several seeds.

    forward:     (seed, layer) root mean square of the layer's pre-activations z = W h + b, over units and batch
    backward:    (seed, layer) root mean square of the gradient with respect to those pre-activations
    unit_differences: (seed, layer) root mean square of z minus the next unit's z in the layer, exactly zero where every
                 unit does what its neighbours do
    layers:      one name a layer, from the input up

    Entries may be infinite or NaN where the network overflows.
    """

    forward: Tensor
    backward: Tensor
    unit_differences: Tensor
    layers: tuple[str, ...]

    @property
    def forward_ratios(self) -> Tensor:
        """Growth of `forward` per layer towards the output, (seed,): geometric mean without the first two layers.

        NaN for fewer than four layers and where a magnitude is zero.
        """
        return growth_per_layer(self.forward)

    @property
    def backward_ratios(self) -> Tensor:
        """Growth of `backward` per layer towards the input, (seed,): below 1 vanishing, above 1 exploding gradients.

        The same layers and exceptions as `forward_ratios`.
        """
        return 1 / growth_per_layer(self.backward)
