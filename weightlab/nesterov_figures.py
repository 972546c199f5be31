"""Nesterov's momentum as static figures: where its gradient is taken, and where it is stable beside other rules."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from weightlab import theory
from weightlab.measurements import RateMap
from weightlab.plots import PALETTE, draw_arrows, label_axes, new_figure
from weightlab.records import DescentRecord
from weightlab.update_rules import UPDATE_RULES

BANDS = torch.linspace(0.5, 1.0, 11).tolist()  # of the factor per step; what is faster shares the first one


def look_ahead_figure(record: DescentRecord, count: int, learner: int = 0) -> Figure:
    """The first `count` steps of a rule that looks ahead: along its velocity, then by the gradient found there."""
    w, points = record.weights[: count + 1, learner], record.gradient_points[:count, learner]
    figure = new_figure(6.4, 3.2)
    axes = figure.subplots()
    axes.plot(*w.T.numpy(), "-o", color=PALETTE[0], lw=1.2, ms=4, label="w")
    axes.plot(*points.T.numpy(), "^", color=PALETTE[6], ms=6, mfc="w", label="look-ahead point w + μv")
    draw_arrows(axes, w[:-1], points - w[:-1], PALETTE[4], "velocity kept, μv")
    draw_arrows(axes, points, w[1:] - points, PALETTE[3], "gradient step −ηg from there")
    label_axes(axes, "", "w₁", "w₂")
    axes.legend(fontsize=8, frameon=False)
    return figure


def planes_figure(maps: Sequence[RateMap], largest_eigenvalue: float) -> Figure:
    """Measured factors per step over the (learning rate, momentum) plane, one rule beside the other.

    maps: over the same learning rates and momenta. Blank where runs diverged; theory's limit of each rule is dashed,
    plain descent's 2/λmax dotted.
    """
    figure = new_figure(7.6, 3.3)
    plots = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
    for axes, measured in zip(plots, maps, strict=True):
        stable = torch.where(measured.rates < 1, measured.rates, torch.nan)
        grid = (measured.learning_rates.numpy(), measured.momenta.numpy(), stable.numpy())
        bands = axes.contourf(*grid, levels=BANDS, cmap="cividis_r", extend="min")
        limit = theory.learning_rate_limit(measured.rule, measured.momenta, largest_eigenvalue)
        axes.plot(torch.as_tensor(limit).numpy(), grid[1], "--", color="0.05", lw=1.4, label="theory: limit")
        plain = theory.gradient_descent_limit(largest_eigenvalue)
        axes.axvline(float(plain), ls=":", color=PALETTE[1], lw=1.6, label="plain descent's limit")
        label_axes(axes, UPDATE_RULES[measured.rule].label, "learning rate η", "")
        axes.set_xlim(0.0, float(measured.learning_rates[-1]))
    plots[0].set_ylabel("momentum μ", fontsize=8)
    plots[-1].legend(fontsize=8, frameon=False, loc="center right")
    bar = figure.colorbar(bands, ax=list(plots))
    bar.set_label("measured factor per step", fontsize=8)
    bar.ax.tick_params(labelsize=7.5)
    return figure
