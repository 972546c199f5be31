"""The picture of a network on imbalanced data beside its twin without any technique: shares, curve, scores, matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from weightlab.imbalance import scores
from weightlab.imbalance.class_gradients import ImbalanceRecord
from weightlab.imbalance.run import ImbalanceExperiment
from weightlab.imbalance.techniques import TrainingSet
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.stage.panel import Row, row, verdict
from weightlab.theory import imbalance as theory

CASES = 1000.0
CELLS = ("found", "missed", "false alarms", "passed")
FOREST = 2  # its colour; the twin has 0, the network with the technique 1


def imbalance_views(last_step: int) -> tuple[View, ...]:
    """Four views, two a row; runs of `last_step` updates."""
    updates = Axis("update", limits=(-0.02 * last_step, last_step))  # so that the start shows
    share = (0.0, 1.0)
    edge = (0.0, 1.05)  # so that a curve along the upper edge shows
    return (
        View("share", "The rare class's share of each update", updates, Axis("share", limits=share)),
        View(
            "curve",
            "Precision–recall over all thresholds, now",
            Axis("recall: share of the rare that is found", limits=edge),
            Axis("precision: share of alarms right", limits=edge),
            (1, 0, 1, 1),
        ),
        View("scores", "Scores at this threshold", updates, Axis("score", limits=edge), (0, 1, 1, 1)),
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
    last_step: int,
) -> Picture:
    """One run, or two that differ in the technique only, as far as they have come.

    names: of the runs, the one without any technique first. starts: (run, 2) theory's and the measured share of the
    rare class on the whole training set before the first update. forest: log-odds (test,) of another algorithm.
    switches: (update, technique) where the technique was changed midway.
    """
    rows = len(record.evaluated)
    table = TableBuilder(rows)
    result = scores.score(record.logits, record.test_labels, ratio, threshold)  # (row, run)
    shares = torch.cat([starts[None, :, 1], record.shares])[record.evaluated]
    for run, name in enumerate(names):
        table.add("share", "curve", name, shares[:, run].numpy(), colour=run)
    last = len(names) - 1
    for name, values, colour in (
        ("accuracy", result.accuracy, 5),
        ("balanced accuracy", result.balanced_accuracy, 3),
        ("recall", result.recall, 4),
    ):
        table.add("scores", "curve", name, values[:, last].numpy(), colour=colour)
    for run, name in enumerate(names):
        cells = _cells(result.recall[:, run], result.false_alarm_rate[:, run], ratio)
        table.add("matrix", "bars", name, cells, colour=run)
    references = [
        Reference("share", "line", "½: both classes pull equally", np.array([[0.0, 0.5], [last_step, 0.5]])),
        Reference("share", "points", "theory, untrained", np.array([[0.0, float(s)] for s in starts[:, 0]])),
        Reference("curve", "line", "", _level(1 / (1 + ratio)), label="chance"),
    ]
    for step, name in switches:
        references.append(Reference("share", "line", "", np.array([[step, 0.0], [step, 1.0]]), label=name))
    drawn = [(record.logits[-1, run], record.test_labels[run], name, run) for run, name in enumerate(names)]
    if forest is not None:
        drawn.append((forest, record.test_labels[0], "random forest", FOREST))
    for logits, labels, name, colour in drawn:
        references.append(_curve(logits, labels, ratio, name, colour))
        here = _operating_point(logits, labels, ratio, threshold)
        if np.isfinite(here).all():  # else no alarm at all, so no point
            # a path that stays where it is: the curve is that of now, whichever update is shown
            table.add("curve", "path", name, np.tile(here, (rows, 1)), colour=colour)
    return Picture(
        imbalance_views(last_step),
        table.table,
        record.evaluated.numpy().astype(np.float32),
        tuple(table.series),
        tuple(references),
        summary=_summary(record, names, ratio, threshold),
        last_step=last_step,
    )


def _level(height: float) -> np.ndarray:
    """A level line whose label, set at an inner point, stands at its left end, where no curve is low."""
    return np.array([[x, height] for x in (0.0, 0.02, 0.04, 1.0)])


def _cells(recall: Tensor, alarms: Tensor, ratio: float) -> np.ndarray:
    """(row, 4) cases in the order of CELLS."""
    cases = scores.confusion(recall, alarms, ratio, CASES)
    return torch.stack([cases.found, cases.missed, cases.false_alarms, cases.passed], dim=1).numpy()


def _curve(logits: Tensor, labels: Tensor, ratio: float, name: str, colour: int) -> Reference:
    """A dot for each rare example that is found as the threshold falls."""
    precision, recall, _ = scores.precision_recall(logits, labels, ratio)
    corners = torch.cat([recall[1:] != recall[:-1], torch.tensor([True])])  # the highest threshold with this recall
    points = torch.stack([recall[corners], precision[corners]], dim=1).numpy()
    return Reference("curve", "dots", name, points, colour=colour)


def _operating_point(logits: Tensor, labels: Tensor, ratio: float, threshold: float) -> np.ndarray:
    """(2,) recall and precision at the threshold; NaN where there is no alarm at all."""
    found, alarms = (float(rate) for rate in scores.rates(logits, labels, threshold))
    precision = theory.precision(found, alarms, ratio)
    return np.array([found if found + alarms else np.nan, precision])


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


def imbalance_reading(
    record: ImbalanceRecord,
    experiment: ImbalanceExperiment,
    sets: Sequence[TrainingSet],
    starts: Tensor,
    threshold: float,
    is_pair: bool,
) -> list[Row]:
    """Theory beside measurement; of a pair, what both measure, the network without any technique first."""
    runs = range(2) if is_pair else range(1)
    own, ratio = runs[-1], experiment.ratio
    result = record.scores(ratio, threshold)

    def both(measured: Tensor) -> str:
        found = (float(measured[run]) for run in runs)
        return " → ".join("–" if np.isnan(value) else f"{value:.2f}" for value in found)  # no alarm, no precision

    expected, measured = starts[own].tolist()
    rows = [row("share of the rare, untrained", f"{expected:.3f}", f"{measured:.3f}")]
    if len(record.pulls):
        rows.append(row("share, last 20 updates", f"{theory.settled_share():g}", both(record.shares[-1])))
        labels, batch_size = sets[own].y, experiment.batch_size
        if batch_size <= len(labels):
            expected = theory.share_of_batches_without(int(labels.sum()), len(labels), batch_size)
            without = float((record.rare_seen[:, own] == 0).double().mean())
            rows.append(row("batches without a rare example", f"{expected:.2f}", f"{without:.2f}"))
    never, right = theory.accuracy_of_never(ratio), float(result.accuracy[own])
    rows += [
        row("accuracy (theory: never “rare”)", f"{never:.3f}", f"{right:.3f}"),
        row("balanced accuracy", "", both(result.balanced_accuracy)),
        row("recall", "", both(result.recall)),
        row("precision", "", both(result.precision)),
        row("average precision", "", both(scores.average_precision(record.logits[-1], record.test_labels, ratio))),
    ]
    return [*rows, verdict(_in_words(float(result.recall[own]), float(result.false_alarm_rate[own]), experiment))]


def _in_words(recall: float, alarms: float, experiment: ImbalanceExperiment) -> str:
    ratio = experiment.ratio
    cases, rare = scores.confusion(recall, alarms, ratio, CASES), CASES / (1 + ratio)
    said = f"Of {rare:.1f} rare cases in 1,000 it finds {cases.found:.1f}, with {cases.false_alarms:.1f} false alarms."
    if recall == alarms == 0:
        said = f"No alarm at all: all {rare:.1f} rare cases in 1,000 are missed."
    if experiment.technique != "cost_matrix":
        return said
    cost = CASES * theory.cost_per_case(recall, alarms, ratio, experiment.cost_ratio, 1.0)
    return f"{said} Cost {cost:.0f}, where a miss costs {experiment.cost_ratio:g} false alarms."
