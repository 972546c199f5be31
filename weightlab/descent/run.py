"""Runs learners down a landscape: a few with everything recorded, or tens of thousands in one batched pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from weightlab.descent.batched import FAR, BatchedDescent
from weightlab.descent.experiment import MAX_DESCENT_STEPS, DescentExperiment
from weightlab.descent.landscapes import Landscape
from weightlab.descent.record import DescentRecord, SweepRecord
from weightlab.descent.verdicts import Path, verdict
from weightlab.devices import settle_threads
from weightlab.rules.own_optimizer import class_name, needs_closure
from weightlab.rules.schedules import Tracker
from weightlab.rules.update_rules import SETTING_LIMITS, UPDATE_RULES, OptimizerSettings, UpdateRule
from weightlab.validate import MAX_SEED, choose, number, whole_number

AT_REST = 1e-6  # times the first gradient's length: a run has converged once its gradients stay shorter
KEPT_PAIRS = 16  # pairs of neighbouring steps that a sweep keeps, to measure its rate from
MAX_KEPT = 2**28  # numbers in the paths of one sweep, 2 GiB
SWEPT_TOGETHER = 40_000  # learners of a sweep whose numbers a processor's cache holds from one step to the next


def descend(experiment: DescentExperiment) -> DescentRecord:
    """Run every optimizer of the experiment from its start, all in one pass: one gradient evaluation a step.

    Repeats to the bit for equal experiments. Divergence is a result: see the record's `statuses`.
    """
    settle_threads()
    landscape, scale = experiment.landscape, experiment.loss_scale
    groups = _groups(experiment)
    order = [learner for group in groups for learner in group.learners]
    with torch.no_grad():
        weights, points, gradients, rates = _walk(experiment, groups)
        if order != sorted(order):
            places = torch.tensor(order).argsort()
            weights, points, gradients, rates = (part[:, places] for part in (weights, points, gradients, rates))
        losses = landscape.loss(weights)
        losses = losses if scale == 1 else losses * scale
        diverged_at = cut_off_divergence(landscape, weights, losses, gradients, points)
        converged_at = converged_at_step(gradients, scale)
    statuses = tuple(
        verdict(
            Path(landscape, experiment.optimizers_at(out - 1 if out >= 0 else experiment.steps)[i], scale,
                 weights[:, i], losses[:, i], gradients[:, i], rates[:, i]),
            out,
            rested,
        )
        for i, (out, rested) in enumerate(zip(diverged_at.tolist(), converged_at.tolist(), strict=True))
    )  # fmt: skip
    return DescentRecord(weights, losses, gradients, points, rates, diverged_at, converged_at, statuses,
                         experiment.labels)


class _Group:
    """Learners of one rule of ours; where they agree on a setting it stays a plain number: fewer operations."""

    def __init__(self, rule: UpdateRule, learners: list[int], optimizers: tuple[OptimizerSettings, ...]) -> None:
        self.rule, self.learners = rule, learners
        self.settings: dict[str, Any] = {}
        self.state: dict[str, Tensor] = {}
        self.turn(optimizers)

    def turn(self, optimizers: tuple[OptimizerSettings, ...]) -> None:
        """From here on the settings are these."""
        self.settings = {
            name: _together([float(optimizers[learner].settings[name]) for learner in self.learners])
            for name in self.rule.defaults
        }

    def start(self, w: Tensor, experiment: DescentExperiment) -> None:
        self.state = self.rule.init(w)

    def point(self, w: Tensor) -> Tensor:
        return self.rule.gradient_point(w, self.state, self.settings)

    def step(self, w: Tensor, gradient: Tensor) -> Tensor:
        w, self.state = self.rule.step(w, gradient, self.state, self.settings)
        return w

    def set_rates(self, rates: list[float]) -> None:
        self.settings["learning_rate"] = _together(rates)


class _TorchLearner:
    """One learner moved by a torch.optim class as it is."""

    def __init__(self, settings: OptimizerSettings, learner: int) -> None:
        self.chosen, self.learners = settings, [learner]

    def turn(self, optimizers: tuple[OptimizerSettings, ...]) -> None:
        for group in self.optimizer.param_groups:
            group.update(optimizers[self.learners[0]].arguments)

    def start(self, w: Tensor, experiment: DescentExperiment) -> None:
        self.parameter = torch.nn.Parameter(w[0].clone())
        self.optimizer = self.chosen.build([self.parameter])
        self.experiment = experiment

    def point(self, w: Tensor) -> Tensor:
        return w

    def step(self, w: Tensor, gradient: Tensor) -> Tensor:
        landscape, scale = self.experiment.landscape, self.experiment.loss_scale
        noise = gradient - landscape.gradient(w) * scale if landscape.gradient_noise else 0.0

        def closure() -> float:  # line searches, as in L-BFGS, evaluate several points in one step
            here = self.parameter.detach().unsqueeze(0)
            self.parameter.grad = (landscape.gradient(here) * scale + noise)[0]
            return float(landscape.loss(here) * scale)

        self.parameter.grad = gradient[0].clone()
        try:
            if needs_closure(type(self.optimizer)):
                self.optimizer.step(closure)
            else:  # without the closure, which a learner's own class need not call
                self.optimizer.step()
        except (RuntimeError, ValueError) as refusal:
            name = class_name(type(self.optimizer))
            raise ValueError(f"{name} cannot take a step here: {refusal}") from refusal
        return self.parameter.detach().clone().unsqueeze(0)

    def set_rates(self, rates: list[float]) -> None:
        for group in self.optimizer.param_groups:
            if "lr" in group:
                group["lr"] = rates[0]


def _together(values: list[float]) -> float | Tensor:
    if all(value == values[0] for value in values):
        return values[0]
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)


def _groups(experiment: DescentExperiment) -> list[_Group | _TorchLearner]:
    optimizers = experiment.optimizers
    # side by side learners of a rule all have a velocity; alone one without momentum has none until it is switched on
    apart = bool(experiment.changes)
    by_rule: dict[tuple[str, int], list[int]] = {}
    classes: list[_Group | _TorchLearner] = []
    for learner, optimizer in enumerate(optimizers):
        if isinstance(optimizer.rule, str):
            by_rule.setdefault((optimizer.rule, learner if apart else 0), []).append(learner)
        else:
            classes.append(_TorchLearner(optimizer, learner))
    return [*(_Group(UPDATE_RULES[rule], learners, optimizers) for (rule, _), learners in by_rule.items()), *classes]


def _walk(
    experiment: DescentExperiment, groups: list[_Group | _TorchLearner]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights, gradient points, gradients and learning rates of all learners, in the order of the groups."""
    landscape, steps, scale = experiment.landscape, experiment.steps, experiment.loss_scale
    sizes = [len(group.learners) for group in groups]
    noise = _noise_rows(landscape, steps + 1, experiment.seed)
    pace, turns = _Pace(experiment, groups), dict(experiment.changes)
    w = torch.tensor([experiment.start], dtype=torch.float64).repeat(sum(sizes), 1)
    parts = list(w.split(sizes))
    for group, part in zip(groups, parts, strict=True):
        group.start(part, experiment)
    weights, points, gradients = [], [], []
    for step in range(steps + 1):
        if step in turns and step < steps:
            for group in groups:
                group.turn(turns[step])
        ahead = [group.point(part) for group, part in zip(groups, parts, strict=True)]
        point = w if all(one is part for one, part in zip(ahead, parts, strict=True)) else torch.cat(ahead)
        gradient = landscape.gradient(point)
        if noise is not None:
            gradient = gradient + noise[step]
        if scale != 1:
            gradient = gradient * scale
        weights.append(w)
        points.append(point)
        gradients.append(gradient)
        if step == steps:
            break
        pace.set(step, w)
        shares = gradient.split(sizes) if len(sizes) > 1 else (gradient,)
        parts = [group.step(part, share) for group, part, share in zip(groups, parts, shares, strict=True)]
        w = torch.cat(parts) if len(parts) > 1 else parts[0]
    return torch.stack(weights), torch.stack(points), torch.stack(gradients), pace.rates


class _Pace:
    """Sets every learner's learning rate before each step and remembers it; does nothing while nothing changes it."""

    def __init__(self, experiment: DescentExperiment, groups: list[_Group | _TorchLearner]) -> None:
        self.experiment, self.groups = experiment, groups
        self.base = _base_rates(experiment, [learner for group in groups for learner in group.learners])
        self.constant = experiment.schedule.is_constant
        self.trackers: list[Tracker] = []
        if experiment.schedule.needs_losses:
            self.trackers = [experiment.schedule.start() for _ in experiment.optimizers]
            self.rates = self.base.clone()
        else:
            self.rates = self.base * experiment.schedule.factors(experiment.steps).unsqueeze(-1)
            self.rows = self.rates.tolist()

    def set(self, step: int, w: Tensor) -> None:
        if self.constant:
            return
        if self.trackers:
            bases = self.base[step].tolist()
            row = [base * tracker.factor() for base, tracker in zip(bases, self.trackers, strict=True)]
            self.rates[step] = torch.tensor(row, dtype=torch.float64)
            losses = (self.experiment.landscape.loss(w) * self.experiment.loss_scale).tolist()
            for tracker, loss in zip(self.trackers, losses, strict=True):
                tracker.observe(loss)
        else:
            row = self.rows[step]
        first = 0
        for group in self.groups:
            group.set_rates(row[first : first + len(group.learners)])
            first += len(group.learners)


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


def _noise_rows(landscape: Landscape, rows: int, seed: int) -> tuple[Tensor, ...] | None:
    return drawn_noise(landscape, rows, seed).unbind(0) if landscape.gradient_noise else None


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


def converged_at_step(gradients: Tensor, loss_scale: float | Tensor) -> Tensor:
    """The first step from which on the gradients stay tiny, (learner,), -1 for never; noise never does."""
    lengths = torch.linalg.vector_norm(gradients, dim=-1)
    lively = ~(lengths <= (AT_REST * lengths[0]).clamp(min=torch.as_tensor(1e-12 * loss_scale)))
    rows = torch.arange(len(lengths)).unsqueeze(-1)
    rest = torch.where(lively, rows, -1).amax(0) + 1
    return torch.where(rest < len(lengths), rest, -1)


def sweep(
    landscape: Landscape,
    rule: str,
    settings: Mapping[str, float | Tensor],
    start: tuple[float, float] | None = None,
    steps: int = 300,
    seed: int = 0,
    keep_paths: bool = False,
    pairs: int = KEPT_PAIRS,
) -> SweepRecord:
    """Run tens of thousands of learners of one rule at once, each with settings of its own.

    settings: name -> a number for all or a tensor (learner,); what is left out takes the rule's default. A momentum of
    0 is allowed for Nesterov too: it is the edge of the map, plain gradient descent.
    keep_paths: keep every step's weights; otherwise the start, some pairs of steps in the last two thirds (enough for
    `measured_rate`) and the end. pairs: how many, 0 where only the end matters, as for a map of the last losses.
    Raises ValueError or TypeError for unknown names, values out of range and tensors of unequal length.
    """
    settle_threads()
    entry = UPDATE_RULES[choose("update rule", rule, UPDATE_RULES)]
    steps = whole_number("steps", steps, 1, MAX_DESCENT_STEPS)
    noise = _noise_rows(landscape, steps, whole_number("seed", seed, 0, MAX_SEED))
    values, learners = _swept_settings(entry, settings)
    kept = torch.tensor(_kept_steps(steps, keep_paths, learners, whole_number("pairs", pairs, 0, MAX_DESCENT_STEPS)))
    first = torch.tensor(landscape.start if start is None else start, dtype=torch.float64)
    paths = torch.empty(len(kept), 2, learners, dtype=torch.float64).mT
    losses = torch.empty(len(kept), learners, dtype=torch.float64)
    diverged_at = torch.empty(learners, dtype=torch.long)
    with torch.no_grad():
        for low in range(0, learners, SWEPT_TOGETHER):
            part = slice(low, low + SWEPT_TOGETHER)
            own = {name: value[part] if isinstance(value, Tensor) else value for name, value in values.items()}
            crowd = BatchedDescent(landscape, entry, own, first, len(diverged_at[part]), noise)
            diverged_at[part] = crowd.walk(kept.tolist(), paths[:, part], losses[:, part])
        gone = (diverged_at >= 0) & (kept.unsqueeze(-1) >= diverged_at)
        paths.masked_fill_(gone.unsqueeze(-1), torch.nan)
        losses.masked_fill_(gone, torch.nan)
    return SweepRecord(kept, paths, losses, diverged_at)


def _swept_settings(rule: UpdateRule, settings: Mapping[str, float | Tensor]) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = dict(rule.defaults)
    lengths: dict[str, int] = {}
    for name, value in settings.items():
        choose(f"setting of {rule.name}", name, values)
        low, high, open_low, open_high, why = SETTING_LIMITS[name]
        if not isinstance(value, Tensor):
            values[name] = number(name, value, low, high, open_low=open_low, open_high=open_high, why=why)
            continue
        if value.ndim != 1 or len(value) == 0:
            raise ValueError(f"{name} must be a number or a tensor (learner,), got shape {tuple(value.shape)}")
        for extreme in value.aminmax():  # NaN comes through both
            number(name, extreme.item(), low, high, open_low=open_low, open_high=open_high, why=why)
        lengths[name] = len(value)
        values[name] = value.double().contiguous().unsqueeze(-1)  # apart in memory they would slow every step
    if len(set(lengths.values())) > 1:
        raise ValueError(f"all tensors of settings must have one length, got {lengths}; give each one value a learner")
    return values, next(iter(lengths.values()), 1)


def _kept_steps(steps: int, keep_paths: bool, learners: int, count: int) -> list[int]:
    if not keep_paths:
        first = steps // 3
        pairs = {first + (steps - 1 - first) * i // max(1, count - 1) for i in range(count)}
        return sorted({0, steps} | pairs | {step + 1 for step in pairs})
    if (steps + 1) * learners * 2 > MAX_KEPT:
        raise ValueError(f"the paths of {learners} learners over {steps} steps would take more than 2 GiB; "
                         "leave keep_paths off, or take fewer learners or steps")
    return list(range(steps + 1))


def measured_rate(
    record: DescentRecord | SweepRecord, minimum: tuple[float, float] = (0.0, 0.0), tail: float = 2 / 3
) -> Tensor:
    """What each learner's distance to the minimum was multiplied by per step, fitted over the tail, (learner,).

    The slope of log distance by least squares, over the last `tail` of the kept steps before the distance is NaN or
    only rounding. It is taken over two neighbouring steps together, so that an oscillation's passes through zero do not
    count. NaN where fewer than two pairs of steps are left, as for most divergences in a sweep.
    """
    tail = number("tail", tail, 0, 1, open_low=True, why="it is a share of the steps")
    kept = record.kept_steps if isinstance(record, SweepRecord) else torch.arange(record.steps + 1)
    offsets = (record.weights - torch.tensor(minimum, dtype=torch.float64)).abs().amax(-1)
    pairs = (kept.diff() == 1).nonzero().squeeze(-1)
    if not len(pairs):
        return torch.full(offsets.shape[1:], torch.nan, dtype=torch.float64)
    # amax keeps the range of float64, where squares would underflow at 1e-154
    distances = torch.maximum(offsets[pairs], offsets[pairs + 1])
    log = distances.log()
    at = kept[pairs].double().unsqueeze(-1)
    # nearer than this a distance is only rounding: subnormal numbers, or the last digits of the minimum
    usable = log.isfinite() & (distances > max(1e-290, *(1e-12 * abs(value) for value in minimum)))
    last = torch.where(usable, at, 0.0).amax(0)
    usable &= at >= (1 - tail) * last
    count = usable.sum(0)
    at = at - torch.where(usable, at, 0.0).sum(0) / count
    log = torch.where(usable, log, 0.0)
    spread = torch.where(usable, at.square(), 0.0).sum(0)
    slope = (torch.where(usable, at, 0.0) * log).sum(0) / spread
    return torch.where(count >= 2, slope.exp(), torch.nan)
