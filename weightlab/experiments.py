"""Experiments: everything that decides a run, frozen and checked when made; nothing here runs them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from weightlab.landscapes import Landscape
from weightlab.schedules import ScheduleSettings, schedule
from weightlab.update_rules import OptimizerSettings
from weightlab.validate import number, whole_number

MAX_DESCENT_STEPS = 100_000
MAX_SEED = 2**53 - 1  # what a float, and so a link text, still holds exactly
CONSTANT = schedule("constant")


@dataclass(frozen=True)
class DescentExperiment:
    """One learner per optimizer on a landscape, all from the same start, all seeing the same gradient noise.

    start: (w1, w2), the landscape's own where None. schedule: scales every optimizer's learning rate.
    seed: of the gradient noise. loss_scale: the loss and its gradients are multiplied by it.
    Raises TypeError or ValueError for anything out of range, with the range.
    """

    landscape: Landscape
    optimizers: tuple[OptimizerSettings, ...]
    start: tuple[float, float] | None = None
    steps: int = 300
    schedule: ScheduleSettings = CONSTANT
    seed: int = 0
    loss_scale: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.landscape, Landscape):
            raise TypeError(f"landscape must be a Landscape, got {self.landscape!r}; make one with landscape(name)")
        if not isinstance(self.schedule, ScheduleSettings):
            raise TypeError(f"schedule must be ScheduleSettings, got {self.schedule!r}; make it with schedule(name)")
        start = self.landscape.start if self.start is None else self.start
        if not isinstance(start, (tuple, list)) or len(start) != 2:
            raise ValueError(f"start must be two numbers (w1, w2), got {start!r}")
        checked = {
            "optimizers": _checked_optimizers(self.optimizers),
            "start": (number("start w1", start[0]), number("start w2", start[1])),
            "steps": whole_number("steps", self.steps, 1, MAX_DESCENT_STEPS),
            "seed": whole_number("seed", self.seed, 0, MAX_SEED),
            "loss_scale": number("loss_scale", self.loss_scale, 0, open_low=True, why="scale by a positive number"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def replace(self, **changes: Any) -> DescentExperiment:
        """The same experiment with some fields changed, checked again."""
        if "landscape" in changes and "start" not in changes and self.start == self.landscape.start:
            changes["start"] = None  # a start that was the landscape's own follows the landscape
        return dataclasses.replace(self, **changes)

    @property
    def labels(self) -> tuple[str, ...]:
        """One name an optimizer for legends; where a rule comes more than once with the settings that differ."""
        return tuple(self._label(optimizer) for optimizer in self.optimizers)

    def _label(self, optimizer: OptimizerSettings) -> str:
        twins = [other for other in self.optimizers if other.rule == optimizer.rule]
        differing = [
            f"{name.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in optimizer.settings.items()
            if any(twin.settings.get(name) != value for twin in twins)
        ]
        return f"{optimizer.label} ({', '.join(differing)})" if differing else optimizer.label


def _checked_optimizers(optimizers: object) -> tuple[OptimizerSettings, ...]:
    found = (optimizers,) if isinstance(optimizers, OptimizerSettings) else optimizers
    if not isinstance(found, (tuple, list)) or not all(isinstance(one, OptimizerSettings) for one in found):
        raise TypeError(f"optimizers must be a tuple of OptimizerSettings, got {optimizers!r}; use optimizer(rule, ...)")
    if not found:
        raise ValueError("optimizers must hold at least one, got none; add one, such as optimizer('momentum')")
    return tuple(found)
