"""Learning curves over several seeds, and early stopping beside an L2 penalty, as static figures; nothing here runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from weightlab.pictures.style import MARKERS, PALETTE, draw_band, label_axes, new_figure, small_multiples
from weightlab.stopping.learning_curves import LearningCurves

Filters = tuple[Tensor, Tensor]  # measured and theory, (direction,) each


def curves_figure(runs: Mapping[str, Sequence[LearningCurves]], columns: int = 3) -> Figure:
    """Training and validation loss over the epochs, one small picture for each name, all on one scale.

    A line is the mean over the seeds, its band reaches from the lowest to the highest; crosses are the best epochs.
    """
    rows = -(-len(runs) // columns)
    figure, places = small_multiples(list(runs), columns, 2.1 * rows + 0.3, "epoch", "loss")
    for axes, seeds in zip(places, runs.values(), strict=True):
        _band(axes, torch.stack([one.training_losses for one in seeds]), "training", 0)
        _band(axes, torch.stack([one.validation.losses for one in seeds]), "validation", 1)
        best = [(one.validation.best, float(one.validation.losses[one.validation.best])) for one in seeds]
        axes.plot(*zip(*best, strict=True), "+", color="0.1", ms=7, zorder=5, label="lowest, each seed")
        axes.set_yscale("log")
    figure.legend(*places[0].get_legend_handles_labels(), loc="outside upper left", ncols=3, fontsize=8, frameon=False)
    return figure


def _band(axes: Axes, losses: Tensor, name: str, number: int, x: Tensor | None = None) -> None:
    """losses (seed, x): their mean, and a band from the lowest to the highest."""
    across = torch.arange(losses.shape[1]) if x is None else x
    draw_band(axes, across, losses.mean(0), losses.amin(0), losses.amax(0), name, number, alpha=0.2)


def filters_figure(eigenvalues: Tensor, stopped: Mapping[str, Filters], penalized: Mapping[str, Filters]) -> Figure:
    """The share of the minimum reached in every eigendirection: marks are measured, lines are theory.

    eigenvalues: (direction,). stopped, penalized: by name, in pairs that belong together.
    """
    figure = new_figure(7.6, 3.0)
    axes = figure.subplots()
    for kind, filters in enumerate((stopped, penalized)):
        for number, (name, (measured, theory)) in enumerate(filters.items()):
            colour = PALETTE[number % len(PALETTE)]
            axes.plot(eigenvalues.numpy(), theory.numpy(), ls=("-", "--")[kind], color=colour, lw=1.4)
            style: dict[str, Any] = {"ls": "", "marker": MARKERS[kind], "ms": 4, "mfc": (colour, "w")[kind]}
            axes.plot(eigenvalues[::3].numpy(), measured[::3].numpy(), color=colour, label=name, **style)
    axes.set_xscale("log")
    label_axes(axes, "Marks: runs; lines: theory", "curvature λ of the direction", "share of the minimum")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def ways_figure(x: Tensor, losses: Mapping[str, Tensor], label: str) -> Figure:
    """Validation losses (seed, x) of several ways over a logarithmic x: means with bands, crosses at the lowest."""
    figure = new_figure(6.8, 2.8)
    axes = figure.subplots()
    for number, (name, values) in enumerate(losses.items()):
        _band(axes, values, name, number, x)
        lowest = int(values.mean(0).argmin())
        axes.plot(float(x[lowest]), float(values.mean(0)[lowest]), "+", color="0.1", ms=9, mew=1.6, zorder=5)
    axes.set_xscale("log")
    label_axes(axes, "Validation loss", label, "loss")
    axes.legend(fontsize=8, frameon=False)
    return figure
