"""Runs of several experiments at once, as every position of a slider asks for them; a single run is a fan of one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.record import DescentRecord
from weightlab.descent.verdicts import Path, verdict

AT_REST = 1e-6  # times the first gradient's length: a run has converged once its gradients stay shorter


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
                Path(experiment.landscape, experiment.optimizers_at(left - 1 if left >= 0 else self.steps)[i],
                     experiment.loss_scale, weights[:, i], losses[:, i], gradients[:, i], rates[:, i]),
                left,
                rest,
            )
            for i, (left, rest) in enumerate(zip(out.tolist(), rested.tolist(), strict=True))
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


def converged_at_step(gradients: Tensor, loss_scale: float | Tensor) -> Tensor:
    """The first step from which on the gradients stay tiny, (learner,), -1 for never; noise never does."""
    lengths = torch.linalg.vector_norm(gradients, dim=-1)
    lively = ~(lengths <= (AT_REST * lengths[0]).clamp(min=torch.as_tensor(1e-12 * loss_scale)))
    rows = torch.arange(len(lengths)).unsqueeze(-1)
    rest = torch.where(lively, rows, -1).amax(0) + 1
    return torch.where(rest < len(lengths), rest, -1)
