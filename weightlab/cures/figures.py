"""Static figures of gradients layer by layer or time step by time step, several networks beside one another."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from torch import Tensor

from weightlab.pictures.style import THEORY, Still, draw_magnitudes, label_axes, new_figure, to_still

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
            draw_magnitudes(axes, magnitudes, name, number)
            expected = (theory or {}).get(title, {}).get(name)
            if expected is not None:
                axes.plot(range(1, len(expected) + 1), expected.numpy(), **{**THEORY, "ms": 2.5})
        label_axes(axes, title, place, "norm of the gradient")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0.0, -0.18), ncols=2)
    return figure
