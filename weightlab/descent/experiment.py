"""DescentExperiment: everything that decides a descent on a landscape, frozen and checked when made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from weightlab.descent.landscapes import Landscape
from weightlab.rules.schedules import CONSTANT, ScheduleSettings
from weightlab.rules.update_rules import OptimizerSettings
from weightlab.validate import MAX_SEED, number, pairs, whole_number

MAX_DESCENT_STEPS = 100_000
MAX_OPTIMIZERS = 64
_SYMBOLS = {"learning_rate": "η", "momentum": "μ", "weight_decay": "weight decay"}


@dataclass(frozen=True)
class DescentExperiment:
    """One learner per optimizer on a landscape, all from the same start, all seeing the same gradient noise.

    start: (w1, w2), the landscape's own where None. schedule: scales every optimizer's learning rate.
    seed: of the gradient noise. loss_scale: the loss and its gradients are multiplied by it.
    changes: (step, optimizers) in ascending order: from that step on, counted from 0, these settings hold; the rules
    stay the same and keep their velocities and averages. A change beyond the last step has no effect.
    Raises TypeError or ValueError for anything out of range, with the range.
    """

    landscape: Landscape
    optimizers: tuple[OptimizerSettings, ...]
    start: tuple[float, float] | None = None
    steps: int = 300
    schedule: ScheduleSettings = CONSTANT
    seed: int = 0
    loss_scale: float = 1.0
    changes: tuple[tuple[int, tuple[OptimizerSettings, ...]], ...] = ()

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
        object.__setattr__(self, "changes", _checked_turns(self.changes, self.optimizers))

    def optimizers_at(self, step: int) -> tuple[OptimizerSettings, ...]:
        """The settings in force when that step is taken."""
        return next((later for since, later in reversed(self.changes) if since <= step), self.optimizers)

    def replace(self, **changes: Any) -> DescentExperiment:
        """The same experiment with some fields changed, checked again."""
        if "landscape" in changes and "start" not in changes and self.start == self.landscape.start:
            changes["start"] = None  # a start that was the landscape's own follows the landscape
        return dataclasses.replace(self, **changes)

    @property
    def labels(self) -> tuple[str, ...]:
        """One name an optimizer for legends; with the settings that tell it from others, or that changed last."""
        seen: dict[object, dict[str, list[object]]] = {}
        for one in self.optimizers:
            for name, value in one.settings.items():
                seen.setdefault(one.rule, {}).setdefault(name, []).append(value)
        differing = {
            rule: {name for name, values in settings.items() if any(value != values[0] for value in values)}
            for rule, settings in seen.items()
        }
        names = [_label(one, differing.get(one.rule, set())) for one in self.optimizers]
        return tuple(name + self._last_turn(i) for i, name in enumerate(names))

    def _last_turn(self, i: int) -> str:
        """What the last change of optimizer `i` was and when, for its label."""
        for step, later in reversed(self.changes):
            before = self.optimizers_at(step - 1)[i]
            changed = {name for name, value in later[i].settings.items() if before.settings.get(name) != value}
            if changed:
                return f", from step {step} {_named(later[i], changed)}"
        return ""


def _label(optimizer: OptimizerSettings, differing: set[str]) -> str:
    named = _named(optimizer, differing)
    return f"{optimizer.label} ({named})" if named else optimizer.label


def _named(optimizer: OptimizerSettings, names: set[str]) -> str:
    return ", ".join(
        f"{_SYMBOLS.get(name, name)} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in optimizer.settings.items()
        if name in names
    )


def _checked_optimizers(optimizers: object) -> tuple[OptimizerSettings, ...]:
    found = (optimizers,) if isinstance(optimizers, OptimizerSettings) else optimizers
    if not isinstance(found, (tuple, list)) or not all(isinstance(one, OptimizerSettings) for one in found):
        raise TypeError(f"optimizers must be a tuple of OptimizerSettings, got {optimizers!r}; use optimizer(name)")
    if not found:
        raise ValueError("optimizers must hold at least one, got none; add one, such as optimizer('momentum')")
    if len(found) > MAX_OPTIMIZERS:
        raise ValueError(f"optimizers must hold at most {MAX_OPTIMIZERS}, got {len(found)}; use sweep() for a crowd")
    return tuple(found)


def _checked_turns(
    changes: object, optimizers: tuple[OptimizerSettings, ...]
) -> tuple[tuple[int, tuple[OptimizerSettings, ...]], ...]:
    turns: list[tuple[int, tuple[OptimizerSettings, ...]]] = []
    for step, later in pairs(changes, 2, "(step, optimizers)"):
        low = turns[-1][0] + 1 if turns else 1
        at = whole_number("step of a change", step, low, MAX_DESCENT_STEPS, why="changes come one after the other")
        turns.append((at, _checked_optimizers(later)))
        if [one.rule for one in turns[-1][1]] != [one.rule for one in optimizers]:
            rules = ", ".join(one.label for one in optimizers)
            raise ValueError(f"a change keeps the rules ({rules}) and their order, got {later!r}; change settings only")
    return tuple(turns)
