"""Which runs of lab 06 a rounding error changes: what the lab says under its limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weightlab.datasets import dataset
from weightlab.experiments import TrainingExperiment
from weightlab.initializers import initialization
from weightlab.models import model
from weightlab.training import train
from weightlab.update_rules import optimizer


def change_by_a_nudge(activation: str, start: str, seed: int) -> float:
    """How far a loss moves at most when the examples are scaled by 1 + 1e-13, eight layers of 32 units, η = 0.1."""
    digits = dataset("digits")
    run = TrainingExperiment(
        model("mlp", depth=8, width=32, activation=activation),
        digits,
        optimizer("gradient_descent", learning_rate=0.1),
        initialization(start),
        seed=seed,
        steps=300,
        dtype="float64",
    )
    nudged = run.replace(dataset=replace(digits, x_train=digits.x_train * (1 + 1e-13)))
    return float((train(run).losses - train(nudged).losses).abs().max())


def test_a_rounding_error_grows_in_relu_on_hes_weights() -> None:
    assert change_by_a_nudge("relu", "he_normal", 4) > 1e-3


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_it_stays_small_in_sigmoid_and_tanh_on_xaviers(activation: str) -> None:
    assert change_by_a_nudge(activation, "xavier_normal", 4) < 1e-9
