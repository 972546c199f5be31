"""Static figures of real loss surfaces: planes, what they hold, sharpness over seeds, and what a step costs.

They draw what was measured; nothing here measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from weightlab.pictures.contours import draw_contours
from weightlab.pictures.style import MARKERS, PALETTE, label_axes, new_figure
from weightlab.surfaces.device_times import StepTimes, least_gpu_seconds
from weightlab.surfaces.sharpness import SharpnessRecord
from weightlab.surfaces.weight_paths import PlaneView


def planes_figure(views: Mapping[str, PlaneView]) -> Figure:
    """The loss on several planes side by side, each with the path as the plane shows it; the cross is the end."""
    figure = new_figure(3.1 * len(views), 2.9)
    grid = figure.subplots(1, len(views), squeeze=False)
    for axes, (name, view) in zip(grid[0], views.items(), strict=True):
        across, up, losses = view.drawn()
        draw_contours(axes, across.numpy(), up.numpy(), losses.double().numpy())
        places = view.places.numpy()
        axes.plot(*places.T, color=PALETTE[1], lw=1.6)
        axes.plot(*places[0], "o", color="w", mec="k", ms=4)
        axes.plot(*places[-1], "+", color="0.1", ms=8, mew=1.4)
        label_axes(axes, name, "1st direction", "2nd direction" if axes is grid[0][0] else "")
    return figure


def shares_figure(shares: Tensor, walks: Tensor, theory: Tensor, planes: Tensor, expected: float) -> Figure:
    """Share of the variance by principal component, runs (run, component) beside random walks (walk, component).

    theory (component,) is that of a long random walk. Right: what random planes hold, (plane,), and what is expected.
    """
    figure = new_figure(8.2, 2.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1.0))
    order = np.arange(1, shares.shape[1] + 1)
    for number, (name, values) in enumerate({"runs on the digits": shares, "random walks": walks}.items()):
        places = np.repeat(order[None] + 0.12 * (2 * number - 1), len(values), axis=0)
        left.plot(places.ravel(), values.numpy().ravel(), MARKERS[number], color=PALETTE[number], ms=4, label=name)
    left.plot(order + 0.12, theory.numpy(), "_", color="0.1", ms=16, mew=1.4, label="theory, random walk")
    left.set_yscale("log")
    left.set_xticks(order)
    label_axes(left, "What the path's own components hold", "principal component", "share of the variance")
    left.legend(fontsize=8, frameon=False)
    right.hist(planes.numpy() * 100, bins=12, color=PALETTE[2], alpha=0.75)
    right.axvline(float(planes.mean()) * 100, color=PALETTE[1], lw=1.8, label="their mean")
    right.axvline(expected * 100, color="0.1", lw=1.4, ls="--", label="theory's mean")
    label_axes(right, f"What {len(planes)} random planes hold", "share of the variance, %", "planes")
    right.legend(fontsize=8, frameon=False)
    return figure


def edge_figure(runs: Mapping[str, Sequence[SharpnessRecord]], since: int) -> Figure:
    """Sharpness over the updates, several seeds a view, with the limit; the mean ratio from `since` on is written in.

    The ratio's spread is one standard deviation over the seeds.
    """
    figure = new_figure(2.9 * len(runs), 2.9)
    grid = figure.subplots(1, len(runs), squeeze=False)
    for axes, (name, records) in zip(grid[0], runs.items(), strict=True):
        for number, record in enumerate(records):
            axes.plot(record.steps.numpy(), record.sharpnesses.numpy(), color=PALETTE[number % 7], lw=0.9)
        limit = float(records[0].limits[-1])
        axes.axhline(limit, color="0.1", ls="--", lw=1.4)
        ratios = torch.tensor([record.hovers_at(since) for record in records])
        spread = f"{ratios.mean():.2f} ± {ratios.std():.2f}"
        words = f"theory's limit {limit:.3g}\nsharpness : limit from {since} on\n{spread}"
        axes.text(0.97, 0.04, words, transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5)
        axes.set_ylim(0, 1.75 * limit)
        axes.set_xlim(0, float(records[0].steps[-1]))
        label_axes(axes, name, "update", "sharpness" if axes is grid[0][0] else "")
    return figure


def times_figure(times: StepTimes, operations: int, start_seconds: float) -> Figure:
    """A table of the time for one update by width and device, and the same as curves over the least time on a GPU."""
    figure = new_figure(8.6, 3.1)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
    _draw_table(left, times)
    for number, (device, seconds) in enumerate(times.seconds.items()):
        micro = np.array(seconds) * 1e6
        right.plot(times.widths, micro, MARKERS[number] + "-", color=PALETTE[number], lw=1.6, ms=5, label=device)
    least = least_gpu_seconds(times, operations, start_seconds) * 1e6
    assumed = f"least on a GPU with {start_seconds * 1e6:g} µs a start"
    right.axhline(least, color="0.1", ls="--", lw=1.3, label=assumed)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_xticks(times.widths, [str(width) for width in times.widths])
    every = np.array([least / 1e6, *(one for seconds in times.seconds.values() for one in seconds)]) * 1e6
    right.set_ylim(10 ** np.floor(np.log10(every.min())), 10 ** np.ceil(np.log10(every.max())))  # whole decades
    right.minorticks_off()
    title = "Measured here" if times.has_gpu else "Measured here: this computer has no GPU"
    label_axes(right, title, "units a layer", "µs an update")
    right.legend(fontsize=8, frameon=False, loc="upper left")
    return figure


def _draw_table(axes: Axes, times: StepTimes) -> None:
    axes.set_axis_off()
    heads = ["units", "work, MFLOP"]
    for device in times.seconds:
        heads += [f"{device}, µs", "GFLOP/s"]
    rows = []
    for place, (width, work) in enumerate(zip(times.widths, times.work, strict=True)):
        cells = [f"{width}", f"{work / 1e6:,.2f}"]
        for device, seconds in times.seconds.items():
            cells += [f"{seconds[place] * 1e6:,.0f}", f"{times.rates(device)[place] / 1e9:.3g}"]
        rows.append(cells)
    table = axes.table(cellText=rows, colLabels=heads, loc="center", cellLoc="right", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(8)
    table.scale(1.0, 1.5)
    axes.set_title(f"One update, batch {times.batch}", fontsize=9, loc="left", fontweight="bold")
