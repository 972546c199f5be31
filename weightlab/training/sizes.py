"""What networks take that train in a panel, known without making them, so that a typed size is refused in words."""

from __future__ import annotations

from typing import NamedTuple

import torch

from weightlab.networks.architectures import Shape
from weightlab.networks.models import MODELS, ModelSettings
from weightlab.training.experiment import TrainingExperiment

MOST_BYTES = 1.5e9  # of all networks of a panel; beside PyTorch itself less than 2 GB
MOST_PRODUCTS = 2e11  # between two looks at the page: some five seconds of one core
BYTES_PER_WEIGHT = 110  # gradients, memories of the rule, copies, and a second network that takes a trial step
BYTES_PER_SIGNAL = 12  # kept from the way up for the way down


class Size(NamedTuple):
    """Of one network: weights, and for each example the numbers it keeps and the products of one pass upwards."""

    weights: int
    signals: int
    products: int


def size_of(settings: ModelSettings, shape: Shape, outputs: int) -> Size:
    """The size of one of MODELS for examples of `shape`, from its layers, for which no memory is taken."""
    with torch.device("meta"):
        network = settings.entry.build(shape, outputs, dict(settings.settings))
    weights = signals = products = 0
    for (_, module), uses in zip(network.layers, network.uses(shape), strict=True):
        numbers = [parameter.numel() for parameter in module.parameters()]
        weights += sum(numbers)
        signals += uses * len(next(module.parameters()))
        products += uses * sum(numbers)
    return Size(weights, signals, products)


def check_size(experiment: TrainingExperiment, networks: int = 1) -> None:
    """Raise ValueError where that many such networks would not fit a panel's memory, or an update takes too long.

    A network of the learner's own has been made already and is not looked at.
    """
    settings, data = experiment.model, experiment.dataset
    if type(settings) is not ModelSettings or settings.name not in MODELS:
        return
    size = size_of(settings, data.shape, experiment.outputs)
    batch = experiment.batch_size or len(data.y_train)
    needed = networks * (BYTES_PER_WEIGHT * size.weights + BYTES_PER_SIGNAL * batch * size.signals)
    products = networks * size.products * (3 * batch + len(data.y_validation))
    many = f"{networks} networks" if networks > 1 else "a network"
    remedy = "take fewer or narrower layers, or a smaller batch"
    if needed > MOST_BYTES:
        raise ValueError(
            f"memory for the run must be at most {MOST_BYTES / 1e9:g} GB in a panel, got about {needed / 1e9:.2g} GB "
            f"for {many} of {size.weights:,} weights; {remedy}"
        )
    if products > MOST_PRODUCTS:
        raise ValueError(
            f"an update with its validation must be at most {MOST_PRODUCTS:.0e} multiplications in a panel, got "
            f"{products:.1e} for {many} of {size.weights:,} weights; {remedy}"
        )
