"""What is read off runs: each measurement against a case where it is known."""

from __future__ import annotations

import math

import pytest
import torch

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import Landscape, landscape
from weightlab.descent.measurements import (
    largest_curvature,
    loss_by_direction,
    measured_recurrence,
    measured_regimes,
    overshoot_bracket,
    stability_bracket,
    steps_to_reach,
)
from weightlab.descent.record import DescentRecord
from weightlab.descent.run import descend
from weightlab.descent.sweep import sweep
from weightlab.rules.update_rules import optimizer
from weightlab.theory import quadratic as theory

BOWL = landscape("rotated_quadratic", condition_number=10, angle=30)
CLIFF = landscape("cliff")


def descent(land: Landscape, learning_rate: float, steps: int = 30) -> DescentRecord:
    return descend(DescentExperiment(land, (optimizer("gradient_descent", learning_rate=learning_rate),), steps=steps))


def test_the_losses_of_the_directions_add_up_to_the_loss() -> None:
    record = descent(BOWL, 0.15)
    torch.testing.assert_close(loss_by_direction(record.weights[:, 0], BOWL).sum(-1), record.losses[:, 0])


def test_the_loss_of_a_curved_valley_does_not_split() -> None:
    with pytest.raises(ValueError, match="cliff is no quadratic.*choose a quadratic"):
        loss_by_direction(descent(CLIFF, 0.01).weights[:, 0], CLIFF)


def test_a_quadratic_has_the_same_curvature_all_along_the_path() -> None:
    curvature = largest_curvature(descent(BOWL, 0.15), BOWL, 0)
    torch.testing.assert_close(curvature, torch.full((31,), 10.0, dtype=torch.float64))


def test_curvature_at_the_foot_of_the_cliff_is_that_of_its_hessian() -> None:
    curvature = largest_curvature(descent(CLIFF, 0.01), CLIFF, 0)
    start = torch.linalg.eigvalsh(CLIFF.hessian(torch.tensor(CLIFF.start, dtype=torch.float64)))
    assert curvature[0] == pytest.approx(float(start[-1]))
    assert curvature[-1] > 1000 * curvature[0]


def test_curvature_is_nan_from_the_divergence_on() -> None:
    record = descent(CLIFF, 0.1)
    curvature = largest_curvature(record, CLIFF, 0)
    gone = int(record.diverged_at[0])
    assert gone > 0 and not curvature[:gone].isnan().any()
    assert curvature[gone + 1 :].isnan().all()


# ---- momentum ----------------------------------------------------------------------------------------------------


STRAIGHT = landscape("quadratic", condition_number=10.0)
ROUND = landscape("quadratic", condition_number=1.0)
RATES = torch.linspace(0.00025, 0.41975, 840, dtype=torch.float64)
MOMENTA = torch.linspace(0.0, 0.99, 34, dtype=torch.float64)


@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_limit_lies_in_the_bracket_that_runs_give(rule: str, momentum: float) -> None:
    low, high = stability_bracket(STRAIGHT, rule, RATES, momentum=momentum)
    assert low < float(theory.learning_rate_limit(rule, momentum, 10.0)) < high
    assert high - low < 0.001


@pytest.mark.parametrize("rates", [RATES[:100], RATES[800:]])
def test_a_range_without_the_limit_is_refused(rates: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="do not bracket the limit.*widen the range"):
        stability_bracket(STRAIGHT, "momentum", rates, momentum=0.5)


@pytest.mark.parametrize("learning_rate", [0.01, 0.1, 0.5])
def test_the_critical_momentum_lies_in_the_bracket_that_runs_give(learning_rate: float) -> None:
    momenta = torch.linspace(0.0, 0.999, 1000, dtype=torch.float64)
    low, high = overshoot_bracket(ROUND, "momentum", momenta, learning_rate=learning_rate)
    assert low < float(theory.critical_momentum(learning_rate, 1.0)) < high


@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
def test_runs_do_what_theory_says_of_their_regime(rule: str) -> None:
    rates = RATES[::20]
    seen = measured_regimes(STRAIGHT, rule, rates, MOMENTA)
    predicted = theory.regime_codes(rule, rates, MOMENTA[:, None], (1.0, 10.0))
    assert set(seen.flatten().tolist()) == {0, 1, 2}
    assert torch.equal(seen, predicted)


@pytest.mark.parametrize(("learning_rate", "momentum"), [(0.1, 0.8), (0.01, 0.5), (0.25, 0.25)])
def test_four_errors_give_the_recurrence_away(learning_rate: float, momentum: float) -> None:
    learner = {"learning_rate": learning_rate, "momentum": momentum}
    errors = sweep(ROUND, "momentum", learner, steps=3, keep_paths=True).weights[:, 0, 0]
    assert measured_recurrence(errors) == pytest.approx((1 + momentum - learning_rate, momentum))


def test_steps_are_counted_to_the_last_one_outside() -> None:
    rates = torch.tensor([0.1, 0.05, 0.001, 0.3], dtype=torch.float64)
    counted = steps_to_reach(STRAIGHT, "gradient_descent", {"learning_rate": rates}, share=1e-3, steps=200)
    # with both factors known: the flat direction decides
    start = math.hypot(*STRAIGHT.start)
    exact = [math.ceil(math.log(1e-3 * start / 2) / math.log(1 - rate)) for rate in (0.1, 0.05)]
    assert counted.tolist() == [*exact, -1, -1]
