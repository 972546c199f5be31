"""What momentum's runs are measured by: brackets, regimes, roots and step counts, each against a closed form."""

from __future__ import annotations

import math

import pytest
import torch

from weightlab.descent.landscapes import landscape
from weightlab.descent.measurements import (
    measured_recurrence,
    measured_regimes,
    overshoot_bracket,
    stability_bracket,
    steps_to_reach,
)
from weightlab.descent.sweep import sweep
from weightlab.theory import quadratic as theory

BOWL = landscape("quadratic", condition_number=10.0)
ROUND = landscape("quadratic", condition_number=1.0)
RATES = torch.linspace(0.00025, 0.41975, 840, dtype=torch.float64)
MOMENTA = torch.linspace(0.0, 0.99, 34, dtype=torch.float64)


@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_limit_lies_in_the_bracket_that_runs_give(rule: str, momentum: float) -> None:
    low, high = stability_bracket(BOWL, rule, RATES, momentum=momentum)
    assert low < float(theory.learning_rate_limit(rule, momentum, 10.0)) < high
    assert high - low < 0.001


@pytest.mark.parametrize("rates", [RATES[:100], RATES[800:]])
def test_a_range_without_the_limit_is_refused(rates: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="do not bracket the limit.*widen the range"):
        stability_bracket(BOWL, "momentum", rates, momentum=0.5)


@pytest.mark.parametrize("learning_rate", [0.01, 0.1, 0.5])
def test_the_critical_momentum_lies_in_the_bracket_that_runs_give(learning_rate: float) -> None:
    momenta = torch.linspace(0.0, 0.999, 1000, dtype=torch.float64)
    low, high = overshoot_bracket(ROUND, "momentum", momenta, learning_rate=learning_rate)
    assert low < float(theory.critical_momentum(learning_rate, 1.0)) < high


@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
def test_runs_do_what_theory_says_of_their_regime(rule: str) -> None:
    rates = RATES[::20]
    seen = measured_regimes(BOWL, rule, rates, MOMENTA)
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
    counted = steps_to_reach(BOWL, "gradient_descent", {"learning_rate": rates}, share=1e-3, steps=200)
    # with both factors known: the flat direction decides
    start = math.hypot(*BOWL.start)
    exact = [math.ceil(math.log(1e-3 * start / 2) / math.log(1 - rate)) for rate in (0.1, 0.05)]
    assert counted.tolist() == [*exact, -1, -1]
