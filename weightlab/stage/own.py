"""A learner's own data, network and optimizer in the panels that train, in place of what the panel would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from weightlab.networks.datasets import DATASETS, Dataset
from weightlab.networks.models import MODELS, ModelSettings
from weightlab.rules.own_optimizer import class_name, is_from_torch
from weightlab.rules.schedules import SCHEDULES, ScheduleSettings
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.training.experiment import TrainingExperiment

_KINDS: Mapping[str, tuple[type, str]] = {
    "dataset": (Dataset, "data (dataset_from_tensors)"),
    "model": (ModelSettings, "a network (model_from_module)"),
    "optimizer": (OptimizerSettings, "an optimizer (its class, or optimizer(…))"),
}


@dataclass(frozen=True)
class OwnParts:
    """The things by the field of the experiment whose place they take."""

    parts: Mapping[str, Any]

    def put_into(self, experiment: TrainingExperiment) -> TrainingExperiment:
        """The experiment with the learner's things; an optimizer keeps the panel's learning rate, if it has one."""
        parts = dict(self.parts)
        rule = parts.get("optimizer")
        if rule is not None and "learning_rate" in rule.settings:
            parts["optimizer"] = rule.replace(learning_rate=experiment.optimizer.learning_rate)
        return experiment.replace(**parts)

    def unused(self, decided: Mapping[str, Sequence[str]]) -> list[str]:
        """Controls that have no effect beside the learner's things; `decided`: which ones belong to which field."""
        return [name for field in self.parts for name in decided.get(field, ())]

    @property
    def names(self) -> str:
        """What they are called, for a text."""
        return "+".join(one.label if field == "optimizer" else one.name for field, one in self.parts.items())


def own_parts(own: Sequence[object], takes: Sequence[str] = tuple(_KINDS)) -> OwnParts:
    """The things checked; TypeError for what a panel that takes these fields has no place for, ValueError for two."""
    found: dict[str, Any] = {}
    for thing in own:
        one = _with_defaults(thing)
        field = next((field for field in takes if isinstance(one, _KINDS[field][0])), None)
        if field is None:
            asked = ", ".join(_KINDS[field][1] for field in takes)
            raise TypeError(f"own may hold {asked} here, got {thing!r}")
        if field in found:
            raise ValueError(f"own may hold one {field}, got {found[field]!r} and {one!r}; leave one out")
        found[field] = one
    return OwnParts({field: found[field] for field in _KINDS if field in found})


@dataclass(frozen=True)
class Own:
    """What a learner brings to a panel's menus beside the package's entries: name in the menu -> the thing itself."""

    rule: Mapping[str, OptimizerSettings] = field(default_factory=dict)
    model: Mapping[str, ModelSettings] = field(default_factory=dict)
    schedule: Mapping[str, ScheduleSettings] = field(default_factory=dict)
    dataset: Mapping[str, Dataset] = field(default_factory=dict)

    def options(self, menu: str) -> tuple[tuple[str, str], ...]:
        """(value, label) of its entries in a menu."""
        return tuple((name, _own_label(name, thing)) for name, thing in getattr(self, menu).items())


NOTHING = Own()
YOURS = " (yours)"
_ENTRIES: Mapping[str, Mapping[str, Any]] = {
    "rule": UPDATE_RULES, "model": MODELS, "schedule": SCHEDULES, "dataset": DATASETS
}
_MENUS: Mapping[type, str] = {
    OptimizerSettings: "rule", ModelSettings: "model", ScheduleSettings: "schedule", Dataset: "dataset"
}


def _own_label(name: str, thing: object) -> str:
    if isinstance(thing, OptimizerSettings) and not isinstance(thing.rule, str) and is_from_torch(thing.rule):
        return name
    return f"{getattr(thing, 'label', name.removesuffix(YOURS))}{YOURS}"


def own_things(things: Sequence[object], values: Mapping[str, Any]) -> tuple[Own, dict[str, Any]]:
    """The things by menu, and `values` with those among them replaced by their names in the menus.

    A thing is an optimizer class, or made by optimizer, model_from_module, model, schedule, dataset_from_tensors or
    dataset. One that is called as an entry of the package becomes "<name> (yours)". A rule of theirs that is chosen
    brings its learning rate and momentum with it, unless they are given too. Raises TypeError for anything else,
    ValueError for a name that comes twice.
    """
    found: dict[str, dict[str, Any]] = {menu: {} for menu in _ENTRIES}
    names = dict(values)
    given = {name: value for name, value in values.items() if name in found and not isinstance(value, str)}
    for thing in (*things, *given.values()):
        one = _with_defaults(thing)
        menu = next((menu for kind, menu in _MENUS.items() if isinstance(one, kind)), None)
        if menu is None:
            raise TypeError(
                "your own things may be optimizer classes or what optimizer(…), model_from_module(…), schedule(…) and "
                f"dataset_from_tensors(…) make, got {one!r}"
            )
        name = _own_name(one, menu)
        if found[menu].get(name, one) != one:
            raise ValueError(f"two of your own things are called {name!r} in the menu of the {menu}; give one a name")
        found[menu][name] = one
        names |= {setting: name for setting, value in given.items() if value is thing}
    chosen = found["rule"].get(names.get("rule", ""))
    if chosen is not None:
        usual = {key: value for key, value in chosen.settings.items() if key in ("learning_rate", "momentum")}
        if chosen.rest is not None:
            usual["rest_rate"] = chosen.rest.learning_rate
        names = {**usual, **names}
    return Own(**found), names


def _with_defaults(thing: object) -> object:
    """An optimizer class as settings; everything else as it is."""
    return optimizer(thing) if isinstance(thing, type) and issubclass(thing, torch.optim.Optimizer) else thing


def _own_name(thing: Any, menu: str) -> str:
    name = thing.rule if menu == "rule" else thing.name
    name = name if isinstance(name, str) else class_name(name)
    return f"{name}{YOURS}" if name in _ENTRIES[menu] else name


def has_momentum(chosen: OptimizerSettings) -> bool:
    """Whether the momentum slider sets something of this rule.

    RMSprop's own momentum stays at its default, 0; a class's is set where it was given one to begin with.
    """
    return "momentum" in (chosen.entry.sliders if chosen.entry is not None else chosen.settings)


def labels(entries: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """A registry as the options of a menu."""
    return tuple((name, entry.label) for name, entry in entries.items())


def in_texts(own: Own) -> list[object]:
    """The things that a text can only name: what the package has, it can say."""
    rules = [one for one in own.rule.values() if not isinstance(one.rule, str)]
    models = [one for one in own.model.values() if one.name not in MODELS]
    return [*rules, *models, *(one for one in own.dataset.values() if one.name not in DATASETS)]


def entry_of(menu: str, thing: Any, own: Own) -> str:
    """Under which name a menu offers it; ValueError if it does not."""
    mine: Mapping[str, Any] = getattr(own, menu)
    for name, offered in mine.items():
        if offered == thing or (menu == "rule" and offered.rule == thing.rule):
            return name
    name = thing.rule if menu == "rule" else thing.name
    if isinstance(name, str) and name in _ENTRIES[menu]:
        return name
    called = name if isinstance(name, str) else class_name(name)
    raise ValueError(f"the menu of the {menu} does not have {called!r}; make the panel with own=[…] that holds it")
