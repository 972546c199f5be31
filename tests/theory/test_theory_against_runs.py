"""What runs measure against what theory says, on grids of condition number, learning rate and momentum."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from reliability import Record
from torch import Tensor

from weightlab.descent.landscapes import landscape
from weightlab.descent.sweep import sweep
from weightlab.rules.update_rules import UPDATE_RULES
from weightlab.theory import quadratic as theory

COVERED = sorted(name for name, rule in UPDATE_RULES.items() if rule.theory)
CONDITION_NUMBERS = (2.0, 10.0, 100.0)
MOMENTA = (0.0, 0.2, 0.5, 0.8, 0.9, 0.98)
SHARES_OF_LIMIT = (0.05, 0.15, 0.3, 0.47, 0.65, 0.8, 0.93, 0.99)
STEPS = 4000
RULES = ("gradient_descent", "momentum", "nesterov")
SMALLEST = 1e-250  # below, products of two errors underflow


def form_of(rule: str) -> str:
    return UPDATE_RULES[rule].theory or ""


def grid(rule: str, condition_number: float) -> tuple[Tensor, Tensor]:
    """Learning rates and momenta, (learner,) each."""
    points = [
        (share * float(theory.learning_rate_limit(form_of(rule), mu, condition_number)), mu)
        for mu, share in itertools.product(MOMENTA if rule != "gradient_descent" else (0.0,), SHARES_OF_LIMIT)
    ]
    eta, mu = torch.tensor(points, dtype=torch.float64).unbind(1)
    return eta, mu


def settings_of(rule: str, eta: Tensor, mu: Tensor) -> dict[str, float | Tensor]:
    return {"learning_rate": eta} if rule == "gradient_descent" else {"learning_rate": eta, "momentum": mu}


def fitted_rates(errors: Tensor) -> Tensor:
    """Shrinkage per step of errors (steps + 1, learner): slope of their logarithm over the second half, (learner,).

    The larger of two neighbouring errors, so that one that jumps through zero leaves no hole; weights that fade out at
    both ends, so that it does not matter where in a slow swing the path is cut.
    """
    log = torch.maximum(errors[1:].abs(), errors[:-1].abs()).clamp(min=SMALLEST).log()
    rates = []
    for column in log.unbind(1):
        rows = int((column > math.log(SMALLEST) + 1).sum())
        tail, time = column[rows // 2 : rows], torch.arange(rows - rows // 2, dtype=torch.float64)
        weight = torch.sin(torch.pi * (time + 0.5) / len(time)).square()
        time = time - weight @ time / weight.sum()
        rates.append(((weight * time) @ tail / (weight @ time.square())).exp())
    return torch.stack(rates)


@pytest.mark.parametrize("condition_number", CONDITION_NUMBERS)
@pytest.mark.parametrize("rule", RULES)
def test_measured_rates_match_theory_within_one_per_cent(
    rule: str, condition_number: float, record_property: Record
) -> None:
    bowl = landscape("quadratic", condition_number=condition_number)  # on axes, neither direction rounds the other
    eta, mu = grid(rule, condition_number)
    record = sweep(bowl, rule, settings_of(rule, eta, mu), start=(1.3, 0.6), steps=STEPS, keep_paths=True)
    measured = torch.stack([fitted_rates(record.weights[:, :, axis]) for axis in range(2)])
    predicted = torch.stack(
        [torch.as_tensor(theory.convergence_rate(form_of(rule), eta, mu, value)) for value in (1.0, condition_number)]
    )
    torch.testing.assert_close(measured, predicted, rtol=0.01, atol=0)
    # and the speed itself, -log(rate), which a rate of 0.99 would otherwise hide
    torch.testing.assert_close(measured.log(), predicted.log(), rtol=0.01, atol=0)
    both = theory.convergence_rate(form_of(rule), eta, mu, (1.0, condition_number))
    torch.testing.assert_close(measured.amax(0), torch.as_tensor(both), rtol=0.01, atol=0)
    record_property("runs", len(eta))
    record_property("off", float((measured.log() / predicted.log() - 1).abs().max()))


@pytest.mark.parametrize("condition_number", CONDITION_NUMBERS)
@pytest.mark.parametrize("rule", COVERED)
def test_runs_converge_just_inside_the_limit_and_diverge_just_beyond(rule: str, condition_number: float) -> None:
    bowl = landscape("rotated_quadratic", condition_number=condition_number, angle=75)
    mu = torch.tensor(MOMENTA if rule != "gradient_descent" else (0.0,), dtype=torch.float64)
    limit = torch.as_tensor(theory.learning_rate_limit(form_of(rule), mu, condition_number))
    for share, diverges in ((0.99, False), (1.01, True)):
        record = sweep(bowl, rule, settings_of(rule, share * limit, mu), start=(1.0, 1.0), steps=STEPS)
        assert ((record.diverged_at >= 0) == diverges).all(), (share, record.diverged_at)
        if not diverges:
            assert (record.losses[-1] < 1e-9 * record.losses[0]).all()


@pytest.mark.parametrize("condition_number", [4.0, 25.0, 400.0])
def test_at_the_optimum_the_error_falls_as_a_line_times_the_best_rate(condition_number: float) -> None:
    """Plain fits fail here: at a double root the error is t·rateᵗ, so the line is divided out first."""
    bowl = landscape("quadratic", condition_number=condition_number)
    for rule, best in (("momentum", theory.best_heavy_ball), ("nesterov", theory.standard_nesterov)):
        eta, mu, rate = best(1.0, condition_number)
        record = sweep(bowl, rule, {"learning_rate": eta, "momentum": mu}, start=(1.0, 0.0), steps=600, keep_paths=True)
        error = record.weights[:, 0, 0]
        rows = torch.arange(1, int((error > SMALLEST).sum()), dtype=torch.float64)
        # from rest, e[t] = r^t (1 + t(1 - μ/r)): see theory.error_path
        measured = (error[1 : len(rows) + 1] / (1 + rows * (1 - mu / rate))) ** (1 / rows)
        assert measured.sub(rate).abs().max() < 0.01 * rate
        slope = math.log(float(measured[-1]))
        assert slope == pytest.approx(math.log(rate), rel=0.01)
        plain = (error[-1] / error[len(error) // 2]) if error[-1] > SMALLEST else None
        if plain is not None:  # the naive quotient is slower than the rate, as t·rateᵗ must be
            assert plain ** (1 / (len(error) - 1 - len(error) // 2)) > rate


@pytest.mark.parametrize("rule", COVERED)
def test_every_step_of_a_run_is_where_theory_says(rule: str) -> None:
    condition_number, angle = 10.0, 30.0
    bowl = landscape("rotated_quadratic", condition_number=condition_number, angle=angle)
    vectors, values = bowl.eigenvectors, bowl.eigenvalues
    assert vectors is not None and values is not None
    start = torch.tensor((1.0, 0.4), dtype=torch.float64)
    for mu, share in itertools.product((0.0, 0.5, 0.9) if rule != "gradient_descent" else (0.0,), (0.1, 0.5, 0.9)):
        eta = share * float(theory.learning_rate_limit(form_of(rule), mu, condition_number))
        learner = settings_of(rule, *torch.tensor([[eta], [mu]], dtype=torch.float64))
        record = sweep(bowl, rule, learner, start=tuple(start.tolist()), steps=80, keep_paths=True)
        for axis in range(2):
            measured = record.weights[:, 0] @ vectors[:, axis]
            predicted = (start @ vectors[:, axis]) * theory.error_path(form_of(rule), eta, mu, values[axis], 80)
            if rule == "sutskever_nesterov":  # stores θ where PyTorch's stores the look-ahead θ + μv
                ahead = (1 + mu) * measured[1:] - mu * measured[:-1]
                measured = torch.cat([measured[:1], ahead])
            torch.testing.assert_close(measured, predicted, rtol=1e-7, atol=1e-10)
