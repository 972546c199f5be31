"""What the networks of MODELS are made of: their classes, with named layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from weightlab.networks.activations import ACTIVATIONS, Activation

Shape = tuple[int, ...]  # of one example: (inputs,) or (channels, height, width)
OUTPUT = "output"  # the name of the last layer, which gives the logits


class Network(nn.Module):
    """A network whose layers have names.

    layers:  (name, module with the weights), first to last; the last is "output", its values are the logits
    signals: for each layer the module whose output is the layer's activation (a recurrent module's first output)
    stream:  where a source of random numbers stands that the network draws from in training (dropout), if it does
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[tuple[str, nn.Module]] = []
        self.signals: list[nn.Module] = []
        self.stream: Tensor | None = None

    def name_layer(self, weights: nn.Module, signal: nn.Module, name: str = "") -> None:
        """Count `weights` as the next layer, called `layer <number>` unless it has a name of its own."""
        self.layers.append((name or f"layer {len(self.layers) + 1}", weights))
        self.signals.append(signal)

    def seed(self, generator: torch.Generator) -> None:
        """Where the network itself draws at random in training (dropout), from here on from this source."""

    def uses(self, shape: Shape) -> list[int]:
        """How often each layer is applied to one example: at every pixel, at every time step, or once."""
        return [1] * len(self.layers)

    @property
    def has_modes(self) -> bool:
        """Whether it computes something else in training than in use: here batch normalization's statistics."""
        return any(True for _ in self.buffers())


def flat_weights(network: nn.Module) -> Tensor:
    """A copy of all parameters as one vector (weight,)."""
    return nn.utils.parameters_to_vector(network.parameters()).detach()


class HiddenLayer(nn.Module):
    """f(norm(Wx + b)), with `residual` x + f(norm(Wx + b)) (He et al. 2016, eq. 1 with one weight layer)."""

    def __init__(self, inputs: int, width: int, activation: Activation, batch_norm: bool, residual: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)
        self.norm = nn.BatchNorm1d(width) if batch_norm else None
        self.activation = activation.module()
        self.residual = residual and inputs == width

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        if self.norm is not None:
            z = self.norm(z)
        h: Tensor = self.activation(z)
        return x + h if self.residual else h


class MLP(Network):
    """`depth` hidden layers of `width` units; residual connections where a layer's input is as wide as its output."""

    def __init__(self, shape: Shape, outputs: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        activation, width = ACTIVATIONS[settings["activation"]], settings["width"]
        sizes = [math.prod(shape), *[width] * settings["depth"]]
        self.hidden = nn.Sequential(
            *(
                HiddenLayer(size, width, activation, settings["batch_norm"], settings["residual"] and number > 0)
                for number, size in enumerate(sizes[:-1])
            )
        )
        self.output = nn.Linear(sizes[-1], outputs)
        for layer in self.hidden:
            assert isinstance(layer, HiddenLayer)
            self.name_layer(layer.linear, layer)
        self.name_layer(self.output, self.output, OUTPUT)

    def forward(self, x: Tensor) -> Tensor:  # (example, *shape) or (example, inputs) -> (example, outputs)
        logits: Tensor = self.output(self.hidden(x.flatten(start_dim=1)))
        return logits


class ConvolutionLayer(nn.Module):
    """f(norm(3×3 convolution)), halved by max-pooling while the picture has at least 4 pixels a side."""

    def __init__(self, channels: int, width: int, activation: Activation, batch_norm: bool, pool: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, width, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(width) if batch_norm else None
        self.activation = activation.module()
        self.pool = nn.MaxPool2d(2) if pool else None

    def forward(self, x: Tensor) -> Tensor:
        z = self.convolution(x)
        if self.norm is not None:
            z = self.norm(z)
        h: Tensor = self.activation(z)
        return h if self.pool is None else self.pool(h)


class CNN(Network):
    """`depth` convolutional layers of `width` channels on (channels, height, width) pictures, then a linear output."""

    def __init__(self, shape: Shape, outputs: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        activation, width = ACTIVATIONS[settings["activation"]], settings["width"]
        self.shape = shape
        channels, *sides = shape
        convolutions = []
        for _ in range(settings["depth"]):
            pool = min(sides) >= 4
            convolutions.append(ConvolutionLayer(channels, width, activation, settings["batch_norm"], pool))
            channels, sides = width, [side // 2 for side in sides] if pool else sides
        self.hidden = nn.Sequential(*convolutions)
        self.output = nn.Linear(channels * math.prod(sides), outputs)
        for layer in convolutions:
            self.name_layer(layer.convolution, layer)
        self.name_layer(self.output, self.output, OUTPUT)

    def forward(self, x: Tensor) -> Tensor:  # (example, *shape) or (example, inputs) -> (example, outputs)
        logits: Tensor = self.output(self.hidden(x.reshape(-1, *self.shape)).flatten(start_dim=1))
        return logits

    def uses(self, shape: Shape) -> list[int]:
        sides, uses = list(shape[1:]), []
        for layer in self.hidden:
            uses.append(math.prod(sides))
            sides = [side // 2 for side in sides] if getattr(layer, "pool", None) is not None else sides
        return [*uses, 1]


@dataclass(frozen=True)
class Cell:
    """A recurrent layer of PyTorch.

    module:    its class; the class that takes one step at a time is called the same with Cell behind
    gates:     matrices that lie in one of its parameters
    keep_gate: which of them keeps the old state, None for none; gate_label: what that is called
    memory:    whether it hands on a memory besides the hidden state
    """

    module: type[nn.RNNBase]
    gates: int = 1
    keep_gate: int | None = None
    gate_label: str = ""
    memory: bool = False


class RecurrentNetwork(Network):
    """Reads an example step by step and classifies from the last hidden state.

    reading "pixels": one number a step (64 steps for a digit); "rows": one row of the picture a step (8 steps).
    `depth` recurrent layers of `width` units; each layer's activation is its hidden states over all steps.
    """

    def __init__(self, shape: Shape, outputs: int, settings: Mapping[str, Any], cell: Cell) -> None:
        super().__init__()
        self.cell, width = cell, settings["width"]
        module: Callable[..., nn.RNNBase] = cell.module
        self.features = 1 if settings["reading"] == "pixels" else shape[-1]
        options = {"nonlinearity": settings["activation"]} if "activation" in settings else {}
        # one module a layer instead of num_layers, so that each layer has its name and its own hidden states
        self.recurrent = nn.ModuleList(
            module(self.features if number == 0 else width, width, batch_first=True, **options)
            for number in range(settings["depth"])
        )
        self.output = nn.Linear(width, outputs)
        for layer in self.recurrent:
            self.name_layer(layer, layer)
        self.name_layer(self.output, self.output, OUTPUT)

    def forward(self, x: Tensor) -> Tensor:  # (example, *shape) or (example, inputs) -> (example, outputs)
        h = x.reshape(len(x), -1, self.features)  # (example, step, feature)
        for layer in self.recurrent:
            h, _ = layer(h)
        logits: Tensor = self.output(h[:, -1])
        return logits

    def uses(self, shape: Shape) -> list[int]:
        return [*[math.prod(shape) // self.features] * len(self.recurrent), 1]
