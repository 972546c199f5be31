"""Races as static figures: how sensitive each rule is to its learning rate, and how the tuned race came out."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightlab.plots import DASHES, MARKERS, PALETTE, label_axes, new_figure
from weightlab.races import RaceRecord


def race_figure(record: RaceRecord, score: str, goal: float | None = None) -> Figure:
    """Left the median score over the learning rate (a line ends where runs diverge), right every run of the race.

    score: what the axis says. goal: drawn as a thin line.
    """
    figure = new_figure(8.2, 3.3)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.5, 1.0))
    _draw_curves(left, record)
    label_axes(left, "Tuning: median over seeds", "learning rate η", score)
    for i, scores in enumerate(record.finals):
        shown = torch.where(torch.isfinite(scores), scores, torch.nan)
        style = {"color": PALETTE[i % len(PALETTE)], "ls": "", "alpha": 0.8}
        right.plot([i] * len(shown), shown.numpy(), MARKERS[i % len(MARKERS)], ms=5, mec="w", mew=0.5, **style)
    label_axes(right, "Race: one mark a seed", "", "")
    right.set_xlim(-0.5, len(record.labels) - 0.5)
    right.set_xticks(range(len(record.labels)), record.labels, rotation=25, ha="right")
    for axes in (left, right):
        if goal is not None:
            axes.axhline(goal, color="0.45", lw=0.8)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=6, fontsize=8, frameon=False)
    return figure


def _draw_curves(axes: Axes, record: RaceRecord) -> None:
    for i, (label, curve) in enumerate(zip(record.labels, record.curves, strict=True)):
        shown = torch.where(torch.isfinite(curve), curve, torch.nan).numpy()
        style = {"color": PALETTE[i % len(PALETTE)], "ls": DASHES[i % len(DASHES)]}
        axes.plot(record.learning_rates.numpy(), shown, lw=1.5, label=label, **style)
        best = int(record.best[i])
        axes.plot(record.best_rates[i], shown[best], MARKERS[i % len(MARKERS)], color=style["color"], ms=6, mec="w")
    axes.set_xscale("log")
    axes.set_yscale("log")
    finite = record.curves[torch.isfinite(record.curves)]
    if len(finite):
        low, high = float(finite.min()), float(record.curves[:, 0].nan_to_num(posinf=1.0).max())
        axes.set_ylim(low / 2, 5 * high)
