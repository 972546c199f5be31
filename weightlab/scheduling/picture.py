"""What a schedule panel runs, the picture of it, and its reading: theory's expectation beside the mean of many runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightlab.descent.landscapes import Landscape
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.rules.schedules import SCHEDULES, ScheduleSettings
from weightlab.rules.update_rules import OptimizerSettings
from weightlab.scheduling.run import Move, ScheduledRuns
from weightlab.stage.panel import Row, row, spoken, verdict
from weightlab.theory import noise as noise_theory
from weightlab.theory import quadratic as theory

RUNS = 200  # whose mean is drawn
MOVED_TO = (1.0, -0.5)
SETTLED = 50  # last steps over which the reading averages
SOLID = (0, 12, 18, 6)  # colours whose curves are solid: theory's dashes must show on top of them


@dataclass(frozen=True)
class ScheduleExperiment:
    """What the panel runs: RUNS runs of each rule; the path of number `seed` is drawn."""

    bowl: Landscape
    rules: tuple[OptimizerSettings, ...]
    schedule: ScheduleSettings
    steps: int = 300
    move_at: int = 0  # 0 and beyond the last step: the minimum stays where it is
    seed: int = 0

    @property
    def move(self) -> Move | None:
        """Where the minimum goes, and when."""
        return Move(self.move_at, MOVED_TO) if 0 < self.move_at <= self.steps else None


# ---- theory beside the runs --------------------------------------------------------------------------------------


def expectation(experiment: ScheduleExperiment, rule: OptimizerSettings, runs: ScheduledRuns) -> Tensor | None:
    """Theory's mean loss, (steps + 1,); None for other rules and where each run's losses decide its rates."""
    bowl, move = experiment.bowl, experiment.move
    if rule.entry is None or rule.entry.buffer is None or experiment.schedule.needs_losses:
        return None
    assert bowl.eigenvalues is not None
    return noise_theory.expected_losses(
        runs.learning_rates[:, 0],
        bowl.eigenvalues,
        bowl.start,
        bowl.gradient_noise,
        rule.entry.buffer,
        momentum=rule.settings.get("momentum", 0.0),
        move=None if move is None else (move.step, move.to),
    )


def floor(experiment: ScheduleExperiment, rule: OptimizerSettings) -> float | None:
    """Theory's noise floor at the constant rate η; None for rules that it does not cover."""
    if rule.theory is None or rule.entry is None or rule.entry.buffer is None:
        return None
    momentum = rule.settings.get("momentum", 0.0)
    rate = rule.learning_rate * (1 - momentum if theory.RECURRENCES[rule.theory].averages else 1)
    assert experiment.bowl.eigenvalues is not None
    return float(theory.noise_floor(rate, experiment.bowl.eigenvalues, experiment.bowl.gradient_noise, momentum))


def limit(experiment: ScheduleExperiment, rule: OptimizerSettings) -> float | None:
    """The constant rate beyond which the rule diverges on this bowl; None for rules that theory does not cover."""
    if rule.theory is None:
        return None
    assert experiment.bowl.eigenvalues is not None
    momentum = rule.settings.get("momentum", 0.0)
    return float(theory.learning_rate_limit(rule.theory, momentum, experiment.bowl.eigenvalues[1]))


# ---- what the learner sees ---------------------------------------------------------------------------------------


def schedule_picture(experiment: ScheduleExperiment, record: Mapping[str, ScheduledRuns], backdrop: Any) -> Picture:
    """One path on the bowl, the rate over the steps, and the mean loss of all runs beside what theory expects."""
    runs = list(record.values())
    steps = runs[0].steps
    table = TableBuilder(steps + 1)
    alone = len(runs) == 1
    references = _minima(experiment)
    for i, (rule, one) in enumerate(zip(experiment.rules, runs, strict=True)):
        name = "one run" if alone else f"{rule.label}: path of one run, loss of all"
        table.add("plane", "path", name, one.weights[:, experiment.seed].numpy(), colour=SOLID[i % len(SOLID)])
        if alone:
            table.add("loss", "curve", name, one.losses[:, experiment.seed].numpy(), colour=SOLID[0])
        mean = f"mean of {RUNS} runs" if alone else name
        table.add("loss", "curve", mean, one.mean_losses.numpy(), colour=SOLID[(i + 2 * alone) % len(SOLID)])
        expected = expectation(experiment, rule, one)
        if expected is not None:
            table.add("loss", "curve", "theory: mean of all runs", expected.numpy(), colour=5, dashed=True)
        if i == 0 or experiment.schedule.needs_losses:
            rates = one.learning_rates[:, experiment.seed]
            both = torch.cat([rates, rates[-1:]]).numpy()
            word = "learning rate" if i == 0 else f"rate of {rule.label}"
            table.add("rate", "curve", word, both, colour=6 + min(i, 1))
        level = floor(experiment, rule)
        known = [reference.points[0, 1] for reference in references if reference.view == "loss"]
        if level and np.isfinite(level) and not np.isclose(known, level).any():
            references.append(_level("loss", "theory: noise floor of a constant η", level, steps, ""))
    highest = max(float(one.learning_rates.max()) for one in runs)
    edge = limit(experiment, experiment.rules[-1])
    if edge is not None and highest > edge / 2:
        references.append(_level("rate", "theory: limit of a constant η", edge, steps, f"diverges beyond {edge:.3g}"))
        highest = max(highest, edge)
    (x0, x1), (y0, y1) = experiment.bowl.bounds
    views = (
        View("plane", "One run on the bowl", Axis("w₁", limits=(x0, x1)), Axis("w₂", limits=(y0, y1)), (0, 0, 1, 2),
             backdrop),
        View("rate", "Learning rate", Axis("step"), Axis("η", limits=(0.0, 1.12 * highest or 1.0)), (1, 0, 1, 1)),
        View("loss", "Loss", Axis("step"), Axis("loss", "log"), (1, 1, 1, 1)),
    )
    return Picture(
        views,
        table.table,
        np.arange(steps + 1, dtype=np.float32),
        tuple(table.series),
        tuple(references),
        widths=(1.0, 1.15),
        heights=(0.8, 1.2),
        summary=_summary(experiment, record),
    )


def _level(view: str, name: str, level: float, steps: int, label: str) -> Reference:
    across = np.array([0.0, 0.4, 0.6, 1.0]) * steps  # the label is written by an inner point
    return Reference(view, "line", name, np.stack([across, np.full(4, level)], axis=1), label)


def _minima(experiment: ScheduleExperiment) -> list[Reference]:
    places = [experiment.bowl.minima[0]]
    found = [Reference("plane", "points", "minimum", np.array(places))]
    if experiment.move is not None:
        label = f"from step {experiment.move.step} on"
        found.append(Reference("plane", "points", "minimum", np.array([experiment.move.to]), label))
    return found


def _summary(experiment: ScheduleExperiment, record: Mapping[str, ScheduledRuns]) -> str:
    parts = []
    for rule, runs in zip(experiment.rules, record.values(), strict=True):
        first, last = (spoken(float(runs.mean_losses[at]), ".3g") for at in (0, -1))
        parts.append(f"{rule.label}: mean loss of {RUNS} runs from {first} to {last}")
    rates = next(iter(record.values())).learning_rates[:, experiment.seed]
    head = f"{SCHEDULES[experiment.schedule.name].label} schedule, {len(rates)} steps"
    return f"{head}, η from {float(rates[0]):.3g} to {float(rates[-1]):.3g}. {'; '.join(parts)}."


def schedule_reading(experiment: ScheduleExperiment, record: Mapping[str, ScheduledRuns]) -> list[Row]:
    """Theory beside measurement: the loss at the end, the floor, what a move has left, and what it means."""
    rows = []
    for rule, runs in zip(experiment.rules, record.values(), strict=True):
        name = f"{rule.label}: mean" if len(record) > 1 else "mean"
        last = min(SETTLED, runs.steps)
        expected, (found, error) = expectation(experiment, rule, runs), runs.settled(last)
        said = "–" if expected is None else spoken(float(expected[-last:].mean()), ".3g")
        measured = f"{found:.3g} ± {_rounded(error)}" if np.isfinite(found) else "diverged"
        rows.append(row(f"{name} loss, last {last} steps", said, measured))
        move = experiment.move
        if move is not None and np.isfinite(found):
            errors, rates = runs.mean_errors[move.step :, 0], runs.learning_rates[move.step :, experiment.seed]
            plain = rule.theory == "gradient_descent" and not experiment.schedule.needs_losses
            left = f"{float(noise_theory.distance_left(rates, 1.0)[-1]):.0%}" if plain else "–"
            rows.append(row("left of the move along w₁", left, f"{abs(float(errors[-1] / errors[0])):.0%}"))
    level = floor(experiment, experiment.rules[-1])
    if level is not None and np.isfinite(level):
        rows.append(row("noise floor of a constant η", f"{level:.3g}", ""))
    return [*rows, verdict(_verdict(experiment, record))]


def _rounded(error: float) -> str:
    """One significant digit, never as a power of ten."""
    return f"{float(f'{error:.1g}'):g}"


def _verdict(experiment: ScheduleExperiment, record: Mapping[str, ScheduledRuns]) -> str:
    rule, runs = experiment.rules[-1], list(record.values())[-1]
    highest, edge, level = float(runs.learning_rates.max()), limit(experiment, rule), floor(experiment, rule)
    reason = "" if edge is None else f": η reaches {highest:.3g}, and a constant rate must stay below {edge:.3g}"
    lost = int(torch.isnan(runs.losses[-1]).sum())
    if lost:
        return f"{lost} of {RUNS} runs diverged{reason}."
    found, _ = runs.settled(min(SETTLED, runs.steps))
    if level is not None and not np.isfinite(level):
        return f"The mean loss over the last steps is {found:.3g}{reason}."
    if not level:
        return f"The mean loss over the last steps is {found:.3g}; there is no noise floor to reach."
    share = found / level
    if share > 1.25:
        return f"{rule.label} ends {share:.3g} times above the noise floor: it has not arrived."
    if share > 0.8:
        return f"{rule.label} ends on the noise floor of its constant rate."
    return f"{rule.label} ends at {share:.2g} of the noise floor of its constant rate."
