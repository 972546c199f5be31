"""Static figures of gradients layer by layer or time step by time step, several networks beside one another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from torch import Tensor

from weightlab.pictures.style import DASHES, PALETTE, Still, label_axes, new_figure, to_still

Curves = Mapping[str, Tensor]  # name -> magnitudes (seed, place)


def gradients_still(
    panels: Mapping[str, Curves],
    alt: str,
    *,
    place: str = "layer",
    theory: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> Still:
    """`gradients_figure`, rendered; `alt` says in words what it shows."""
    return to_still(gradients_figure(panels, place=place, theory=theory), alt)


def gradients_figure(
    panels: Mapping[str, Curves],
    *,
    place: str = "layer",
    theory: Mapping[str, Mapping[str, Tensor]] | None = None,
) -> Figure:
    """One set of axes a panel (its title), one line a network: mean of the logarithms over seeds, band one deviation.

    theory: panel -> network -> (place,), drawn as dots over the line of the same name. Zero leaves a gap.
    """
    figure = new_figure(8.4, 3.5)
    every = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, curves) in zip(every, panels.items(), strict=True):
        for number, (name, magnitudes) in enumerate(curves.items()):
            _draw(axes, magnitudes, name, number, (theory or {}).get(title, {}).get(name))
        label_axes(axes, title, place, "norm of the gradient")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.18), ncols=2)
    return figure


def _draw(axes: Axes, magnitudes: Tensor, name: str, number: int, theory: Tensor | None) -> None:
    logs = torch.where(magnitudes > 0, magnitudes.double(), torch.nan).log().numpy()
    places = np.arange(1, logs.shape[1] + 1)
    middle, spread = logs.mean(axis=0), logs.std(axis=0)
    colour = PALETTE[number % len(PALETTE)]
    axes.plot(places, np.exp(middle), ls=DASHES[number % len(DASHES)], color=colour, lw=1.8, label=name)
    axes.fill_between(places, np.exp(middle - spread), np.exp(middle + spread), color=colour, alpha=0.18, lw=0)
    if theory is not None:
        axes.plot(places, theory.numpy(), ls="", marker=".", color="0.1", ms=2.5, zorder=5)
