"""What a schedule panel runs, the picture of it, and its reading: theory's expectation beside the mean of many runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightlab import noise_theory, theory
from weightlab.landscapes import Landscape
from weightlab.pictures import Axis, Picture, Reference, TableBuilder, View
from weightlab.scheduled_runs import Move, ScheduledRuns
from weightlab.schedules import SCHEDULES, ScheduleSettings
from weightlab.update_rules import OptimizerSettings
from weightlab.widgets.panel import Row, row, verdict

RUNS = 200  # whose mean is drawn
SETTLED = 50  # last steps over which the reading averages


@dataclass(frozen=True)
class ScheduleExperiment:
    """What the panel runs: RUNS runs of each rule; the path of number `seed` is drawn."""

    bowl: Landscape
    rules: tuple[OptimizerSettings, ...]
    schedule: ScheduleSettings
    move: Move | None
    seed: int


# ---- theory beside the runs --------------------------------------------------------------------------------------


def expectation(experiment: ScheduleExperiment, rule: OptimizerSettings, runs: ScheduledRuns) -> Tensor | None:
    """Theory's mean loss, (steps + 1,); None for other rules and where each run's losses decide its rates."""
    bowl, move = experiment.bowl, experiment.move
    if rule.rule not in noise_theory.LINEAR_RULES or experiment.schedule.needs_losses:
        return None
    assert bowl.eigenvalues is not None
    return noise_theory.expected_losses(
        runs.learning_rates[:, 0],
        bowl.eigenvalues,
        bowl.start,
        bowl.gradient_noise,
        rule=str(rule.rule),
        momentum=rule.settings.get("momentum", 0.0),
        move=None if move is None else (move.step, move.to),
    )


def floor(experiment: ScheduleExperiment, rule: OptimizerSettings) -> float | None:
    """Theory's noise floor at the constant rate η; None for rules that it does not cover."""
    if rule.rule not in noise_theory.LINEAR_RULES:
        return None
    momentum = rule.settings.get("momentum", 0.0)
    rate = rule.learning_rate * (1 - momentum if rule.rule == "averaged_momentum" else 1)
    assert experiment.bowl.eigenvalues is not None
    return float(theory.noise_floor(rate, experiment.bowl.eigenvalues, experiment.bowl.gradient_noise, momentum))


def limit(experiment: ScheduleExperiment, rule: OptimizerSettings) -> float | None:
    """The constant rate beyond which the rule diverges on this bowl; None for rules that theory does not cover."""
    if rule.rule not in theory.RECURRENCES:
        return None
    assert experiment.bowl.eigenvalues is not None
    momentum = rule.settings.get("momentum", 0.0)
    return float(theory.learning_rate_limit(str(rule.rule), momentum, experiment.bowl.eigenvalues[1]))


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
        table.add("plane", "path", name, one.weights[:, experiment.seed].numpy(), colour=i)
        if alone:
            table.add("loss", "curve", name, one.losses[:, experiment.seed].numpy(), colour=0)
        table.add(
            "loss", "curve", f"mean of {RUNS} runs" if alone else name, one.mean_losses.numpy(), colour=i + alone
        )
        expected = expectation(experiment, rule, one)
        if expected is not None:
            table.add("loss", "curve", "theory: mean of all runs", expected.numpy(), colour=5, dashed=True)
        if i == 0 or experiment.schedule.needs_losses:
            rates = one.learning_rates[:, experiment.seed]
            both = torch.cat([rates, rates[-1:]]).numpy()
            table.add("rate", "curve", "learning rate" if i == 0 else f"rate of {rule.label}", both, colour=2 + i)
        level = floor(experiment, rule)
        if level and not any(np.isclose(level, known.points[0, 1]) for known in references if known.view == "loss"):
            label = f"floor of a constant η: {level:.3g}"
            references.append(_level("loss", "theory: noise floor", level, steps, label))
    highest = max(float(one.learning_rates.max()) for one in runs)
    edge = limit(experiment, experiment.rules[-1])
    if edge is not None and highest > edge / 2:
        references.append(_level("rate", "theory: limit", edge, steps, f"a constant η diverges beyond {edge:.3g}"))
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
    return Reference(view, "line", name, np.array([[0.0, level], [steps, level]]), label)


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
        losses = runs.mean_losses
        parts.append(f"{rule.label}: mean loss of {RUNS} runs from {float(losses[0]):.3g} to {float(losses[-1]):.3g}")
    rates = next(iter(record.values())).learning_rates[:, experiment.seed]
    head = f"{SCHEDULES[experiment.schedule.name].label} schedule, {len(rates)} steps"
    return f"{head}, η from {float(rates[0]):.3g} to {float(rates[-1]):.3g}. {'; '.join(parts)}."


def schedule_reading(experiment: ScheduleExperiment, record: Mapping[str, ScheduledRuns]) -> list[Row]:
    """Theory beside measurement: the loss at the end, the floor, what a move has left, and what it means."""
    rows = []
    for rule, runs in zip(experiment.rules, record.values(), strict=True):
        expected, (found, error) = expectation(experiment, rule, runs), runs.settled(SETTLED)
        said = "each run's losses decide" if expected is None else f"{float(expected[-SETTLED:].mean()):.3g}"
        if not np.isfinite(found):
            rows.append(row(f"{rule.label}: loss, last {SETTLED} steps", said, "diverged"))
            continue
        rows.append(row(f"{rule.label}: loss, last {SETTLED} steps", said, f"{found:.3g} ± {error:.1g}"))
        move = experiment.move
        if move is not None:
            errors = runs.mean_errors[move.step :, 0]
            left = noise_theory.distance_left(runs.learning_rates[move.step :, experiment.seed], 1.0)[-1]
            plain = rule.rule == "gradient_descent" and not experiment.schedule.needs_losses
            rows.append(row("left of the move along w₁", f"{float(left):.0%}" if plain else "",
                            f"{abs(float(errors[-1] / errors[0])):.0%}"))
    return [*rows, verdict(_verdict(experiment, record))]


def _verdict(experiment: ScheduleExperiment, record: Mapping[str, ScheduledRuns]) -> str:
    rule, runs = experiment.rules[-1], list(record.values())[-1]
    lost = int(torch.isnan(runs.losses[-1]).sum())
    if lost:
        highest, edge = float(runs.learning_rates.max()), limit(experiment, rule)
        reason = "" if edge is None else f": η reaches {highest:.3g}, a constant rate must stay below {edge:.3g}"
        return f"{lost} of {RUNS} runs diverged{reason}."
    level, (found, _) = floor(experiment, rule), runs.settled(SETTLED)
    if not level:
        return f"Mean loss {found:.3g} over the last {SETTLED} steps; there is no noise floor."
    share = found / level
    if share > 1.25:
        return f"{rule.label} ends at {share:.3g} times the floor of the constant rate: it has not arrived."
    if share > 0.8:
        return f"{rule.label} ends on the noise floor of its constant rate."
    return f"{rule.label} ends at {share:.2g} of the constant rate's noise floor."
