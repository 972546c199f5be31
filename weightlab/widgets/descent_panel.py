"""Toy landscapes: the paths of one or several update rules, with loss and gradient magnitude beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from weightlab import theory
from weightlab.descent import descend, measured_rate
from weightlab.experiments import DescentExperiment
from weightlab.landscapes import LANDSCAPES, Landscape, landscape
from weightlab.measurements import loss_by_direction
from weightlab.pictures import Axis, Picture, Reference, TableBuilder, View
from weightlab.plots import contour_backdrop
from weightlab.records import DescentRecord
from weightlab.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.validate import choose
from weightlab.widgets.controls import Choice, Control, Question, Slider, Toggle, linear, logarithmic
from weightlab.widgets.panel import Panel, Row, row, verdict
from weightlab.widgets.settings_map import SettingsMap

SIDE_VIEWS = ("loss", "gradient", "directions", "phase")
LEARNING_RATES = logarithmic(1e-4, 10.0, 101)
MOMENTA = (*linear(0.0, 0.9, 46), *linear(0.905, 0.99, 18), 0.995, 0.999)
_POSITIONS = {
    "condition_number": logarithmic(1.0, 1000.0, 61),
    "angle": linear(0.0, 90.0, 46),
    "noise": linear(0.0, 5.0, 51),
    "steps": (*range(10, 100, 10), *range(100, 1001, 25)),
    "loss_scale": logarithmic(1e-3, 1e3, 25),
}


class DescentPanel(Panel):
    """Rules on a landscape: paths on the left, two views of the run on the right.

    landscape: a name in LANDSCAPES or a Landscape (your own too). rules: names in UPDATE_RULES, drawn in this order.
    right: two of SIDE_VIEWS ("directions" needs a quadratic). choose_landscape: offer all of them. arrows: offer to
    show gradient step, carried velocity and their sum, for the last rule. settings_map: put the measured (η, μ) plane
    of the last rule beside the landscape, where a drag sets both (quadratics, rules with momentum). positions: the
    values at which a slider stops, by the setting's name, instead of the usual ones. own_rates: a learning rate for
    each rule (learning_rate_adam, …) instead of one for all. loss_scale: offer to multiply the loss. Values of the
    controls (learning_rate, momentum, condition_number, start_x, …) may be given by name.
    """

    def __init__(
        self,
        landscape: str | Landscape = "rotated_quadratic",
        rules: Sequence[str] = ("gradient_descent",),
        *,
        right: tuple[str, str] = ("loss", "gradient"),
        choose_landscape: bool = False,
        arrows: bool | None = None,
        settings_map: bool = False,
        positions: Mapping[str, Sequence[float]] | None = None,
        own_rates: bool = False,
        loss_scale: float | None = None,
        questions: Sequence[Question] = (),
        title: str = "Descent",
        **values: float,
    ) -> None:
        for view in right:
            choose("view", view, SIDE_VIEWS)
        self._rules = tuple(choose("update rule", rule, UPDATE_RULES) for rule in rules)
        if not self._rules:
            raise ValueError(
                f"rules must name at least one update rule, got none; choose from {', '.join(UPDATE_RULES)}"
            )
        self._right = right
        self._own = landscape if isinstance(landscape, Landscape) else None
        self._backdrops: dict[Landscape, Any] = {}
        self._map = SettingsMap(self._rules[-1]) if settings_map else None
        if settings_map and not _shares_momentum(self._rules[-1]):
            raise ValueError(
                f"settings_map needs a rule with momentum, {self._rules[-1]!r} has none; name 'momentum' last"
            )
        if settings_map and own_rates:
            raise ValueError("settings_map sets one learning rate for all rules, got own_rates=True; leave one out")
        self._own_rates = own_rates
        name = self._own.name if self._own else choose("landscape", landscape, LANDSCAPES)
        controls, defaults = self._build_controls(name, choose_landscape, arrows, loss_scale)
        for given in (*values, *(positions or {})):
            choose("setting", given, defaults)
        controls = [_repositioned(control, positions or {}) for control in controls]
        super().__init__(controls, {**defaults, **values}, title=title, questions=questions)

    def _build_controls(
        self, name: str, choose_landscape: bool, arrows: bool | None, loss_scale: float | None
    ) -> tuple[list[Control], dict[str, Any]]:
        controls: list[Control] = []
        values: dict[str, Any] = {}

        def add(control: Control, value: Any) -> None:
            controls.append(control)
            values[control.name] = value

        names = list(LANDSCAPES) if choose_landscape and self._own is None else [name]
        if len(names) > 1:
            add(Choice("landscape", "Landscape", tuple((n, LANDSCAPES[n].label) for n in names)), name)
        rates = {"learning_rate": "Learning rate η"}
        if self._own_rates:
            rates = {f"learning_rate_{rule}": f"η of {UPDATE_RULES[rule].label}" for rule in self._rules}
        for rate, label in rates.items():
            add(Slider(rate, label, LEARNING_RATES, "size of each step"), 0.02)
        if any(_shares_momentum(rule) for rule in self._rules):
            add(Slider("momentum", "Momentum μ", MOMENTA, "share of the last velocity that is kept"), 0.9)
        for setting in dict.fromkeys(s for n in names if n in LANDSCAPES for s in LANDSCAPES[n].settings):
            default, low, high = next(
                LANDSCAPES[n].settings[setting] for n in names if setting in LANDSCAPES[n].settings
            )
            positions = tuple(p for p in _POSITIONS.get(setting, linear(low, high, 51)) if low <= p <= high)
            add(Slider(setting, setting.replace("_", " ").capitalize(), positions), default)
        if loss_scale is not None:
            add(Slider("loss_scale", "Loss times", _POSITIONS["loss_scale"], "multiplies every gradient"), loss_scale)
        add(Slider("steps", "Steps", _POSITIONS["steps"]), 100)
        start = self._landscape_for({**values, "landscape": name})
        (x0, x1), (y0, y1) = start.bounds
        add(Slider("start_x", "Start w₁", linear(x0, x1, 81), "or click on the landscape"), start.start[0])
        add(Slider("start_y", "Start w₂", linear(y0, y1, 81), "or click on the landscape"), start.start[1])
        if arrows is not None:
            add(Toggle("arrows", "Show arrows: gradient step, carried velocity, their sum"), arrows)
        self._first_name = name
        return controls, values

    def _landscape_for(self, values: Mapping[str, Any]) -> Landscape:
        if self._own is not None:
            return self._own
        name = values.get("landscape", self.__dict__.get("_first_name", ""))
        return landscape(name, **{s: values[s] for s in LANDSCAPES[name].settings if s in values})

    def _optimizers(self, values: Mapping[str, Any]) -> tuple[OptimizerSettings, ...]:
        chosen = []
        for rule in self._rules:
            settings = {"learning_rate": values[f"learning_rate_{rule}" if self._own_rates else "learning_rate"]}
            if _shares_momentum(rule):
                settings["momentum"] = values["momentum"]
            chosen.append(optimizer(rule, **settings))
        return tuple(chosen)

    def _apply(self, values: dict[str, Any], seq: int | None) -> None:
        land = self._landscape_for(values)
        if self.experiment is not None and self.experiment.landscape.name != land.name:
            values["start_x"], values["start_y"] = land.start
            self._respan_start(land)
        experiment = DescentExperiment(
            land,
            self._optimizers(values),
            start=(values["start_x"], values["start_y"]),
            steps=int(values["steps"]),
            loss_scale=values.get("loss_scale", 1.0),
        )
        record = descend(experiment)
        picture = self._draw(experiment, record, bool(values.get("arrows", False)))
        self.experiment, self.record = experiment, record
        self._publish(values, picture, descent_reading(experiment, record), seq)

    def _unused(self, values: dict[str, Any]) -> list[str]:
        if "landscape" not in values:
            return []
        return sorted(
            {s for entry in LANDSCAPES.values() for s in entry.settings} - set(LANDSCAPES[values["landscape"]].settings)
        )

    def _respan_start(self, land: Landscape) -> None:
        for name, (low, high) in zip(("start_x", "start_y"), land.bounds, strict=True):
            old = self._controls[name]
            assert isinstance(old, Slider)
            self._controls[name] = Slider(name, old.label, linear(low, high, 81), old.help)
        self.controls = [control.spec() for control in self._controls.values()]

    def _draw(self, experiment: DescentExperiment, record: DescentRecord, arrows: bool) -> Picture:
        if experiment.landscape not in self._backdrops:
            if len(self._backdrops) > 12:
                self._backdrops.pop(next(iter(self._backdrops)))
            self._backdrops[experiment.landscape] = contour_backdrop(experiment.landscape)
        backdrop = self._backdrops[experiment.landscape]
        picture = descent_picture(experiment, record, backdrop, self._right, arrows=arrows)
        if self._map is None or experiment.landscape.eigenvalues is None:
            return picture
        moved = tuple(replace(view, cell=(view.cell[0] + 1, *view.cell[1:])) for view in picture.views)
        plane = self._map.view(experiment.landscape, (0, 0, 1, 2))
        return replace(
            picture,
            views=(plane, *moved),
            references=(*self._map.references(), *picture.references),
            widths=(1.0, 1.0, 0.9),
            chosen=(("settings", experiment.optimizers[-1].learning_rate, experiment.optimizers[-1].momentum),),
        )


def _shares_momentum(rule: str) -> bool:
    """Whether the momentum control is this rule's; RMSprop's own stays off, as in torch.optim."""
    return "momentum" in UPDATE_RULES[rule].defaults and rule in theory.RECURRENCES


def _repositioned(control: Control, positions: Mapping[str, Sequence[float]]) -> Control:
    if control.name in positions and isinstance(control, Slider):
        return replace(control, positions=tuple(positions[control.name]))
    return control


def descent_picture(
    experiment: DescentExperiment, record: DescentRecord, backdrop: Any, right: tuple[str, str], *, arrows: bool = False
) -> Picture:
    """The picture of a record: paths over the landscape, and two views beside it."""
    land = experiment.landscape
    table = TableBuilder(record.steps + 1)
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
    for i, label in enumerate(record.labels):
        table.add("plane", "path", label, record.weights[:, i].numpy(), colour=i)
    for place, name in enumerate(right):
        views.append(_SIDE[name](table, experiment, record, (1, place, 1, 1)))
    if arrows:
        _add_arrows(table, experiment, record)
    minima = np.array(land.minima, dtype=np.float64).reshape(-1, 2)
    references = (Reference("plane", "points", "minimum", minima),) if len(minima) else ()
    return Picture(
        tuple(views),
        table.table,
        np.arange(record.steps + 1, dtype=np.float32),
        tuple(table.series),
        references,
        widths=(1.15, 1.0),
        summary=descent_summary(experiment, record),
    )


def _title(land: Landscape) -> str:
    return LANDSCAPES[land.name].label if land.name in LANDSCAPES and land.source is None else land.name


def _height(experiment: DescentExperiment) -> tuple[str, float]:
    """What the loss axis shows: the height above the known minimum, where there is one."""
    land = experiment.landscape
    lowest = land.minimum_loss
    return ("loss", 0.0) if lowest is None else ("loss − minimum", lowest * experiment.loss_scale)


def _loss_view(table: TableBuilder, experiment: DescentExperiment, record: DescentRecord, cell: Any) -> View:
    label, base = _height(experiment)
    losses = record.losses - base
    for i, name in enumerate(record.labels):
        table.add("loss", "curve", name, losses[:, i].numpy(), colour=i)
    positive = bool((torch.nan_to_num(losses, nan=1.0) >= 0).all())
    return View("loss", "Loss", Axis("step"), Axis(label, "log" if positive else "linear"), cell)


def _gradient_view(table: TableBuilder, experiment: DescentExperiment, record: DescentRecord, cell: Any) -> View:
    for i, name in enumerate(record.labels):
        table.add("gradient", "curve", name, record.gradient_norms[:, i].numpy(), colour=i)
    return View("gradient", "Gradient magnitude", Axis("step"), Axis("|g|", "log"), cell)


def _directions_view(table: TableBuilder, experiment: DescentExperiment, record: DescentRecord, cell: Any) -> View:
    land = experiment.landscape
    parts = loss_by_direction(record, land, 0)
    for k, value in enumerate(land.eigenvalues or ()):
        table.add("directions", "curve", f"direction with λ = {value:.3g}", parts[:, k].numpy(), colour=4 + k)
    return View("directions", f"Loss by direction ({record.labels[0]})", Axis("step"), Axis("½·λ·c²", "log"), cell)


def _phase_view(table: TableBuilder, experiment: DescentExperiment, record: DescentRecord, cell: Any) -> View:
    """Position against velocity along the flattest direction of a quadratic, else along w₁."""
    land = experiment.landscape
    axis = torch.tensor([1.0, 0.0], dtype=torch.float64) if land.eigenvectors is None else land.eigenvectors[:, 0]
    target = torch.tensor(land.minima[0] if len(land.minima) else (0.0, 0.0), dtype=torch.float64)
    for i, name in enumerate(record.labels):
        position = (record.weights[:, i] - target) @ axis
        velocity = torch.cat([torch.zeros(1, dtype=torch.float64), position.diff()])
        table.add("phase", "path", name, torch.stack([position, velocity], dim=1).numpy(), colour=i)
    return View("phase", "Phase portrait", Axis("position, flattest direction"), Axis("change per step"), cell)


_SIDE: dict[str, Callable[..., View]] = {
    "loss": _loss_view,
    "gradient": _gradient_view,
    "directions": _directions_view,
    "phase": _phase_view,
}


def _gradient_share(settings: OptimizerSettings) -> float | None:
    """How much of a step is −ηg of the present gradient: the rest was carried over. None where no such split exists."""
    if settings.rule not in theory.RECURRENCES:
        return None
    momentum = settings.settings.get("momentum", 0.0)
    return {"averaged_momentum": 1 - momentum, "nesterov": 1 + momentum}.get(str(settings.rule), 1.0)


def _add_arrows(table: TableBuilder, experiment: DescentExperiment, record: DescentRecord) -> None:
    """For the last rule drawn: its gradient's part of the step, what was carried over, and the step they add up to."""
    i = len(record.labels) - 1
    settings = experiment.optimizers[i]
    steps = torch.cat([record.steps_taken[:, i], torch.full((1, 2), torch.nan, dtype=torch.float64)])
    rates = torch.cat([record.learning_rates[:, i], record.learning_rates[-1:, i]])
    share = _gradient_share(settings)
    from_gradient = -rates[:, None] * record.gradients[:, i] * (1.0 if share is None else share)
    arrows = [("gradient step −ηg", from_gradient, 3), ("step", steps, 5)]
    if share is not None and "momentum" in settings.settings:
        arrows.insert(1, ("carried velocity", steps - from_gradient, 4))
    if settings.rule == "sutskever_nesterov":
        # the stage magnifies arrows; the point itself is drawn where it is
        table.add("plane", "path", "look-ahead point", record.gradient_points[:, i].numpy(), colour=6)
        arrows.append(("look-ahead", record.gradient_points[:, i] - record.weights[:, i], 6))
    for name, vector, colour in arrows:
        ends = torch.cat([record.weights[:, i], vector], dim=1).numpy()
        table.add("plane", "arrow", name, ends, colour=colour, dashed=name == "look-ahead")


def descent_summary(experiment: DescentExperiment, record: DescentRecord) -> str:
    """The picture in words."""
    label, base = _height(experiment)
    parts = []
    for i, name in enumerate(record.labels):
        finite = record.losses[:, i][torch.isfinite(record.losses[:, i])]
        parts.append(f"{name}: {label} from {float(finite[0] - base):.3g} to {float(finite[-1] - base):.3g}")
    return f"{_title(experiment.landscape)}, {record.steps} steps. " + "; ".join(parts) + "."


def predicted_rate(settings: OptimizerSettings, eigenvalues: tuple[float, float]) -> float | None:
    """Theory's asymptotic factor per step on a quadratic; None for rules it does not cover."""
    if not isinstance(settings.rule, str) or settings.rule not in theory.RECURRENCES:
        return None
    momentum = settings.settings.get("momentum", 0.0)
    return float(theory.convergence_rate(settings.rule, settings.learning_rate, momentum, eigenvalues))


def stable_limit(settings: OptimizerSettings, largest: float) -> float | None:
    """Theory's largest stable learning rate at the largest eigenvalue; None for rules it does not cover."""
    if not isinstance(settings.rule, str) or settings.rule not in theory.RECURRENCES or largest <= 0:
        return None
    return float(theory.learning_rate_limit(settings.rule, settings.settings.get("momentum", 0.0), largest))


def descent_reading(experiment: DescentExperiment, record: DescentRecord) -> list[Row]:
    """Theory beside measurement, one line a rule where theory covers it, and how the runs ended, in words."""
    land = experiment.landscape
    rates = measured_rate(record, land.minima[0]) if land.minima else torch.full((len(record.labels),), math.nan)
    rows: list[Row] = []
    for i, (settings, name) in enumerate(zip(experiment.optimizers, record.labels, strict=True)):
        if land.eigenvalues is None or land.gradient_noise > 0:
            break
        low, high = (experiment.loss_scale * value for value in land.eigenvalues)
        rate, limit = predicted_rate(settings, (low, high)), stable_limit(settings, high)
        if rate is not None and limit is not None:
            measured = float(rates[i])
            found = f"× {measured:.4f} a step" if math.isfinite(measured) else "too few steps"
            rows.append(row(f"{name}: error", f"× {rate:.4f} a step; diverges beyond η = {limit:.4g}", found))
    ended = [record.status(i) for i in range(len(record.labels))]
    told = [status for status in ended if status.kind == "diverged"] if len(ended) > 1 else ended
    return rows + [verdict(status.message) for status in told]
