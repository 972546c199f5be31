"""Sweeps: tens of thousands of learners of one rule at once, each with its own settings, a few steps of each kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from weightlab.descent.experiment import MAX_DESCENT_STEPS
from weightlab.descent.landscapes import Landscape
from weightlab.descent.learners import Learners
from weightlab.descent.record import DescentRecord, SweepRecord
from weightlab.descent.run import FAR, drawn_noise
from weightlab.devices import settle_threads
from weightlab.rules.update_rules import SETTING_LIMITS, UPDATE_RULES, UpdateRule
from weightlab.validate import MAX_SEED, choose, number, whole_number

KEPT_PAIRS = 16  # pairs of neighbouring steps that a sweep keeps, to measure its rate from
MAX_KEPT = 2**28  # numbers in the paths of one sweep, 2 GiB
SWEPT_TOGETHER = 40_000  # learners of a sweep whose numbers a processor's cache holds from one step to the next
LOOK_EVERY = 32  # steps from one look for divergence to the next


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
    seed = whole_number("seed", seed, 0, MAX_SEED)
    noise = drawn_noise(landscape, steps, seed).unbind(0) if landscape.gradient_noise else None
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


class BatchedDescent:
    """Learners of `rule` from `start` (w1, w2) on, each with settings (learner, 1) or numbers for all of them.

    w:    (learner, 2); each weight of all learners lies together in memory, so that settings broadcast at full speed
    step: steps taken
    noise: added to the gradient of every step, a tensor that broadcasts for each; or None
    """

    def __init__(
        self,
        landscape: Landscape,
        rule: UpdateRule,
        settings: Mapping[str, Any],
        start: Tensor,  # (2,)
        learners: int,
        noise: Sequence[Tensor] | None = None,
    ) -> None:
        self.landscape, self.noise = landscape, noise
        self.w = start.unsqueeze(-1).repeat(1, learners).mT
        self.learners = Learners(rule, settings)
        self.learners.start(self.w)
        self.step = 0

    def advance(self) -> None:
        """Take a step."""
        gradient = self.landscape.gradient(self.learners.point(self.w))
        if self.noise is not None:
            gradient = gradient + self.noise[self.step]
        self.w = self.learners.step(self.w, gradient)
        self.step += 1

    def walk(self, kept: Sequence[int], path: Tensor, losses: Tensor) -> Tensor:
        """Go from step 0 to the last of the `kept` steps; (learner,) the step at which each diverged, -1 for never.

        path (kept, learner, 2) and losses (kept, learner) are written to.
        """
        rows = {step: row for row, step in enumerate(kept)}
        last, limit = kept[-1], FAR * self.landscape.size
        diverged_at = torch.full(self.w.shape[:1], -1)
        # A sum of squares exceeds the limit's square once one position is beyond the limit: one operation a step tells
        # that nobody can have left. Who may have left goes the last few steps again, looked at one by one.
        squares = torch.zeros_like(self.w)
        for first in range(0, last + 1, LOOK_EVERY):
            before, stop = self._as_it_is(), min(first + LOOK_EVERY, last + 1)
            for step in range(first, stop):
                squares.addcmul_(self.w, self.w)
                if step in rows:
                    path[rows[step]] = self.w
                    losses[rows[step]] = self.landscape.loss(self.w)
                if step < last:
                    self.advance()
            doubtful = (diverged_at < 0) & ~(squares.sum(-1) <= limit**2)
            if bool(doubtful.any()):
                learners = doubtful.nonzero().squeeze(-1)
                diverged_at[learners] = before._some(learners)._first_beyond(limit, stop)
        return diverged_at

    def _as_it_is(self) -> BatchedDescent:
        kept = copy.copy(self)
        kept.learners = copy.copy(self.learners)
        return kept

    def _some(self, learners: Tensor) -> BatchedDescent:
        """The learners of these numbers as they are now."""
        chosen = self._as_it_is()
        chosen.w = _of(self.w, learners)
        chosen.learners.state = {name: _of(value, learners) for name, value in self.learners.state.items()}
        chosen.learners.settings = {name: _of(value, learners) for name, value in self.learners.settings.items()}
        return chosen

    def _first_beyond(self, limit: float, stop: int) -> Tensor:
        """The first step before `stop` at which each learner is beyond the limit, -1 for none."""
        first, path = self.step, [self.w.mT]
        while self.step + 1 < stop:
            self.advance()
            path.append(self.w.mT)
        within = (torch.stack(path).abs_() <= limit).all(1)  # not "> limit" for beyond: NaN is beyond too
        count = within.byte().cumprod(0, dtype=torch.uint8).sum(0)
        return torch.where(count == len(path), -1, first + count)


def _of(value: Any, learners: Tensor) -> Any:
    """Some learners' part of a state or setting, laid out as before; what all learners share as it is."""
    if not isinstance(value, Tensor) or not value.ndim:
        return value
    return value[learners] if value.ndim > 2 else value.mT[:, learners].mT
