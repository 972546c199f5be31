"""Learning-rate schedules on a bowl with noisy gradients: the rate, a path, and the mean loss over its floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weightlab.descent.landscapes import Landscape, landscape
from weightlab.pictures.contours import contour_backdrop
from weightlab.pictures.picture import Picture
from weightlab.rules.schedules import SCHEDULES, schedule
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.scheduling.picture import RUNS, ScheduleExperiment, schedule_picture, schedule_reading
from weightlab.scheduling.program import schedule_program
from weightlab.scheduling.run import Move, ScheduledRuns, scheduled_runs
from weightlab.stage.controls import Choice, Control, Question, Slider, linear, logarithmic
from weightlab.stage.panel import Panel, Row
from weightlab.stage.worker import Mail
from weightlab.validate import choose, whole_number

COUNTS = (1, 2, 5, *range(10, 100, 10), *range(100, 1001, 50))
SHARES = (0.0, 0.01, 0.02, *linear(0.05, 0.95, 19), 0.96, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)
DEFAULTS: dict[str, Any] = {
    "schedule": "constant",
    "learning_rate": 0.2,
    "momentum": 0.9,
    "noise": 0.5,
    "condition_number": 3.0,
    "steps": 300,
    "move_at": 0,
    "seed": 0,
}
MOVED_TO = (1.0, -0.5)


def schedule_settings() -> dict[str, tuple[float, float]]:
    """The settings of all schedules by name, with the range that serves every schedule that has one."""
    ranges: dict[str, tuple[float, float]] = {}
    for entry in SCHEDULES.values():
        for name, (_, low, high) in entry.settings.items():
            known = ranges.get(name, (low, high))
            ranges[name] = (min(low, known[0]), max(high, known[1]))
    return ranges


def schedule_controls(rules: Sequence[str]) -> list[Control]:
    """The panel's controls: a schedule that is new in SCHEDULES gets its sliders by itself."""
    controls: list[Control] = [
        Choice("schedule", "Schedule", tuple((name, entry.label) for name, entry in SCHEDULES.items())),
        Slider("learning_rate", "Learning rate η", logarithmic(0.001, 2.0, 81), "the schedule scales it"),
    ]
    for name, (low, high) in schedule_settings().items():
        counts = high > 10
        positions = COUNTS if counts else tuple(p for p in (*SHARES, *linear(1.5, 10.0, 18)) if low <= p <= high)
        if name in {"cooldown", "decay_steps"}:
            positions = (0, *positions)
        controls.append(Slider(name, name.replace("_", " ").capitalize(), positions, "of the schedule"))
    if any("momentum" in UPDATE_RULES[rule].defaults for rule in rules):
        controls.append(Slider("momentum", "Momentum μ", linear(0.0, 0.98, 50)))
    return [
        *controls,
        Slider("noise", "Gradient noise σ", linear(0.0, 2.0, 41), "standard deviation on each component"),
        Slider("condition_number", "Condition number", (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)),
        Slider("steps", "Steps", (*range(20, 100, 20), *range(100, 1001, 50))),
        Slider("move_at", "Minimum moves at step", (0, *range(10, 1000, 10)), "0: it stays where it is"),
        Slider("seed", "Seed of the path shown", tuple(range(RUNS)), "one of the runs that are averaged"),
    ]


class SchedulePanel(Panel):
    """A schedule on a noisy bowl: one run's path and rate, and the mean loss of 200 runs beside its expectation.

    rules: names of update rules that share η and the schedule, drawn in this order. Values of the controls
    may be given by name (schedule, learning_rate, noise, step_size, …); choosing another schedule takes its defaults.
    `record` holds the runs by rule.
    """

    def __init__(
        self,
        schedule: str = "constant",
        rules: Sequence[str] = ("gradient_descent",),
        *,
        questions: Sequence[Question] = (),
        title: str = "Learning-rate schedules",
        **values: float,
    ) -> None:
        choose("schedule", schedule, SCHEDULES)
        self._rules = tuple(choose("update rule", rule, UPDATE_RULES) for rule in rules)
        if not self._rules:
            raise ValueError(f"rules must name at least one rule, got none; choose from {', '.join(UPDATE_RULES)}")
        controls = schedule_controls(self._rules)
        known = {control.name for control in controls}
        for name in values:
            choose("setting", name, known)
        defaults = {name: value for name, value in DEFAULTS.items() if name in known}
        for entry in (*SCHEDULES.values(), SCHEDULES[schedule]):
            defaults |= {name: default for name, (default, _, _) in entry.settings.items()}
        self._backdrops: dict[Landscape, Any] = {}
        given = {**defaults, "schedule": schedule, **values}
        super().__init__(controls, given, title=title, questions=questions, height=430)

    # ---- settings ------------------------------------------------------------------------------------------------

    def set(self, **values: Any) -> Any:
        """Change settings as the controls do, and wait; another schedule takes its own defaults unless given."""
        return super().set(**self._completed(values))

    def _handle(self, mail: Mail) -> None:
        super()._handle({**mail, "values": self._completed(mail["values"])} if mail["type"] == "set" else mail)

    def _completed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        entry = SCHEDULES.get(values.get("schedule", ""))
        if entry is None or entry.name == self.values["schedule"]:
            return dict(values)
        return {setting: default for setting, (default, _, _) in entry.settings.items()} | dict(values)

    def _unused(self, values: dict[str, Any]) -> list[str]:
        return sorted(set(schedule_settings()) - set(SCHEDULES[values["schedule"]].settings))

    def _drawn(
        self, values: dict[str, Any]
    ) -> tuple[ScheduleExperiment, dict[str, ScheduledRuns], Picture, list[Row]]:
        steps = whole_number("steps", values["steps"], 1, 10_000, why="longer runs are for scheduled_runs")
        moved_at = whole_number("move_at", values["move_at"], 0, 10_000, why="0 keeps the minimum where it is")
        seed = whole_number("seed", values["seed"], 0, RUNS - 1, why="the panel draws one of the runs that it averages")
        bowl = landscape("noisy_bowl", condition_number=values["condition_number"], noise=values["noise"])
        names = SCHEDULES[values["schedule"]].settings
        chosen = schedule(values["schedule"], **{name: values[name] for name in names})
        move = Move(moved_at, MOVED_TO) if 0 < moved_at <= steps else None
        rules = tuple(self._optimizer(rule, values) for rule in self._rules)
        record = {
            str(rule.rule): scheduled_runs(bowl, rule, chosen, steps=steps, seeds=range(RUNS), move=move)
            for rule in rules
        }
        experiment = ScheduleExperiment(bowl, rules, chosen, move, seed)
        picture = schedule_picture(experiment, record, self._backdrop(bowl))
        return experiment, record, picture, schedule_reading(experiment, record)

    @property
    def program(self) -> str:
        """A plain PyTorch program of all runs of the rules now shown."""
        asked = self.experiment
        return schedule_program(
            asked.bowl,
            asked.rules,
            asked.schedule,
            steps=int(self.values["steps"]),
            runs=RUNS,
            move=asked.move,
            shown=asked.seed,
        )

    def _optimizer(self, rule: str, values: Mapping[str, Any]) -> OptimizerSettings:
        names = [name for name in ("learning_rate", "momentum") if name in UPDATE_RULES[rule].defaults]
        return optimizer(rule, **{name: values[name] for name in names})

    def _backdrop(self, bowl: Landscape) -> Any:
        plain = landscape("quadratic", condition_number=bowl.settings["condition_number"])  # noise changes no contour
        if plain not in self._backdrops:
            self._backdrops[plain] = contour_backdrop(bowl)
        return self._backdrops[plain]

    def __repr__(self) -> str:
        unused = set(self._unused(self.values))
        shown = (f"{name}={value!r}" for name, value in self.values.items() if name not in unused)
        return f"{type(self).__name__}({', '.join(shown)})"
