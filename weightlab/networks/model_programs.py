"""The networks of MODELS in a program, as plain modules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from weightlab.networks.activations import ACTIVATIONS
from weightlab.program_text import INDENT, lines

LISTED = 3  # hidden layers that are written one by one; more are made in a loop


@dataclass(frozen=True)
class ModelCode:
    """definitions: classes; make: lines that leave the network in `model`, as PyTorch makes it, in float32.

    kinds:     what isinstance tells its layers with weights by, "" where it is not that simple
    depth:     how many of them are hidden
    recurrent: the name of its recurrent module, which comes before `model.output`; "" for none
    gates:     matrices that lie in one parameter of the recurrent module
    modes:     whether it computes something else in training than in use
    own:       of a learner's own network: its layers with weights as expressions, with the layers themselves
    draws:     whether it draws at random in training, as dropout does
    idle:      whether some parameters get no gradient
    """

    definitions: tuple[str, ...]
    make: str
    kinds: str = ""
    depth: int = 1
    recurrent: str = ""
    gates: int = 1
    modes: bool = False
    imports: tuple[str, ...] = ()
    own: tuple[tuple[str, nn.Module], ...] = ()
    draws: bool = False
    idle: bool = False

    @property
    def layers(self) -> str:
        """Its layers with weights, first to last, as an expression that gives a list."""
        if self.own:
            return f"[{', '.join(text for text, _ in self.own)}]"
        return f"[layer for layer in model.modules() if isinstance(layer, {self.kinds})]"


def _hidden(linear: str, norm: str, activation: str, *behind: str) -> list[str]:
    return [part for part in (linear, norm, activation, *behind) if part]


def _sequential(parts: list[str]) -> str:
    inner = "\n".join(f"{INDENT}{part}," for part in parts)
    return f"model = nn.Sequential(\n{inner}\n)"


def mlp_code(shape: tuple[int, ...], outputs: int, settings: Mapping[str, Any]) -> ModelCode:
    inputs, width, depth = math.prod(shape), settings["width"], settings["depth"]
    activation = ACTIVATIONS[settings["activation"]].module_text
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
    return ModelCode(definitions, make, "nn.Linear", depth, modes=bool(norm) and depth > 0)


def _added(parts: list[str]) -> str:
    return f"layers += [{', '.join(parts)}]" if len(parts) > 1 else f"layers.append({parts[0]})"


def _residual(norm: str, activation: str, width: int) -> str:
    value = "self.norm(self.linear(x))" if norm else "self.linear(x)"
    applied = ACTIVATIONS[activation].function_text.format(value)
    norm_line = f"\n        self.norm = {norm}" if norm else ""
    return f'''class Residual(nn.Module):
    """x + f(Wx + b): what the layer adds to its input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear({width}, {width}){norm_line}

    def forward(self, x):
        return x + {applied}'''


def cnn_code(shape: tuple[int, ...], outputs: int, settings: Mapping[str, Any]) -> ModelCode:
    width, activation = settings["width"], ACTIVATIONS[settings["activation"]].module_text
    norm = f"nn.BatchNorm2d({width})" if settings["batch_norm"] else ""
    channels, *sides = shape
    parts = [f"nn.Unflatten(1, {tuple(shape)})"]
    for _ in range(settings["depth"]):
        pool = min(sides) >= 4
        convolution = f"nn.Conv2d({channels}, {width}, kernel_size=3, padding=1)"
        parts += _hidden(convolution, norm, activation, "nn.MaxPool2d(2)" if pool else "")
        channels, sides = width, [side // 2 for side in sides] if pool else sides
    parts += ["nn.Flatten()", f"nn.Linear({channels * math.prod(sides)}, {outputs})"]
    return ModelCode((), _folded(parts), "nn.Conv2d | nn.Linear", settings["depth"], modes=bool(norm))


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


def recurrent_code(
    shape: tuple[int, ...], outputs: int, settings: Mapping[str, Any], name: str, kind: str, gates: int
) -> ModelCode:
    """name: of the recurrent module in the network; kind: its class in torch.nn."""
    rows = settings["reading"] == "rows"
    features, width = shape[-1] if rows else 1, settings["width"]
    options = [str(features), str(width)]
    if settings["depth"] > 1:
        options.append(f"num_layers={settings['depth']}")
    if settings.get("activation", "tanh") != "tanh":
        options.append(f'nonlinearity="{settings["activation"]}"')
    text = f'''class Reader(nn.Module):
    """Reads an example {"row by row" if rows else "number by number"} and classifies from the last hidden state."""

    def __init__(self):
        super().__init__()
        self.{name} = nn.{kind}({", ".join(options)}, batch_first=True)
        self.output = nn.Linear({width}, {outputs})

    def forward(self, x):
        h, _ = self.{name}(x.reshape(len(x), -1, {features}))  # (example, step, feature)
        return self.output(h[:, -1])'''
    return ModelCode((text,), "model = Reader()", depth=settings["depth"], recurrent=name, gates=gates)
