"""What a run leaves behind: tensors and a verdict, nothing that trains or draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

StatusKind = Literal["converged", "diverged", "stopped", "finished"]


@dataclass(frozen=True)
class RunStatus:
    """How a run ended.

    kind: "converged", "diverged", "stopped" (by the learner) or "finished" (used up its steps).
    step: the step at which that happened; for "finished" the number of steps taken.
    message: a sentence that says what happened, for "diverged" with the direction or layer and the limit passed.
    """

    kind: StatusKind
    step: int
    message: str


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


@dataclass(frozen=True)
class TrainingRecord:
    """A real run, step by step, in the run's dtype on the CPU; row t belongs to step t, counted from 0.

    losses:          (steps,)        mean over the batch, without penalties, where the gradient was taken
    learning_rates:  (steps,)        as scheduled
    gradient_norms:  (steps, layer)  of the loss with respect to the layer's weights, before penalties and clipping
    weight_norms:    (steps, layer)  before the step
    update_ratios:   (steps, layer)  |Δw| / |w|, NaN where the weights are all zero
    activation_rms:  (steps, layer)  root mean square of what the layer hands on, over the batch
    weight_paths:    (steps + 1, layer, kept)  some weights of each layer, before step 0 and after every step
    weight_indices:  (layer, kept)   which, counted through the layer's weights laid out in a row
    validation_steps: (validations,) number of steps taken before each, with validation_losses and
    validation_accuracies (share of right answers); empty where there is no validation split
    layers:          one name a layer; biases and normalization do not count as the layer's weights
    changes:         (step from which it holds, setting, new value), in the order made

    The row in which a run diverged is the last and may hold values that are not finite; `status` says what passed which
    limit. A run that is still going has status "stopped".
    """

    losses: Tensor
    learning_rates: Tensor
    gradient_norms: Tensor
    weight_norms: Tensor
    update_ratios: Tensor
    activation_rms: Tensor
    weight_paths: Tensor
    weight_indices: Tensor
    validation_steps: Tensor
    validation_losses: Tensor
    validation_accuracies: Tensor
    layers: tuple[str, ...]
    status: RunStatus
    changes: tuple[tuple[int, str, float | None], ...] = ()

    @property
    def steps(self) -> int:
        return self.losses.shape[0]


@dataclass(frozen=True)
class SignalRecord:
    """How large a deep network's signals and gradients are before training, measured for several seeds.

    forward:     (seed, layer) root mean square of the layer's pre-activations z = W h + b, over units and batch
    backward:    (seed, layer) root mean square of the gradient with respect to those pre-activations
    unit_differences: (seed, layer) root mean square of z minus the next unit's z in the layer, exactly zero where every
                 unit does what its neighbours do
    layers:      one name a layer, from the input up

    Entries may be infinite or NaN where the network overflows.
    """

    forward: Tensor
    backward: Tensor
    unit_differences: Tensor
    layers: tuple[str, ...]

    @property
    def forward_ratios(self) -> Tensor:
        """Growth of `forward` per layer towards the output, (seed,): geometric mean without the first two layers.

        NaN for fewer than four layers and where a magnitude is zero.
        """
        return _growth_per_layer(self.forward)

    @property
    def backward_ratios(self) -> Tensor:
        """Growth of `backward` per layer towards the input, (seed,): below 1 vanishing, above 1 exploding gradients.

        The same layers and exceptions as `forward_ratios`.
        """
        return 1 / _growth_per_layer(self.backward)


FIRST_LAYERS_LEFT_OUT = 2  # the input is not yet what the layers make of it


def _growth_per_layer(magnitudes: Tensor) -> Tensor:
    settled = magnitudes[:, FIRST_LAYERS_LEFT_OUT:].double()
    if settled.shape[1] < 2:
        return torch.full(settled.shape[:1], torch.nan, dtype=torch.float64)
    growth = (settled[:, -1] / settled[:, 0]) ** (1 / (settled.shape[1] - 1))
    return torch.where(growth > 0, growth, torch.nan)
