"""What differs between networks that are trained at once: learning rates, or pairs of activation and initialization.

choices = rate_choices(experiment, seeds=range(5))
record = train_together(choices.experiments)
choices.grouped(record.validation_accuracies)  # (choice, seed)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.ensembles.run import EnsembleRecord, variations
from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import INITIALIZERS, fans, initialization
from weightlab.rules.update_rules import UPDATE_RULES
from weightlab.theory.signals import weight_gradient_sizes
from weightlab.training.experiment import TrainingExperiment

RATES = tuple(float(f"{10 ** (-3 + third / 3):.2g}") for third in range(13))  # 0.001 to 10
SCALED_RATES = tuple(float(f"{10 ** (-4 + third / 3):.2g}") for third in range(13))  # 0.0001 to 1
ACTIVATIONS_COMPARED = ("sigmoid", "tanh", "relu")
INITIALIZERS_COMPARED = ("xavier_normal", "he_normal", "pytorch_default")


@dataclass(frozen=True)
class Choices:
    """Networks to train at once: `labels` choices, each with `seeds` seeds, the seeds running fastest.

    labels:      each choice in full
    ticks:       the same, short, for an axis
    axis:        what the axis says
    experiments: choice by choice
    first_gradients: (choice,) theory's gradient before training, layer 1 : last hidden layer; None where it is the same
                 for all
    """

    labels: tuple[str, ...]
    ticks: tuple[str, ...]
    axis: str
    experiments: tuple[TrainingExperiment, ...]
    seeds: int
    first_gradients: Tensor | None = None

    def grouped(self, values: Tensor) -> Tensor:
        """(…, learner) -> (…, choice, seed)."""
        return values.unflatten(-1, (len(self.labels), self.seeds))

    def table(self, record: EnsembleRecord, over: Sequence[float] = ()) -> str:
        """A line a choice: share right, mean and spread over the seeds; first gradient, measured beside theory's.

        With shares in `over`, each in (0, 1): how many seeds have more than that right, instead of mean and spread.
        Of a network that has diverged nothing is right; how many have is said.
        """
        lines = []
        width = max(map(len, self.labels))
        rights, gone = self.grouped(record.validation_accuracies.nan_to_num(0.0)), self.grouped(record.diverged_at >= 0)
        for i, label in enumerate(self.labels):
            spread = f" ± {rights[i].std():3.0%}" if self.seeds > 1 else ""
            counts = ", ".join(f"{share:.0%}: {int((rights[i] > share).sum())}" for share in over)
            counted = f"over {counts} of {self.seeds}" if over else f"{rights[i].mean():3.0%}{spread} right"
            parts = [f"{label:{width}} {counted}"]
            if self.first_gradients is not None:
                first, last = (self.grouped(record.gradient_norms[0, :, layer])[i] for layer in (0, -2))
                theory = f"theory {self.first_gradients[i]:.2g}"
                parts.append(f"first gradient 1 : last {(first / last).nanmedian():.2g} ({theory})")
            if gone[i].any():
                parts.append(f"{int(gone[i].sum())} of {self.seeds} diverged")
            lines.append(", ".join(parts))
        return "\n".join(lines)


def rates_for(rule: str) -> tuple[float, ...]:
    """Thirteen learning rates, three a decade; lower ones for a rule that divides by the gradient's size."""
    scaled = {"alpha", "beta2"} & set(UPDATE_RULES[rule].defaults)
    return SCALED_RATES if scaled else RATES


def rate_choices(experiment: TrainingExperiment, seeds: Sequence[int]) -> Choices:
    """The experiment at many learning rates. Raises ValueError for a rule that is not one of weightlab's own."""
    rule = experiment.optimizer.rule
    if not isinstance(rule, str):
        raise ValueError(f"{experiment.optimizer.label} moves one network only; choose one of {list(UPDATE_RULES)}")
    rates = rates_for(rule)
    names = tuple(f"{rate:g}" for rate in rates)
    found = variations(experiment, learning_rate=rates, seed=seeds)
    return Choices(tuple(f"η = {name}" for name in names), names, "learning rate η", found, len(seeds))


def start_choices(experiment: TrainingExperiment, seeds: Sequence[int]) -> Choices:
    """The experiment with nine pairs of activation and initialization, ordered by theory's first gradient."""
    pairs = [(f, start) for f in ACTIVATIONS_COMPARED for start in INITIALIZERS_COMPARED]
    found = {
        (f, start): variations(experiment, activation=(f,), initialization=(initialization(start),), seed=seeds)
        for f, start in pairs
    }
    theory = {pair: first_gradient(networks[0]) for pair, networks in found.items()}
    pairs.sort(key=lambda pair: theory[pair])
    return Choices(
        tuple(f"{ACTIVATIONS[f].label} + {INITIALIZERS[start].short}" for f, start in pairs),
        tuple(f"{ACTIVATIONS[f].label[:4]} {INITIALIZERS[start].letter}" for f, start in pairs),
        "activation, and Xavier, He or nn.Linear's Default",
        tuple(one for pair in pairs for one in found[pair]),
        len(seeds),
        torch.tensor([theory[pair] for pair in pairs], dtype=torch.float64),
    )


def first_gradient(experiment: TrainingExperiment) -> float:
    """Theory's norm of the first gradient, layer 1 : last hidden layer, of a perceptron without extras."""
    network = experiment.model.build(experiment.dataset.shape, experiment.outputs)
    sides = [fans(module.get_parameter("weight")) for _, module in network.layers]
    f, start = experiment.model.hidden_activation, experiment.initialization
    gain, given = start.gain_for(f), dict(start.settings)
    sizes = weight_gradient_sizes(
        f.function,
        f.derivative,
        sides,
        [start.initializer.variance(*side, gain, given) for side in sides],
        [start.initializer.bias_variance(side[0]) for side in sides],
        float(experiment.dataset.x_train.square().mean()),
    )
    return float(sizes[0] / sizes[-2])
