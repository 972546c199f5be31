"""Toy landscapes: the paths of one or several update rules, with loss and gradient magnitude beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from weightlab.descent.experiment import MAX_DESCENT_STEPS, DescentExperiment
from weightlab.descent.fan import DescentFan
from weightlab.descent.landscapes import LANDSCAPES, Landscape, landscape
from weightlab.descent.record import DescentRecord
from weightlab.descent.run import descend, descend_all
from weightlab.pictures.contours import contour_backdrop
from weightlab.pictures.picture import Backdrop, Bowl, Picture
from weightlab.programs.experiments import program_of
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.stage.controls import Choice, Control, Question, Slider, Toggle, linear, logarithmic
from weightlab.stage.fan import MOST_NUMBERS, Fan, Words
from weightlab.stage.panel import Panel
from weightlab.stage.take_home import is_panel_text
from weightlab.texts.experiments import from_text, to_text
from weightlab.toys.picture import (
    SIDE_VIEWS,
    descent_picture,
    descent_reading,
    descent_summary,
    fan_tables,
    loss_heights,
)
from weightlab.toys.settings import START, control_values, peculiar_rules, rule_name, shares_momentum
from weightlab.toys.settings_map import SettingsMap
from weightlab.validate import choose, whole_number

MOST_STEPS = 10_000  # some seconds with every view
MOST_EARLIER = 3  # lines that stay on the picture
Segments = tuple[tuple[int, tuple[OptimizerSettings, ...]], ...]  # from which step on, which settings
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

    landscape: a name in LANDSCAPES or a Landscape (your own too). rules: names in UPDATE_RULES, drawn in this order, or
    rules of your own: optimizer classes, or what optimizer(…) makes, of which only the learning rate is a control.
    right: two of SIDE_VIEWS ("directions" needs a quadratic). choose_landscape: offer all of them. arrows: offer to
    show gradient step, carried velocity and their sum, for the last rule. settings_map: put the measured (η, μ) plane
    of the last rule beside the landscape, where a drag sets both: rates under theory's lines on quadratics, elsewhere
    the loss at the end; for Adam β₁ and for RMSprop α stand in momentum's place. positions: the values at which a
    slider stops, by the setting's name, instead of the usual ones. own_rates: a learning rate for each rule
    (learning_rate_adam, …) instead of one for all. loss_scale: offer to multiply the loss. Values of the controls
    (learning_rate, momentum, condition_number, start_x, …) may be given by name.
    """

    def __init__(
        self,
        landscape: str | Landscape = "rotated_quadratic",
        rules: Sequence[str | type[torch.optim.Optimizer] | OptimizerSettings] = ("gradient_descent",),
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
        self._own_rules: dict[str, OptimizerSettings] = {}
        self._rules = tuple(self._named(rule) for rule in rules)
        if not self._rules:
            raise ValueError(
                f"rules must name at least one update rule, got none; choose from {', '.join(UPDATE_RULES)}"
            )
        self._right = right
        self._own = landscape if isinstance(landscape, Landscape) else None
        self._backdrops: dict[Landscape, Backdrop | Bowl] = {}
        if settings_map and own_rates:
            raise ValueError("settings_map sets one learning rate for all rules, got own_rates=True; leave one out")
        if settings_map and loss_scale is not None:
            raise ValueError("settings_map measures the loss as it is, got loss_scale as well; leave one out")
        self._map = SettingsMap(self._rules[-1]) if settings_map else None
        self._own_rates = own_rates
        self._trunk: Segments = ()  # of the line that is shown, before its last branch
        self._since = 0  # step from which on the controls' settings hold
        self._earlier: list[Segments] = []  # lines that were shown before
        self._fixed: dict[str, Any] = {}  # what an experiment from a text has that no control sets
        self._peculiar: dict[str, OptimizerSettings] = {}  # rules of it with settings that no control sets
        name = self._own.name if self._own else choose("landscape", landscape, LANDSCAPES)
        controls, defaults = self._build_controls(name, choose_landscape, arrows, loss_scale)
        for given in (*values, *(positions or {})):
            choose("setting", given, defaults)
        controls = [_repositioned(control, positions or {}) for control in controls]
        super().__init__(controls, {**defaults, **values}, title=title, questions=questions)

    def _named(self, rule: str | type[torch.optim.Optimizer] | OptimizerSettings) -> str:
        if isinstance(rule, str):
            return choose("update rule", rule, UPDATE_RULES)
        settings = rule if isinstance(rule, OptimizerSettings) else optimizer(rule)
        name = settings.rule if isinstance(settings.rule, str) else settings.label
        self._own_rules[name] = settings
        return name

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
            labels = {**{rule: one.label for rule, one in UPDATE_RULES.items()}, **{r: r for r in self._own_rules}}
            rates = {f"learning_rate_{rule}": f"η of {labels[rule]}" for rule in self._rules}
        for rate, label in rates.items():
            own = self._own_rules.get(rate.removeprefix("learning_rate_"))
            add(Slider(rate, label, LEARNING_RATES, "size of each step"), own.learning_rate if own else 0.02)
        if any(self._takes_momentum(rule) for rule in self._rules):
            add(Slider("momentum", "Momentum μ", MOMENTA, "share of the last velocity that is kept"), 0.9)
        if self._map is not None and self._map.setting not in values:
            second = self._map.setting
            label = f"{UPDATE_RULES[self._map.rule].label}'s {self._map.symbol}"
            add(Slider(second, label, MOMENTA, "how much of the past an average keeps"), 0.9)
        for setting in dict.fromkeys(s for n in names if n in LANDSCAPES for s in LANDSCAPES[n].settings):
            default, low, high = next(
                LANDSCAPES[n].settings[setting] for n in names if setting in LANDSCAPES[n].settings
            )
            positions = tuple(p for p in _POSITIONS.get(setting, _spread(default, low, high)) if low <= p <= high)
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
            if self._takes_momentum(rule):
                settings["momentum"] = values["momentum"]
            if self._map is not None and rule == self._map.rule:
                settings[self._map.setting] = values[self._map.setting]
            own = self._own_rules.get(rule, self._peculiar.get(rule))
            chosen.append(own.replace(**settings) if own else optimizer(rule, **settings))
        return tuple(chosen)

    def _takes_momentum(self, rule: str) -> bool:
        return rule not in self._own_rules and shares_momentum(rule)

    def _apply(self, values: dict[str, Any], seq: int | None) -> None:
        self._put(self._experiment_for(values), values, seq)

    def _put(self, experiment: DescentExperiment, values: dict[str, Any], seq: int | None) -> None:
        whole_number("steps", experiment.steps, 1, MOST_STEPS, why="longer runs are for weightlab.descent.run.descend")
        record = descend(experiment)
        picture = self._draw(experiment, record, bool(values.get("arrows", False)))
        self._tell()
        if self.experiment is None or experiment.landscape.name != self.experiment.landscape.name:
            self._respan_start(experiment.landscape)
        self.experiment, self.record = experiment, record
        values = {**values, **dict(zip(START, experiment.start or (), strict=True))}
        self._publish(values, picture, descent_reading(experiment, record), seq)

    def _experiment_for(self, values: Mapping[str, Any]) -> DescentExperiment:
        """The experiment that the panel would show; a start that was the landscape's own follows the landscape."""
        land = self._landscape_for(values)
        start = (values["start_x"], values["start_y"])
        old = None if self.experiment is None else self.experiment.landscape
        if old is not None and old != land and (old.name != land.name or start == old.start):
            start = land.start
        return self._experiment_from(land, start, values)

    def _experiment_from(
        self, land: Landscape, start: tuple[float, float] | None, values: Mapping[str, Any]
    ) -> DescentExperiment:
        (_, first), *changes = *self._trunk, (self._since, self._optimizers(values))
        scale, steps = values.get("loss_scale", 1.0), values["steps"]
        return DescentExperiment(
            land, first, start, steps, loss_scale=scale, changes=tuple(changes), **self._fixed
        )

    # ---- as a text -----------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        assert self.experiment is not None
        return to_text(self.experiment)

    @property
    def program(self) -> str:
        assert self.experiment is not None
        return program_of(self.experiment)

    def load(self, text: str, own: Sequence[object] = ()) -> Any:
        if is_panel_text(text):
            return super().load(text)
        classes = [one for one in self._own_rules.values() if not isinstance(one.rule, str)]
        experiment = from_text(text, (*([] if self._own is None else [self._own]), *classes, *own))
        if not isinstance(experiment, DescentExperiment):
            raise ValueError("the text is of a network in training; TrainingPanel.from_text(text) shows it")
        with self._lock:
            before = (self._trunk, self._since, self._earlier, self._fixed, self._peculiar)
            try:
                self._load(experiment)
            except (ValueError, TypeError):
                self._trunk, self._since, self._earlier, self._fixed, self._peculiar = before
                raise
            return self.record

    def _load(self, experiment: DescentExperiment) -> None:
        rules = tuple(rule_name(one) for one in experiment.optimizers)
        land, named = experiment.landscape, ", ".join(one.label for one in experiment.optimizers)
        remedy = "DescentPanel.from_text(text) makes a panel that shows it"
        if rules != self._rules:
            raise ValueError(f"the text is of {named}, this panel shows {', '.join(self._rules)}; {remedy}")
        *trunk, (since, last) = (0, experiment.optimizers), *experiment.changes
        self._trunk, self._since, self._earlier = tuple(trunk), since, []
        self._fixed = {"seed": experiment.seed, "schedule": experiment.schedule}
        self._peculiar = peculiar_rules(last)
        values = {**self.values, **control_values(experiment, last, self.values)}
        found = self._experiment_from(self._landscape_for(values), experiment.start, values)
        if found != experiment or land != found.landscape:
            raise ValueError(f"this panel has no control for all that the text says ({land.name}, {named}); {remedy}")
        self._put(experiment, values, None)

    @classmethod
    def from_text(cls, text: str, own: Sequence[object] = (), **options: Any) -> DescentPanel:
        """A panel that shows a text's experiment; `own` and errors as in `load`, `options` as in the constructor."""
        experiment = from_text(text, own)
        if not isinstance(experiment, DescentExperiment):
            raise ValueError("the text is of a network in training; TrainingPanel.from_text(text) shows it")
        last = experiment.optimizers_at(MAX_DESCENT_STEPS)
        land = experiment.landscape
        rules = [one.rule if isinstance(one.rule, str) else one for one in last]
        if len(set(map(rule_name, last))) < len(last):
            raise ValueError(f"a panel shows each rule once, the text has {', '.join(one.label for one in last)}")
        rates = {one.settings.get("learning_rate") for one in last}
        scale = None if experiment.loss_scale == 1 else experiment.loss_scale
        shown = land.name if land.name in LANDSCAPES and land.source is None else land
        panel = cls(shown, rules, **{"own_rates": len(rates) > 1, "loss_scale": scale} | options)
        panel.load(text, own)
        return panel

    # ---- branches ------------------------------------------------------------------------------------------------

    def _branch(self, step: int, values: dict[str, Any]) -> None:
        assert self.experiment is not None
        steps, before = self.experiment.steps, (self._trunk, self._since, self._earlier)
        if not 1 <= step < steps:
            raise ValueError(
                f"a branch begins at a step from 1 to {steps - 1}, got {step}; go back to where it is to begin"
            )
        here: Segments = (*self._trunk, (self._since, self._optimizers(self.values)))
        self._earlier = [*self._earlier, here][-MOST_EARLIER:]
        self._trunk, self._since = tuple(segment for segment in here if segment[0] < step), step
        try:
            self._apply(values, None)
        except (ValueError, TypeError):
            self._trunk, self._since, self._earlier = before
            raise
        text = f"From step {step} on the controls set a new line; the dashed one is the run until now."
        self.notice = {"kind": "info", "text": text}

    def _join(self) -> None:
        self._trunk, self._since, self._earlier = (), 0, []
        self._apply(dict(self.values), None)

    def _earlier_runs(self, experiment: DescentExperiment) -> list[tuple[DescentExperiment, DescentRecord]]:
        runs = [experiment.replace(optimizers=first, changes=tuple(rest)) for (_, first), *rest in self._earlier]
        return [(run, descend(run)) for run in runs if run != experiment]

    def _may_measure(self) -> bool:
        return not self._earlier

    def _tell(self) -> None:
        self.transport = {"live": False, "state": "idle", "branch": True, "branches": len(self._earlier)}

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

    def _backdrop(self, land: Landscape) -> Backdrop | Bowl:
        if land not in self._backdrops:
            if len(self._backdrops) > 12:
                self._backdrops.pop(next(iter(self._backdrops)))
            self._backdrops[land] = contour_backdrop(land)
        return self._backdrops[land]

    def _draw(self, experiment: DescentExperiment, record: DescentRecord, arrows: bool) -> Picture:
        backdrop = self._backdrop(experiment.landscape)
        earlier = self._earlier_runs(experiment)
        picture = descent_picture(experiment, record, backdrop, self._right, arrows=arrows, earlier=earlier)
        if self._map is None:
            return picture
        moved = tuple(replace(view, cell=(view.cell[0] + 1, *view.cell[1:])) for view in picture.views)
        now = experiment.optimizers_at(experiment.steps)
        plane = self._map.view(experiment.replace(optimizers=now, changes=()), (0, 0, 1, 2))
        last = now[-1]
        return replace(
            picture,
            views=(plane, *moved),
            references=(*self._map.references(experiment.landscape), *picture.references),
            widths=(1.0, 1.0, 0.9),
            chosen=(("settings", last.learning_rate, last.settings[self._map.setting]),),
        )


    def _fan(self, name: str) -> Fan | None:
        control, values = self._controls[name], dict(self.values)
        if not isinstance(control, Slider) or not self._fans_out(name):
            return None
        if name == "steps":
            return self._fan_of_steps(control, values)
        experiments, positions = [], []
        for position in self._nearest(control, values):
            try:
                experiments.append(self._experiment_for({**values, name: position}))
            except ValueError:
                continue  # explained by the kernel when the slider stops there
            positions.append(position)
        if len(experiments) < 2:
            return None
        fan = descend_all(experiments)
        tables, drawn = self._fan_tables(fan)
        places = np.flatnonzero(drawn)
        bowls = None
        if name in experiments[0].landscape.settings:
            backdrops = [contour_backdrop(experiments[place].landscape) for place in places]
            bowls = np.array([bowl.numbers for bowl in backdrops if isinstance(bowl, Bowl)], dtype=np.float32)
        return Fan(
            name, values, tuple(positions[place] for place in places), tables[places],
            np.arange(fan.steps + 1, dtype=np.float32), (fan.steps + 1,) * len(places),
            lambda place: _words(experiments[places[place]], fan.record(places[place])), bowls,
            tuple(dict(zip(START, experiments[place].start or (), strict=True)) for place in places),
        )  # fmt: skip

    def _fan_of_steps(self, control: Slider, values: Mapping[str, Any]) -> Fan:
        """A shorter run is the beginning of a longer one."""
        positions = tuple(position for position in control.positions if position >= 1)
        longest = int(max(positions))
        fan = descend_all([self._experiment_for({**values, "steps": longest})])
        tables, _ = self._fan_tables(fan)

        def words(place: int) -> Words:
            shorter = fan.shortened(int(positions[place]))
            return _words(shorter.experiments[0], shorter.record(0))

        rows = tuple(int(position) + 1 for position in positions)
        return Fan("steps", values, positions, tables, np.arange(longest + 1, dtype=np.float32), rows, words)

    def _fans_out(self, name: str) -> bool:
        """Whether only numbers change with this control: no titles, names, or maps that are measured."""
        if self.experiment is None or not all(isinstance(one.rule, str) for one in self.experiment.optimizers):
            return False
        if self._earlier or self.experiment.changes or self.experiment.schedule.needs_losses:
            return False  # names and earlier lines change too, or the runs cannot go in one pass
        land = self.experiment.landscape
        if self._map is not None and not self._map.shows_rates(land) and name in {*START, "steps"}:
            return False
        if name == "steps":
            return not self.values.get("arrows")  # the last step of a shorter run has no arrow yet
        if name not in land.settings:
            return True
        bowl = isinstance(self._backdrop(land), Bowl)
        return bowl and self._map is None and set(self._right) <= {"loss", "gradient"}

    def _nearest(self, control: Slider, values: Mapping[str, Any]) -> list[float]:
        """As many positions around the present one as a fan may hold."""
        assert self._shown is not None
        present = values[control.name]
        here = min(range(len(control.positions)), key=lambda place: abs(control.positions[place] - present))
        most = max(2, MOST_NUMBERS // (self._shown.table.shape[1] * (int(values["steps"]) + 1)))
        places = sorted(range(len(control.positions)), key=lambda place: abs(place - here))[:most]
        return [control.positions[place] for place in sorted(places)]

    def _fan_tables(self, fan: DescentFan) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The tables, and which of them fit the axes now shown: a loss below zero needs another scale."""
        assert self._shown is not None
        backdrop = self._backdrop(fan.experiments[0].landscape)
        _, table = fan_tables(fan, backdrop, self._right, arrows=bool(self.values.get("arrows")))
        logarithmic = [view.y.scale == "log" for view in self._shown.views if view.name == "loss"]
        positive = (torch.nan_to_num(loss_heights(fan), nan=1.0) >= 0).all(0).all(0).numpy()
        return table.tables, positive == logarithmic[0] if logarithmic else np.ones_like(positive)


def _spread(default: float, low: float, high: float) -> tuple[float, ...]:
    """Positions for a setting of a landscape: whole numbers where its default is one."""
    if not isinstance(default, int):
        return linear(low, high, 51)
    return tuple(range(int(low), int(high) + 1, max(1, int(high - low) // 50)))


def _words(experiment: DescentExperiment, record: DescentRecord) -> Words:
    return descent_reading(experiment, record), descent_summary(experiment, record)


def _repositioned(control: Control, positions: Mapping[str, Sequence[float]]) -> Control:
    if control.name in positions and isinstance(control, Slider):
        return replace(control, positions=tuple(positions[control.name]))
    return control
