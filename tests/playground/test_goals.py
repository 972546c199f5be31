"""A goal under a budget: what counts, what overspends, and the figure of it."""

from __future__ import annotations

import torch
from refusals import refusals
from training_support import small

from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.playground.goals import Goal, accuracies, spread_text
from weightlab.rules.update_rules import optimizer
from weightlab.training.run import train

START = small(steps=10)
GOAL = Goal(START, accuracy=0.5, updates=10, batch_size=32, parameters=1100)


def test_accuracies_are_those_of_the_runs_seed_by_seed() -> None:
    found = accuracies(START, range(3, 5))
    for share, seed in zip(found, (3, 4), strict=True):
        record = train(START.replace(seed=seed, validate_every=10))
        assert share == record.validation_accuracies[-1]


def test_a_run_that_diverged_has_none_right() -> None:
    wild = START.replace(optimizer=optimizer("gradient_descent", learning_rate=1e9), steps=40)
    assert accuracies(wild, range(1)).tolist() == [0.0]


test_overspending_is_refused_with_the_budget = refusals(lambda **changes: GOAL.worst(START.replace(**changes)), {
    "the budget is 10 updates, got 11": {"steps": 11},
    "the budget is 32 examples a batch, got 33": {"batch_size": 33},
    "the budget is 32 examples a batch, got 1347": {"batch_size": None},
    "the budget is 1100 parameters, got 4650": {"model": model("mlp", depth=2, width=40)},
    "the goal is on 'digits' split as in the start": {"dataset": dataset("digits", seed=1)},
})


test_what_is_no_experiment_and_no_budget_is_refused = refusals({
    "a TrainingExperiment is asked for, got 'adam'": lambda: GOAL.worst("adam"),  # type: ignore[arg-type]
    r"accuracy must be in \[0, 1\], got 96": (
        lambda: Goal(START, accuracy=96, updates=10, batch_size=32, parameters=100)
    ),
    "updates must be in": lambda: Goal(START, accuracy=0.9, updates=0, batch_size=32, parameters=100),
    "has no validation split": lambda: accuracies(small(dataset=dataset("digits", validation_fraction=0))),
})


def test_spread_is_mean_deviation_and_worst() -> None:
    assert spread_text(torch.tensor([0.5, 0.7, 0.9])) == "70.0% ± 20.0%, worst 50.0%"
