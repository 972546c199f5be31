"""Small real networks with named layers: perceptrons, a convolutional net on images, recurrent nets that read one.

Each kind is one entry of MODELS. `model("mlp", depth=8, width=32)` makes frozen settings; `.build(shape, outputs)`
makes a Network, whose `layers` name the modules with weights in the order in which the signal passes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from weightlab.networks.activations import ACTIVATIONS, Activation
from weightlab.networks.initializers import InitializationSettings, initialization
from weightlab.validate import choose, whole_number

Shape = tuple[int, ...]  # of one example: (inputs,) or (channels, height, width)
Value = bool | int | float | str
MAX_DEPTH, MAX_WIDTH = 100, 4096
READINGS = ("rows", "pixels")
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

    @property
    def has_modes(self) -> bool:
        """Whether it computes something else in training than in use: here batch normalization's statistics."""
        return any(True for _ in self.buffers())


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


class RecurrentNetwork(Network):
    """Reads an example step by step and classifies from the last hidden state.

    reading "pixels": one number a step (64 steps for a digit); "rows": one row of the picture a step (8 steps).
    `depth` recurrent layers of `width` units; each layer's activation is its hidden states over all steps.
    """

    def __init__(
        self, shape: Shape, outputs: int, settings: Mapping[str, Any], cell: Callable[..., nn.RNNBase]
    ) -> None:
        super().__init__()
        width = settings["width"]
        self.features = 1 if settings["reading"] == "pixels" else shape[-1]
        options = {"nonlinearity": settings["activation"]} if "activation" in settings else {}
        # one module a layer instead of num_layers, so that each layer has its name and its own hidden states
        self.recurrent = nn.ModuleList(
            cell(self.features if number == 0 else width, width, batch_first=True, **options)
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


def _fits_anything(shape: Shape, settings: Mapping[str, Any]) -> str:
    return ""


def _fits_images(shape: Shape, settings: Mapping[str, Any]) -> str:
    return "" if len(shape) == 3 else "a CNN reads pictures"


def _fits_sequences(shape: Shape, settings: Mapping[str, Any]) -> str:
    rows = settings["reading"] == "rows"
    return "reading='rows' needs a picture; choose reading='pixels'" if rows and len(shape) != 3 else ""


@dataclass(frozen=True)
class ModelEntry:
    """A kind of network: settings name -> default, build(shape, outputs, settings) -> Network.

    misfit(shape, settings) says why examples of that shape do not fit, "" if they do. `activation` is what its hidden
    units apply where that is not a setting.
    """

    name: str
    label: str
    settings: Mapping[str, Value]
    build: Callable[[Shape, int, Mapping[str, Any]], Network]
    misfit: Callable[[Shape, Mapping[str, Any]], str]
    activation: str = "tanh"
    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    shallowest: int = 1


def _recurrent(cell: Callable[..., nn.RNNBase]) -> Callable[[Shape, int, Mapping[str, Any]], Network]:
    return lambda shape, outputs, settings: RecurrentNetwork(shape, outputs, settings, cell)


_SEQUENCE: Mapping[str, Value] = {"depth": 1, "width": 32, "reading": "rows"}

MODELS: Mapping[str, ModelEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            ModelEntry(
                "mlp",
                "Multilayer perceptron",
                {"depth": 2, "width": 32, "activation": "relu", "batch_norm": False, "residual": False},
                MLP,
                _fits_anything,
                shallowest=0,  # no hidden layer: softmax regression
            ),
            ModelEntry(
                "cnn",
                "Convolutional network",
                {"depth": 2, "width": 16, "activation": "relu", "batch_norm": False},
                CNN,
                _fits_images,
            ),
            ModelEntry(
                "rnn",
                "Recurrent network",
                {**_SEQUENCE, "activation": "tanh"},
                _recurrent(nn.RNN),
                _fits_sequences,
                activations=("tanh", "relu"),
            ),
            ModelEntry("lstm", "LSTM", _SEQUENCE, _recurrent(nn.LSTM), _fits_sequences),
            ModelEntry("gru", "GRU", _SEQUENCE, _recurrent(nn.GRU), _fits_sequences),
        )
    }
)


@dataclass(frozen=True)
class ModelSettings:
    """A model with its settings; hashable, made and checked by `model(name, ...)`. Settings read as attributes."""

    name: str
    settings: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        entry = MODELS[choose("model", self.name, MODELS)]
        given = dict(self.settings)
        for key in given:
            choose(f"setting of {self.name!r}", key, entry.settings)
        checked = {key: _checked(entry, key, given.get(key, default)) for key, default in entry.settings.items()}
        object.__setattr__(self, "settings", tuple(sorted(checked.items())))

    def __getattr__(self, name: str) -> Any:
        # reached only where normal lookup fails; __dict__ because copy and pickle ask before fields exist
        for key, value in self.__dict__.get("settings", ()):
            if key == name:
                return value
        raise AttributeError(f"model {self.__dict__.get('name')!r} has no setting {name!r}")

    @property
    def entry(self) -> ModelEntry:
        return MODELS[self.name]

    @property
    def hidden_activation(self) -> Activation:
        """What the hidden units apply, for an initializer's gain (tanh for LSTM and GRU)."""
        return ACTIVATIONS[str(dict(self.settings).get("activation", self.entry.activation))]

    def replace(self, **changes: Value) -> ModelSettings:
        """A copy with settings changed, checked again."""
        return model(self.name, **{**dict(self.settings), **changes})

    def misfit(self, shape: Shape, outputs: int = 1) -> str:
        """Why examples of `shape`, or that many outputs, do not fit this model, "" if they do."""
        reason = self.entry.misfit(shape, dict(self.settings))
        return f"{reason}, or choose 'mlp'" if reason else ""

    def build(self, inputs: int | Shape, outputs: int, generator: torch.Generator | None = None) -> Network:
        """A network for examples of `inputs` numbers or of shape (channels, height, width), in float64 on the CPU.

        Weights are drawn as PyTorch draws them by default, from `generator` (without one: seed 0); the global generator
        is left as it was. Raises ValueError where the examples do not fit.
        """
        shape = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        reason = self.misfit(shape, outputs)
        if reason:
            raise ValueError(f"model {self.name!r} does not fit examples of shape {shape}: {reason}")
        with torch.random.fork_rng(devices=[]):
            network = self.entry.build(shape, outputs, dict(self.settings)).double()
        initialize(network, initialization("pytorch_default"), self.hidden_activation, generator)
        return network


def initialize(
    network: Network,
    settings: InitializationSettings,
    activation: Activation,
    generator: torch.Generator | None = None,
) -> None:
    """Draw all weights of `network` anew, layer by layer, in place, from `generator` (without one: seed 0).

    Hidden layers get the gain of `activation`, the output layer, which no activation follows, that of the identity.
    """
    source = torch.Generator().manual_seed(0) if generator is None else generator
    for name, module in network.layers:
        settings.apply(module, ACTIVATIONS["linear"] if name == OUTPUT else activation, source)
    network.seed(source)


def _checked(entry: ModelEntry, key: str, value: object) -> Value:
    if key == "activation":
        return choose(f"activation of {entry.name!r}", value, entry.activations)
    if key == "reading":
        return choose("reading", value, READINGS)
    if key == "depth":
        return whole_number(key, value, entry.shallowest, MAX_DEPTH)
    if key == "width":
        return whole_number(key, value, 1, MAX_WIDTH)
    if not isinstance(value, bool):
        raise TypeError(f"{key} must be True or False, got {value!r}")
    return value


def model(name: str, **settings: Value) -> ModelSettings:
    """Checked settings of the model `name`, e.g. `model("mlp", depth=8, width=32, activation="tanh")`.

    settings: depth (hidden layers), width (units or channels a layer), activation (mlp, cnn; rnn: "tanh" or "relu"),
    batch_norm (mlp, cnn), residual (mlp), reading "rows" or "pixels" (rnn, lstm, gru). Raises ValueError or TypeError
    that names value, range and remedy.
    """
    return ModelSettings(name, tuple(settings.items()))
