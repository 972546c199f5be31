"""Many runs of one rule under a schedule, each with gradient noise of its own, down a bowl whose minimum may move.

`descend` shows every learner the same noise, so that rules compare; here the noise differs, so that runs average.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.descent.experiment import MAX_DESCENT_STEPS, DescentExperiment
from weightlab.descent.landscapes import Landscape
from weightlab.descent.run import FAR, drawn_noise, walk
from weightlab.devices import settle_threads
from weightlab.rules.schedules import CONSTANT, ScheduleSettings
from weightlab.rules.update_rules import OptimizerSettings
from weightlab.validate import number, whole_number

MAX_NUMBERS = 2**24  # in the paths of one call: 128 MiB


@dataclass(frozen=True)
class Move:
    """The data change: before step number `step` the minimum moves to `to` (w1, w2) and stays there."""

    step: int
    to: tuple[float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "step", whole_number("step of the move", self.step, 0, MAX_DESCENT_STEPS))
        if len(self.to) != 2:
            raise ValueError(f"a move goes to two weights (w1, w2), got {self.to!r}")
        object.__setattr__(self, "to", (number("move to w1", self.to[0]), number("move to w2", self.to[1])))


@dataclass(frozen=True)
class ScheduledRuns:
    """The runs, float64. Row t holds the state before step t; after a run has left for far away its rows are NaN.

    weights:        (steps + 1, run, 2)
    losses:         (steps + 1, run)  above the minimum that holds at that step, without the noise
    learning_rates: (steps, run)      as scheduled; they differ between runs where the losses decide
    minima:         (steps + 1, 2)    where the minimum stands
    """

    weights: Tensor
    losses: Tensor
    learning_rates: Tensor
    minima: Tensor

    @property
    def steps(self) -> int:
        return self.learning_rates.shape[0]

    @property
    def mean_losses(self) -> Tensor:
        """Over the runs, (steps + 1,)."""
        return self.losses.mean(dim=1)

    @property
    def mean_errors(self) -> Tensor:
        """The runs' mean position minus the minimum, (steps + 1, 2): what is left when the noise averages out."""
        return self.weights.mean(dim=1) - self.minima

    def settled(self, rows: int = 50) -> tuple[float, float]:
        """Mean loss of the last `rows` rows, and its standard error as the spread between runs gives it."""
        per_run = self.losses[-whole_number("rows", rows, 1, self.steps + 1) :].mean(dim=0)
        return float(per_run.mean()), float(per_run.std() / len(per_run) ** 0.5)


def scheduled_runs(
    landscape: Landscape,
    optimizer: OptimizerSettings,
    schedule: ScheduleSettings = CONSTANT,
    *,
    steps: int = 300,
    seeds: Iterable[int] = range(200),
    start: tuple[float, float] | None = None,
    move: Move | None = None,
) -> ScheduledRuns:
    """Run `optimizer` once for every seed of noise; run i repeats what `descend` does with that seed, bit for bit.

    A schedule that reads the losses reads each run's own, without noise, as `descend` does.
    Raises ValueError for a torch.optim class, a landscape without a known minimum, no seeds or too much memory.
    """
    settle_threads()
    chosen = _checked(landscape, optimizer, seeds)
    steps = whole_number("steps", steps, 1, MAX_DESCENT_STEPS)
    if (steps + 1) * len(chosen) * 2 > MAX_NUMBERS:
        raise ValueError(f"{len(chosen)} runs of {steps} steps are too many to keep; take fewer of either")
    origin = torch.tensor(landscape.minima[0], dtype=torch.float64)
    minima = origin.repeat(steps + 1, 1)
    if move is not None:
        minima[move.step :] = torch.tensor(move.to, dtype=torch.float64)
    shifts = minima - origin
    one = DescentExperiment(landscape, (optimizer,), start, steps, schedule)
    with torch.no_grad():
        noise = torch.stack([drawn_noise(landscape, steps + 1, seed) for seed in chosen], dim=1)
        weights, losses, _, _, rates = walk([one] * len(chosen), shifts, noise)
        losses = losses - float(landscape.minimum_loss or 0.0)
        away = ~(weights.abs().amax(-1) <= FAR * landscape.size)
        gone = away.cumsum(0) > 0
        weights[gone], losses[gone] = torch.nan, torch.nan
    return ScheduledRuns(weights, losses, rates, minima)


def _checked(landscape: Landscape, optimizer: OptimizerSettings, seeds: Iterable[int]) -> list[int]:
    if not isinstance(optimizer.rule, str):
        raise ValueError(f"scheduled runs need a rule of this package, got {optimizer.label}; see UPDATE_RULES")
    if not landscape.minima:
        raise ValueError(f"{landscape.name} has no known minimum to measure from; choose one that has")
    chosen = list(seeds)
    if not chosen:
        raise ValueError("seeds must hold at least one number, got none; try range(200)")
    return chosen


def steps_until(losses: Tensor, level: float) -> Tensor:
    """The first row from which on a loss stays at or below `level`, -1 for never; losses (rows, ...)."""
    above = ~(losses <= level)
    rows = torch.arange(len(losses)).reshape(-1, *[1] * (losses.dim() - 1))
    last = torch.where(above, rows, -1).amax(0) + 1
    return torch.where(last < len(losses), last, -1)
