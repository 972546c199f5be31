"""Toy landscapes: the paths of one or several update rules, with loss and gradient magnitude beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.fan import DescentFan
from weightlab.descent.landscapes import LANDSCAPES, Landscape
from weightlab.descent.landscapes import landscape as make_landscape
from weightlab.descent.record import DescentRecord
from weightlab.descent.run import descend, descend_all
from weightlab.pictures.contours import contour_backdrop
from weightlab.pictures.picture import Backdrop, Bowl, Picture
from weightlab.programs.experiments import program_of
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.stage.controls import Control, Question, Slider, linear
from weightlab.stage.fan import MOST_NUMBERS, Fan, Words
from weightlab.stage.lenses import Setting, put_all, said
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
from weightlab.toys.settings import START, descent_settings, newest
from weightlab.toys.settings_map import SettingsMap
from weightlab.validate import choose

MOST_EARLIER = 3  # lines that stay on the picture


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

    heading = "Descent"

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
        title: str = "",
        **values: float,
    ) -> None:
        for side in right:
            choose("view", side, SIDE_VIEWS)
        if settings_map and own_rates:
            raise ValueError("settings_map sets one learning rate for all rules, got own_rates=True; leave one out")
        if settings_map and loss_scale is not None:
            raise ValueError("settings_map measures the loss as it is, got loss_scale as well; leave one out")
        learners = [_learner(rule) for rule in rules]
        if not learners:
            raise ValueError(
                f"rules must name at least one update rule, got none; choose from {', '.join(UPDATE_RULES)}"
            )
        self._rules = tuple(one.name for one in learners)
        self._given = tuple(rule for rule in rules if not isinstance(rule, str))  # the learner's own
        self._right = right
        self._map = SettingsMap(self._rules[-1]) if settings_map else None
        if not isinstance(landscape, Landscape):
            choose("landscape", landscape, LANDSCAPES)
        land = landscape if isinstance(landscape, Landscape) else make_landscape(landscape)
        self._beginning = DescentExperiment(land, tuple(learners))
        self._settings = descent_settings(
            self._beginning,
            choose_landscape=choose_landscape and land is not landscape,
            keeps_momentum=[not isinstance(rule, str) for rule in rules],
            own_rates=own_rates,
            second=None if self._map is None else (self._map.setting, self._map.symbol),
            loss_scale=loss_scale,
            arrows=arrows,
        )
        for name in positions or {}:
            choose("setting", name, [one.name for one in self._settings])
        self._positions = dict(positions or {})
        self._backdrops: dict[Landscape, Backdrop | Bowl] = {}
        self._earlier: list[DescentExperiment] = []  # lines that were shown before
        super().__init__(questions=questions, title=title, **values)

    def _declared(self) -> list[Setting]:
        return [replace(one, control=_repositioned(one.control, self._positions)) for one in self._settings]

    def _first(self) -> DescentExperiment:
        return self._beginning

    def _apply(self, asked: DescentExperiment, every: dict[str, Any], seq: int | None) -> None:
        record = descend(asked)
        picture = self._draw(asked, record, bool(every.get("arrows")))
        self._tell()
        if self._shown is None or asked.landscape.name != self.asked.landscape.name:
            self._respan_start(asked.landscape)
        self.record = record
        self._publish(asked, every, picture, descent_reading(asked, record), seq)

    # ---- as a text -----------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        return to_text(self.asked)

    @property
    def program(self) -> str:
        return program_of(self.asked)

    def load(self, text: str, own: Sequence[object] = ()) -> Any:
        if is_panel_text(text):
            return super().load(text)
        mine = self.asked.landscape
        experiment = _descent(text, (*([] if mine.source is None else [mine]), *_classes(self._given), *own))
        with self._lock:
            self._load(experiment)
            return self.record

    def _load(self, experiment: DescentExperiment) -> None:
        rules = tuple(one.name for one in experiment.optimizers)
        land, named = experiment.landscape, ", ".join(one.label for one in experiment.optimizers)
        remedy = "DescentPanel.from_text(text) makes a panel that shows it"
        if rules != self._rules:
            raise ValueError(f"the text is of {named}, this panel shows {', '.join(self._rules)}; {remedy}")
        free = {name: getattr(experiment, name) for name in ("optimizers", "changes", "seed", "schedule")}
        every = said(experiment, self.lenses, self._every)
        found = put_all(self.asked.replace(**free), self.lenses, every, every)
        if found != experiment or land != found.landscape:
            raise ValueError(f"this panel has no control for all that the text says ({land.name}, {named}); {remedy}")
        before, self._earlier = self._earlier, []
        try:
            self._apply(experiment, every, None)
        except (ValueError, TypeError):
            self._earlier = before
            raise

    @classmethod
    def from_text(cls, text: str, own: Sequence[object] = (), **options: Any) -> DescentPanel:
        """A panel that shows a text's experiment; `own` and errors as in `load`, `options` as in the constructor."""
        experiment = _descent(text, own)
        last, land = newest(experiment), experiment.landscape
        rules = [one.rule if isinstance(one.rule, str) else one for one in last]
        if len({one.name for one in last}) < len(last):
            raise ValueError(f"a panel shows each rule once, the text has {', '.join(one.label for one in last)}")
        rates = {one.settings.get("learning_rate") for one in last}
        scale = None if experiment.loss_scale == 1 else experiment.loss_scale
        shown = land.name if land.name in LANDSCAPES and land.source is None else land
        panel = cls(shown, rules, **{"own_rates": len(rates) > 1, "loss_scale": scale} | options)
        panel.load(text, own)
        return panel

    # ---- branches ------------------------------------------------------------------------------------------------

    def _branch(self, step: int, changes: dict[str, Any]) -> None:
        here, earlier = self.asked, self._earlier
        if not 1 <= step < here.steps:
            raise ValueError(
                f"a branch begins at a step from 1 to {here.steps - 1}, got {step}; go back to where it is to begin"
            )
        trunk = tuple(turn for turn in here.changes if turn[0] < step)
        self.asked = here.replace(changes=(*trunk, (step, newest(here))))
        self._earlier = [*earlier, here][-MOST_EARLIER:]
        try:
            self._apply(*self._with(changes), None)
        except (ValueError, TypeError):
            self.asked, self._earlier = here, earlier
            raise
        text = f"From step {step} on the controls set a new line; the dashed one is the run until now."
        self.notice = {"kind": "info", "text": text}

    def _join(self) -> None:
        self._earlier = []
        self._apply(self.asked.replace(optimizers=newest(self.asked), changes=()), self._every, None)

    def _earlier_runs(self, asked: DescentExperiment) -> list[tuple[DescentExperiment, DescentRecord]]:
        runs = [asked.replace(optimizers=one.optimizers, changes=one.changes) for one in self._earlier]
        return [(run, descend(run)) for run in runs if run != asked]

    def _may_measure(self) -> bool:
        return not self._earlier

    def _tell(self) -> None:
        self.transport = {"live": False, "state": "idle", "branch": True, "branches": len(self._earlier)}

    def _respan_start(self, land: Landscape) -> None:
        for name, (low, high) in zip(("start_x", "start_y"), land.bounds, strict=True):
            self._controls[name] = _repositioned(self._controls[name], {name: linear(low, high, 81)})
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
        now = newest(experiment)
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
            return self._fan_of_steps(control)
        experiments, positions = [], []
        for position in self._nearest(control):
            try:
                experiments.append(self._with({name: position})[0])
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

    def _fan_of_steps(self, control: Slider) -> Fan:
        """A shorter run is the beginning of a longer one."""
        positions = tuple(position for position in control.positions if position >= 1)
        longest = int(max(positions))
        fan = descend_all([self._with({"steps": longest})[0]])
        tables, _ = self._fan_tables(fan)

        def words(place: int) -> Words:
            shorter = fan.shortened(int(positions[place]))
            return _words(shorter.experiments[0], shorter.record(0))

        rows = tuple(int(position) + 1 for position in positions)
        return Fan("steps", dict(self.values), positions, tables, np.arange(longest + 1, dtype=np.float32), rows, words)

    def _fans_out(self, name: str) -> bool:
        """Whether only numbers change with this control: no titles, names, or maps that are measured."""
        asked = self.asked
        if not all(isinstance(one.rule, str) for one in asked.optimizers):
            return False
        if self._earlier or asked.changes or asked.schedule.needs_losses:
            return False  # names and earlier lines change too, or the runs cannot go in one pass
        land = asked.landscape
        if self._map is not None and not self._map.shows_rates(land) and name in {*START, "steps"}:
            return False
        if name == "steps":
            return not self.values.get("arrows")  # the last step of a shorter run has no arrow yet
        if name not in land.settings:
            return True
        bowl = isinstance(self._backdrop(land), Bowl)
        return bowl and self._map is None and set(self._right) <= {"loss", "gradient"}

    def _nearest(self, control: Slider) -> list[float]:
        """As many positions around the present one as a fan may hold."""
        present = self._every[control.name]
        here = min(range(len(control.positions)), key=lambda place: abs(control.positions[place] - present))
        most = max(2, MOST_NUMBERS // (self._picture.table.shape[1] * (self.asked.steps + 1)))
        places = sorted(range(len(control.positions)), key=lambda place: abs(place - here))[:most]
        return [control.positions[place] for place in sorted(places)]

    def _fan_tables(self, fan: DescentFan) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The tables, and which of them fit the axes now shown: a loss below zero needs another scale."""
        backdrop = self._backdrop(fan.experiments[0].landscape)
        _, table = fan_tables(fan, backdrop, self._right, arrows=bool(self.values.get("arrows")))
        logarithmic = [view.y.scale == "log" for view in self._picture.views if view.name == "loss"]
        positive = (torch.nan_to_num(loss_heights(fan), nan=1.0) >= 0).all(0).all(0).numpy()
        return table.tables, positive == logarithmic[0] if logarithmic else np.ones_like(positive)


def _learner(rule: str | type[torch.optim.Optimizer] | OptimizerSettings) -> OptimizerSettings:
    return rule if isinstance(rule, OptimizerSettings) else optimizer(rule)


def _classes(given: Sequence[object]) -> list[object]:
    """Those of a learner's own rules that a text can only name."""
    return [rule for rule in given if not (isinstance(rule, OptimizerSettings) and isinstance(rule.rule, str))]


def _descent(text: str, own: Sequence[object]) -> DescentExperiment:
    experiment = from_text(text, own)
    if not isinstance(experiment, DescentExperiment):
        raise ValueError("the text is of a network in training; TrainingPanel.from_text(text) shows it")
    return experiment


def _words(experiment: DescentExperiment, record: DescentRecord) -> Words:
    return descent_reading(experiment, record), descent_summary(experiment, record)


def _repositioned(control: Control, positions: Mapping[str, Sequence[float]]) -> Control:
    if control.name in positions and isinstance(control, Slider):
        return replace(control, positions=tuple(positions[control.name]))
    return control
