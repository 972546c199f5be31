"""Static figures of imbalanced data: scores by ratio, shares over updates, techniques, thresholds, the leak.

They draw what was measured; nothing here measures. Colours and line styles go by the order of the names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from weightlab.imbalance.class_gradients import ImbalanceRecord, windowed_mean
from weightlab.imbalance.scores import Confusion, Scores, confusion
from weightlab.imbalance.techniques import TECHNIQUES
from weightlab.pictures.style import MARKERS, PALETTE, draw_band, label_axes, line_style, new_figure
from weightlab.theory.imbalance import settled_pull


def ratio_figure(records: Mapping[float, ImbalanceRecord], never: Sequence[float]) -> Figure:
    """Scores over the ratio, at the threshold 1/2: mean over the seeds, and one standard deviation as a band.

    never: the accuracy of whoever always says "common", at each ratio.
    """
    figure = new_figure(7.4, 3.3)
    axes = figure.subplots()
    ratios = list(records)
    results = [record.scores(ratio) for ratio, record in records.items()]
    drawn = {
        "accuracy": [result.accuracy for result in results],
        "balanced accuracy": [result.balanced_accuracy for result in results],
        "recall": [result.recall for result in results],
        "average precision": [record.average_precision(ratio)[-1] for ratio, record in records.items()],
    }
    for number, (name, values) in enumerate(drawn.items()):
        _band(axes, np.asarray(ratios), torch.stack(values), name, number)
    axes.plot(ratios, never, ls="", marker="+", color="0.1", ms=9, mew=1.6, label='always "common", R/(R + 1)')
    axes.set_xscale("log")
    axes.set_xticks(list(ratios), [f"1:{ratio:g}" for ratio in ratios])
    axes.minorticks_off()
    axes.set_ylim(-0.03, 1.05)
    label_axes(axes, "A network without any technique", "rare : common", "score on the test split")
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    return figure


def shares_figure(records: Mapping[str, ImbalanceRecord], weighted_shares: Mapping[str, float]) -> Figure:
    """The rare class's share of the gradient, and how hard it pulls the output bias, by technique, over the updates.

    weighted_shares: the rare examples' part of all examples as the technique weighs or draws them, q. Theory's crosses
    are the untrained network's share q and pull q/2, the dotted lines the settled share 1/2 and pull q(1 - q).
    """
    figure = new_figure(8.8, 3.5)
    share, pull = figure.subplots(1, 2)
    steps = len(next(iter(records.values())).pulls)
    updates = np.arange(1, steps + 1)
    dotted: dict[str, Any] = {"color": "0.3", "lw": 0.9, "ls": (0, (1, 2))}
    cross: dict[str, Any] = {"color": "0.1", "ls": "", "marker": "+", "ms": 9}
    for number, (name, record) in enumerate(records.items()):
        label = TECHNIQUES[name].label if name in TECHNIQUES else name
        _band(share, updates, record.shares, label, number)
        _band(pull, updates, windowed_mean(record.bias_pulls[..., 1]), label, number)
        q = weighted_shares[name]
        share.plot([1], [q], mew=1.8, zorder=6, clip_on=False, **cross)
        pull.plot([1], [q / 2], mew=1.8, zorder=6, clip_on=False, **cross)
        pull.axhline(settled_pull(q), **dotted)
    share.axhline(0.5, **dotted)
    share.plot([], [], mew=1.6, label="theory, untrained", **cross)
    for axes in (share, pull):
        axes.set_xscale("log")
        axes.set_xlim(1, steps)
        ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1000) if tick <= steps]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
    share.set_ylim(0, 0.8)
    pull.set_yscale("log")
    label_axes(share, "The rare class's share of the gradient", "update", "share, last 20 updates")
    label_axes(pull, "How hard the rare class pulls the output", "update", "its part of the bias's gradient")
    figure.legend(*share.get_legend_handles_labels(), loc="outside upper left", ncols=3, fontsize=8, frameon=False)
    return figure


def techniques_figure(scores: Mapping[str, Mapping[str, Tensor]]) -> Figure:
    """score name -> technique -> (seed,): a dot for every seed, a tick at the mean, a line through the first mean."""
    figure = new_figure(8.6, 3.4)
    all_axes = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axes, (score, by_name) in zip(all_axes, scores.items(), strict=True):
        names = list(by_name)
        labels = [TECHNIQUES[name].label if name in TECHNIQUES else name for name in names]
        for place, values in enumerate(by_name.values()):
            _dots(axes, values, place, PALETTE[0])
        axes.axvline(float(by_name[names[0]].mean()), color="0.3", lw=0.9, ls=(0, (1, 2)))
        label_axes(axes, score, "", "")
        axes.set_yticks(range(len(names)), labels)
        axes.set_ylim(len(names) - 0.4, -0.6)
    return figure


def thresholds_figure(
    curves: Mapping[str, tuple[Tensor, Tensor]],
    marks: Mapping[str, Scores],
    names: tuple[str, str],
) -> Figure:
    """Precision–recall curves (precision, recall) by name, and marked thresholds with their confusion matrices.

    marks: text -> scores () at a threshold. names: of the common and the rare class.
    """
    figure = new_figure(9.2, 3.5)
    all_axes = figure.subplots(1, 1 + len(marks), width_ratios=[1.7, *[1] * len(marks)], squeeze=False)[0]
    axes = all_axes[0]
    for number, (name, (precision, recall)) in enumerate(curves.items()):
        steps = {"drawstyle": "steps-post", "lw": 1.6, **line_style(number)}
        axes.plot(recall.numpy(), precision.numpy(), label=name, **steps)
    for text, scores in marks.items():
        at = float(scores.recall), float(scores.precision)
        axes.plot(*at, marker="+", color="0.1", ms=10, mew=1.8, zorder=5)
        axes.annotate(text, at, fontsize=8, xytext=(-7, -4), textcoords="offset points", ha="right", va="top")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.05)
    label_axes(axes, "Precision–recall", "recall: share of the rare that is found", "precision: share of alarms right")
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    for beside, (text, scores) in zip(all_axes[1:], marks.items(), strict=True):
        cases = confusion(float(scores.recall), float(scores.false_alarm_rate), scores.ratio)
        _matrix(beside, f"{text}: 1,000 cases", cases, names)
    return figure


def _matrix(axes: Axes, title: str, matrix: Confusion[float], names: tuple[str, str]) -> None:
    values = np.array(matrix.matrix)
    shares = values / values.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.4, aspect="equal")
    for truth in (0, 1):
        for said in (0, 1):
            axes.text(said, truth, f"{values[truth, said]:.1f}", ha="center", va="center", fontsize=10, color="0.05")
    label_axes(axes, title, "answer", "truth")
    axes.set_xticks((0, 1), names)
    axes.set_yticks((0, 1), names)


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
    known = values.double()
    mean = known.nanmean(dim=1)
    spread = (known - mean[:, None]).square().nanmean(dim=1).sqrt()
    draw_band(axes, x, mean, mean - spread, mean + spread, name, number, alpha=0.16)


def _dots(
    axes: Axes, values: Tensor, place: float, colour: str, marker: str = "o", label: str = ""
) -> None:
    known = values.double()[torch.isfinite(values)]
    axes.plot(known.numpy(), np.full(len(known), place), marker, color=colour, ms=4.5, alpha=0.65, mew=0, label=label)
    axes.plot([float(known.mean())], [place], "|", color="0.05", ms=13, mew=2)
