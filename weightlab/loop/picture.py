"""What the stepper shows of a loop: its picture, with one row a line, and the six lines with what each has done."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from weightlab.loop.experiment import (
    BACKWARD,
    GET_BATCH,
    LOSS,
    PREDICT,
    SIZES,
    UPDATE,
    ZERO_GRAD,
    LoopExperiment,
    LoopRecord,
)
from weightlab.loop.run import as_text
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.stage.panel import Row, row, verdict
from weightlab.theory.loop import steps_moved

Floats = NDArray[np.float64]
COLOURS = {"w": 0, "w.grad": 1, "buffer": 3, "Δw": 2}
CURVE_POINTS = 61


def loop_picture(record: LoopRecord, last_step: int) -> Picture:
    """The picture of a record, for one weight or for the digits network; `last_step` is how far the loop may go."""
    table = TableBuilder(len(record.lines))
    draw = _one_weight_views if record.experiment.entry.one_weight else _network_views
    views, references = draw(table, record)
    return Picture(
        views,
        table.table,
        np.arange(len(record.lines), dtype=np.float32),
        tuple(table.series),
        references,
        widths=(1.15, 1.0),
        summary=loop_summary(record),
        last_step=last_step,
    )


def _one_weight_views(table: TableBuilder, record: LoopRecord) -> tuple[tuple[View, ...], tuple[Reference, ...]]:
    problem, experiment = record.experiment.entry, record.experiment
    assert experiment.loss is not None
    parts = record.watched[:, 0].numpy()  # (row, 4)
    w, batch = parts[:, 0], (record.batches.numpy() - 1).clip(0) % problem.batches
    height = np.empty(len(w))
    for number in range(problem.batches):
        here = batch == number
        height[here] = problem.loss_at(experiment.loss, number, torch.from_numpy(w[here])).numpy() if here.any() else 0
    table.add("plane", "path", "w", np.stack([w, height], axis=1))
    _add_arrows(table, record, parts[:, None], np.stack([w, height], axis=1))
    for i, name in enumerate(SIZES):
        table.add("now", "bars", name, parts[:, i], colour=COLOURS[name])
    for i, name in enumerate(SIZES[: 3 if experiment.momentum else 2]):
        table.add("lines", "curve", name, parts[:, i], colour=COLOURS[name])
    stored = Axis("", limits=(-0.6, 0.6), ticks=(" · ".join(SIZES),))
    views = (
        View("plane", "The weight on the loss of its batch", Axis("weight w"), Axis("loss"), (0, 0, 1, 2)),
        View("now", "What is stored now (×: None)", stored, Axis("value"), (1, 0, 1, 1)),
        View("lines", "Line by line", Axis("lines run"), Axis("value"), (1, 1, 1, 1)),
    )
    references = [
        Reference("plane", "line", "loss", _loss_curve(experiment.problem, experiment.loss, number), label=label)
        for number, label in enumerate(["batch 1", "batch 2"] if problem.batches > 1 else [""])
    ]
    return views, tuple(references)


@cache
def _loss_curve(problem: str, loss: str, batch: int) -> Floats:
    entry = LoopExperiment(problem, loss).entry
    low, high = entry.span
    # denser on the right, so that the labels, at the curves' middle, stand apart
    w = low + (high - low) * torch.linspace(0, 1, CURVE_POINTS, dtype=torch.float64) ** 0.4
    points: Floats = torch.stack([w, entry.loss_at(loss, batch, w)], dim=1).numpy()
    return points


def _add_arrows(table: TableBuilder, record: LoopRecord, watched: Floats, at: Floats) -> None:
    """What `step()` would do with what is stored, and, where it has just run, what it did; (row, coordinate, 4)."""
    experiment = record.experiment
    stepped = (record.lines.numpy() == UPDATE)[:, None]
    momentum = 0.0 if experiment.by_hand else experiment.momentum
    flat = np.zeros((len(at), at.shape[1] - watched.shape[1]))  # one weight moves to the side only

    # beside the other arrow, not on top of it, where both lie along one axis
    height = np.ptp(_loss_curve(experiment.problem, str(experiment.loss), 0)[:, 1]) if flat.shape[1] else 0.0
    aside = np.array([0.0, -0.07 * height])

    def arrow(name: str, vector: Floats, colour: int, start: Floats) -> None:
        table.add("plane", "arrow", name, np.concatenate([start, vector, flat], axis=1), colour=colour)

    pull = np.where(stepped, np.nan, -experiment.learning_rate * watched[:, :, 1])
    arrow("−η·w.grad", pull, COLOURS["w.grad"], at)
    if momentum:
        carried = -experiment.learning_rate * momentum * watched[:, :, 2]
        arrow("−η·μ·buffer", np.where(stepped | np.isnan(pull), np.nan, carried), COLOURS["buffer"], at + aside)
    change = np.where(stepped, watched[:, :, 3], np.nan)
    arrow("Δw", change, COLOURS["Δw"], at - np.concatenate([np.nan_to_num(change), flat], axis=1))


def _network_views(table: TableBuilder, record: LoopRecord) -> tuple[tuple[View, ...], tuple[Reference, ...]]:
    watched, sizes = record.watched.numpy(), record.sizes.numpy()
    table.add("plane", "path", "two weights", watched[:, :, 0])
    _add_arrows(table, record, watched, watched[:, :, 0])
    table.add("loss", "curve", "loss of the batch", record.losses.numpy(), colour=5)
    for i, name in enumerate(("mixed batches", "sorted by class")):
        table.add("accuracy", "curve", name, record.accuracies[:, i].numpy(), colour=6 + i)
    for i, name in enumerate(SIZES):
        table.add("sizes", "bars", f"|{name}|", sizes[:, :, i], colour=COLOURS[name])
    across, up = (Axis(name) for name in record.watched_names)
    views = (
        View("plane", "Two weights", across, up, (0, 0, 1, 1)),
        View("loss", "Loss", Axis("lines run"), Axis("loss"), (1, 0, 1, 1)),
        View("sizes", "Sizes now (×: None)", Axis("", ticks=record.layers), Axis("norm", "log"), (0, 1, 1, 1)),
        View("accuracy", "Validation", Axis("lines run"), Axis("share right", limits=(0.0, 1.0)), (1, 1, 1, 1)),
    )
    return views, ()


def loop_summary(record: LoopRecord) -> str:
    """The picture in words."""
    updates = int(record.updates[-1])
    head = f"After {len(record.lines) - 1} lines and {updates} update{'s' * (updates != 1)}"
    if record.experiment.entry.one_weight:
        held = ", ".join(f"{name} {as_text(float(v))}" for name, v in zip(SIZES, record.watched[-1, 0], strict=True))
        return f"{head}: {held}."
    mixed, by_class = record.accuracies[-1].tolist()
    shares = f"validation {mixed:.0%} right in mixed batches, {by_class:.0%} sorted by class"
    return f"{head}: loss {as_text(float(record.losses[-1]))}; {shares}."


# ---- the reading -------------------------------------------------------------------------------------------------


def loop_reading(record: LoopRecord) -> list[Row]:
    """The lines in the order in which they run, ▸ before the next one; what each did, and theory where there is one."""
    experiment, done = record.experiment, len(record.lines) - 1
    count = len(experiment.order)
    position = done % count
    first = done - (position or min(done, count))  # of the pass that is going on, or of the one just finished
    rows = []
    for place, line in enumerate(experiment.order):
        at = first + place + 1
        note = record.notes[at] if at <= done else ""
        if place == position and record.error:
            note = record.error.split(": ")[0].removeprefix(f"line {line} ")
        mark = "▸" if place == position else " "
        rows.append(row(f"{mark} {line}  {experiment.shown(line)}", _theory(record, line, at) if note else "", note))
    return [*rows, *_consequences(record), verdict(_verdict(record))]


def _theory(record: LoopRecord, line: int, at: int) -> str:
    """What a faultless loop would leave after this row, from the closed form of the gradient."""
    experiment, problem = record.experiment, record.experiment.entry
    if line not in {BACKWARD, UPDATE} or not problem.one_weight or at >= len(record.lines) or not record.batches[at]:
        return ""
    assert experiment.loss is not None
    gradient = problem.losses[experiment.loss].gradient
    assert gradient is not None
    w = float(record.weights[at - 1, 0])
    slope = gradient(w, *problem.points[(int(record.batches[at]) - 1) % problem.batches])
    if line == BACKWARD:
        return f"w.grad = {as_text(slope)}"
    before = float(record.watched[at - 1, 0, 2])
    velocity = slope if math.isnan(before) else experiment.momentum * before + slope
    return f"Δw = {as_text(-experiment.learning_rate * velocity)}"


def _consequences(record: LoopRecord) -> list[Row]:
    experiment, updates = record.experiment, int(record.updates[-1])
    if not experiment.entry.one_weight:
        mixed, by_class = (f"{share:.1%}" for share in record.accuracies[-1].tolist())
        return [
            row("validation, mixed batches", "", mixed),
            row("validation, batches sorted by class", "", by_class),
            row("running means moved by validating", "", as_text(float(record.drift[-1]))),
        ]
    if experiment.problem == "constant_slope" and experiment.learning_rate and updates:
        steps = as_text((0.0 - record.moved) / experiment.learning_rate)
        return [row(f"moved, in steps of η, after {updates} updates", as_text(steps_moved(updates, True)), steps)]
    return []


def _verdict(record: LoopRecord) -> str:
    """What the line that has just run means."""
    if record.error:
        return f"{record.error[0].upper()}{record.error[1:]} The line has changed nothing."
    line, summed = int(record.lines[-1]), int(record.summed[-1])
    several = f"w.grad is now the sum of {summed} gradients: nobody cleared it."
    if line == UPDATE:
        return _update_verdict(record, summed)
    return {
        0: "Nothing has run yet. Press Step: one line runs.",
        GET_BATCH: "A new batch is here. Nothing is computed yet.",
        PREDICT: "The model has predicted. Weights and gradients are as they were.",
        LOSS: "The loss is one number, and behind it the graph that backward() will follow.",
        ZERO_GRAD: "The old gradient is gone: w.grad is None.",
        BACKWARD: several if summed > 1 else "backward() has written w.grad. No weight has moved.",
    }[line]


def _update_verdict(record: LoopRecord, summed: int) -> str:
    experiment = record.experiment
    if not summed:
        return "step() found w.grad = None. It moved nothing and said nothing."
    if summed > 1:
        return f"The weights moved by the sum of {summed} gradients."
    order = experiment.order
    if BACKWARD in order and UPDATE in order and order.index(UPDATE) < order.index(BACKWARD):
        return "The weights moved by a gradient of an earlier batch."
    return "The weights moved by −η times " + ("the buffer." if experiment.momentum else "w.grad.")
