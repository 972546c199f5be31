"""DescentRecord, SweepRecord: what descents leave behind, tensors and a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.rules.status import RunStatus


@dataclass(frozen=True)
class DescentRecord:
    """The paths of a few learners on a landscape, float64.

    Row t holds the state before step t, so row 0 is the start and the last row is the end. Rows after a learner's
    divergence are NaN; no entry is infinite.

    weights:         (steps + 1, learner, 2)
    losses:          (steps + 1, learner)     loss at the weights, times the experiment's loss scale
    gradients:       (steps + 1, learner, 2)  what the rule was given: noise and loss scale included, taken at
                                              `gradient_points` (the last row is not used for a step)
    gradient_points: (steps + 1, learner, 2)  the weights themselves, except for rules that look ahead
    learning_rates:  (steps, learner)         as scheduled
    diverged_at, converged_at: (learner,)     step numbers, -1 for never
    statuses:        one RunStatus a learner
    labels:          one name a learner, for legends
    """

    weights: Tensor
    losses: Tensor
    gradients: Tensor
    gradient_points: Tensor
    learning_rates: Tensor
    diverged_at: Tensor
    converged_at: Tensor
    statuses: tuple[RunStatus, ...]
    labels: tuple[str, ...]

    @property
    def steps(self) -> int:
        return self.learning_rates.shape[0]

    @property
    def gradient_norms(self) -> Tensor:
        """Euclidean length of every gradient, (steps + 1, learner)."""
        return torch.linalg.vector_norm(self.gradients, dim=-1)

    @property
    def steps_taken(self) -> Tensor:
        """The change of the weights in every step, (steps, learner, 2)."""
        return self.weights.diff(dim=0)

    def status(self, learner: int) -> RunStatus:
        return self.statuses[learner]


@dataclass(frozen=True)
class SweepRecord:
    """Thousands of learners of one rule, each with settings of its own; only some steps of their paths are kept.

    kept_steps:  (kept,)            increasing step numbers; the first is 0, the last the number of steps
    weights:     (kept, learner, 2) the weights before those steps; NaN after divergence
    losses:      (kept, learner)
    diverged_at: (learner,)         step numbers, -1 for never
    """

    kept_steps: Tensor
    weights: Tensor
    losses: Tensor
    diverged_at: Tensor

    @property
    def steps(self) -> int:
        return int(self.kept_steps[-1])

    def status(self, learner: int) -> RunStatus:
        """The verdict on one learner (no direction named: run it with `descend` for the explanation)."""
        step = int(self.diverged_at[learner])
        if step >= 0:
            return RunStatus("diverged", step, f"learner {learner} left the landscape at step {step}")
        loss = float(self.losses[-1, learner])
        return RunStatus("finished", self.steps, f"learner {learner} took {self.steps} steps, its loss is {loss:.3g}")
