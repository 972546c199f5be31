"""Learning-rate schedules on a bowl with noisy gradients: the rate, a path, and the mean loss over its floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from weightlab.descent.landscapes import landscape
from weightlab.pictures.contours import contour_backdrop
from weightlab.pictures.picture import Picture
from weightlab.rules.schedules import SCHEDULES
from weightlab.rules.schedules import schedule as make_schedule
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.scheduling.picture import RUNS, ScheduleExperiment, schedule_picture, schedule_reading
from weightlab.scheduling.program import schedule_program
from weightlab.scheduling.run import ScheduledRuns, scheduled_runs
from weightlab.stage.controls import Choice, Question, Slider, linear, logarithmic
from weightlab.stage.lenses import Lens, Setting, Values, field, whole
from weightlab.stage.own import labels
from weightlab.stage.panel import Panel, Row
from weightlab.validate import choose

COUNTS = (1, 2, 5, *range(10, 100, 10), *range(100, 1001, 50))
SHARES = (0.0, 0.01, 0.02, *linear(0.05, 0.95, 19), 0.96, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)


def schedule_settings() -> dict[str, tuple[float, float]]:
    """The settings of all schedules by name, with the range that serves every schedule that has one."""
    ranges: dict[str, tuple[float, float]] = {}
    for entry in SCHEDULES.values():
        for name, (_, low, high) in entry.settings.items():
            known = ranges.get(name, (low, high))
            ranges[name] = (min(low, known[0]), max(high, known[1]))
    return ranges


def _put_schedule(experiment: ScheduleExperiment, name: str, values: Values) -> ScheduleExperiment:
    return replace(experiment, schedule=make_schedule(name))  # with its own defaults


def _of_schedule(setting: str) -> Lens:
    def put(experiment: ScheduleExperiment, value: Any, values: Values) -> ScheduleExperiment:
        now = experiment.schedule
        if setting not in now.settings:
            return experiment
        return replace(experiment, schedule=make_schedule(now.name, **{**now.settings, setting: value}))

    return Lens(lambda experiment: experiment.schedule.settings.get(setting), put)


def _of_rules(setting: str) -> Lens:
    def put(experiment: ScheduleExperiment, value: Any, values: Values) -> ScheduleExperiment:
        rules = (one.replace(**{setting: value}) if setting in one.settings else one for one in experiment.rules)
        return replace(experiment, rules=tuple(rules))

    return Lens(lambda one: next((rule.settings[setting] for rule in one.rules if setting in rule.settings), None), put)


def _of_bowl(setting: str) -> Lens:
    def put(experiment: ScheduleExperiment, value: Any, values: Values) -> ScheduleExperiment:
        return replace(experiment, bowl=landscape("noisy_bowl", **{**experiment.bowl.settings, setting: value}))

    return Lens(lambda experiment: experiment.bowl.settings[setting], put)


def panel_settings(beginning: ScheduleExperiment) -> list[Setting]:
    """What can be set on the panel: a schedule that is new in SCHEDULES gets its sliders by itself."""
    length = whole("steps", 1, 10_000, "longer runs are for scheduled_runs")
    move = whole("move_at", 0, 10_000, "0 keeps the minimum where it is")
    which = whole("seed", 0, RUNS - 1, "the panel draws one of the runs that it averages")
    menu = Choice("schedule", "Schedule", labels(SCHEDULES))
    rate = Slider("learning_rate", "Learning rate η", logarithmic(0.001, 2.0, 81), "the schedule scales it")
    settings = [
        Setting(menu, Lens(lambda experiment: experiment.schedule.name, _put_schedule), beginning.schedule.name),
        Setting(rate, _of_rules("learning_rate"), 0.2),
    ]
    settings += [_schedule_slider(name, low, high, beginning) for name, (low, high) in schedule_settings().items()]
    if any("momentum" in rule.settings for rule in beginning.rules):
        momentum = Slider("momentum", "Momentum μ", linear(0.0, 0.98, 50))
        settings.append(Setting(momentum, _of_rules("momentum"), 0.9))
    noise = Slider("noise", "Gradient noise σ", linear(0.0, 2.0, 41), "standard deviation on each component")
    kappa = Slider("condition_number", "Condition number", (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0))
    steps = Slider("steps", "Steps", (*range(20, 100, 20), *range(100, 1001, 50)))
    moves = Slider("move_at", "Minimum moves at step", (0, *range(10, 1000, 10)), "0: it stays where it is")
    seed = Slider("seed", "Seed of the path shown", tuple(range(RUNS)), "one of the runs that are averaged")
    return [
        *settings,
        Setting(noise, _of_bowl("noise"), 0.5),
        Setting(kappa, _of_bowl("condition_number"), 3.0),
        Setting(steps, field("steps", length), 300),
        Setting(moves, field("move_at", move), 0),
        Setting(seed, field("seed", which), 0),
    ]


def _schedule_slider(name: str, low: float, high: float, beginning: ScheduleExperiment) -> Setting:
    counts = high > 10
    positions = COUNTS if counts else tuple(p for p in (*SHARES, *linear(1.5, 10.0, 18)) if low <= p <= high)
    if counts and low == 0:
        positions = (0, *positions)
    slider = Slider(name, name.replace("_", " ").capitalize(), positions, "of the schedule")
    known = {key: default for entry in SCHEDULES.values() for key, (default, _, _) in entry.settings.items()}
    return Setting(slider, _of_schedule(name), {**known, **beginning.schedule.settings}[name])


class SchedulePanel(Panel):
    """A schedule on a noisy bowl: one run's path and rate, and the mean loss of 200 runs beside its expectation.

    rules: names of update rules that share η and the schedule, drawn in this order. Values of the controls
    may be given by name (schedule, learning_rate, noise, step_size, …); choosing another schedule takes its defaults.
    `record` holds the runs by rule.
    """

    heading, tall = "Learning-rate schedules", 430
    spelled = ("schedule", "learning_rate", "momentum", "noise", "condition_number", "steps", "move_at", "seed")

    def __init__(
        self,
        schedule: str = "constant",
        rules: Sequence[str] = ("gradient_descent",),
        *,
        questions: Sequence[Question] = (),
        title: str = "",
        **values: float,
    ) -> None:
        chosen = tuple(optimizer(choose("update rule", rule, UPDATE_RULES)) for rule in rules)
        if not chosen:
            raise ValueError(f"rules must name at least one rule, got none; choose from {', '.join(UPDATE_RULES)}")
        self._beginning = ScheduleExperiment(landscape("noisy_bowl"), chosen, make_schedule(schedule))
        self._backdrop = self._cached(_backdrop)
        super().__init__(questions=questions, title=title, **values)

    def _declared(self) -> list[Setting]:
        return panel_settings(self._beginning)

    def _first(self) -> ScheduleExperiment:
        return self._beginning

    def _drawn(
        self, asked: ScheduleExperiment, every: dict[str, Any]
    ) -> tuple[dict[str, ScheduledRuns], Picture, list[Row]]:
        given: Any = {"steps": asked.steps, "seeds": range(RUNS), "move": asked.move}
        record = {str(rule.rule): scheduled_runs(asked.bowl, rule, asked.schedule, **given) for rule in asked.rules}
        picture = schedule_picture(asked, record, self._backdrop(asked.bowl.settings["condition_number"]))
        return record, picture, schedule_reading(asked, record)

    @property
    def program(self) -> str:
        """A plain PyTorch program of all runs of the rules now shown."""
        asked = self.asked
        return schedule_program(
            asked.bowl,
            asked.rules,
            asked.schedule,
            steps=asked.steps,
            runs=RUNS,
            move=asked.move,
            shown=asked.seed,
        )

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self._in_order() if name not in self.unused)
        return f"{type(self).__name__}({', '.join(shown)})"


def _backdrop(condition_number: float) -> Any:
    return contour_backdrop(landscape("noisy_bowl", condition_number=condition_number))  # noise changes no contour
