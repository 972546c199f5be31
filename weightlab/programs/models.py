"""A network in a program, as plain modules, and how its first weights are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from weightlab.networks.datasets import Dataset
from weightlab.networks.models import MODELS, ModelSettings
from weightlab.networks.own_model import OwnModel
from weightlab.program_text import INDENT, lines
from weightlab.programs.own_model import OwnModelCode, own_model_code

LISTED = 3  # hidden layers that are written one by one; more are made in a loop
MODULES = {
    "sigmoid": "nn.Sigmoid()",
    "tanh": "nn.Tanh()",
    "relu": "nn.ReLU()",
    "leaky_relu": "nn.LeakyReLU(0.01)",
    "gelu": "nn.GELU()",
    "silu": "nn.SiLU()",
    "linear": "",
}


@dataclass(frozen=True)
class ModelCode:
    """definitions: classes; make: lines that leave the network in `model`, as PyTorch makes it, in float32.

    layers:    its layers with weights, first to last, as an expression that gives a list
    kinds:     what isinstance tells them by, "" where it is not that simple
    depth:     how many of them are hidden
    recurrent: the name of its recurrent module, which comes before `model.output`; "" for none
    gates:     matrices that lie in one parameter of the recurrent module
    modes:     whether it computes something else in training than in use
    own:       what else a learner's own network asks for
    """

    definitions: tuple[str, ...]
    make: str
    layers: str = ""
    kinds: str = ""
    depth: int = 1
    recurrent: str = ""
    gates: int = 1
    modes: bool = False
    imports: tuple[str, ...] = ()
    own: OwnModelCode | None = None


def model_label(model: ModelSettings) -> str:
    """What a program's first line calls it."""
    return MODELS[model.name].label if not isinstance(model, OwnModel) else "Your own network"


def model_code(model: ModelSettings, data: Dataset, outputs: int) -> ModelCode:
    """`model` for the examples of `data`."""
    if isinstance(model, OwnModel):
        own = own_model_code(model, data.shape, outputs)
        layers = f"[{', '.join(own.layers)}]"
        depth = len(own.layers) - 1
        return ModelCode(own.definitions, own.make, layers, "", depth, modes=True, imports=own.imports, own=own)
    settings = dict(model.settings)
    if model.name == "mlp":
        return _mlp(settings, data.inputs, outputs)
    if model.name == "cnn":
        return _cnn(settings, data.shape, outputs)
    return _recurrent(model.name, settings, data.shape, outputs)


def _hidden(linear: str, norm: str, activation: str, *behind: str) -> list[str]:
    return [part for part in (linear, norm, activation, *behind) if part]


def _sequential(parts: list[str]) -> str:
    inner = "\n".join(f"{INDENT}{part}," for part in parts)
    return f"model = nn.Sequential(\n{inner}\n)"


def _mlp(settings: dict[str, Any], inputs: int, outputs: int) -> ModelCode:
    width, depth, activation = settings["width"], settings["depth"], MODULES[settings["activation"]]
    norm = f"nn.BatchNorm1d({width})" if settings["batch_norm"] else ""
    first = _hidden(f"nn.Linear({inputs}, {width})", norm, activation)
    definitions: tuple[str, ...] = ()
    later = _hidden(f"nn.Linear({width}, {width})", norm, activation)
    if settings["residual"] and depth > 1:
        definitions, later = (_residual(norm, settings["activation"], width),), ["Residual()"]
    last = f"nn.Linear({width if depth else inputs}, {outputs})"
    if depth == 0:
        make = f"model = {last}"
    elif depth <= LISTED:
        make = _sequential([*first, *(later * (depth - 1)), last])
    else:
        make = lines(
            f"layers = [{', '.join(first)}]",
            f"for _ in range({depth - 1}):",
            INDENT + _added(later),
            f"model = nn.Sequential(*layers, {last})",
        )
    return ModelCode(definitions, make, _listing("nn.Linear"), "nn.Linear", depth, modes=bool(norm) and depth > 0)


def _added(parts: list[str]) -> str:
    return f"layers += [{', '.join(parts)}]" if len(parts) > 1 else f"layers.append({parts[0]})"


def _listing(kinds: str) -> str:
    return f"[layer for layer in model.modules() if isinstance(layer, {kinds})]"


def _residual(norm: str, activation: str, width: int) -> str:
    functions = {"gelu": "nn.functional.gelu({})", "silu": "nn.functional.silu({})", "linear": "{}",
                 "leaky_relu": "nn.functional.leaky_relu({}, 0.01)"}
    value = "self.norm(self.linear(x))" if norm else "self.linear(x)"
    applied = functions.get(activation, f"torch.{activation}({{}})").format(value)
    norm_line = f"\n        self.norm = {norm}" if norm else ""
    return f'''class Residual(nn.Module):
    """x + f(Wx + b): what the layer adds to its input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear({width}, {width}){norm_line}

    def forward(self, x):
        return x + {applied}'''


def _cnn(settings: dict[str, Any], shape: tuple[int, ...], outputs: int) -> ModelCode:
    width, activation = settings["width"], MODULES[settings["activation"]]
    norm = f"nn.BatchNorm2d({width})" if settings["batch_norm"] else ""
    channels, *sides = shape
    parts = [f"nn.Unflatten(1, {tuple(shape)})"]
    for _ in range(settings["depth"]):
        pool = min(sides) >= 4
        convolution = f"nn.Conv2d({channels}, {width}, kernel_size=3, padding=1)"
        parts += _hidden(convolution, norm, activation, "nn.MaxPool2d(2)" if pool else "")
        channels, sides = width, [side // 2 for side in sides] if pool else sides
    parts += ["nn.Flatten()", f"nn.Linear({channels * math.prod(sides)}, {outputs})"]
    kinds = "nn.Conv2d | nn.Linear"
    return ModelCode((), _folded(parts), _listing(kinds), kinds, settings["depth"], modes=bool(norm))


def _folded(parts: list[str]) -> str:
    """The network in one list; what repeats often in a loop."""
    for length in (2, 3, 4):
        for first in range(len(parts)):
            block, times = parts[first : first + length], 1
            while parts[first + times * length : first + (times + 1) * length] == block:
                times += 1
            if times > LISTED:
                before, behind = parts[:first], parts[first + times * length :]
                return lines(
                    f"layers = [{', '.join(before)}]" if sum(map(len, before)) < 80 else _listed("layers = [", before),
                    f"for _ in range({times}):",
                    INDENT + _added(block),
                    f"model = nn.Sequential(*layers, {', '.join(behind)})",
                )
    return _sequential(parts)


def _listed(head: str, parts: list[str]) -> str:
    return "\n".join([head, *(f"{INDENT}{part}," for part in parts), "]"])


def _recurrent(name: str, settings: dict[str, Any], shape: tuple[int, ...], outputs: int) -> ModelCode:
    rows = settings["reading"] == "rows"
    features, width = shape[-1] if rows else 1, settings["width"]
    options = [str(features), str(width)]
    if settings["depth"] > 1:
        options.append(f"num_layers={settings['depth']}")
    if settings.get("activation", "tanh") != "tanh":
        options.append(f'nonlinearity="{settings["activation"]}"')
    kind = name.upper()
    text = f'''class Reader(nn.Module):
    """Reads an example {"row by row" if rows else "number by number"} and classifies from the last hidden state."""

    def __init__(self):
        super().__init__()
        self.{name} = nn.{kind}({", ".join(options)}, batch_first=True)
        self.output = nn.Linear({width}, {outputs})

    def forward(self, x):
        h, _ = self.{name}(x.reshape(len(x), -1, {features}))  # (example, step, feature)
        return self.output(h[:, -1])'''
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[name]
    return ModelCode((text,), "model = Reader()", depth=settings["depth"], recurrent=name, gates=gates)
