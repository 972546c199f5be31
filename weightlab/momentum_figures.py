"""What momentum does, as static figures: steps as sums, named lines, the (learning rate, momentum) plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from weightlab import theory
from weightlab.measurements import RateMap
from weightlab.plots import DASHES, MARKERS, PALETTE, draw_arrows, new_figure
from weightlab.records import DescentRecord

Line = tuple[Tensor, Tensor]


def lines_figure(
    lines: Mapping[str, Line], x: str, y: str, *, points: Mapping[str, Line] | None = None, log: bool = False
) -> Figure:
    """Curves by name, each (x values, y values); `points` by the same names are drawn as marks, in the same colour.

    x, y: what the axes say. log: both axes logarithmic.
    """
    figure = new_figure(6.4, 2.7)
    axes = figure.subplots()
    for number, (name, (across, up)) in enumerate(lines.items()):
        colour = PALETTE[number % len(PALETTE)]
        axes.plot(across.numpy(), up.numpy(), ls=DASHES[number % len(DASHES)], color=colour, lw=1.5, label=name)
        if points and name in points:
            axes.plot(*(part.numpy() for part in points[name]), MARKERS[number % len(MARKERS)], color=colour, ms=5)
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    _label(axes, x, y)
    axes.legend(fontsize=8, frameon=False)
    return figure


def step_arrows_figure(record: DescentRecord, count: int, learner: int = 0) -> Figure:
    """The first `count` steps of a run, each the sum of a gradient step -ηg and of what earlier steps carry over."""
    w, steps = record.weights[: count + 1, learner], record.steps_taken[:count, learner]
    from_gradient = -record.learning_rates[:count, learner, None] * record.gradients[:count, learner]
    figure = new_figure(6.4, 3.0)
    axes = figure.subplots()
    axes.plot(*w.T.numpy(), "-o", color=PALETTE[0], lw=1.2, ms=3.5, label="path")
    draw_arrows(axes, w[:-1], from_gradient, PALETTE[3], "gradient step −ηg")
    draw_arrows(axes, w[:-1] + from_gradient, steps - from_gradient, PALETTE[4], "carried velocity")
    _label(axes, "w₁", "w₂")
    axes.legend(fontsize=8, frameon=False)
    return figure


def plane_figure(
    measured: RateMap, eigenvalues: tuple[float, float], words: Mapping[str, tuple[float, float]]
) -> Figure:
    """The measured factor per step over the (learning rate, momentum) plane, theory's borders between regimes black.

    eigenvalues: of the quadratic that was measured. words: what to write on the plane, and the (learning rate,
    momentum) at which it begins.
    """
    figure = new_figure(6.4, 3.4)
    axes = figure.subplots()
    across, up = measured.learning_rates, measured.momenta
    stable = torch.where(measured.rates < 1, measured.rates, torch.nan)
    bands = axes.contourf(across.numpy(), up.numpy(), stable.numpy(), levels=10, cmap="cividis_r")
    across, up = (torch.linspace(float(ends[0]), float(ends[-1]), 800, dtype=torch.float64) for ends in (across, up))
    regimes = theory.regime_codes(measured.rule, across, up[:, None], eigenvalues)
    axes.contour(across.numpy(), up.numpy(), regimes.numpy(), levels=[0.5, 1.5], colors="0.05", linewidths=1.3)
    figure.colorbar(bands, label="measured factor per step")
    for text, place in words.items():
        axes.annotate(
            text, place, fontsize=8, bbox={"boxstyle": "round,pad=0.2", "fc": "w", "ec": "none", "alpha": 0.8}
        )
    _label(axes, "learning rate η", "momentum μ")
    return figure


def phase_figure(paths: Tensor, names: Sequence[str]) -> Figure:
    """Position against change per step of several learners from rest: paths (steps + 1, learner), a name for each."""
    changes = torch.cat([torch.zeros_like(paths[:1]), paths.diff(dim=0)])
    lines = {name: (paths[:, i], changes[:, i]) for i, name in enumerate(names)}
    return lines_figure(lines, "position", "change per step")


def steps_figure(condition_numbers: Tensor, plain: Tensor, momentum: Tensor, share: float = 1e-6) -> Figure:
    """Measured steps to `share` of the first distance, both rules at their best, over lines from their factors."""
    roots = condition_numbers.sqrt()
    counts = {"plain descent": (plain, condition_numbers), "momentum": (momentum, roots)}
    lines = {
        f"{name}, from its factor": (condition_numbers, math.log(share) / ((size - 1) / (size + 1)).log())
        for name, (_, size) in counts.items()
    }
    points = {f"{name}, from its factor": (condition_numbers, steps) for name, (steps, _) in counts.items()}
    axes_say = "condition number κ", f"steps to {share:g} of the distance"
    return lines_figure(lines, *axes_say, points=points, log=True)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
