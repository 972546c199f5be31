"""A network in a program; of a learner's own the class or function is copied in, its layers by their names."""

from __future__ import annotations

import ast
from typing import Any

import torch
from torch import nn

from weightlab.networks.datasets import Dataset
from weightlab.networks.model_programs import ModelCode
from weightlab.networks.models import ModelSettings
from weightlab.networks.own_model import LAYERS, PROBES, OwnModel, OwnNetwork
from weightlab.program_text import call, comment, lines
from weightlab.programs.own import source_of


def model_label(model: ModelSettings) -> str:
    """What a program's first line calls it."""
    return "Your own network" if isinstance(model, OwnModel) else model.entry.label


def model_code(model: ModelSettings, data: Dataset, outputs: int) -> ModelCode:
    """`model` for the examples of `data`."""
    if isinstance(model, OwnModel):
        return _own_model_code(model, data.shape, outputs)
    return model.entry.program(data.shape, outputs, dict(model.settings))


def _own_model_code(model: OwnModel, shape: tuple[int, ...], outputs: int) -> ModelCode:
    """Where the source cannot be had, as for a module that was made before, a place is marked for it."""
    network = model.build(shape, outputs)
    assert isinstance(network, OwnNetwork)
    names = {part: name for name, part in network.module.named_modules()}
    layers = tuple((_expression(names[part]), part) for _, part in network.layers)
    draws, idle = network.stream is not None, _is_idle(network, shape)
    known: dict[str, Any] = {"depth": len(layers) - 1, "modes": True, "own": layers, "draws": draws, "idle": idle}
    given = getattr(model.make, "module", None)  # a module, not what makes one
    if given is not None:
        text = _constructor(given)
        return ModelCode((), _place_for(shape) if text is None else f"model = {text}", **known)
    own = source_of(model.make, "make_model")
    if own is None:
        return ModelCode((), _place_for(shape), **known)
    # what the learner's code draws for itself comes from seed 0
    make = lines("torch.manual_seed(0)", f"model = {own.name}()")
    return ModelCode(own.definitions, make, imports=own.imports, **known)


def _is_idle(network: OwnNetwork, shape: tuple[int, ...]) -> bool:
    network(torch.zeros(PROBES, *shape, dtype=torch.float64)).sum().backward()
    return any(parameter.grad is None for parameter in network.parameters())


def _place_for(shape: tuple[int, ...]) -> str:
    what = f"the one that you gave to model_from_module, for examples of shape {shape}"
    return lines(comment(f"put your own network here: {what}"), "model = ...")


def _expression(name: str) -> str:
    """`0.linear` -> `model[0].linear`."""
    if not name:
        return "model"
    return "model" + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split("."))


def _constructor(module: nn.Module) -> str | None:
    """`nn.Sequential(nn.Linear(64, 10), ...)` for modules of PyTorch whose repr says all that made them."""
    kind = type(module)
    if not kind.__module__.startswith("torch.nn."):
        return None
    if kind is nn.Sequential:
        parts = [_constructor(part) for part in module.children()]
        return None if None in parts else call("nn.Sequential", [part for part in parts if part])
    text = f"nn.{module!r}"
    try:
        twin = _made_by(text)
    except Exception:  # a repr that is no call with plain values
        return None
    return text if repr(twin) == repr(module) and _same_but_for_what_is_drawn(module, twin) else None


def _made_by(text: str) -> nn.Module:
    """The module that `nn.Linear(64, 10, bias=True)` makes; nothing in the text is run but this one call."""
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
    named = {part.arg: ast.literal_eval(part.value) for part in call.keywords if part.arg}
    made = getattr(nn, call.func.attr)(*map(ast.literal_eval, call.args), **named)
    assert isinstance(made, nn.Module)
    return made


def _same_but_for_what_is_drawn(module: nn.Module, twin: nn.Module) -> bool:
    ours, theirs = module.state_dict(), twin.state_dict()
    if {name: value.shape for name, value in ours.items()} != {name: value.shape for name, value in theirs.items()}:
        return False
    return isinstance(module, LAYERS) or all(bool((ours[name] == theirs[name]).all()) for name in ours)
