"""Training and validation side by side over a whole run: what a stopping rule is asked about afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.networks.architectures import flat_weights
from weightlab.networks.datasets import Dataset, dataset
from weightlab.networks.models import model
from weightlab.rules.status import RunStatus
from weightlab.rules.update_rules import optimizer
from weightlab.stopping.rules import Curve, curve_of
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training
from weightlab.validate import whole_number

BATCH_SIZE = 32


@dataclass(frozen=True)
class LearningCurves:
    """Both splits at every validation of a run, (validation,) each, float64.

    validation:          losses and accuracies on examples that the run never sees
    training_losses, training_accuracies: on all training examples, with the labels that the run was given
    weight_norms:        Euclidean length of all weights and biases together
    status:              how the run ended
    """

    validation: Curve
    training_losses: Tensor
    training_accuracies: Tensor
    weight_norms: Tensor
    status: RunStatus

    def __len__(self) -> int:
        return len(self.validation)


def learning_curves(experiment: TrainingExperiment) -> LearningCurves:
    """Run `experiment` to its end. The same run as `train` makes of it: looking changes nothing.

    Raises ValueError where the data have no validation split.
    """
    data = experiment.dataset
    if not len(data.y_validation):
        raise ValueError(f"learning curves need a validation split, dataset {data.name!r} has none; give it one")
    training = Training(experiment)
    seen: list[tuple[float, float, float]] = []
    while True:
        if training.steps_done % experiment.validate_every == 0 or training.status is not None:
            seen.append(_look(training))
        if not training.step():
            break
    curve = curve_of(training.record())
    losses, accuracies, norms = torch.tensor(seen[: len(curve)], dtype=torch.float64).T
    assert training.status is not None
    return LearningCurves(curve, losses, accuracies, norms, training.status)


def _look(training: Training) -> tuple[float, float, float]:
    loss, right = training.evaluate(training.experiment.dataset.x_train, training.experiment.dataset.y_train)
    return float(loss), float(right), float(torch.linalg.vector_norm(flat_weights(training.network).double()))


def few_digits(
    width: int = 64,
    label_noise: float = 0.0,
    *,
    epochs: int = 60,
    learning_rate: float = 0.05,
    l2: float = 0.0,
    seed: int = 0,
    data: Dataset | None = None,
) -> TrainingExperiment:
    """One hidden layer of `width` ReLU units on a quarter of the digits, batches of 32, momentum 0.9.

    With so few examples (450) a network of 64 units can learn every label by heart. A validation after each epoch.
    label_noise: share of training labels that are wrong. seed: of split, wrong labels, weights and batches. data: in
    place of the digits.
    """
    passes = whole_number("epochs", epochs, 1, 2000, why="more take too long for a lab")
    digits = dataset("digits", seed=seed, validation_fraction=0.75, label_noise=label_noise) if data is None else data
    updates = len(digits.y_train) // BATCH_SIZE
    return TrainingExperiment(
        model=model("mlp", depth=1, width=width, activation="relu"),
        dataset=digits,
        optimizer=optimizer("momentum", learning_rate=learning_rate, momentum=0.9),
        batch_size=BATCH_SIZE,
        steps=passes * updates,
        seed=seed,
        l2=l2,
        validate_every=updates,
        dtype="float64",  # in float32 another processor's rounding moves the loss of epoch 60 by 1 %
    )
