"""Many learners of one rule going down a landscape together, a step at a time, watched for divergence."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from weightlab.descent.landscapes import Landscape
from weightlab.rules.update_rules import UpdateRule

FAR = 1e8  # times the landscape's size: farther out a learner counts as diverged
LOOK_EVERY = 32  # steps from one look for divergence to the next


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
        self.landscape, self.rule, self.settings, self.noise = landscape, rule, settings, noise
        self.w = start.unsqueeze(-1).repeat(1, learners).mT
        self.state = rule.init(self.w)
        self.step = 0

    def advance(self) -> None:
        """Take a step."""
        gradient = self.landscape.gradient(self.rule.gradient_point(self.w, self.state, self.settings))
        if self.noise is not None:
            gradient = gradient + self.noise[self.step]
        self.w, self.state = self.rule.step(self.w, gradient, self.state, self.settings)
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
            before, stop = copy.copy(self), min(first + LOOK_EVERY, last + 1)
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

    def _some(self, learners: Tensor) -> BatchedDescent:
        """The learners of these numbers as they are now."""
        chosen = copy.copy(self)
        chosen.w = _of(self.w, learners)
        chosen.state = {name: _of(value, learners) for name, value in self.state.items()}
        chosen.settings = {name: _of(value, learners) for name, value in self.settings.items()}
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
    return value.mT[:, learners].mT if isinstance(value, Tensor) and value.ndim else value
