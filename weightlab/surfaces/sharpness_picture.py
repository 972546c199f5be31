"""What a sharpness panel shows: sharpness beside its limit, the loss, and the swing along the sharpest direction."""

from __future__ import annotations

import math

import numpy as np
import torch

from weightlab.pictures.picture import Axis, Picture, TableBuilder, View
from weightlab.stage.panel import Row, row, verdict
from weightlab.surfaces.sharpness import SharpnessRecord

IN_SIGHT = 3.0  # times the largest sharpness: a limit that is higher would press the curve to the ground
FALLEN = 0.8  # of the limit


def sharpness_picture(record: SharpnessRecord, *, theory: bool, last_step: int) -> Picture:
    """A run as far as it has come; `theory` says whether the limit is drawn."""
    rows = len(record.steps)
    table = TableBuilder(rows)
    table.add("sharpness", "curve", "sharpness", record.sharpnesses.numpy(), colour=0)
    if theory:
        table.add("sharpness", "curve", "theory: limit", record.limits.numpy(), colour=5, dashed=True)
    table.add("loss", "curve", "loss of all training examples", record.losses.numpy(), colour=12)
    table.add("swing", "curve", "step along the sharpest direction", record.swings.numpy(), colour=18)
    views = (
        View(
            "sharpness",
            "Sharpness: the Hessian's largest eigenvalue",
            Axis("update"),
            Axis("sharpness", limits=_room(record, theory)),
            (0, 0, 1, 2),
        ),
        View("loss", "Loss", Axis("update"), Axis("loss"), (1, 0, 1, 1)),
        View("swing", "Step along the sharpest direction", Axis("update"), Axis("part of Δw"), (1, 1, 1, 1)),
    )
    return Picture(
        views,
        table.table,
        record.steps.numpy().astype(np.float32),
        tuple(table.series),
        widths=(1.2, 1.0),
        summary=_summary(record, theory),
        last_step=last_step,
    )


def _room(record: SharpnessRecord, theory: bool) -> tuple[float, float]:
    sharp = record.sharpnesses[torch.isfinite(record.sharpnesses)]
    low, high = (float(sharp.min()), float(sharp.max())) if len(sharp) else (0.0, 1.0)
    high = max(high, 1e-6)
    limits = record.limits[torch.isfinite(record.limits)]
    if theory and len(limits):
        near = limits[limits <= IN_SIGHT * high]
        high = max(high, float(near.max())) if len(near) else high
    return (-_round_up(-low) if low < 0 else 0.0), _round_up(1.08 * high)


def _round_up(value: float) -> float:
    """The next number of two digits of which the second is even: an axis that grows in jumps does not tremble."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1) * 2
    return math.ceil(value / unit) * unit


def _summary(record: SharpnessRecord, theory: bool) -> str:
    step, now, loss = int(record.steps[-1]), float(record.sharpnesses[-1]), float(record.losses[-1])
    limit = f", limit {float(record.limits[-1]):.3g}" if theory else ""
    return (
        f"After {step} updates: sharpness {now:.3g}{limit} (first {float(record.sharpnesses[0]):.3g}); loss {loss:.3g} "
        f"(first {float(record.losses[0]):.3g})."
    )


def sharpness_reading(record: SharpnessRecord, *, batches: bool, ended: bool) -> list[Row]:
    """Sharpness beside its limit, since when it is there, and what that means."""
    limit, now = float(record.limits[-1]), float(record.sharpnesses[-1])
    rows = [row("sharpness now, and its limit", f"{limit:.3g}" if math.isfinite(limit) else "–", f"{now:.3g}")]
    reached = record.reached
    if reached is not None:
        rows.append(row("first at the limit", "", f"after update {reached}"))
        rows.append(row("sharpness : limit, mean since then", "1", f"{record.hovers_at(reached):.2f}"))
    if record.status.kind == "diverged":
        return [*rows, verdict(record.status.message)]
    if int(record.steps[-1]) == 0 and not ended:
        return [*rows, verdict("Ready. Start trains; learning rate and momentum act while it runs.")]
    return [*rows, verdict(_verdict(record, batches))]


def _verdict(record: SharpnessRecord, batches: bool) -> str:
    reached, ratio = record.reached, float(record.ratios[-1])
    if not math.isfinite(ratio):
        return "Theory has no limit for these settings."
    aside = " The limit is that of the full batch; with batches it need not hold." if batches else ""
    if reached is None:
        return f"Below the limit, at {ratio:.2f} of it: along every direction the steps settle.{aside}"
    if float(record.ratios[-3:].max()) < FALLEN:
        return f"It was at the limit and has sunk to {ratio:.2f} of it: little is left to learn.{aside}"
    return f"At the edge: one direction is too steep for these steps, and the run goes on all the same.{aside}"
