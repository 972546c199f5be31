"""What a descent panel shows: paths over a landscape, two views beside them, and theory beside measurement in words.

Drawn for a whole fan at once, so that what a drag shows is what the run itself would have shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.fan import DescentFan, fan_of_one
from weightlab.descent.landscapes import LANDSCAPES, Landscape
from weightlab.descent.measurements import loss_by_direction
from weightlab.descent.record import DescentRecord
from weightlab.descent.sweep import measured_rate
from weightlab.pictures.picture import Axis, Backdrop, Bowl, Picture, Reference, TableBuilder, View
from weightlab.rules.update_rules import OptimizerSettings
from weightlab.stage.panel import Row, row, verdict
from weightlab.theory import quadratic as theory


def descent_picture(
    experiment: DescentExperiment,
    record: DescentRecord,
    backdrop: Backdrop | Bowl,
    right: tuple[str, str],
    *,
    arrows: bool = False,
    earlier: Sequence[tuple[DescentExperiment, DescentRecord]] = (),
) -> Picture:
    """The picture of a record: paths over the landscape, and two of SIDE_VIEWS beside it.

    earlier: runs of the same rules and steps that this one branched off, dashed.
    """
    land = experiment.landscape
    trunks = [fan_of_one(*one) for one in earlier]
    views, table = fan_tables(fan_of_one(experiment, record), backdrop, right, arrows=arrows, trunks=trunks)
    minima = np.array(land.minima, dtype=np.float64).reshape(-1, 2)
    references = (Reference("plane", "points", "minimum", minima),) if len(minima) else ()
    return Picture(
        views,
        table.table,
        np.arange(record.steps + 1, dtype=np.float32),
        tuple(table.series),
        references,
        widths=(1.15, 1.0),
        summary=descent_summary(experiment, record),
    )


def fan_tables(
    fan: DescentFan,
    backdrop: Backdrop | Bowl,
    right: tuple[str, str],
    *,
    arrows: bool = False,
    trunks: Sequence[DescentFan] = (),
) -> tuple[tuple[View, ...], TableBuilder]:
    """The views and, position by position, the tables of a fan; titles and names are those of its first position."""
    land = fan.experiments[0].landscape
    table = TableBuilder(fan.steps + 1, len(fan))
    plane = View(
        "plane",
        _title(land),
        Axis("w₁", limits=land.bounds[0]),
        Axis("w₂", limits=land.bounds[1]),
        (0, 0, 1, 2),
        backdrop,
        pad=("start_x", "start_y"),
    )
    views = [plane]
    runs = (*trunks, fan)  # the newest last, on top
    for run, i, label, style in _lines(runs):
        table.add("plane", "path", label, run.weights[:, i].numpy(), **style)
    for place, name in enumerate(right):
        views.append(_SIDE[name](table, runs, (1, place, 1, 1)))
    if arrows:
        _add_arrows(table, fan)
    return tuple(views), table


class _Line(NamedTuple):
    """One learner of one run, as it is drawn."""

    run: DescentFan
    learner: int
    name: str
    style: dict[str, Any]


def _lines(runs: Sequence[DescentFan]) -> Iterator[_Line]:
    """All learners of all runs, of which all but the last are earlier ones; what did not change is drawn once."""
    later = [[_history(run.experiments[0], i) for i in range(len(run.labels))] for run in runs]
    for back, run in reversed(list(enumerate(reversed(runs)))):
        here = later.pop(0)
        for i, name in enumerate(run.labels):
            if any(here[i] == histories[i] for histories in later):
                continue
            yield _Line(run, i, name, {"colour": i + back * len(run.labels), "dashed": back > 0})


def _history(experiment: DescentExperiment, learner: int) -> list[tuple[int, OptimizerSettings]]:
    """From which step on this learner had which settings."""
    turns = [(0, experiment.optimizers[learner])]
    for step, optimizers in experiment.changes:
        if optimizers[learner] != turns[-1][1]:
            turns.append((step, optimizers[learner]))
    return turns


def _title(land: Landscape) -> str:
    return LANDSCAPES[land.name].label if land.name in LANDSCAPES and land.source is None else land.name


def _height(experiment: DescentExperiment) -> tuple[str, float]:
    """What the loss axis shows: the height above the known minimum, where there is one."""
    lowest = experiment.landscape.minimum_loss
    return ("loss", 0.0) if lowest is None else ("loss − minimum", lowest * experiment.loss_scale)


def loss_heights(fan: DescentFan) -> Tensor:
    """What the loss view draws, (steps + 1, learner, position)."""
    lowest = fan.experiments[0].landscape.minimum_loss
    if not lowest:  # zero at every scale, as a minimum's loss is on all quadratics
        return fan.losses
    return fan.losses - lowest * torch.tensor([one.loss_scale for one in fan.experiments], dtype=torch.float64)


def _loss_view(table: TableBuilder, runs: Sequence[DescentFan], cell: Any) -> View:
    for run, i, name, style in _lines(runs):
        table.add("loss", "curve", name, loss_heights(run)[:, i].numpy(), **style)
    positive = all(bool((torch.nan_to_num(loss_heights(run), nan=1.0) >= 0).all()) for run in runs)
    label, _ = _height(runs[-1].experiments[0])
    return View("loss", "Loss", Axis("step"), Axis(label, "log" if positive else "linear"), cell)


def _gradient_view(table: TableBuilder, runs: Sequence[DescentFan], cell: Any) -> View:
    for run, i, name, style in _lines(runs):
        lengths = torch.linalg.vector_norm(run.gradients[:, i], dim=-1)
        table.add("gradient", "curve", name, lengths.numpy(), **style)
    return View("gradient", "Gradient magnitude", Axis("step"), Axis("|g|", "log"), cell)


def _directions_view(table: TableBuilder, runs: Sequence[DescentFan], cell: Any) -> View:
    fan = runs[-1]  # one run has two directions already
    land = fan.experiments[0].landscape
    parts = loss_by_direction(fan.weights[:, 0], land)
    for k, value in enumerate(land.eigenvalues or ()):
        table.add("directions", "curve", f"direction with λ = {value:.3g}", parts[..., k].numpy(), colour=4 + k)
    return View("directions", f"Loss by direction ({fan.labels[0]})", Axis("step"), Axis("½·λ·c²", "log"), cell)


def _phase_view(table: TableBuilder, runs: Sequence[DescentFan], cell: Any) -> View:
    """Position against velocity along the flattest direction of a quadratic, else along w₁."""
    land = runs[-1].experiments[0].landscape
    axis = torch.tensor([1.0, 0.0], dtype=torch.float64) if land.eigenvectors is None else land.eigenvectors[:, 0]
    target = torch.tensor(land.minima[0] if len(land.minima) else (0.0, 0.0), dtype=torch.float64)
    for run, i, name, style in _lines(runs):
        place = (run.weights[:, i] - target) @ axis
        velocity = torch.cat([torch.zeros_like(place[:1]), place.diff(dim=0)])
        table.add("phase", "path", name, torch.stack([place, velocity], dim=-1).numpy(), **style)
    return View("phase", "Phase portrait", Axis("position, flattest direction"), Axis("change per step"), cell)


_SIDE: dict[str, Callable[..., View]] = {
    "loss": _loss_view,
    "gradient": _gradient_view,
    "directions": _directions_view,
    "phase": _phase_view,
}
SIDE_VIEWS = tuple(_SIDE)


def _gradient_share(settings: OptimizerSettings) -> float | None:
    """How much of a step is −ηg of the present gradient: the rest was carried over. None where no such split exists."""
    share = settings.entry.gradient_share if settings.entry is not None else None
    return None if share is None else share(settings.settings)


def _shares(experiment: DescentExperiment, learner: int) -> Tensor:
    """`_gradient_share` at every step and after the last one, (steps + 1,)."""
    shares = torch.empty(experiment.steps + 1, dtype=torch.float64)
    for since, optimizers in ((0, experiment.optimizers), *experiment.changes):
        split = _gradient_share(optimizers[learner])
        shares[since:] = 1.0 if split is None else split
    return shares


def _add_arrows(table: TableBuilder, fan: DescentFan) -> None:
    """For the last rule drawn: its gradient's part of the step, what was carried over, and the step they add up to."""
    i = len(fan.labels) - 1
    chosen = [experiment.optimizers[i] for experiment in fan.experiments]
    weights, rates = fan.weights[:, i], fan.learning_rates[:, i]
    steps = torch.cat([weights.diff(dim=0), torch.full_like(weights[:1], torch.nan)])
    rates = torch.cat([rates, rates[-1:]])
    splits = [_gradient_share(settings) for settings in chosen]
    share = torch.stack([_shares(experiment, i) for experiment in fan.experiments], dim=-1)
    from_gradient = -(rates * share)[..., None] * fan.gradients[:, i]
    arrows = [("gradient step −ηg", from_gradient, 3), ("step", steps, 5)]
    if splits[0] is not None and "momentum" in chosen[0].settings:
        arrows.insert(1, ("carried velocity", steps - from_gradient, 4))
    if chosen[0].entry is not None and chosen[0].entry.looks_ahead:
        # the stage magnifies arrows; the point itself is drawn where it is
        table.add("plane", "path", "look-ahead point", fan.gradient_points[:, i].numpy(), colour=6)
        arrows.append(("look-ahead", fan.gradient_points[:, i] - weights, 6))
    for name, vector, colour in arrows:
        ends = torch.cat([weights, vector], dim=-1).numpy()
        table.add("plane", "arrow", name, ends, colour=colour, dashed=name == "look-ahead")


def descent_summary(experiment: DescentExperiment, record: DescentRecord) -> str:
    """The picture in words."""
    label, base = _height(experiment)
    parts = []
    for i, name in enumerate(record.labels):
        finite = record.losses[:, i][torch.isfinite(record.losses[:, i])]
        ends = [f"{float(finite[at] - base):.3g}" for at in (0, -1)] if len(finite) else []
        parts.append(f"{name}: {label} from {' to '.join(ends)}" if ends else f"{name}: {label} beyond all numbers")
    return f"{_title(experiment.landscape)}, {record.steps} steps. " + "; ".join(parts) + "."


def predicted_rate(settings: OptimizerSettings, eigenvalues: tuple[float, float]) -> float | None:
    """Theory's asymptotic factor per step on a quadratic; None for rules it does not cover."""
    if settings.theory is None:
        return None
    momentum = settings.settings.get("momentum", 0.0)
    return float(theory.convergence_rate(settings.theory, settings.learning_rate, momentum, eigenvalues))


def stable_limit(settings: OptimizerSettings, largest: float) -> float | None:
    """Theory's largest stable learning rate at the largest eigenvalue; None for rules it does not cover."""
    if settings.theory is None or largest <= 0:
        return None
    return float(theory.learning_rate_limit(settings.theory, settings.settings.get("momentum", 0.0), largest))


def _since_the_last_change(experiment: DescentExperiment, record: DescentRecord) -> DescentRecord:
    since = max((step for step, _ in experiment.changes if step <= record.steps), default=0)
    if since == 0:
        return record
    rows = ("weights", "losses", "gradients", "gradient_points", "learning_rates")
    return replace(record, **{name: getattr(record, name)[since:] for name in rows})


def descent_reading(experiment: DescentExperiment, record: DescentRecord) -> list[Row]:
    """Theory beside measurement, one line a rule where theory covers it, and how the runs ended, in words."""
    land = experiment.landscape
    last = _since_the_last_change(experiment, record)
    rates = measured_rate(last, land.minima[0]) if land.minima else torch.full((len(record.labels),), math.nan)
    rows: list[Row] = []
    for i, (settings, name) in enumerate(zip(experiment.optimizers_at(record.steps), record.labels, strict=True)):
        if land.eigenvalues is None or land.gradient_noise > 0:
            break
        low, high = (experiment.loss_scale * value for value in land.eigenvalues)
        rate, limit = predicted_rate(settings, (low, high)), stable_limit(settings, high)
        if rate is not None and limit is not None:
            measured = float(rates[i])
            found = f"× {measured:.4f} a step" if math.isfinite(measured) else "too few steps"
            edge = f"; diverges beyond η = {limit:.4g}" if math.isfinite(limit) else ""
            expected = f"× {rate:.4f} a step" if math.isfinite(rate) else "grows beyond all numbers"
            rows.append(row(f"{name}: error", expected + edge, found))
    ended = [record.status(i) for i in range(len(record.labels))]
    told = [status for status in ended if status.kind == "diverged"] if len(ended) > 1 else ended
    return rows + [verdict(status.message) for status in told]
