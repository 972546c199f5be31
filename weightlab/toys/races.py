"""Fair races between update rules: the same starts, the same budget, every learning rate tuned over the same grid.

Each rule first runs at every rate of the grid, on the tuning seeds, and keeps the rate with the lowest median score.
The race itself is run at these rates on other seeds, which took no part in the choice. A lower score is better; a run
that diverged scores infinity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.descent.landscapes import Landscape
from weightlab.descent.sweep import sweep
from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.rules.update_rules import OptimizerSettings, optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import train
from weightlab.validate import number, whole_number

GRID = tuple(float(f"{10 ** (exponent / 4 - 4):.3g}") for exponent in range(21))  # 1e-4 to 10, four a decade
JITTER = 0.02  # spread of the starts on a landscape, as a share of its size
SOLVED = 1e-12  # shares of the first height below it count as this: rounding decides there

# (rule, learning rates (rate,), seed) -> scores (rate,)
Score = Callable[[OptimizerSettings, Tensor, int], Tensor]


@dataclass(frozen=True, eq=False)
class RaceRecord:
    """What a race leaves.

    labels:         one name a rule
    learning_rates: (rate,)              the grid, increasing
    tuning:         (rule, seed, rate)   scores on the seeds that the rates were chosen by
    best:           (rule,)              index of the chosen rate
    finals:         (rule, seed)         scores at the chosen rates, on the race's own seeds
    """

    labels: tuple[str, ...]
    learning_rates: Tensor
    tuning: Tensor
    best: Tensor
    finals: Tensor

    @property
    def best_rates(self) -> Tensor:
        """The tuned learning rate of each rule, (rule,)."""
        return self.learning_rates[self.best]

    @property
    def curves(self) -> Tensor:
        """Median score over the tuning seeds at every rate, (rule, rate)."""
        return self.tuning.median(dim=1).values

    @property
    def medians(self) -> Tensor:
        """Median score over the race's seeds, (rule,)."""
        return self.finals.median(dim=1).values

    @property
    def leaders(self) -> tuple[str, ...]:
        """The rule with the lowest median, then all whose spread over the seeds overlaps with its own."""
        first = int(self.medians.argmin())
        level = self.finals.amin(1) <= self.finals[first].amax()
        others = (label for i, label in enumerate(self.labels) if bool(level[i]) and i != first)
        return (self.labels[first], *others)

    def reach(self, goal: float) -> list[tuple[float, float] | None]:
        """For each rule the ends of the unbroken run of rates around its best whose medians reach `goal`, or None."""
        found: list[tuple[float, float] | None] = []
        for curve, best in zip(self.curves <= goal, self.best.tolist(), strict=True):
            missed = (~curve).nonzero().squeeze(-1)
            low = int(missed[missed <= best].max()) + 1 if bool((missed <= best).any()) else 0
            high = int(missed[missed >= best].min()) - 1 if bool((missed >= best).any()) else len(curve) - 1
            ends = (float(self.learning_rates[low]), float(self.learning_rates[high])) if low <= high else None
            found.append(ends)
        return found

    def table(self, goal: float) -> str:
        """One line a rule: tuned rate, scores of the race, and the rates that reach `goal`."""
        lines = []
        for i, (label, ends) in enumerate(zip(self.labels, self.reach(goal), strict=True)):
            low, high = self.finals[i].aminmax()
            factor = ends[1] / ends[0] if ends else 0.0
            times = f"× {factor:.0f}" if factor >= 10 else f"× {factor:.2g}"
            wide = f"{ends[0]:.2g} to {ends[1]:.2g}, {times}" if ends else "none"
            scores = f"{self.medians[i]:.2g} ({low:.2g} to {high:.2g})"
            lines.append(f"{label:17} η = {self.best_rates[i]:<7.2g} {scores:29} {goal:g} reached with η {wide}")
        return "\n".join(lines)


def race(
    score: Score,
    rules: Sequence[str | OptimizerSettings],
    learning_rates: Sequence[float] = GRID,
    tuning_seeds: int = 5,
    race_seeds: int = 5,
) -> RaceRecord:
    """Tune and race `rules` by `score`, on seeds 0, 1, … for tuning and the next ones for the race.

    rules: names (with torch.optim's defaults) or settings; the learning rate in them plays no part.
    Raises ValueError for an empty field, an empty or unordered grid and seed counts below 1.
    """
    field = [optimizer(rule) if isinstance(rule, str) else rule for rule in rules]
    if not field:
        raise ValueError("rules must name at least one update rule, got none; add one, such as 'momentum'")
    tuned_on = whole_number("tuning_seeds", tuning_seeds, 1, 1000)
    raced_on = whole_number("race_seeds", race_seeds, 1, 1000)
    rates = torch.tensor(
        [number("learning rate of the grid", rate, 0, open_low=True) for rate in learning_rates], dtype=torch.float64
    )
    if len(rates) == 0 or bool((rates.diff() <= 0).any()):
        raise ValueError(f"learning_rates must be increasing and at least one, got {list(learning_rates)}; sort them")
    tuning = torch.stack([torch.stack([score(rule, rates, seed) for seed in range(tuned_on)]) for rule in field])
    tuning = tuning.nan_to_num(nan=torch.inf, posinf=torch.inf)
    best = tuning.median(dim=1).values.argmin(dim=1)
    fresh = range(tuned_on, tuned_on + raced_on)
    finals = torch.stack(
        [
            torch.cat([score(rule, rates[i : i + 1], seed) for seed in fresh])
            for rule, i in zip(field, best, strict=True)
        ]
    )
    labels = tuple(rule.label for rule in field)
    return RaceRecord(labels, rates, tuning, best, finals.nan_to_num(nan=torch.inf, posinf=torch.inf))


def race_on_landscape(
    landscape: Landscape,
    rules: Sequence[str | OptimizerSettings],
    learning_rates: Sequence[float] = GRID,
    steps: int = 100,
    tuning_seeds: int = 5,
    race_seeds: int = 5,
    jitter: float = JITTER,
) -> RaceRecord:
    """A race down a toy landscape. Score: the share of the first height above the minimum that is left in the end.

    A seed moves the start (normal, `jitter` times the landscape's size) and draws the gradient noise, if there is any,
    alike for all rules. Raises ValueError for a landscape without a known minimum and TypeError for a torch.optim
    class (a sweep runs the rules of this package).
    """
    lowest = landscape.minimum_loss
    if lowest is None:
        raise ValueError(f"{landscape.name} has no known minimum to measure heights from; choose one that has")
    spread = number("jitter", jitter, 0, 1, why="it is a share of the landscape's size")

    def left(rule: OptimizerSettings, rates: Tensor, seed: int) -> Tensor:
        if not isinstance(rule.rule, str):
            raise TypeError(f"a race on a landscape runs rules by name, got {rule!r}; choose one of UPDATE_RULES")
        drawn = torch.randn(2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        x, y = (torch.tensor(landscape.start, dtype=torch.float64) + spread * landscape.size * drawn).tolist()
        settings = {**rule.settings, "learning_rate": rates}
        record = sweep(landscape, rule.rule, settings, start=(x, y), steps=steps, seed=seed)
        return ((record.losses[-1] - lowest) / (record.losses[0] - lowest)).clamp(min=SOLVED)

    return race(left, rules, learning_rates, tuning_seeds, race_seeds)


def digits_task(steps: int = 100) -> TrainingExperiment:
    """A short real task to race on: a ReLU network with two hidden layers of 32 on the 8×8 digits, batches of 64.

    In float64, so that the scores repeat on other processors too.
    """
    network = model("mlp", depth=2, width=32, activation="relu")
    return TrainingExperiment(network, dataset("digits"), optimizer("adam"), steps=steps, dtype="float64")


def race_on_data(
    experiment: TrainingExperiment,
    rules: Sequence[str | OptimizerSettings],
    learning_rates: Sequence[float] = GRID[::2],
    tuning_seeds: int = 3,
    race_seeds: int = 5,
) -> RaceRecord:
    """A race on a real network. Score: the validation loss after the experiment's steps.

    A seed draws first weights and batches, alike for all rules. Optimizer and seed of `experiment` play no part.
    Raises ValueError for data without a validation split.
    """
    if not len(experiment.dataset.y_validation):
        raise ValueError(f"dataset {experiment.dataset.name!r} has no validation split to score on; set a fraction")

    def ending(rule: OptimizerSettings, rates: Tensor, seed: int) -> Tensor:
        losses = []
        for rate in rates.tolist():
            tried = rule.replace(learning_rate=rate)
            record = train(experiment.replace(optimizer=tried, seed=seed, validate_every=experiment.steps))
            losses.append(record.validation_losses[-1] if record.status.kind == "finished" else torch.tensor(torch.inf))
        return torch.stack([loss.double() for loss in losses])

    return race(ending, rules, learning_rates, tuning_seeds, race_seeds)
