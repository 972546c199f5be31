"""The picture of a network on imbalanced data beside its twin without any technique: shares, curve, scores, matrix."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from weightlab import imbalance_theory as theory
from weightlab import scores
from weightlab.imbalanced_runs import ImbalanceRecord
from weightlab.pictures import Axis, Picture, Reference, TableBuilder, View

CASES = 1000.0
CELLS = ("found", "missed", "false alarms", "passed")
FOREST = 2  # its colour; the twin has 0, the network with the technique 1


def imbalance_views() -> tuple[View, ...]:
    """Four views, two a row."""
    share = (0.0, 1.0)
    edge = (0.0, 1.05)  # so that a curve along the upper edge shows
    return (
        View("share", "The rare class's share of each update", Axis("update"), Axis("share", limits=share), (0, 0, 1, 1)),
        View(
            "curve",
            "Precision–recall, over all thresholds",
            Axis("recall: share of the rare that is found", limits=edge),
            Axis("precision", limits=edge),
            (1, 0, 1, 1),
        ),
        View("scores", "Scores at this threshold", Axis("update"), Axis("score", limits=edge), (0, 1, 1, 1)),
        View(
            "matrix",
            "Confusion matrix in 1,000 cases",
            Axis("", ticks=CELLS),
            Axis("cases", "log", (0.1, 1000.0)),
            (1, 1, 1, 1),
        ),
    )


def imbalance_picture(
    record: ImbalanceRecord,
    names: tuple[str, ...],
    ratio: float,
    threshold: float,
    starts: Tensor,
    *,
    forest: Tensor | None = None,
    switches: tuple[tuple[int, str], ...] = (),
    last_step: int | None = None,
) -> Picture:
    """One run, or two that differ in the technique only, as far as they have come.

    names: of the runs, the one without any technique first. starts: (run, 2) theory's and the measured share of the rare
    class on the whole training set before the first update. forest: log-odds (test,) of another algorithm. switches:
    (update, technique) where the technique was changed midway.
    """
    rows = len(record.evaluated)
    table = TableBuilder(rows)
    recall, alarms = scores.rates(record.logits, record.test_labels, threshold)  # (row, run)
    shares = torch.cat([starts[None, :, 1], record.shares])[record.evaluated]
    for run, name in enumerate(names):
        table.add("share", "curve", name, shares[:, run].numpy(), colour=run)
    last = len(names) - 1
    for name, values, colour in (
        ("accuracy", theory.accuracy(recall, alarms, ratio), 5),
        ("balanced accuracy", theory.balanced_accuracy(recall, alarms), 3),
        ("recall", recall, 4),
    ):
        table.add("scores", "curve", name, values[:, last].numpy(), colour=colour)
    for run, name in enumerate(names):
        table.add("matrix", "bars", name, _cells(recall[:, run], alarms[:, run], ratio), colour=run)
    references = [
        Reference("share", "line", "", np.array([[0.0, 0.5], [1e6, 0.5]]), label="½: both pull equally"),
        Reference("share", "points", "theory, untrained", np.array([[0.0, float(s)] for s in starts[:, 0]])),
        Reference("curve", "line", "", np.array([[0.0, 1 / (1 + ratio)], [1.0, 1 / (1 + ratio)]]), label="chance"),
    ]
    for step, name in switches:
        references.append(Reference("share", "line", "", np.array([[step, 0.0], [step, 1.0]]), label=name))
    for run, name in enumerate(names):
        references += _curve(record.logits[-1, run], record.test_labels[run], ratio, threshold, name, run)
    if forest is not None:
        references += _curve(forest, record.test_labels[0], ratio, threshold, "random forest", FOREST)
    return Picture(
        imbalance_views(),
        table.table,
        record.evaluated.numpy().astype(np.float32),
        tuple(table.series),
        tuple(references),
        summary=_summary(record, names, ratio, threshold),
        last_step=last_step,
    )


def _cells(recall: Tensor, alarms: Tensor, ratio: float) -> np.ndarray:
    """(row, 4) cases in the order of CELLS."""
    found = scores.confusion(1.0, 1.0, ratio, CASES)
    rare, common = found.found, found.false_alarms
    return torch.stack([rare * recall, rare * (1 - recall), common * alarms, common * (1 - alarms)], dim=1).numpy()


def _curve(logits: Tensor, labels: Tensor, ratio: float, threshold: float, name: str, colour: int) -> list[Reference]:
    """A dot for each rare example that is found as the threshold falls, and a cross at the threshold chosen."""
    precision, recall, _ = scores.precision_recall(logits, labels, ratio)
    corners = torch.cat([recall[1:] != recall[:-1], torch.tensor([True])])  # the highest threshold with this recall
    points = torch.stack([recall[corners], precision[corners]], dim=1).numpy()
    parts = [Reference("curve", "dots", name, points, colour=colour)]
    found, alarms = (float(rate) for rate in scores.rates(logits, labels, threshold))
    if found + alarms > 0:
        at = np.array([[found, theory.precision(found, alarms, ratio)]])
        parts.append(Reference("curve", "points", "at this threshold", at, label=name))
    return parts


def _summary(record: ImbalanceRecord, names: tuple[str, ...], ratio: float, threshold: float) -> str:
    done = int(record.evaluated[-1])
    parts = [f"1:{ratio:g} after {done} updates, threshold {threshold:g}"]
    for run, name in enumerate(names):
        recall, alarms = (float(r) for r in scores.rates(record.logits[-1, run], record.test_labels[run], threshold))
        cases = scores.confusion(recall, alarms, ratio, CASES)
        share = f"share of the rare class {float(record.shares[-1, run]):.2f}, " if done else ""
        parts.append(
            f"{name}: {share}found {cases.found:.1f}, missed {cases.missed:.1f}, false alarms {cases.false_alarms:.1f} "
            "in 1,000 cases"
        )
    return "; ".join(parts) + "."
