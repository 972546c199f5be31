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
from torch import Tensor, nn
from torch.nn import functional

from weightlab.devices import settle_threads
from weightlab.experiments import MAX_SEED
from weightlab.imbalance import MAX_COST, MAX_RATIO, TASKS, TECHNIQUES, Imbalanced, TrainingSet, imbalanced, prepare
from weightlab.initializers import initialization
from weightlab.models import initialize, model
from weightlab.update_rules import UPDATE_RULES
from weightlab.validate import choose, number, whole_number

MAX_STEPS, MAX_WIDTH, MAX_BATCH = 20_000, 512, 4096
WINDOW = 20  # updates over which a share is taken: single batches scatter


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


@dataclass(frozen=True, eq=False)
class ImbalanceRecord:
    """What a pass leaves, on the CPU.

    pulls:       (step, run, 2) length of the common and the rare examples' part of the batch's gradient
    bias_pulls:  (step, run, 2) the same for the output bias alone
    rare_seen:   (step, run) rare examples in the batch
    evaluated:   (evaluation,) updates done before each evaluation; the last is after the last update
    logits:      (evaluation, run, test)
    test_labels: (run, test) 0 or 1
    """

    pulls: Tensor
    bias_pulls: Tensor
    rare_seen: Tensor
    evaluated: Tensor
    logits: Tensor
    test_labels: Tensor

    @property
    def shares(self) -> Tensor:
        """(step, run): the rare class's part of what both classes pull, over the last WINDOW updates."""
        return windowed_share(self.pulls)

    def of(self, runs: slice) -> ImbalanceRecord:
        """Some of the runs alone."""
        return ImbalanceRecord(
            self.pulls[:, runs],
            self.bias_pulls[:, runs],
            self.rare_seen[:, runs],
            self.evaluated,
            self.logits[:, runs],
            self.test_labels[runs],
        )

    def share(self, first: int, last: int) -> Tensor:
        """(run,): the same over updates first <= step < last."""
        summed = self.pulls[first:last].sum(dim=0)
        return summed[:, 1] / summed.sum(dim=-1)


def windowed_share(pulls: Tensor, window: int = WINDOW) -> Tensor:
    """Share of the rare class (step, run) of pulls (step, run, 2), summed over the last `window` updates."""
    total = pulls.cumsum(dim=0)
    total = total - functional.pad(total, (0, 0, 0, 0, window, 0))[: len(total)]
    return total[..., 1] / total.sum(dim=-1)


class Networks:
    """`run` networks inputs -> width ReLUs -> 1 logit as one flat tensor of weights (run, weight).

    The order is that of weightlab's MLP of depth 1, the output bias comes last. Each network starts undecided: He
    normal hidden weights from its own seed, an output layer of zeros, so that every first prediction is 1/2.
    """

    def __init__(self, inputs: int, width: int, seeds: Sequence[int]) -> None:
        self.inputs, self.width = inputs, width
        settings = model("mlp", depth=1, width=width)
        rows = []
        for seed in seeds:
            network = settings.build(inputs, 1)
            source = torch.Generator().manual_seed(seed)
            initialize(network, initialization("he_normal"), settings.hidden_activation, source)
            _, output = network.layers[-1]
            with torch.no_grad():
                for parameter in output.parameters():
                    parameter.zero_()
            rows.append(nn.utils.parameters_to_vector(network.parameters()).detach())
        self.weights = torch.stack(rows).requires_grad_()

    def logits(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """(run, example) of x (run, example, inputs)."""
        weights = self.weights if weights is None else weights
        matrix, bias, output, last = weights.split([self.inputs * self.width, self.width, self.width, 1], dim=1)
        hidden = torch.baddbmm(bias[:, None], x, matrix.view(-1, self.width, self.inputs).transpose(1, 2)).relu()
        return torch.baddbmm(last[:, None], hidden, output[:, :, None]).squeeze(2)

    def parts(self, x: Tensor, y: Tensor, counts: Tensor, run: int | None = None) -> tuple[Tensor, Tensor]:
        """Gradients (run, weight) of the common and the rare examples' part of the batch's mean loss.

        x (run, example, inputs), y (run, example) 0 or 1, counts (run, example) how much each example counts. The parts
        add up to the batch's gradient. `run` takes one network alone.
        """
        weights = self.weights if run is None else self.weights[run : run + 1]
        losses = functional.binary_cross_entropy_with_logits(self.logits(x, weights), y, reduction="none") * counts
        losses = losses / y.shape[1]
        (common,) = torch.autograd.grad((losses * (1 - y)).sum(), weights, retain_graph=True)
        (rare,) = torch.autograd.grad((losses * y).sum(), weights)
        return common, rare


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

    def whole_pulls(self) -> Tensor:
        """(run, 3): lengths of the common part, the rare part and their sum, now, over the whole training set."""
        rows = []
        for run, one in enumerate(self.sets):
            y = one.y.double()[None]
            common, rare = self.networks.parts(one.x[None], y, self._counts[run][one.y][None], run)
            rows.append(torch.stack([common.norm(), rare.norm(), (common + rare).norm()]))
        return torch.stack(rows)

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
