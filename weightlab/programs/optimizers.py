"""An optimizer in a program: the class of torch.optim that walks the same path, or one written out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from weightlab.program_text import comment, lines
from weightlab.programs.own import source_of
from weightlab.programs.rules import rule_class
from weightlab.rules.own_optimizer import is_from_torch, needs_closure
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings

Stages = Sequence[tuple[int, OptimizerSettings]]  # (from which step on, settings), the first from step 0


@dataclass(frozen=True)
class OptimizerCode:
    """An optimizer and what becomes of its settings.

    constructor: class as the program calls it
    arguments:   what is given to it, `lr` first
    definitions: what stands before it is used
    changes:     step -> entries of the param_group that are set anew
    closure:     whether `step` must be given a function that computes loss and gradient
    looks_ahead: whether the gradient is taken where `look_ahead()` goes
    """

    constructor: str
    arguments: Mapping[str, Any]
    definitions: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    changes: Mapping[int, Mapping[str, Any]] = ()  # type: ignore[assignment]
    closure: bool = False
    looks_ahead: bool = False

    @property
    def rate_changes(self) -> bool:
        return any("lr" in change for change in self.changes.values())

    @property
    def rate(self) -> float:
        return float(self.arguments["lr"])


def optimizer_code(stages: Stages, decays: Sequence[float] = ()) -> OptimizerCode:
    """The code for settings that change midway: of one rule, in ascending order of step.

    decays: weight decays of parameter groups, which a class that is written out must then have too.
    """
    first = stages[0][1]
    if isinstance(first.rule, str):
        return _of_rule(first.rule, stages, decays)
    changes = _changes([(step, _as_arguments(one.settings)) for step, one in stages])
    given, name, closure = _as_arguments(first.settings), first.rule.__name__, needs_closure(first.rule)
    if is_from_torch(first.rule):
        return OptimizerCode(f"torch.optim.{name}", given, changes=changes, closure=closure)
    own = source_of(first.rule, name)
    if own is not None:
        return OptimizerCode(own.name, given, own.definitions, own.imports, changes, closure)
    return OptimizerCode(name, given, (_place_for(name, given),), (), changes, closure)


def _place_for(name: str, given: Mapping[str, Any]) -> str:
    signature = ", ".join(["self", "params", *given])
    return lines(
        comment(f"put your own optimizer here: the class {name} that you gave to optimizer({name}, ...)"),
        f"class {name}(torch.optim.Optimizer):",
        f"    def __init__({signature}):",
        "        ...",
    )


def _as_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    named = {"lr" if name == "learning_rate" else name: value for name, value in settings.items()}
    return {"lr": named.pop("lr"), **named}


def _of_rule(rule: str, stages: Stages, decays: Sequence[float]) -> OptimizerCode:
    entry, settings = UPDATE_RULES[rule], [(step, one.settings) for step, one in stages]
    equivalent = entry.torch_equivalent(settings[0][1])
    turns = [values for _, values in settings]
    written = entry.written(turns)
    if written is not None:
        made = rule_class(entry, written, [*turns, *({**turns[0], "weight_decay": decay} for decay in decays)])
        groups = [(step, made.group(values)) for step, values in settings]
        return OptimizerCode(made.name, groups[0][1], (made.text,), changes=_changes(groups),
                             looks_ahead=entry.looks_ahead)
    assert equivalent is not None, f"{rule}: neither a class of torch.optim nor one that is written out"
    name, first = equivalent
    usual = inspect.signature(getattr(torch.optim, name)).parameters
    given = {key: value for key, value in first.items() if key == "lr" or value != usual[key].default}
    later = [entry.torch_equivalent(values) for _, values in settings]
    groups = [(step, one[1]) for (step, _), one in zip(settings, later, strict=True) if one is not None]
    return OptimizerCode(f"torch.optim.{name}", given, changes=_changes(groups))


def _changes(stages: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[int, dict[str, Any]]:
    changed: dict[int, dict[str, Any]] = {}
    for (_, before), (step, now) in zip(stages[:-1], stages[1:], strict=True):
        new = {name: value for name, value in now.items() if value != before.get(name)}
        if new:
            changed[step] = new
    return changed
