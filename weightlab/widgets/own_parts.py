"""A learner's own data, network and optimizer in the panels that train, in place of what the panel would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from weightlab.datasets import Dataset
from weightlab.experiments import TrainingExperiment
from weightlab.models import ModelSettings
from weightlab.update_rules import OptimizerSettings, optimizer

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
        one = optimizer(thing) if isinstance(thing, type) and issubclass(thing, torch.optim.Optimizer) else thing
        field = next((field for field in takes if isinstance(one, _KINDS[field][0])), None)
        if field is None:
            asked = ", ".join(_KINDS[field][1] for field in takes)
            raise TypeError(f"own may hold {asked} here, got {thing!r}")
        if field in found:
            raise ValueError(f"own may hold one {field}, got {found[field]!r} and {one!r}; leave one out")
        found[field] = one
    return OwnParts({field: found[field] for field in _KINDS if field in found})
