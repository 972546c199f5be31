"""Noise on the gradient: closed forms against each other, against known values, and against runs on grids."""

from __future__ import annotations

import math

import pytest
import torch
from refusals import refusals

from weightlab.descent.landscapes import landscape
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.scheduling.run import Move, scheduled_runs
from weightlab.theory import quadratic as theory
from weightlab.theory.noise import distance_left, expected_losses


def buffer_of(rule: str) -> str:
    return UPDATE_RULES[rule].buffer or ""


SHARES_OF_LIMIT = (0.01, 0.1, 0.3, 0.6, 0.9)
MOMENTA = (0.0, 0.3, 0.9)
CURVATURES = (0.2, 1.0, 7.0)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("share", SHARES_OF_LIMIT)
def test_the_floor_is_where_the_expected_loss_comes_to_rest(share: float, momentum: float, curvature: float) -> None:
    """Two derivations: the closed form, and the moments followed step by step until they change no more."""
    rate = share * float(theory.heavy_ball_limit(momentum, curvature))
    path = expected_losses([rate] * 6000, [curvature], [2.0], 0.7, momentum=momentum)
    assert float(path[-1]) == pytest.approx(float(theory.noise_floor(rate, curvature, 0.7, momentum)), rel=1e-6)


@pytest.mark.parametrize("condition_number", (1.0, 3.0, 20.0))
@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("share", (0.1, 0.5, 0.8))
def test_runs_settle_on_the_floor(share: float, momentum: float, condition_number: float) -> None:
    bowl = landscape("noisy_bowl", condition_number=condition_number, noise=0.4)
    rate = share * float(theory.heavy_ball_limit(momentum, condition_number)) * (1 - momentum)
    wait = max(400, int(12 * (1 - momentum) / rate))
    runs = scheduled_runs(bowl, optimizer("momentum", learning_rate=rate, momentum=momentum), steps=2 * wait + 100)
    found, error = runs.settled(wait)
    said = float(theory.noise_floor(rate, bowl.eigenvalues or (), 0.4, momentum))
    assert abs(found - said) < 4 * error and error < 0.05 * said


def test_the_floor_has_the_values_that_the_lab_states() -> None:
    assert theory.noise_variance(0.2, 1.0, 0.5) == pytest.approx(0.2 * 0.25 / 1.8)
    assert theory.noise_floor(0.2, (1.0, 3.0), 0.5) == pytest.approx(0.0317460, rel=1e-5)
    assert theory.noise_floor(0.02, (1.0, 3.0), 0.5, 0.9) == pytest.approx(0.0252667, rel=1e-5)
    halves = theory.noise_floor(torch.tensor([0.1, 0.2]), (1.0, 3.0), 0.5)
    assert isinstance(halves, torch.Tensor) and float(halves[0] / halves[1]) == pytest.approx(0.4388, rel=1e-3)


@pytest.mark.parametrize("rule", [name for name, rule in UPDATE_RULES.items() if rule.buffer])
@pytest.mark.parametrize("name", ("constant", "step", "triangular", "warmup", "cosine"))
def test_the_expected_loss_is_the_mean_of_many_runs_under_every_schedule(rule: str, name: str) -> None:
    bowl = landscape("noisy_bowl", condition_number=3.0, noise=0.5)
    given_settings = {"learning_rate": 0.05 if rule == "gradient_descent" else 0.02}
    if rule != "gradient_descent":
        given_settings["momentum"] = 0.8
    chosen = schedule("step", step_size=40, gamma=0.2) if name == "step" else schedule(name)
    move = Move(60, (1.0, -0.5))
    runs = scheduled_runs(bowl, optimizer(rule, **given_settings), chosen, steps=120, seeds=range(1500), move=move)
    assert bowl.eigenvalues is not None
    said = expected_losses(
        runs.learning_rates[:, 0], bowl.eigenvalues, bowl.start, 0.5, buffer_of(rule),
        given_settings.get("momentum", 0.0), (move.step, move.to),
    )
    error = runs.losses.std(dim=1) / 1500**0.5
    assert bool(((runs.mean_losses - said).abs() <= 5 * error + 1e-12).all())


def test_the_distance_left_is_a_product_that_exponential_rates_keep_from_zero() -> None:
    rates = 0.2 * schedule("exponential", gamma=0.9).factors(400)
    left = distance_left(rates, 1.0)
    assert len(left) == 401 and left[0] == 1 and left[1] == pytest.approx(0.8)
    assert float(left[-1]) == pytest.approx(0.1205, rel=1e-3)
    assert float(distance_left(0.2 * torch.ones(400), 1.0)[-1]) < 1e-30


GOOD: dict[str, object] = {"learning_rates": [0.1], "eigenvalues": (1.0, 2.0), "errors": (1.0, 1.0), "noise": 0.1}

test_bad_input_is_refused_with_value_and_range = refusals(lambda **change: expected_losses(**{**GOOD, **change}), {
    r"noise must be in \[0, inf\), got -1": {"noise": -1.0},
    "got nan; use a finite number": {"noise": math.nan},
    "momentum must be in": {"momentum": 1.0},
    "unknown buffer 'squares'": {"buffer": "squares"},
    "learning rate must be in": {"learning_rates": [-0.1]},
    "give one error and one move for each of the 2 eigenvalues": {"errors": (1.0,)},
})
