"""Small real networks with named layers: perceptrons, a convolutional net on images, recurrent nets that read one.

Each kind is one entry of MODELS. `model("mlp", depth=8, width=32)` makes frozen settings; `.build(shape, outputs)`
makes a Network, whose `layers` name the modules with weights in the order in which the signal passes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from weightlab.networks.activations import ACTIVATIONS, IDENTITY, Activation
from weightlab.networks.architectures import CNN, MLP, OUTPUT, Cell, Network, RecurrentNetwork, Shape
from weightlab.networks.initializers import InitializationSettings, initialization
from weightlab.networks.model_programs import ModelCode, cnn_code, mlp_code, recurrent_code
from weightlab.validate import choose, registry, whole_number

Value = bool | int | float | str
MAX_DEPTH, MAX_WIDTH = 100, 4096
READINGS = ("rows", "pixels")


def _fits_sequences(shape: Shape, settings: Mapping[str, Any]) -> str:
    rows = settings["reading"] == "rows"
    return "reading='rows' needs a picture; choose reading='pixels'" if rows and len(shape) != 3 else ""


@dataclass(frozen=True)
class ModelEntry:
    """A kind of network: settings name -> default, build(shape, outputs, settings) -> Network.

    program:    the same arguments -> the network in a program
    misfit(shape, settings) says why examples of that shape do not fit, "" if they do
    activation: what its hidden units apply where that is not a setting
    mean_field(settings) says whether mean field theory covers it; the theory is that of plain layers
    together:   whether many of them can share their operations by torch.func, which has no batched recurrent modules
    cell:       what a recurrent one is made of
    """

    name: str
    label: str
    settings: Mapping[str, Value]
    build: Callable[[Shape, int, Mapping[str, Any]], Network]
    program: Callable[[Shape, int, Mapping[str, Any]], ModelCode]
    misfit: Callable[[Shape, Mapping[str, Any]], str] = lambda shape, settings: ""
    activation: str = "tanh"
    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    shallowest: int = 1
    mean_field: Callable[[Mapping[str, Any]], bool] = lambda settings: False
    together: bool = False
    cell: Cell | None = None


def _recurrent(name: str, label: str, cell: Cell, activations: tuple[str, ...] = ()) -> ModelEntry:
    settings: dict[str, Value] = {"depth": 1, "width": 32, "reading": "rows"}
    return ModelEntry(
        name, label,
        settings | {"activation": activations[0]} if activations else settings,
        lambda shape, outputs, settings: RecurrentNetwork(shape, outputs, settings, cell),
        lambda shape, outputs, settings: recurrent_code(
            shape, outputs, settings, name, cell.module.__name__, cell.gates
        ),
        _fits_sequences,
        activations=activations,
        cell=cell,
    )


MODELS = registry(
    ModelEntry(
        "mlp", "Multilayer perceptron",
        {"depth": 2, "width": 32, "activation": "relu", "batch_norm": False, "residual": False},
        MLP,
        mlp_code,
        shallowest=0,  # no hidden layer: softmax regression
        mean_field=lambda settings: not (settings["batch_norm"] or settings["residual"]),
        together=True,
    ),
    ModelEntry(
        "cnn", "Convolutional network",
        {"depth": 2, "width": 16, "activation": "relu", "batch_norm": False},
        CNN,
        cnn_code,
        lambda shape, settings: "" if len(shape) == 3 else "a CNN reads pictures",
        together=True,
    ),
    _recurrent("rnn", "Recurrent network", Cell(nn.RNN), activations=("tanh", "relu")),
    _recurrent("lstm", "LSTM", Cell(nn.LSTM, 4, 1, "forget gate", memory=True)),
    _recurrent("gru", "GRU", Cell(nn.GRU, 3, 1, "update gate")),
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
        settings.apply(module, IDENTITY if name == OUTPUT else activation, source)
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
