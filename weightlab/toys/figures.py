"""Toys as static figures: steps as sums, look-ahead points, the (learning rate, momentum) plane, races."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from weightlab.descent.measurements import RateMap
from weightlab.descent.record import DescentRecord
from weightlab.pictures.style import DASHES, MARKERS, PALETTE, _label, draw_arrows, label_axes, lines_figure, new_figure
from weightlab.rules.update_rules import UPDATE_RULES
from weightlab.theory import quadratic as theory
from weightlab.toys.races import RaceRecord


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


def _closed_form(measured: RateMap) -> str:
    return UPDATE_RULES[measured.rule].theory or measured.rule  # which theory then refuses by name


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
    regimes = theory.regime_codes(_closed_form(measured), across, up[:, None], eigenvalues)
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
        limit = theory.learning_rate_limit(_closed_form(measured), measured.momenta, largest_eigenvalue)
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
