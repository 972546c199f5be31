"""Resampling before the split: copies of validation examples end up in the training split, and the score is a lie.

`measure_leak("oversample", "forest")` does it both ways round and asks untouched test data which score was true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from weightlab.imbalance.run import ImbalanceTraining
from weightlab.imbalance.scores import score
from weightlab.imbalance.techniques import Imbalanced, TrainingSet, forest_logits, imbalanced, prepare
from weightlab.validate import choose, number, whole_number

Split = tuple[TrainingSet, Tensor, Tensor]
ALGORITHMS = ("network", "forest")
ORDERS = ("resample first", "split first")
STEPS, TREES = 300, 50


def split_after_resampling(technique: str, data: Imbalanced, fraction: float = 0.3) -> Split:
    """The mistake: resample first, then set a validation split aside -> (training set, x_validation, y_validation).

    Copies and blends of validation examples end up in the training split.
    """
    fraction = number("fraction", fraction, 0.05, 0.9)
    mixed = prepare(technique, data)
    training, validation = _split(mixed.y, fraction, data.seed)
    return replace(mixed, x=mixed.x[training], y=mixed.y[training]), mixed.x[validation], mixed.y[validation]


def split_before_resampling(technique: str, data: Imbalanced, fraction: float = 0.3) -> Split:
    """The right order: set a validation split aside, resample the rest -> as `split_after_resampling`."""
    fraction = number("fraction", fraction, 0.05, 0.9)
    training, validation = _split(data.y, fraction, data.seed)
    part = prepare(technique, replace(data, x=data.x[training], y=data.y[training]))
    return part, data.x[validation], data.y[validation]


def _split(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of a training and a validation part, each class in the same proportion."""
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for label in (0, 1):
        members = (y == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        held_out = min(max(1, round(fraction * len(members))), len(members) - 1)
        parts.append((members[held_out:], members[:held_out]))
    (a, b), (c, d) = parts
    return torch.cat([a, c]), torch.cat([b, d])


def copies_shared(training: Tensor, held_out: Tensor) -> int:
    """How many of the rows `held_out` (example, inputs) also stand in `training`, number for number."""
    rows = {row.numpy().tobytes() for row in training}
    return sum(row.numpy().tobytes() in rows for row in held_out)


@dataclass(frozen=True, eq=False)
class LeakRecord:
    """Balanced accuracies at the threshold 1/2, (seed,) each, and what stood in both splits.

    validation: on the validation split: what one believes
    test:       of the same classifier on untouched data: what is true
    copies:     share of the validation split's rare examples that stand in the training split too, number for number
    """

    validation: Tensor
    test: Tensor
    copies: Tensor


def measure_leak(
    technique: str,
    algorithm: str = "network",
    order: str = "resample first",
    *,
    task: str = "digits",
    ratio: float = 50.0,
    seeds: Sequence[int] = range(6),
    by_lot: bool = False,
) -> LeakRecord:
    """Train on a part of the training split, validate on the rest, then ask the test split.

    algorithm: one of ALGORITHMS. order: one of ORDERS. by_lot: deal the training labels out anew by lot first, so that
    there is nothing to learn; the test split keeps its labels.
    """
    choose("algorithm", algorithm, ALGORITHMS)
    split = split_after_resampling if choose("order", order, ORDERS) == ORDERS[0] else split_before_resampling
    splits, rows = [], []
    for seed in seeds:
        data = imbalanced(task, ratio, whole_number("seed", seed, 0, 2**31))
        if by_lot:
            shuffled = torch.randperm(len(data.y), generator=torch.Generator().manual_seed(seed))
            data = replace(data, y=data.y[shuffled])
        splits.append((data, *split(technique, data)))
    ask = _forests if algorithm == "forest" else _networks
    logits = ask([training for _, training, _, _ in splits], [torch.cat([x, data.x_test]) for data, _, x, _ in splits])
    for (data, training, x, y), given in zip(splits, logits, strict=True):
        rare = x[y == 1]
        rows.append((
            score(given[: len(y)], y, ratio).balanced_accuracy,
            score(given[len(y) :], data.y_test, ratio).balanced_accuracy,
            torch.tensor(copies_shared(training.x, rare) / len(rare), dtype=torch.float64),
        ))  # fmt: skip
    return LeakRecord(*(torch.stack(column) for column in zip(*rows, strict=True)))


def _forests(sets: Sequence[TrainingSet], questions: Sequence[Tensor]) -> list[Tensor]:
    pairs = enumerate(zip(sets, questions, strict=True))
    return [forest_logits(training, x, trees=TREES, seed=number) for number, (training, x) in pairs]


def _networks(sets: Sequence[TrainingSet], questions: Sequence[Tensor]) -> Tensor:
    x = torch.stack(list(questions))
    unknown = torch.zeros(x.shape[:2], dtype=torch.int64)
    run = ImbalanceTraining(sets, (x, unknown), range(len(sets)), evaluate_every=STEPS)
    for _ in range(STEPS):
        run.step()
    return run.record().logits[-1]
