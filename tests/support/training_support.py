"""Small experiments, and the loop that any PyTorch page shows, to hold the runs against."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from weightlab.networks.datasets import Dataset, dataset
from weightlab.networks.models import model
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training

MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@cache
def data(name: str = "digits") -> Dataset:
    return dataset(name)


def small(**changes: Any) -> TrainingExperiment:
    """A small network on digits in float64, gradient descent."""
    settings: dict[str, Any] = {
        "model": model("mlp", depth=2, width=12, activation="tanh"),
        "dataset": data(),
        "optimizer": optimizer("gradient_descent", learning_rate=0.1),
        "batch_size": 32,
        "steps": 100,
        "dtype": "float64",
    }
    return TrainingExperiment(**{**settings, **changes})


def small_and_exact(**changes: Any) -> TrainingExperiment:
    """So small that its Hessian is quick: four tanh units on the moons in float64, all examples at every update."""
    settings: dict[str, Any] = {
        "model": model("mlp", depth=1, width=4, activation="tanh"),
        "dataset": dataset("moons", samples=60),
        "optimizer": optimizer("gradient_descent", learning_rate=0.3),
        "batch_size": None,
        "steps": 60,
        "dtype": "float64",
    }
    return TrainingExperiment(**{**settings, **changes})


def finish(training: Training) -> Training:
    for _ in training:
        pass
    return training


def weights_of(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach()


def hand_written(
    experiment: TrainingExperiment,
    make_optimizers: Callable[[nn.Module], Iterable[torch.optim.Optimizer]],
    before_step: Callable[[int, nn.Module, list[torch.optim.Optimizer]], None] = lambda step, network, optimizers: None,
) -> Tensor:
    """Last weights of a loop with optimizers that are made for the whole network, from the same weights and batches."""
    twin = Training(experiment.replace(groups=(), optimizer=optimizer("momentum"), changes=()))
    network = experiment.model.build(experiment.dataset.shape, experiment.outputs).to(getattr(torch, experiment.dtype))
    network.load_state_dict(twin.network.state_dict())
    optimizers = list(make_optimizers(network))
    for step in range(experiment.steps):
        x, y = twin.batches.next()
        network.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        before_step(step, network, optimizers)
        for one in optimizers:
            one.step()
    return weights_of(network)


def plain_loop(
    experiment: TrainingExperiment,
    make_optimizer: MakeOptimizer,
    before_step: Callable[[int, nn.Module, torch.optim.Optimizer], None] = lambda step, network, optimizer: None,
) -> tuple[Tensor, Tensor]:
    """Train by hand from the same weights on the same batches: (losses (steps,), last weights)."""
    twin = Training(experiment)
    network = experiment.model.build(experiment.dataset.shape, experiment.outputs)
    network.load_state_dict(twin.network.state_dict())
    optimizer = make_optimizer(network.parameters())
    losses = []
    for step in range(experiment.steps):
        x, y = twin.batches.next()
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(x), y)
        loss.backward()
        before_step(step, network, optimizer)
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), weights_of(network)
