"""How well a classifier finds the rare class, at one threshold and over all; scores are logits, class 1 is rare.

Test examples are weighed so that the classes stand at 1:R, so every example of the test split counts at every ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
import torch
from torch import Tensor

from weightlab.theory import imbalance as theory
from weightlab.theory.imbalance import Value
from weightlab.validate import number


@dataclass(frozen=True)
class Confusion(Generic[Value]):
    """The confusion matrix in so many cases at 1:R: rare ones found and missed, common ones passed and false alarms."""

    found: Value
    missed: Value
    false_alarms: Value
    passed: Value

    @property
    def matrix(self) -> tuple[tuple[Value, Value], tuple[Value, Value]]:
        """[truth][answer], common first."""
        return (self.passed, self.false_alarms), (self.missed, self.found)


def rates(logits: Tensor, labels: Tensor, threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """Recall and false-alarm rate, both (...,), of logits (..., example) with labels (..., example) 0 or 1.

    "Rare" is said from the probability `threshold` on, which is in (0, 1).
    """
    threshold = number("threshold", threshold, 0, 1, open_low=True, open_high=True, why="the ends decide unseen")
    alarm = (logits >= np.log(threshold / (1 - threshold))).double()
    labels = labels.double().expand(logits.shape)
    return (alarm * labels).sum(-1) / labels.sum(-1), (alarm * (1 - labels)).sum(-1) / (1 - labels).sum(-1)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a classifier does at one threshold when the classes stand at 1:ratio; both rates are (...,)."""

    recall: Tensor
    false_alarm_rate: Tensor
    ratio: float

    @property
    def accuracy(self) -> Tensor:
        """Share of right answers."""
        return theory.accuracy(self.recall, self.false_alarm_rate, self.ratio)

    @property
    def balanced_accuracy(self) -> Tensor:
        """Mean of the two classes' shares of right answers; the ratio does not come in."""
        return theory.balanced_accuracy(self.recall, self.false_alarm_rate)

    @property
    def precision(self) -> Tensor:
        """Share of alarms that are right; NaN without an alarm."""
        return theory.precision(self.recall, self.false_alarm_rate, self.ratio)

    def cost(self, miss: float, false_alarm: float = 1.0, cases: float = 1000.0) -> Tensor:
        """Expected cost of so many cases, when a right answer costs nothing."""
        return cases * theory.cost_per_case(self.recall, self.false_alarm_rate, self.ratio, miss, false_alarm)


def score(logits: Tensor, labels: Tensor, ratio: float, threshold: float = 0.5) -> Scores:
    """Scores (...,) of logits (..., example) with labels (..., example) at 1:ratio."""
    return Scores(*rates(logits, labels, threshold), number("ratio", ratio, 0, open_low=True))


def confusion(recall: Value, false_alarm_rate: Value, ratio: float, cases: float = 1000.0) -> Confusion[Value]:
    """The matrix in `cases` cases, of which 1/(1 + ratio) are rare."""
    rare = cases / (1 + ratio)
    common = cases - rare
    return Confusion(
        rare * recall, rare * (1 - recall), common * false_alarm_rate, common * (1 - false_alarm_rate)
    )


def _weights(labels: Tensor, ratio: float) -> np.ndarray:
    rare = labels.sum().item()
    return np.where(labels.numpy() == 1, 1.0 / rare, ratio / (len(labels) - rare))


def precision_recall(logits: Tensor, labels: Tensor, ratio: float) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and probability threshold of every distinct score, falling recall, each (threshold,).

    Source: sklearn.metrics.precision_recall_curve with sample weights.
    """
    from sklearn.metrics import precision_recall_curve

    weights = _weights(labels, ratio)
    values, recall, thresholds = precision_recall_curve(labels.numpy(), logits.numpy(), sample_weight=weights)
    # copies: scikit-learn's may run backwards in memory
    found = (torch.from_numpy(part.copy()) for part in (values[:-1], recall[:-1], thresholds))
    precisions, recalls, cuts = found
    return precisions, recalls, torch.sigmoid(cuts)


def average_precision(logits: Tensor, labels: Tensor, ratio: float) -> Tensor:
    """The area under the precision–recall curve at 1:R, (...,), of logits (..., example); chance gives 1/(1 + R).

    Source: sklearn.metrics.average_precision_score with sample weights.
    """
    from sklearn.metrics import average_precision_score

    flat = logits.reshape(-1, logits.shape[-1])
    truth = labels.expand(logits.shape).reshape(flat.shape)
    areas = [
        average_precision_score(y.numpy(), z.numpy(), sample_weight=_weights(y, ratio))
        for z, y in zip(flat, truth, strict=True)
    ]
    return torch.tensor(areas, dtype=torch.float64).reshape(logits.shape[:-1])
