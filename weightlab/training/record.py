"""TrainingRecord: what a real run leaves."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from weightlab.rules.status import RunStatus


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
