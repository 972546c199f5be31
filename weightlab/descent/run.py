"""Runs learners down a landscape, everything recorded: one experiment, or several that differ in numbers, at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.fan import DescentFan, converged_at_step
from weightlab.descent.landscapes import Landscape
from weightlab.descent.learners import Group, groups_of
from weightlab.descent.record import DescentRecord
from weightlab.devices import settle_threads
from weightlab.rules.schedules import Tracker

FAR = 1e8  # times the landscape's size: farther out a learner counts as diverged


def descend(experiment: DescentExperiment) -> DescentRecord:
    """Run every optimizer of the experiment from its start, all in one pass: one gradient evaluation a step.

    Repeats to the bit for equal experiments. Divergence is a result: see the record's `statuses`.
    """
    return _fan((experiment,)).record(0)


def descend_all(experiments: Sequence[DescentExperiment]) -> DescentFan:
    """Run all experiments in one pass; each one's part equals its own `descend` to rounding.

    They may differ in their rules' settings, start, loss scale, seed, schedule and, among quadratics, in the landscape.
    Raises ValueError where they differ in rules, labels, steps or kind of landscape, use a torch.optim class as it is,
    have a schedule that must see the losses, or settings that change midway: run those with `descend`.
    """
    experiments = tuple(experiments)
    _check_alike(experiments)
    return _fan(experiments)


def _fan(experiments: tuple[DescentExperiment, ...]) -> DescentFan:
    settle_threads()
    landscape, count = experiments[0].landscape, len(experiments[0].optimizers)
    with torch.no_grad():
        weights, losses, gradients, points, rates = walk(experiments)
        diverged_at = cut_off_divergence(landscape, weights, losses, gradients, points)
        scales = torch.tensor([experiment.loss_scale for experiment in experiments], dtype=torch.float64)
        converged_at = converged_at_step(gradients, scales.repeat(count))
    sizes = (count, len(experiments))
    weights, losses, gradients, points, rates = (
        part.unflatten(1, sizes) for part in (weights, losses, gradients, points, rates)
    )
    out, rested = (at.unflatten(0, sizes) for at in (diverged_at, converged_at))
    return DescentFan(experiments, weights, losses, gradients, points, rates, out, rested)


def walk(
    experiments: Sequence[DescentExperiment], shifts: Tensor | None = None, noise: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Weights (steps + 1, learner, 2), losses (steps + 1, learner), gradients, gradient points, rates (steps, learner).

    A learner is an optimizer of an experiment; those of the first optimizer come first, in the order of the
    experiments. shifts: (steps + 1, 2), by how much the landscape has moved before each step. noise: (steps + 1,
    experiment, 2) on the gradients, where it is not that of the experiments' seeds. Call it under `no_grad`.
    """
    first, steps, each = experiments[0], experiments[0].steps, len(experiments)
    groups = groups_of(experiments)
    learners = [learner for group in groups for learner in group.learners]
    sizes = [len(group.learners) * each for group in groups]
    landscapes = _Landscapes([experiment.landscape for experiment in experiments], len(learners))
    scales = torch.tensor([experiment.loss_scale for experiment in experiments], dtype=torch.float64)
    scale = None if bool((scales == 1).all()) else scales.repeat(len(learners)).unsqueeze(-1)
    noise = _drawn(experiments) if noise is None else noise
    kicks = None if noise is None else noise.repeat(1, len(learners), 1).unbind(0)
    moves = None if shifts is None else shifts.unbind(0)
    w = torch.tensor([experiment.start for experiment in experiments], dtype=torch.float64).repeat(len(learners), 1)
    pace, turns = _Pace(experiments, groups, landscapes, scale), dict(first.changes)
    parts = list(w.split(sizes))
    for group, part in zip(groups, parts, strict=True):
        group.start(part)
    weights, points, gradients = [], [], []
    for step in range(steps + 1):
        if step in turns and step < steps:
            for group in groups:
                group.turn(turns[step])
        ahead = [group.point(part) for group, part in zip(groups, parts, strict=True)]
        point = w if all(one is part for one, part in zip(ahead, parts, strict=True)) else torch.cat(ahead)
        gradient = landscapes.gradient(point if moves is None else point - moves[step])
        if kicks is not None:
            gradient = gradient + kicks[step]
        if scale is not None:
            gradient = gradient * scale
        weights.append(w)
        points.append(point)
        gradients.append(gradient)
        if step == steps:
            break
        if not pace.constant:
            pace.set(step, w if moves is None else w - moves[step])
        shares = gradient.split(sizes) if len(sizes) > 1 else (gradient,)
        parts = [group.step(part, share) for group, part, share in zip(groups, parts, shares, strict=True)]
        w = torch.cat(parts) if len(parts) > 1 else parts[0]
    path = torch.stack(weights)
    losses = landscapes.loss(path if shifts is None else path - shifts.unsqueeze(1))
    losses = losses if scale is None else losses * scale.squeeze(-1)
    looks_ahead = any(point is not w for point, w in zip(points, weights, strict=True))
    walked = (path, losses, torch.stack(gradients), torch.stack(points) if looks_ahead else path, pace.rates)
    if learners == sorted(learners):
        return walked
    places = torch.arange(len(w)).unflatten(0, (-1, each))[torch.tensor(learners).argsort()].flatten()
    path, losses, pulls, ahead_of, rates = (part[:, places] for part in walked)
    return path, losses, pulls, ahead_of, rates


class _Pace:
    """Sets every learner's learning rate before each step and remembers it; does nothing while nothing changes it.

    rates: (steps, learner), learners in the order of the groups; where losses decide, as far as is known
    """

    def __init__(
        self,
        experiments: Sequence[DescentExperiment],
        groups: list[Group],
        landscapes: _Landscapes,
        scale: Tensor | None,
    ) -> None:
        self.groups, self.landscapes, self.scale = groups, landscapes, scale
        learners = [learner for group in groups for learner in group.learners]
        rates = {id(one): _base_rates(one, learners) for one in {id(one): one for one in experiments}.values()}
        self.rates = torch.stack([rates[id(one)] for one in experiments], dim=-1).flatten(1)
        self.constant = all(experiment.schedule.is_constant for experiment in experiments)
        self.trackers: list[Tracker] = []
        if experiments[0].schedule.needs_losses:
            self.trackers = [experiment.schedule.start() for _ in learners for experiment in experiments]
        elif not self.constant:
            factors = {one: one.factors(len(self.rates)) for one in {one.schedule for one in experiments}}
            each = torch.stack([factors[one.schedule] for one in experiments], dim=-1)
            self.rates = self.rates * each.repeat(1, len(learners))
        # views: what is written to `rates` shows in them
        shares = self.rates.split([len(group.learners) * len(experiments) for group in groups], dim=1)
        self.turns: list[list[float | Tensor]] = []
        if not self.constant:
            self.turns = [list(share.unsqueeze(-1).unbind(0)) if self.trackers else _turns(share) for share in shares]

    def set(self, step: int, w: Tensor) -> None:
        """Before the step from the weights w, (learner, 2), as the landscape at rest has them."""
        if self.trackers:
            row = self.rates[step]
            row *= torch.tensor([tracker.factor() for tracker in self.trackers], dtype=torch.float64)
            losses = self.landscapes.loss(w)
            losses = losses if self.scale is None else losses * self.scale.squeeze(-1)
            for tracker, loss in zip(self.trackers, losses.tolist(), strict=True):
                tracker.observe(loss)
        for group, turns in zip(self.groups, self.turns, strict=True):
            rates = turns[step]
            group.set_rates(rates.item() if isinstance(rates, Tensor) and len(rates) == 1 else rates)


def _turns(rates: Tensor) -> list[float | Tensor]:
    """(steps, learner) rates step by step, each one number where all agree: fewer operations."""
    agree = (rates == rates[:, :1]).all(1).tolist()
    firsts, rows = rates[:, 0].tolist(), rates.unsqueeze(-1).unbind(0)
    return [first if same else row for first, same, row in zip(firsts, agree, rows, strict=True)]


def _base_rates(experiment: DescentExperiment, learners: list[int]) -> Tensor:
    """Learning rates before the schedule's factor, (steps, learner)."""
    rates = torch.empty(experiment.steps, len(learners), dtype=torch.float64)
    for since, optimizers in ((0, experiment.optimizers), *experiment.changes):
        row = [optimizers[learner].settings.get("learning_rate", torch.nan) for learner in learners]
        rates[since:] = torch.tensor(row, dtype=torch.float64)
    return rates


def drawn_noise(landscape: Landscape, rows: int, seed: int) -> Tensor:
    """The noise on the gradient of every step, (rows, 2), the same for every learner."""
    # in whole blocks, so that a longer run starts with the same noise
    drawn = torch.randn(-(-rows // 64) * 64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return drawn[:rows] * landscape.gradient_noise


def _drawn(experiments: Sequence[DescentExperiment]) -> Tensor | None:
    """Before each step and after the last, (steps + 1, experiment, 2); None where nothing is noisy."""
    if not any(experiment.landscape.gradient_noise for experiment in experiments):
        return None
    return torch.stack([drawn_noise(one.landscape, one.steps + 1, one.seed) for one in experiments], dim=1)


def cut_off_divergence(
    landscape: Landscape, weights: Tensor, losses: Tensor, gradients: Tensor, points: Tensor
) -> Tensor:
    """The step at which each learner diverged, -1 for never; what follows it becomes NaN in place."""
    sound = (weights.abs().amax(-1) <= FAR * landscape.size) & gradients.isfinite().all(-1) & losses.isfinite()
    if bool(sound.all()):
        return torch.full(sound.shape[1:], -1)
    diverged_at = torch.where(sound.all(0), -1, (~sound).byte().argmax(0))
    rows = torch.arange(len(sound)).unsqueeze(-1)
    gone = (diverged_at >= 0) & (rows > diverged_at)
    losses[gone | ~losses.isfinite()] = torch.nan
    for part in (weights, gradients, points):
        part[gone.unsqueeze(-1) | ~part.isfinite()] = torch.nan
    return diverged_at


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
    """One landscape for all learners, or a quadratic for each experiment; `learners` of each see it."""

    def __init__(self, each: Sequence[Landscape], learners: int) -> None:
        self.one = each[0] if all(landscape == each[0] for landscape in each) else None
        if self.one is None:
            if any(landscape.eigenvalues is None for landscape in each):
                raise ValueError("only quadratic landscapes may differ within one pass; use descend(experiment)")
            origin = torch.zeros(2, dtype=torch.float64)
            hessians = torch.stack([landscape.hessian(origin) for landscape in each]).repeat(learners, 1, 1)
            self.xx, self.xy, self.yy = hessians[:, 0, 0], hessians[:, 0, 1], hessians[:, 1, 1]

    def gradient(self, w: Tensor) -> Tensor:
        """(..., learner, 2) -> (..., learner, 2)"""
        if self.one is not None:
            return self.one.gradient(w)
        x, y = w.unbind(-1)
        return torch.stack((self.xx * x + self.xy * y, self.xy * x + self.yy * y), -1)

    def loss(self, w: Tensor) -> Tensor:
        """(..., learner, 2) -> (..., learner)"""
        return self.one.loss(w) if self.one is not None else 0.5 * (w * self.gradient(w)).sum(-1)
