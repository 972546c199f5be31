"""Small networks on imbalanced data, many in one pass: how much of every update comes from each class.

    record = train_imbalanced([ImbalanceExperiment(technique=name, seed=s) for name in TECHNIQUES for s in range(5)])

All runs of a pass have the same network (one hidden layer of ReLUs, one logit) and take the same number of updates of
plain gradient descent. Each has its own data, weights and order of examples, so a run does not depend on its company.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightlab.devices import settle_threads
from weightlab.imbalance.class_gradients import ImbalanceRecord, Networks
from weightlab.imbalance.techniques import (
    MAX_COST,
    MAX_RATIO,
    TASKS,
    TECHNIQUES,
    Imbalanced,
    TrainingSet,
    forest_logits,
    imbalanced,
    prepare,
)
from weightlab.rules.update_rules import UPDATE_RULES
from weightlab.theory import imbalance as theory
from weightlab.validate import MAX_SEED, choose, number, whole_number

MAX_STEPS, MAX_WIDTH, MAX_BATCH = 20_000, 512, 4096


@dataclass(frozen=True)
class ImbalanceExperiment:
    """A network on a task at 1:`ratio` with one technique; the same experiment gives the same run, bit for bit.

    task:       one of TASKS
    technique:  one of TECHNIQUES
    cost_ratio: what a miss costs in false alarms, for the technique "cost_matrix"
    batch_size: examples an update; a batch goes on into the next epoch where one ends
    """

    task: str = "digits"
    ratio: float = 50.0
    technique: str = "none"
    cost_ratio: float = 50.0
    learning_rate: float = 0.2
    batch_size: int = 64
    width: int = 16
    steps: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        choose("task", self.task, TASKS)
        choose("technique", self.technique, TECHNIQUES)
        checked = {
            "ratio": number("ratio", self.ratio, 1, MAX_RATIO, why="it counts the common examples to each rare one"),
            "cost_ratio": number("cost_ratio", self.cost_ratio, 1 / MAX_COST, MAX_COST),
            "learning_rate": number("learning_rate", self.learning_rate, 0, 1000),
            "batch_size": whole_number("batch_size", self.batch_size, 1, MAX_BATCH),
            "width": whole_number("width", self.width, 1, MAX_WIDTH),
            "steps": whole_number("steps", self.steps, 1, MAX_STEPS),
            "seed": whole_number("seed", self.seed, 0, MAX_SEED),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def replace(self, **changes: Any) -> ImbalanceExperiment:
        """The same experiment with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)

    def data(self) -> Imbalanced:
        """The task's data at this ratio."""
        return imbalanced(self.task, self.ratio, self.seed)

    def training_set(self, data: Imbalanced) -> TrainingSet:
        """What the technique makes of them."""
        return prepare(self.technique, data, cost_ratio=self.cost_ratio)


class ImbalanceTraining:
    """Networks that train side by side, a step at a time: `step()`, `change(...)`, `record()`.

    sets: one a run. tests: (run, test, inputs) and (run, test) labels. seeds: one a run, of weights and of the order of
    examples. evaluate_every: updates from one look at the test split to the next; the start and the end always.
    """

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        tests: tuple[Tensor, Tensor],
        seeds: Sequence[int],
        *,
        width: int = 16,
        learning_rate: float = 0.2,
        batch_size: int = 64,
        evaluate_every: int = 1,
    ) -> None:
        settle_threads()
        self._x_test, self.test_labels = tests
        self._batch_size, self._every = batch_size, evaluate_every
        self._rule = UPDATE_RULES["gradient_descent"]
        self._settings = {**self._rule.defaults, "learning_rate": learning_rate}
        self.networks = Networks(sets[0].x.shape[1], width, seeds)
        self._orders = [torch.Generator().manual_seed(seed + 1) for seed in seeds]
        self._pulls: list[Tensor] = []
        self._bias_pulls: list[Tensor] = []
        self._rare_seen: list[Tensor] = []
        self._evaluated: list[int] = []
        self._logits: list[Tensor] = []
        self.steps_done = 0
        self.change(sets)

    def change(self, sets: Sequence[TrainingSet]) -> None:
        """Go on with other training sets, one a run; weights and what was recorded stay."""
        self.sets = list(sets)
        self._x = torch.cat([one.x for one in sets])
        self._y = torch.cat([one.y for one in sets]).double()
        self._counts = torch.tensor([one.weights for one in sets], dtype=torch.float64)
        starts = np.cumsum([0, *(len(one.y) for one in sets)])
        self._starts = torch.from_numpy(starts[:-1])
        self._streams = [torch.empty(0, dtype=torch.int64) for _ in sets]

    def step(self) -> None:
        """One update of every network."""
        if self.steps_done % self._every == 0:
            self._evaluate()
        chosen = torch.stack([self._next(run) for run in range(len(self.sets))]) + self._starts[:, None]
        x, y = self._x[chosen], self._y[chosen]  # (run, example, inputs), (run, example)
        common, rare = self.networks.parts(x, y, self._counts.gather(1, y.long()))
        self._pulls.append(torch.stack([common.norm(dim=1), rare.norm(dim=1)], dim=1))
        self._bias_pulls.append(torch.stack([common[:, -1].abs(), rare[:, -1].abs()], dim=1))
        self._rare_seen.append(y.sum(dim=1).long())
        with torch.no_grad():
            weights = self.networks.weights
            moved, _ = self._rule.step(weights, common + rare, {}, self._settings)
            weights.copy_(moved)
        self.steps_done += 1

    def _next(self, run: int) -> Tensor:
        """The run's next batch: its examples in one random order after the other."""
        stream = self._streams[run]
        while len(stream) < self._batch_size:
            stream = torch.cat([stream, torch.randperm(len(self.sets[run].y), generator=self._orders[run])])
        batch, self._streams[run] = stream[: self._batch_size], stream[self._batch_size :]
        return batch

    def whole_pulls(self) -> tuple[Tensor, Tensor]:
        """Lengths of the common and the rare part now, over the whole training set: of all weights, of the output bias.

        Both are (run, 2).
        """
        whole, bias = [], []
        for run, one in enumerate(self.sets):
            y = one.y.double()[None]
            common, rare = self.networks.parts(one.x[None], y, self._counts[run][one.y][None], run)
            whole.append(torch.stack([common.norm(), rare.norm()]))
            bias.append(torch.stack([common[0, -1], rare[0, -1]]).abs())
        return torch.stack(whole), torch.stack(bias)

    def _evaluate(self) -> None:
        if self._evaluated[-1:] == [self.steps_done]:
            return
        with torch.no_grad():
            self._logits.append(self.networks.logits(self._x_test))
        self._evaluated.append(self.steps_done)

    def record(self) -> ImbalanceRecord:
        """What happened so far, with the networks as they are now evaluated last."""
        self._evaluate()
        runs = len(self.sets)
        return ImbalanceRecord(
            torch.stack(self._pulls) if self._pulls else torch.zeros(0, runs, 2, dtype=torch.float64),
            torch.stack(self._bias_pulls) if self._pulls else torch.zeros(0, runs, 2, dtype=torch.float64),
            torch.stack(self._rare_seen) if self._pulls else torch.zeros(0, runs, dtype=torch.int64),
            torch.tensor(self._evaluated),
            torch.stack(self._logits),
            self.test_labels,
        )


def make_training(experiments: Iterable[ImbalanceExperiment], *, evaluate_every: int = 1) -> ImbalanceTraining:
    """The runs of `experiments` side by side; all must have the same task, network, rate, batch size and steps."""
    runs = list(experiments)
    if not runs:
        raise ValueError("at least one experiment is needed, got none")
    for name in ("task", "learning_rate", "batch_size", "width", "steps"):
        found = sorted({getattr(run, name) for run in runs})
        if len(found) > 1:
            raise ValueError(f"runs of one pass must have the same {name}, got {found}; make a pass for each")
    made: dict[tuple[float, int], Imbalanced] = {}
    for run in runs:
        if (run.ratio, run.seed) not in made:  # reading the data costs more than training on them
            made[run.ratio, run.seed] = run.data()
    splits = [made[run.ratio, run.seed] for run in runs]
    return ImbalanceTraining(
        [run.training_set(split) for run, split in zip(runs, splits, strict=True)],
        (torch.stack([split.x_test for split in splits]), torch.stack([split.y_test for split in splits])),
        [run.seed for run in runs],
        width=runs[0].width,
        learning_rate=runs[0].learning_rate,
        batch_size=runs[0].batch_size,
        evaluate_every=evaluate_every,
    )


def train_techniques(
    techniques: Iterable[str], *, seeds: int = 6, evaluate_every: int | None = None, **settings: Any
) -> dict[str, ImbalanceRecord]:
    """Technique -> the record of its runs with seeds 0, 1, …, all trained in one pass; `settings` go to all of them."""
    names = list(techniques)
    count = whole_number("seeds", seeds, 1, 1000)
    runs = [ImbalanceExperiment(technique=name, seed=seed, **settings) for name in names for seed in range(count)]
    record = train_imbalanced(runs, evaluate_every=evaluate_every)
    return {name: record.of(slice(count * i, count * (i + 1))) for i, name in enumerate(names)}


def untrained_shares(*, technique: str = "none", seeds: int = 6, **settings: Any) -> tuple[Tensor, Tensor, float]:
    """The rare class's share of the gradient before the first update: of all weights, of the output bias, theory's.

    The first two are (seed,), each on its whole training set after the technique. The third is theory's for the bias.
    """
    runs = [ImbalanceExperiment(technique=technique, seed=seed, **settings) for seed in range(seeds)]
    training = make_training(runs)
    shares = [pulls[:, 1] / pulls.sum(dim=1) for pulls in training.whole_pulls()]
    return shares[0], shares[1], expected_share(training.sets[0])


def train_forests(*, task: str = "digits", ratio: float = 50.0, seeds: int = 6) -> tuple[Tensor, Tensor]:
    """Logits and labels (seed, test) of a random forest on each seed's data as they are."""
    parts = [imbalanced(task, ratio, seed) for seed in range(whole_number("seeds", seeds, 1, 1000))]
    logits = [forest_logits(prepare("none", data), data.x_test, seed=data.seed) for data in parts]
    return torch.stack(logits), torch.stack([data.y_test for data in parts])


def expected_share(training: TrainingSet) -> float:
    """Theory's share of the rare class in the output bias's gradient while the network is untrained."""
    rare = int(training.y.sum())
    return theory.starting_share((len(training.y) - rare) / rare, training.weight_ratio)


def train_imbalanced(
    experiments: Iterable[ImbalanceExperiment], *, evaluate_every: int | None = None
) -> ImbalanceRecord:
    """Train all experiments in one pass; without `evaluate_every` the test split is looked at before and after only."""
    runs = list(experiments)
    steps = runs[0].steps if runs else 1
    training = make_training(runs, evaluate_every=evaluate_every or steps)
    for _ in range(steps):
        training.step()
    return training.record()
