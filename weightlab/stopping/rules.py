"""When to stop training: rules that only read the curve so far, and a run that heeds them and keeps its best weights.

    run = train_until(experiment, Patience(5), Budget(updates=2000))
    print(run.stop.reason, run.curve.losses[run.stop.best])

The rules never train, so a curve that is there already can be asked again with other settings: `first_stop`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from weightlab.training.experiment import TrainingExperiment
from weightlab.training.record import TrainingRecord
from weightlab.training.run import Training
from weightlab.validate import number, whole_number


@dataclass(frozen=True)
class Curve:
    """What a run has shown at its validations, first to last, (validation,) each, float64.

    updates: steps taken before it. seconds: since the run began, NaN where nobody looked at a clock.
    """

    updates: Tensor
    losses: Tensor
    accuracies: Tensor
    seconds: Tensor

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def best(self) -> int:
        """Index of the lowest loss, the first one of equals; 0 where none is a number."""
        return int(self.losses.nan_to_num(nan=math.inf).argmin())

    @property
    def lowest(self) -> float:
        """The loss at `best`."""
        return float(self.losses[self.best])


def curve_of(record: TrainingRecord) -> Curve:
    """The validations of a run that is over."""
    losses = record.validation_losses.double()
    seconds = torch.full_like(losses, math.nan)
    return Curve(record.validation_steps, losses, record.validation_accuracies.double(), seconds)


def waits(losses: Tensor, min_delta: float = 0.0) -> Tensor:
    """How many validations in a row have not improved, at each validation, (validation,); 0 where one did.

    An improvement is lower than the last improvement by more than `min_delta`. NaN never is one.
    """
    best, wait, found = math.inf, 0, []
    for loss in losses.tolist():
        better = loss < best - min_delta
        best, wait = (loss, 0) if better else (best, wait + 1)
        found.append(wait)
    return torch.tensor(found, dtype=torch.int64)


class StoppingRule(Protocol):
    """Reads a curve, says at which validation it stops, and why."""

    def stops_at(self, curve: Curve) -> int | None:
        """Index of the first validation at which the run should end; None for not yet."""
        ...

    def reason(self, curve: Curve, index: int) -> str: ...


@dataclass(frozen=True)
class Patience:
    """Stop after `patience` validations in a row that do not improve by more than `min_delta`.

    Early stopping as Prechelt 1998 ("Early stopping - but when?", criterion UP) and Keras' and Lightning's callbacks
    have it.
    """

    patience: int
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        why = "it counts validations; 1 stops at the first that does not improve"
        object.__setattr__(self, "patience", whole_number("patience", self.patience, 1, 100_000, why=why))
        object.__setattr__(self, "min_delta", number("min_delta", self.min_delta, 0, why="0 takes any improvement"))

    def stops_at(self, curve: Curve) -> int | None:
        return _first(waits(curve.losses, self.min_delta) >= self.patience)

    def reason(self, curve: Curve, index: int) -> str:
        return f"{self.patience} validation{'s' * (self.patience > 1)} without improvement"


@dataclass(frozen=True)
class Target:
    """Stop as soon as the validation loss is at most `loss`, or the share of right answers at least `accuracy`."""

    loss: float | None = None
    accuracy: float | None = None

    def __post_init__(self) -> None:
        if (self.loss is None) == (self.accuracy is None):
            raise ValueError(f"a target is a loss or an accuracy, got loss={self.loss}, accuracy={self.accuracy}")
        if self.loss is not None:
            object.__setattr__(self, "loss", number("target loss", self.loss))
        else:
            object.__setattr__(self, "accuracy", number("target accuracy", self.accuracy, 0, 1, why="1 is all right"))

    def stops_at(self, curve: Curve) -> int | None:
        if self.loss is not None:
            return _first(curve.losses <= self.loss)
        assert self.accuracy is not None
        return _first(curve.accuracies >= self.accuracy)

    def reason(self, curve: Curve, index: int) -> str:
        if self.loss is not None:
            return f"validation loss {float(curve.losses[index]):.3g} reached the target {self.loss:.3g}"
        return f"{float(curve.accuracies[index]):.1%} right reached the target {self.accuracy:.1%}"


@dataclass(frozen=True)
class Budget:
    """Stop at the first validation after so many `updates`, or so many `seconds`, are spent."""

    updates: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.updates is None) == (self.seconds is None):
            raise ValueError(f"a budget is in updates or in seconds, got {self.updates} and {self.seconds}")
        if self.updates is not None:
            object.__setattr__(self, "updates", whole_number("budget of updates", self.updates, 0, 10**9))
        else:
            object.__setattr__(self, "seconds", number("budget of seconds", self.seconds, 0, why="0 ends at once"))

    def stops_at(self, curve: Curve) -> int | None:
        if self.updates is not None:
            return _first(curve.updates >= self.updates)
        assert self.seconds is not None
        return _first(curve.seconds >= self.seconds)

    def reason(self, curve: Curve, index: int) -> str:
        spent = f"{self.updates} updates" if self.updates is not None else f"{self.seconds:g} seconds"
        return f"the budget of {spent} is spent"


def _first(said: Tensor) -> int | None:
    return int(said.byte().argmax()) if bool(said.any()) else None


@dataclass(frozen=True)
class Stop:
    """Where a curve ends. index: of the last validation; best: of the lowest loss up to there; reason: in words."""

    index: int
    best: int
    reason: str


def first_stop(curve: Curve, *rules: StoppingRule) -> Stop:
    """The earliest stop of any rule; the curve's own end where none stops. Raises ValueError for an empty curve."""
    if not len(curve):
        raise ValueError("the curve has no validations, so there is nothing to stop on; use a validation split")
    said = [(at, rule) for rule in rules if (at := rule.stops_at(curve)) is not None]
    index, rule = min(said, key=lambda pair: pair[0]) if said else (len(curve) - 1, None)
    best = int(curve.losses[: index + 1].nan_to_num(nan=math.inf).argmin())
    return Stop(index, best, "no rule stopped it" if rule is None else rule.reason(curve, index))


@dataclass(frozen=True)
class StoppedRun:
    """A run that was ended by a rule. `training.network` has the weights of `stop.best` where they were restored."""

    training: Training
    curve: Curve
    stop: Stop

    @property
    def record(self) -> TrainingRecord:
        return self.training.record()


def train_until(
    experiment: TrainingExperiment,
    *rules: StoppingRule,
    restore: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> StoppedRun:
    """Train until a rule stops the run, at the latest after the experiment's own steps.

    The rules are asked at each validation (every `validate_every` steps) with all validations so far. restore: put
    back the weights, and batch normalization's statistics, of the validation with the lowest loss.
    Raises ValueError where the experiment's data have no validation split.
    """
    if not len(experiment.dataset.y_validation):
        raise ValueError(
            f"stopping needs a validation split, dataset {experiment.dataset.name!r} has none; "
            "make it with validation_fraction above 0"
        )
    training, began = Training(experiment), clock()
    seen: list[tuple[float, float, float, float]] = []
    kept: dict[str, Tensor] = {}
    while True:
        if training.steps_done % experiment.validate_every == 0 or training.status is not None:
            seen.append((training.steps_done, *training.validate(), clock() - began))
            curve = _curve(seen)
            if curve.best == len(curve) - 1:
                kept = {name: value.clone() for name, value in training.network.state_dict().items()}
            stop = first_stop(curve, *rules)
            if training.status is None and any(rule.stops_at(curve) is not None for rule in rules):
                training.stop()
            if training.status is not None:
                break
        training.step()
    if restore:
        training.network.load_state_dict(kept)
    ended = training.status
    reason = ended.message if ended.kind in {"diverged", "finished"} else stop.reason
    return StoppedRun(training, curve, Stop(stop.index, stop.best, reason))


def _curve(seen: Sequence[tuple[float, float, float, float]]) -> Curve:
    updates, losses, accuracies, seconds = torch.tensor(seen, dtype=torch.float64).T
    return Curve(updates.long(), losses, accuracies, seconds)
