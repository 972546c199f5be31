"""Every position of a slider at once: runs that differ in numbers only, walked down in one batched pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import Landscape
from weightlab.descent.record import DescentRecord
from weightlab.descent.run import converged_at_step, cut_off_divergence, drawn_noise
from weightlab.descent.verdicts import Path, verdict
from weightlab.devices import settle_threads
from weightlab.rules.update_rules import UPDATE_RULES, UpdateRule


@dataclass(frozen=True)
class DescentFan:
    """What DescentRecord holds, for several experiments; one more axis, `position`, tells them apart.

    weights, gradients, gradient_points: (steps + 1, learner, position, 2); losses: (steps + 1, learner, position);
    learning_rates: (steps, learner, position); diverged_at, converged_at: (learner, position)
    """

    experiments: tuple[DescentExperiment, ...]
    weights: Tensor
    losses: Tensor
    gradients: Tensor
    gradient_points: Tensor
    learning_rates: Tensor
    diverged_at: Tensor
    converged_at: Tensor

    @property
    def labels(self) -> tuple[str, ...]:
        """One name a learner, the same at every position."""
        return self.experiments[0].labels

    @property
    def steps(self) -> int:
        return self.learning_rates.shape[0]

    def __len__(self) -> int:
        return len(self.experiments)

    def record(self, position: int) -> DescentRecord:
        """What `descend` leaves for the experiment at this position, its verdicts included."""
        experiment = self.experiments[position]
        weights, losses = self.weights[:, :, position], self.losses[:, :, position]
        gradients, rates = self.gradients[:, :, position], self.learning_rates[:, :, position]
        out, rested = self.diverged_at[:, position], self.converged_at[:, position]
        statuses = tuple(
            verdict(
                Path(experiment.landscape, one, experiment.loss_scale, weights[:, i], losses[:, i], gradients[:, i],
                     rates[:, i]),
                int(out[i]),
                int(rested[i]),
            )
            for i, one in enumerate(experiment.optimizers)
        )  # fmt: skip
        points = self.gradient_points[:, :, position]
        return DescentRecord(weights, losses, gradients, points, rates, out, rested, statuses, experiment.labels)

    def shortened(self, steps: int) -> DescentFan:
        """The same runs, ended after so many steps."""
        rows = slice(0, steps + 1)
        gradients = self.gradients[rows]
        scales = torch.tensor([one.loss_scale for one in self.experiments], dtype=torch.float64)
        rested = converged_at_step(gradients.flatten(1, 2), scales.repeat(gradients.shape[1]))
        return DescentFan(
            tuple(one.replace(steps=steps) for one in self.experiments),
            self.weights[rows],
            self.losses[rows],
            gradients,
            self.gradient_points[rows],
            self.learning_rates[:steps],
            torch.where(self.diverged_at <= steps, self.diverged_at, -1),
            rested.unflatten(0, gradients.shape[1:3]),
        )


def fan_of_one(experiment: DescentExperiment, record: DescentRecord) -> DescentFan:
    """A record as a fan of one position."""
    parts = (record.weights, record.losses, record.gradients, record.gradient_points, record.learning_rates)
    weights, losses, gradients, points, rates = (part.unsqueeze(2) for part in parts)
    out, rested = record.diverged_at.unsqueeze(1), record.converged_at.unsqueeze(1)
    return DescentFan((experiment,), weights, losses, gradients, points, rates, out, rested)


def descend_all(experiments: Sequence[DescentExperiment]) -> DescentFan:
    """Run all experiments in one pass; each one's part equals its own `descend` to rounding.

    They may differ in their rules' settings, start, loss scale, seed, schedule and, among quadratics, in the landscape.
    Raises ValueError where they differ in rules, labels, steps or kind of landscape, use a torch.optim class as it is,
    have a schedule that must see the losses, or settings that change midway: run those with `descend`.
    """
    settle_threads()
    experiments = tuple(experiments)
    _check_alike(experiments)
    landscapes = _Landscapes(tuple(experiment.landscape for experiment in experiments))
    learners = [_Learners(experiments, i) for i in range(len(experiments[0].optimizers))]
    scales = torch.tensor([experiment.loss_scale for experiment in experiments], dtype=torch.float64)
    with torch.no_grad():
        weights, points, gradients = _walk(experiments, landscapes, learners, scales)
        losses = landscapes.loss(weights) * scales
        shape = losses.shape[1:]
        runs = [part.flatten(1, 2) for part in (weights, losses, gradients, points)]
        diverged_at = cut_off_divergence(experiments[0].landscape, *runs)
        converged_at = converged_at_step(runs[2], scales.repeat(len(learners)))
    rates = torch.stack([learner.rates for learner in learners], dim=1)
    weights, losses, gradients, points = (part.unflatten(1, shape) for part in runs)
    out, rested = (at.unflatten(0, shape) for at in (diverged_at, converged_at))
    return DescentFan(experiments, weights, losses, gradients, points, rates, out, rested)


def _walk(
    experiments: tuple[DescentExperiment, ...], landscapes: _Landscapes, learners: list[_Learners], scales: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, gradient points and gradients, each (steps + 1, learner, position, 2)."""
    steps = experiments[0].steps
    starts = torch.tensor([experiment.start for experiment in experiments], dtype=torch.float64)
    scale = None if bool((scales == 1).all()) else scales.unsqueeze(-1)
    noise = None
    if any(experiment.landscape.gradient_noise for experiment in experiments):
        noise = torch.stack([drawn_noise(one.landscape, steps + 1, one.seed) for one in experiments], dim=1)
    w = torch.stack([starts] * len(learners))
    for learner in learners:
        learner.state = learner.rule.init(starts)
    weights, points, gradients = [], [], []
    for step in range(steps + 1):
        parts = w.unbind(0)
        ahead = [learner.point(part) for learner, part in zip(learners, parts, strict=True)]
        point = w if all(one is part for one, part in zip(ahead, parts, strict=True)) else torch.stack(ahead)
        gradient = landscapes.gradient(point)
        if noise is not None:
            gradient = gradient + noise[step]
        if scale is not None:
            gradient = gradient * scale
        weights.append(w)
        points.append(point)
        gradients.append(gradient)
        if step < steps:
            shares = gradient.unbind(0)
            w = torch.stack(
                [one.step(part, share, step) for one, part, share in zip(learners, parts, shares, strict=True)]
            )
    return torch.stack(weights), torch.stack(points), torch.stack(gradients)


def _check_alike(experiments: tuple[DescentExperiment, ...]) -> None:
    if not experiments:
        raise ValueError("descend_all needs at least one experiment, got none")
    first = experiments[0]
    for one in experiments:
        if not all(isinstance(settings.rule, str) for settings in one.optimizers):
            raise ValueError("a torch.optim class runs one learner at a time; use descend(experiment)")
        if one.changes:
            raise ValueError("settings that change midway run one experiment at a time; use descend(experiment)")
        if one.schedule.needs_losses:
            raise ValueError(f"schedule {one.schedule.name!r} must see the losses of its run; use descend(experiment)")
        same = (
            one.steps == first.steps
            and [settings.rule for settings in one.optimizers] == [settings.rule for settings in first.optimizers]
            and one.labels == first.labels
            and one.landscape.bounds == first.landscape.bounds
        )
        if not same:
            raise ValueError("experiments run together must share rules, labels, steps and bounds; these differ")


class _Landscapes:
    """One landscape for all, or a quadratic for each position."""

    def __init__(self, each: tuple[Landscape, ...]) -> None:
        self.one = each[0] if all(landscape == each[0] for landscape in each) else None
        if self.one is None:
            if any(landscape.eigenvalues is None for landscape in each):
                raise ValueError("only quadratic landscapes may differ within one pass; use descend(experiment)")
            origin = torch.zeros(2, dtype=torch.float64)
            hessians = torch.stack([landscape.hessian(origin) for landscape in each])
            self.xx, self.xy, self.yy = hessians[:, 0, 0], hessians[:, 0, 1], hessians[:, 1, 1]

    def gradient(self, w: Tensor) -> Tensor:
        """(..., position, 2) -> (..., position, 2)"""
        if self.one is not None:
            return self.one.gradient(w)
        x, y = w.unbind(-1)
        return torch.stack((self.xx * x + self.xy * y, self.xy * x + self.yy * y), -1)

    def loss(self, w: Tensor) -> Tensor:
        return self.one.loss(w) if self.one is not None else 0.5 * (w * self.gradient(w)).sum(-1)


class _Learners:
    """One rule at every position; settings on which all positions agree stay plain numbers: fewer operations."""

    def __init__(self, experiments: tuple[DescentExperiment, ...], learner: int) -> None:
        chosen = [experiment.optimizers[learner] for experiment in experiments]
        self.rule: UpdateRule = UPDATE_RULES[str(chosen[0].rule)]
        self.settings: dict[str, Any] = {
            name: _together([float(settings.settings[name]) for settings in chosen]) for name in self.rule.defaults
        }
        self.state: dict[str, Tensor] = {}
        base = torch.tensor([settings.learning_rate for settings in chosen], dtype=torch.float64)
        factors = [experiment.schedule.factors(experiment.steps) for experiment in experiments]
        self.rates = base * torch.stack(factors, dim=1)  # (steps, position)
        self.constant = all(experiment.schedule.is_constant for experiment in experiments)

    def point(self, w: Tensor) -> Tensor:
        return self.rule.gradient_point(w, self.state, self.settings)

    def step(self, w: Tensor, gradient: Tensor, step: int) -> Tensor:
        if not self.constant:
            self.settings["learning_rate"] = self.rates[step].unsqueeze(-1)
        w, self.state = self.rule.step(w, gradient, self.state, self.settings)
        return w


def _together(values: list[float]) -> float | Tensor:
    if all(value == values[0] for value in values):
        return values[0]
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)
