"""Static figures of imbalanced data: scores by ratio, shares over updates, techniques, thresholds, the leak.

They draw what was measured; nothing here measures. Colours and line styles go by the order of the names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from weightlab.plots import DASHES, MARKERS, PALETTE, label_axes, new_figure
from weightlab.scores import Confusion


def ratio_figure(ratios: Sequence[float], scores: Mapping[str, Tensor], never: Sequence[float]) -> Figure:
    """Scores (ratio, seed) by name over the ratio: mean, and one standard deviation as a band.

    never: the accuracy of whoever always says "common", at each ratio.
    """
    figure = new_figure(7.4, 3.3)
    axes = figure.subplots()
    for number, (name, values) in enumerate(scores.items()):
        _band(axes, np.asarray(ratios), values, name, number)
    axes.plot(ratios, never, ls="", marker="+", color="0.1", ms=9, mew=1.6, label='always "common", R/(R + 1)')
    axes.set_xscale("log")
    axes.set_xticks(list(ratios), [f"1:{ratio:g}" for ratio in ratios])
    axes.minorticks_off()
    axes.set_ylim(-0.03, 1.05)
    label_axes(axes, "A network without any technique", "rare : common", "score on the test split")
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    return figure


def shares_figure(shares: Mapping[str, Tensor], starts: Mapping[str, float], title: str = "") -> Figure:
    """The rare class's share of the gradient (step, seed) by technique; theory's crosses at the first update."""
    figure = new_figure(7.4, 3.3)
    axes = figure.subplots()
    for number, (name, values) in enumerate(shares.items()):
        _band(axes, np.arange(1, len(values) + 1), values, name, number)
        axes.plot([1], [starts[name]], marker="+", color="0.1", ms=10, mew=1.8, zorder=6, clip_on=False)
    axes.plot([], [], ls="", marker="+", color="0.1", ms=9, mew=1.6, label="theory, untrained")
    axes.axhline(0.5, color="0.3", lw=0.9, ls=(0, (1, 2)))
    axes.set_xscale("log")
    axes.set_xlim(1, len(next(iter(shares.values()))))
    axes.set_ylim(0, 0.8)
    label_axes(axes, title or "Share of the gradient that comes from the rare class", "update", "share")
    axes.legend(fontsize=8, frameon=False, loc="lower right", ncols=2)
    return figure


def techniques_figure(scores: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """score name -> technique -> (seed,): a dot for every seed, a tick at the mean, a line through the first mean."""
    figure = new_figure(8.6, 3.4)
    all_axes = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axes, (score, by_name) in zip(all_axes, scores.items(), strict=True):
        names = list(by_name)
        for place, values in enumerate(by_name.values()):
            _dots(axes, values, place, PALETTE[0])
        axes.axvline(float(by_name[names[0]].mean()), color="0.3", lw=0.9, ls=(0, (1, 2)))
        label_axes(axes, score, "", "")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
    return figure


def thresholds_figure(
    curves: Mapping[str, tuple[Tensor, Tensor]],
    points: Sequence[tuple[str, float, float]],
    matrices: Mapping[str, Confusion],
    names: tuple[str, str],
) -> Figure:
    """Precision–recall curves (precision, recall) by name with marked points, and confusion matrices beside them.

    points: (text, recall, precision). names: of the common and the rare class.
    """
    figure = new_figure(9.2, 3.5)
    all_axes = figure.subplots(1, 1 + len(matrices), width_ratios=[1.7, *[1] * len(matrices)], squeeze=False)[0]
    axes = all_axes[0]
    for number, (name, (precision, recall)) in enumerate(curves.items()):
        style = {"ls": DASHES[number % len(DASHES)], "color": PALETTE[number % len(PALETTE)]}
        axes.step(recall.numpy(), precision.numpy(), where="post", lw=1.6, label=name, **style)
    for text, recall_at, precision_at in points:
        axes.plot(recall_at, precision_at, marker="+", color="0.1", ms=10, mew=1.8, zorder=5)
        axes.annotate(text, (recall_at, precision_at), fontsize=8, xytext=(-7, -4), textcoords="offset points",
                      ha="right", va="top")  # fmt: skip
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.05)
    label_axes(axes, "Precision–recall", "recall: share of the rare that is found", "precision: share of alarms right")
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    for beside, (title, matrix) in zip(all_axes[1:], matrices.items(), strict=True):
        _matrix(beside, title, matrix, names)
    return figure


def _matrix(axes: Axes, title: str, matrix: Confusion, names: tuple[str, str]) -> None:
    values = np.array(matrix.matrix)
    shares = values / values.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.4, aspect="equal")
    for truth in (0, 1):
        for said in (0, 1):
            axes.text(said, truth, f"{values[truth, said]:.1f}", ha="center", va="center", fontsize=10, color="0.05")
    label_axes(axes, title, "answer", "truth")
    axes.set_xticks((0, 1), names)
    axes.set_yticks((0, 1), names, rotation=90, va="center")


def leak_figure(results: Mapping[str, tuple[Tensor, Tensor]], chance: float = 0.5) -> Figure:
    """name -> (validation scores, test scores), (seed,) each: what one believes beside what is true."""
    figure = new_figure(7.6, 0.9 + 0.5 * len(results))
    axes = figure.subplots()
    for place, (validation, test) in enumerate(results.values()):
        _dots(axes, validation, place - 0.16, PALETTE[1], MARKERS[1], "on the validation split" if not place else "")
        _dots(axes, test, place + 0.16, PALETTE[0], MARKERS[0], "on untouched test data" if not place else "")
    axes.set_yticks(range(len(results)), list(results))
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.axvline(chance, color="0.3", lw=0.9, ls=(0, (1, 2)))
    label_axes(axes, "What you believe and what is true", "balanced accuracy", "")
    figure.legend(loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    return figure


def _band(axes: Axes, x: np.ndarray, values: Tensor, name: str, number: int) -> None:
    """Mean and standard deviation of values (x, seed); a seed without a value (no alarm at all) is left out."""
    array = values.double().numpy()
    known = np.isfinite(array)
    count = np.maximum(known.sum(axis=1), 1)
    filled = np.where(known, array, 0.0)
    mean = np.where(known.any(axis=1), filled.sum(axis=1) / count, np.nan)
    spread = np.sqrt(np.where(known, (array - mean[:, None]) ** 2, 0.0).sum(axis=1) / count)
    style = {"ls": DASHES[number % len(DASHES)], "color": PALETTE[number % len(PALETTE)]}
    axes.plot(x, mean, lw=1.8, label=name, **style)
    axes.fill_between(x, mean - spread, mean + spread, color=style["color"], alpha=0.16, lw=0)


def _dots(
    axes: Axes, values: Tensor, place: float, colour: str, marker: str = "o", label: str = ""
) -> None:
    known = values.double()[torch.isfinite(values)]
    axes.plot(known.numpy(), np.full(len(known), place), marker, color=colour, ms=4.5, alpha=0.65, mew=0, label=label)
    axes.plot([float(known.mean())], [place], "|", color="0.05", ms=13, mew=2)
