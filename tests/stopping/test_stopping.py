"""Stopping rules on made-up curves, and runs that heed them: they end where the rules say, with their best weights."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import optimizer
from weightlab.stopping.learning_curves import few_digits, learning_curves
from weightlab.stopping.rules import (
    Budget,
    Curve,
    Patience,
    StoppingRule,
    Target,
    curve_of,
    first_stop,
    train_until,
)
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training, train

SMALL = few_digits(12, 0.3, epochs=12, seed=1)


def curve(losses: list[float], accuracies: list[float] | None = None) -> Curve:
    count = len(losses)
    right = accuracies or [0.5] * count
    parts = (losses, right, list(range(count)))
    return Curve(10 * torch.arange(count), *(torch.tensor(part, dtype=torch.float64) for part in parts))


# ---- the rules ---------------------------------------------------------------------------------------------------


@given(losses=st.lists(st.floats(0, 10), min_size=1, max_size=30), patience=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_patience_is_the_loop_that_everybody_writes(losses: list[float], patience: int) -> None:
    best, wait, expected = math.inf, 0, None
    for index, loss in enumerate(losses):
        if loss < best:
            best, wait = loss, 0
        else:
            wait += 1
        if wait >= patience:
            expected = index
            break
    assert Patience(patience).stops_at(curve(losses)) == expected


def test_targets_and_budgets_stop_at_the_first_validation_that_reaches_them() -> None:
    seen = curve([3.0, 2.0, 1.0, 2.0], [0.1, 0.6, 0.5, 0.9])
    assert Target(loss=2.0).stops_at(seen) == 1 and Target(accuracy=0.55).stops_at(seen) == 1
    assert Target(loss=0.5).stops_at(seen) is None and Target(accuracy=0.95).stops_at(seen) is None
    assert Budget(updates=15).stops_at(seen) == 2 and Budget(seconds=2.5).stops_at(seen) == 3
    assert Budget(updates=31).stops_at(seen) is None


def test_the_earliest_rule_ends_the_curve_and_says_why() -> None:
    seen = curve([3.0, 1.0, 2.0, 2.0, 2.0])
    stop = first_stop(seen, Patience(3), Budget(updates=30), Target(loss=1.5))
    assert (stop.index, stop.best) == (1, 1) and stop.reason == "validation loss 1 reached the target 1.5"
    assert first_stop(seen, Patience(3)).reason == "3 validations without improvement"
    assert first_stop(seen, Patience(1)).reason == "1 validation without improvement"
    assert first_stop(seen, Budget(updates=30)).reason == "the budget of 30 updates is spent"
    assert first_stop(seen, Budget(seconds=2.5)).reason == "the budget of 2.5 seconds is spent"
    assert first_stop(seen, Target(accuracy=0.5)).reason == "50.0% right reached the target 50.0%"
    nobody = first_stop(seen, Patience(4))
    assert (nobody.index, nobody.best, nobody.reason) == (4, 1, "no rule stopped it")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Patience(0), r"patience must be in \[1, 100000\], got 0; it counts validations"),
        (lambda: Patience(2.5), "patience must be a whole number"),  # type: ignore[arg-type]
        (lambda: Patience(3, -0.1), "min_delta must be in"),
        (lambda: Target(), "a target is a loss or an accuracy"),
        (lambda: Target(loss=1.0, accuracy=0.5), "a target is a loss or an accuracy"),
        (lambda: Target(accuracy=1.5), r"target accuracy must be in \[0, 1\]"),
        (lambda: Target(loss=math.nan), "target loss must be in .* got nan; use a finite number"),
        (lambda: Budget(), "a budget is in updates or in seconds"),
        (lambda: Budget(updates=-1), "budget of updates must be in"),
        (lambda: Budget(seconds=math.inf), "budget of seconds must be in"),
        (lambda: first_stop(curve([]), Patience(1)), "the curve has no validations"),
    ],
)
def test_bad_settings_are_refused_in_words(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


# ---- runs that heed them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [Patience(2), Target(accuracy=0.6), Target(loss=1.2), Budget(updates=50)])
def test_a_run_stops_where_the_rule_says_of_the_whole_curve(rule: StoppingRule) -> None:
    whole = curve_of(train(SMALL))
    said = first_stop(whole, rule)
    assert said.index < len(whole) - 1, "the test needs a rule that stops early"
    run = train_until(SMALL, rule)
    assert (run.stop.index, run.stop.best) == (said.index, said.best) and run.stop.reason == said.reason
    assert torch.equal(run.curve.losses, whole.losses[: said.index + 1])
    assert run.training.steps_done == int(whole.updates[said.index])  # and not one update more
    assert run.record.status.kind == "stopped"


def test_the_best_weights_come_back_and_score_what_they_scored() -> None:
    run = train_until(SMALL, Patience(3))
    data = SMALL.dataset
    loss, right = run.training.evaluate(data.x_validation, data.y_validation)
    assert float(loss) == run.curve.lowest and run.stop.best < run.stop.index
    assert float(right) == float(run.curve.accuracies[run.stop.best])
    alone = Training(SMALL)
    for _ in range(int(run.curve.updates[run.stop.best])):
        alone.step()
    for mine, other in zip(run.training.network.parameters(), alone.network.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_batch_normalizations_statistics_come_back_too() -> None:
    experiment = SMALL.replace(model=model("mlp", depth=2, width=12, batch_norm=True))
    run = train_until(experiment, Budget(updates=140))
    loss, _ = run.training.evaluate(experiment.dataset.x_validation, experiment.dataset.y_validation)
    assert float(loss) == pytest.approx(run.curve.lowest, rel=1e-6)


def test_a_budget_in_seconds_goes_by_the_clock_that_it_is_given() -> None:
    ticks = itertools.count()
    run = train_until(SMALL, Budget(seconds=4), clock=lambda: float(next(ticks)))
    assert run.stop.index == 3 and run.curve.seconds.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert bool((train_until(SMALL, Budget(seconds=0.02)).curve.seconds.diff() > 0).all())


def test_without_a_stop_the_run_takes_all_its_steps_and_is_trains_run() -> None:
    run = train_until(SMALL)
    assert run.stop.reason == f"took all {SMALL.steps} steps" and run.record.status.kind == "finished"
    assert torch.equal(run.record.losses, train(SMALL).losses)
    assert torch.equal(run.curve.losses, curve_of(train(SMALL)).losses)


def test_a_schedule_that_reads_the_validation_loss_sees_each_one_once() -> None:
    experiment = SMALL.replace(schedule=schedule("plateau", patience=1, factor=0.5))
    assert torch.equal(train_until(experiment).record.learning_rates, train(experiment).learning_rates)


def test_a_run_that_diverges_is_ended_and_explained() -> None:
    experiment = SMALL.replace(optimizer=optimizer("momentum", learning_rate=80.0, momentum=0.9))
    run = train_until(experiment, Patience(5))
    assert "diverged" in run.stop.reason and run.stop.best == 0
    assert all(bool(torch.isfinite(weight).all()) for weight in run.training.network.parameters())


def test_stopping_needs_a_validation_split() -> None:
    none = dataset("digits", validation_fraction=0.0)
    experiment = TrainingExperiment(model("mlp"), none, optimizer("gradient_descent", learning_rate=0.1), steps=5)
    with pytest.raises(ValueError, match="needs a validation split, dataset 'digits' has none"):
        train_until(experiment, Patience(1))
    with pytest.raises(ValueError, match="need a validation split"):
        learning_curves(experiment)
    assert math.isnan(Training(experiment).validate()[0])


# ---- learning curves ---------------------------------------------------------------------------------------------


def test_learning_curves_are_the_same_run_with_both_splits() -> None:
    curves, record = learning_curves(SMALL), train(SMALL)
    assert torch.equal(curves.validation.losses, record.validation_losses.double()) and len(curves) == 13
    ended = train_until(SMALL, restore=False).training
    data = SMALL.dataset
    loss, right = ended.evaluate(data.x_train, data.y_train)
    assert float(curves.training_losses[-1]) == float(loss) and float(curves.training_accuracies[-1]) == float(right)
    squares = sum(float(weight.detach().double().square().sum()) for weight in ended.network.parameters())
    assert float(curves.weight_norms[-1]) == pytest.approx(squares**0.5, rel=1e-6)
