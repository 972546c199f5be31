"""The closed forms at the edges: floats and tensors in every place, the ends of every range, every refusal's words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from weightlab.theory import quadratic as theory

POINTWISE: dict[str, tuple[Callable[..., Any], tuple[float, ...]]] = {
    "gradient_descent_factor": (theory.gradient_descent_factor, (0.3, 2.0)),
    "gradient_descent_limit": (theory.gradient_descent_limit, (2.0,)),
    "convergence_rate": (lambda eta, mu: theory.convergence_rate("momentum", eta, mu, (1.0, 3.0)), (0.3, 0.5)),
    "learning_rate_limit": (lambda mu, top: theory.learning_rate_limit("nesterov", mu, top), (0.5, 3.0)),
    "heavy_ball_rate": (lambda eta, mu: theory.heavy_ball_rate(eta, mu, 2.0), (0.3, 0.5)),
    "rate of nesterov": (lambda eta, mu: theory.convergence_rate("nesterov", eta, mu, 2.0), (0.3, 0.5)),
    "heavy_ball_limit": (theory.heavy_ball_limit, (0.5, 3.0)),
    "nesterov_limit": (theory.nesterov_limit, (0.5, 3.0)),
    "critical_momentum": (theory.critical_momentum, (0.3, 2.0)),
    "nesterov_critical_momentum": (theory.nesterov_critical_momentum, (0.3, 2.0)),
    "noise_variance": (theory.noise_variance, (0.3, 2.0, 0.7, 0.5)),
    "noise_floor": (lambda eta, noise, mu: theory.noise_floor(eta, (1.0, 2.0), noise, mu), (0.3, 0.7, 0.5)),
    "adam_first_step": (theory.adam_first_step, (0.3, -0.2)),
    "rmsprop_first_step": (theory.rmsprop_first_step, (0.3, -0.2)),
    "early_stopping_filter": (lambda eta, value: theory.early_stopping_filter(eta, value, 7), (0.3, 2.0)),
    "weight_decay_filter": (theory.weight_decay_filter, (2.0, 0.5)),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_floats_give_a_float_and_a_tensor_in_any_place_gives_a_tensor(name: str) -> None:
    function, arguments = POINTWISE[name]
    alone = function(*arguments)
    assert type(alone) is float
    for place in range(len(arguments)):
        several: list[Any] = list(arguments)
        several[place] = torch.tensor([arguments[place]] * 3, dtype=torch.float32)
        result = function(*several)
        assert isinstance(result, torch.Tensor) and result.dtype == torch.float64
        assert result.tolist() == pytest.approx([alone] * 3, rel=1e-6)
        assert function(*arguments[:place], torch.empty(0), *arguments[place + 1 :]).shape == (0,)


def test_roots_are_tensors_where_any_argument_is_one() -> None:
    alone = theory.roots("momentum", 0.1, 0.9, 1.0)
    assert all(type(root) is complex for root in alone)
    for place in range(3):
        several: list[Any] = [0.1, 0.9, 1.0]
        several[place] = torch.tensor([several[place]], dtype=torch.float64)
        larger, smaller = theory.roots("momentum", *several)
        assert isinstance(larger, torch.Tensor) and isinstance(smaller, torch.Tensor)
        assert (larger.item(), smaller.item()) == alone
    both = theory.roots("gradient_descent", torch.tensor([0.5, 1.0]), torch.tensor([[0.0], [0.5]]), 1.0)
    assert [root.tolist() for root in both if isinstance(root, torch.Tensor)] == [[[0.5, 0]] * 2, [[0, 0]] * 2]


def test_the_shorter_names_are_what_they_stand_for() -> None:
    for eta, mu, value in ((0.3, 0.6, 2.0), (1.7, 0.9, 1.0)):
        rate = theory.convergence_rate("gradient_descent", eta, 0.0, value)
        assert theory.gradient_descent_factor(eta, value) == pytest.approx(rate) == pytest.approx(abs(1 - eta * value))
        assert theory.heavy_ball_rate(eta, mu, value) == theory.convergence_rate("momentum", eta, mu, value)


def test_the_ends_of_every_range_belong_to_it_where_they_mean_something() -> None:
    assert theory.gradient_descent_factor(0.0, -3.0) == 1
    assert theory.best_gradient_descent(2.0, 2.0) == (0.5, 0.0)
    assert theory.best_heavy_ball(2.0, 2.0) == pytest.approx((0.5, 0.0, 0.0))
    assert theory.critical_momentum(0.1, 0.0) == theory.nesterov_critical_momentum(0.1, 0.0) == 1
    assert theory.nesterov_critical_momentum(0.5, 2.0) == 0
    assert theory.early_stopping_filter(0.1, 0.0, 10**9) == 0
    assert theory.weight_decay_filter(2.0, 0.0) == 1
    assert theory.noise_variance(0.1, 1.0, 0.0) == 0
    assert theory.noise_variance(1.0, 2.0, 0.0) == math.inf  # at the limit, and never 0/0
    assert theory.adam_first_step(0.1, 1.0, beta1=0.0, beta2=0.0, eps=1e-300, bias_correction=False) == -0.1
    assert theory.rmsprop_first_step(0.1, 1.0, alpha=0.0, eps=1e-300) == -0.1
    assert theory.error_path("momentum", 0.1, 0.9, 1.0, 0).tolist() == [1.0]
    assert theory.error_path("gradient_descent", 1.0, 0.0, 1.0, 3).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert theory.roots("momentum", 0.0, 0.5, 1.0) == (1, 0.5)
    assert theory.regime("gradient_descent", 1.0, 0.0, 1.0) == "monotone"
    assert theory.regime("gradient_descent", 0.0, 0.0, 1.0) == "diverging"  # modulus 1: the error does not shrink


UPWARDS = "a limit exists only where the loss curves upwards"
CLOSED_FORMS = ", ".join(map(repr, theory.RECURRENCES))
REFUSALS: dict[str, Callable[[], object]] = {
    "learning_rate must be in [0, inf), got -0.1; a negative one climbs the loss; use a small positive number": (
        lambda: theory.gradient_descent_factor(-0.1, 1.0)
    ),
    "learning_rate must be in [0, inf), got -2; a negative one climbs the loss; use a small positive number": (
        lambda: theory.gradient_descent_factor(torch.tensor([0.1, -2.0]), 1.0)
    ),
    "learning_rate must be in [0, inf), got inf; use a finite number": (
        lambda: theory.gradient_descent_factor(torch.tensor([0.1, math.inf]), 1.0)
    ),
    "eigenvalue must be in (-inf, inf), got inf; use a finite number": (
        lambda: theory.gradient_descent_factor(0.1, math.inf)
    ),
    "momentum must be in [0, 1), got 1; at 1 or more the velocity never decays": (
        lambda: theory.heavy_ball_limit(1.0, 1.0)
    ),
    "momentum must be in [0, 1), got -0.1; at 1 or more the velocity never decays": (
        lambda: theory.heavy_ball_limit(-0.1, 1.0)
    ),
    "largest eigenvalue must be in (0, inf), got -0; a limit exists only where the loss curves upwards": (
        lambda: theory.heavy_ball_limit(0.5, torch.tensor([1.0, -0.0]))
    ),
    f"largest eigenvalue must be in (0, inf), got 0; {UPWARDS}": lambda: theory.gradient_descent_limit(0.0),
    f"largest eigenvalue must be in (0, inf), got -1; {UPWARDS}": lambda: theory.heavy_ball_limit(0.5, -1.0),
    f"eigenvalue must be in (0, inf), got 0; {UPWARDS}": lambda: theory.noise_variance(0.1, 0.0, 1.0),
    "smallest eigenvalue must be in (0, inf), got 0; a best rate needs upward curvature": (
        lambda: theory.best_heavy_ball(0.0, 1.0)
    ),
    "largest eigenvalue must be in [2, inf), got 1; give the smallest eigenvalue first": (
        lambda: theory.best_nesterov(2.0, 1.0)
    ),
    "eigenvalues must hold at least one number, got none; pass the Hessian's, e.g. (1.0, 10.0)": (
        lambda: theory.convergence_rate("momentum", 0.1, 0.9, ())
    ),
    "eigenvalue must be in (-inf, inf), got nan; use a finite number": (
        lambda: theory.convergence_rate("momentum", 0.1, 0.9, (1.0, math.nan))
    ),
    f"unknown rule with a closed form 'adam': choose one of {CLOSED_FORMS}": (
        lambda: theory.roots("adam", 0.1, 0.9, 1.0)
    ),
    f"unknown rule with a closed form 'rmsprop': choose one of {CLOSED_FORMS}": (
        lambda: theory.learning_rate_limit("rmsprop", 0.1, 0.9)
    ),
    "steps must be a whole number in [0, 1000000], got 2.5": lambda: theory.error_path("momentum", 0.1, 0.9, 1.0, 2.5),  # type: ignore[arg-type]
    "steps must be in [0, 1e+06], got 1000001": lambda: theory.error_path("momentum", 0.1, 0.9, 1.0, 1_000_001),
    "learning_rate times eigenvalue must be in [0, 1], got 1.0000000001; beyond it every μ oscillates": (
        lambda: theory.nesterov_critical_momentum(1.0000000001, 1.0)
    ),
    "steps must be in [0, 1e+06], got -1": lambda: theory.error_path("momentum", 0.1, 0.9, 1.0, -1),
    "steps must be a whole number in [0, 1000000000], got 2.5": lambda: theory.early_stopping_filter(0.1, 1.0, 2.5),  # type: ignore[arg-type]
    "eigenvalue must be in [0, inf), got -1; no damping along a saddle": lambda: theory.critical_momentum(0.1, -1.0),
    "eigenvalue must be in [0, inf), got -2; no damping along a saddle": (
        lambda: theory.nesterov_critical_momentum(0.1, -2.0)
    ),
    "learning_rate times eigenvalue must be in [0, 1], got 2; beyond it every μ oscillates": (
        lambda: theory.nesterov_critical_momentum(2.0, 1.0)
    ),
    "noise must be in [0, inf), got -1; a standard deviation; 0 for none": (
        lambda: theory.noise_variance(0.1, 1.0, -1.0)
    ),
    "gradient must be in (-inf, inf), got inf; use a finite number": (
        lambda: theory.convention_witness(gradient=math.inf)
    ),
    "gradient must be in (-inf, inf), got nan; use a finite number": lambda: theory.adam_first_step(0.1, math.nan),
    "beta must be in [0, 1), got 1": lambda: theory.adam_first_step(0.1, 1.0, beta1=1.0),
    "beta must be in [0, 1), got -0.1": lambda: theory.adam_first_step(0.1, 1.0, beta2=-0.1),
    "eps must be in (0, inf), got 0": lambda: theory.adam_first_step(0.1, 1.0, eps=0.0),
    "alpha must be in [0, 1), got 1": lambda: theory.rmsprop_first_step(0.1, 1.0, alpha=1.0),
    "alpha must be in [0, 1), got -0.1": lambda: theory.rmsprop_first_step(0.1, 1.0, alpha=-0.1),
    "eigenvalue must be in [0, inf), got -1": lambda: theory.early_stopping_filter(0.1, -1.0, 1),
    "eigenvalue must be in (0, inf), got 0": lambda: theory.weight_decay_filter(0.0, 1.0),
    "penalty must be in [0, inf), got -1": lambda: theory.weight_decay_filter(1.0, -1.0),
}


@pytest.mark.parametrize("message", REFUSALS)
def test_a_refusal_says_exactly_this(message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        REFUSALS[message]()
    assert str(refusal.value) == message
