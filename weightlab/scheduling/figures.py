"""Schedules as static figures: rates, noise floors, mean losses beside their expectation; nothing here runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from weightlab.pictures.style import MARKERS, PALETTE, label_axes, line_style, new_figure, small_multiples


def rates_figure(rates: Mapping[str, Tensor], columns: int = 4) -> Figure:
    """The learning rate over the steps, one small picture for each name; all share their axes."""
    rows = -(-len(rates) // columns)
    figure, places = small_multiples(list(rates), columns, 1.5 * rows + 0.2, "step", "η")
    for axes, values in zip(places, rates.values(), strict=True):
        axes.plot(values.numpy(), color=PALETTE[0], lw=1.8)
        axes.set_ylim(bottom=0)
    return figure


def floors_figure(measured: tuple[Tensor, Tensor, Tensor], theory: tuple[Tensor, Tensor], limit: float) -> Figure:
    """What constant rates settle at: (rates, losses, standard errors) over theory's line (rates, losses)."""
    learning_rates, losses, errors = measured
    figure = new_figure(6.4, 2.9)
    axes = figure.subplots()
    axes.plot(*(part.numpy() for part in theory), "--", color="0.2", lw=1.3, label="theory: Σ ησ²/(2(2 − ηλ))")
    axes.errorbar(
        learning_rates.numpy(), losses.numpy(), 2 * errors.numpy(), fmt="o", color=PALETTE[0], ms=4, label="measured"
    )
    axes.axvline(limit, color=PALETTE[1], lw=1.2, ls=":", label=f"limit 2/λmax = {limit:.3g}")
    axes.set_yscale("log")
    label_axes(axes, "Noise floor of a constant learning rate", "learning rate η", "mean loss it settles at")
    axes.legend(fontsize=8, frameon=False)
    return figure


def mean_losses_figure(measured: Mapping[str, Tensor], expected: Mapping[str, Tensor], floor: float) -> Figure:
    """Mean losses over the steps by name; `expected` by the same names as dots, the constant rate's floor as a line."""
    figure = new_figure(8.0, 3.2)
    axes = figure.subplots()
    for number, (name, losses) in enumerate(measured.items()):
        axes.plot(losses.numpy(), lw=1.6, label=name, **line_style(number))
        if name in expected:
            steps = torch.arange(0, len(losses), max(1, len(losses) // 20))
            axes.plot(steps.numpy(), expected[name][steps].numpy(), ".", color="0.1", ms=4, zorder=5)
    axes.plot([], [], ".", color="0.1", ms=4, label="theory")
    axes.axhline(floor, color="0.4", lw=0.9)
    axes.annotate("floor of the constant rate", (0.62 * len(losses), floor), fontsize=7.5, xytext=(0, 3),
                  textcoords="offset points")
    axes.set_yscale("log")
    label_axes(axes, "Mean loss over all runs", "step", "loss")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def spreads_figure(values: Mapping[str, Sequence[Tensor]], groups: Sequence[str], y: str) -> Figure:
    """One mark for each run, a bar for their mean: `values[name][group]` is (run,); groups lie along the axis."""
    figure = new_figure(7.6, 2.9)
    axes = figure.subplots()
    width = 0.8 / len(values)
    for number, (name, sets) in enumerate(values.items()):
        for place, runs in enumerate(sets):
            at = place + (number - (len(values) - 1) / 2) * width
            colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
            label = name if place == 0 else None
            axes.plot([at] * len(runs), runs.numpy(), marker, color=colour, ms=4, alpha=0.75, label=label)
            axes.plot([at - 0.4 * width, at + 0.4 * width], [float(runs.mean())] * 2, color=colour, lw=2)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_yscale("log")
    label_axes(axes, f"{y}, one mark a run", "", y)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure
