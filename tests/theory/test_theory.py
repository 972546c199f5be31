"""The closed forms against companion matrices, brute-force searches and LABS' worked numbers; runs come elsewhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weightlab.theory import quadratic as theory

RULES = ("gradient_descent", "momentum", "nesterov")
few = settings(max_examples=25, deadline=None)
rates = st.floats(1e-4, 3.0)
momenta = st.floats(0.0, 0.999)
curvatures = st.floats(0.01, 100.0)


def iteration_matrix(rule: str, learning_rate: float, momentum: float, eigenvalue: float) -> np.ndarray:
    """What one step does to (w, velocity), from the update formulas themselves, not from theory's recurrence."""
    if rule == "gradient_descent":
        return np.array([[1 - learning_rate * eigenvalue, 0.0], [0.0, 0.0]])
    if rule == "averaged_momentum":  # m = μm + (1-μ)λw; w -= ηm
        velocity = np.array([(1 - momentum) * eigenvalue, momentum])
        return np.array([[1.0, 0.0] - learning_rate * velocity, velocity])
    velocity = np.array([eigenvalue, momentum])  # b = μb + λw
    used = np.array([eigenvalue, 0.0]) + momentum * velocity if rule == "nesterov" else velocity
    return np.array([[1.0, 0.0] - learning_rate * used, velocity])


@few
@given(rule=st.sampled_from((*RULES, "averaged_momentum")), eta=rates, mu=momenta, eigenvalue=curvatures)
def test_roots_are_the_eigenvalues_of_the_iteration(rule: str, eta: float, mu: float, eigenvalue: float) -> None:
    wanted = np.linalg.eigvals(iteration_matrix(rule, eta, mu, eigenvalue))
    larger, smaller = (complex(root) for root in theory.roots(rule, eta, mu, eigenvalue))
    assert larger + smaller == pytest.approx(wanted.sum(), rel=1e-9, abs=1e-9)
    assert larger * smaller == pytest.approx(wanted.prod(), rel=1e-9, abs=1e-9)
    # next to a double root eigvals itself is only good to the square root of rounding
    assert abs(larger) == pytest.approx(abs(wanted).max(), rel=1e-6, abs=1e-7)
    assert theory.convergence_rate(rule, eta, mu, eigenvalue) == abs(larger)
    assert abs(larger) >= abs(smaller) * (1 - 1e-9)


def test_a_map_over_learning_rate_and_momentum_equals_its_single_points() -> None:
    eta = torch.linspace(0.0, 1.0, 7, dtype=torch.float64)[:, None]
    mu = torch.linspace(0.0, 0.99, 5, dtype=torch.float64)
    for rule in theory.RECURRENCES:
        rate_map = theory.convergence_rate(rule, eta, mu, (1.0, 5.0))
        codes = theory.regime_codes(rule, eta, mu, torch.tensor([1.0, 5.0]))
        assert isinstance(rate_map, torch.Tensor) and rate_map.shape == codes.shape == (7, 5)
        for i in range(7):
            for j in range(5):
                e, m = eta[i, 0].item(), mu[j].item()
                assert theory.convergence_rate(rule, e, m, (1.0, 5.0)) == rate_map[i, j].item()
                assert theory.regime(rule, e, m, (1.0, 5.0)) == theory.REGIMES[int(codes[i, j])]


@pytest.mark.parametrize("rule", sorted(theory.RECURRENCES))
@pytest.mark.parametrize("mu", [0.0, 0.3, 0.9, 0.99])
def test_the_rate_passes_one_exactly_at_the_limit(rule: str, mu: float) -> None:
    limit = float(theory.learning_rate_limit(rule, mu, 4.0))
    assert theory.convergence_rate(rule, limit, mu, 4.0) == pytest.approx(1, abs=1e-9)
    for inside in (0.999, 0.9, 0.5, 0.1, 1e-3):
        assert theory.convergence_rate(rule, limit * inside, mu, 4.0) < 1
    assert theory.convergence_rate(rule, limit * 1.001, mu, 4.0) > 1
    assert theory.regime(rule, limit * 1.001, mu, 4.0) == "diverging"


def test_the_limits_have_the_values_that_the_labs_state() -> None:
    assert theory.gradient_descent_limit(4.0) == 0.5
    assert theory.heavy_ball_limit(0.9, 1.0) == pytest.approx(3.8)
    assert theory.nesterov_limit(0.9, 1.0) == pytest.approx(1.357, abs=5e-4)
    assert theory.nesterov_limit(0.9, 1.0) < theory.gradient_descent_limit(1.0) < theory.heavy_ball_limit(0.9, 1.0)
    assert theory.learning_rate_limit("averaged_momentum", 0.9, 1.0) == pytest.approx(38)
    assert theory.nesterov_limit(torch.tensor([0.0, 0.5]), 2.0).tolist() == pytest.approx([1.0, 0.75])  # type: ignore[union-attr]


@pytest.mark.parametrize("kappa", [1.5, 10.0, 100.0, 1e4])
def test_no_setting_on_a_fine_grid_beats_the_best_ones(kappa: float) -> None:
    eigenvalues = (2.0, 2.0 * kappa)
    eta, rate = theory.best_gradient_descent(*eigenvalues)
    assert rate == pytest.approx((kappa - 1) / (kappa + 1))
    assert theory.convergence_rate("gradient_descent", eta, 0.0, eigenvalues) == pytest.approx(rate, rel=1e-12)
    around = eta * torch.linspace(0.5, 1.5, 1001, dtype=torch.float64)
    assert theory.convergence_rate("gradient_descent", around, 0.0, eigenvalues).min() >= rate - 1e-12  # type: ignore[union-attr]
    for rule, best in (("momentum", theory.best_heavy_ball), ("nesterov", theory.best_nesterov)):
        eta, mu, rate = best(*eigenvalues)
        # at a double root one rounding of μ moves the roots by its square root
        assert theory.convergence_rate(rule, eta, mu, eigenvalues) == pytest.approx(rate, abs=1e-7)
        etas = eta * torch.linspace(0.4, 1.6, 241, dtype=torch.float64)[:, None]
        mus = torch.linspace(0.0, 0.9999, 2001, dtype=torch.float64)
        assert theory.convergence_rate(rule, etas, mus, eigenvalues).min() >= rate - 1e-7  # type: ignore[union-attr]
    root = math.sqrt(kappa)
    assert theory.best_heavy_ball(*eigenvalues)[2] == pytest.approx((root - 1) / (root + 1))


@pytest.mark.parametrize("kappa", [2.0, 10.0, 1000.0])
def test_the_textbook_nesterov_contracts_by_one_minus_one_over_root_kappa(kappa: float) -> None:
    eta, mu, rate = theory.standard_nesterov(0.5, 0.5 * kappa)
    assert (eta, rate) == pytest.approx((1 / (0.5 * kappa), 1 - 1 / math.sqrt(kappa)))
    between = np.geomspace(0.5, 0.5 * kappa, 50)
    assert theory.convergence_rate("nesterov", eta, mu, between) == pytest.approx(rate, abs=1e-7)
    assert theory.nesterov_critical_momentum(eta, 0.5) == pytest.approx(mu)
    assert theory.best_heavy_ball(1, kappa)[2] < theory.best_nesterov(1, kappa)[2] < rate


@few
@given(scaled=st.floats(0.001, 0.95))
def test_at_the_critical_momentum_the_roots_meet(scaled: float) -> None:
    for rule, critical in (("momentum", theory.critical_momentum), ("nesterov", theory.nesterov_critical_momentum)):
        mu = critical(scaled / 3, 3.0)
        assert isinstance(mu, float)
        larger, smaller = (complex(root) for root in theory.roots(rule, scaled / 3, mu, 3.0))
        assert abs(larger - smaller) < 1e-6
        assert abs(larger) == pytest.approx(1 - math.sqrt(scaled), abs=1e-6)
        assert theory.regime(rule, scaled / 3, mu * 0.99, 3.0) == "monotone"
        assert theory.regime(rule, scaled / 3, mu + 0.01 * (1 - mu), 3.0) == "oscillating"
        for other in (mu * 0.9, mu + 0.1 * (1 - mu)):
            assert theory.convergence_rate(rule, scaled / 3, other, 3.0) > 1 - math.sqrt(scaled) + 1e-6


@few
@given(rule=st.sampled_from(RULES), eta=st.floats(0.01, 1.9), mu=momenta)
def test_the_error_path_is_what_the_update_formulas_give(rule: str, eta: float, mu: float) -> None:
    check_error_path(rule, eta, mu, 1.0)


@pytest.mark.parametrize("nudge", [0.0, 1e-15, 1e-12, -1e-9, 1e-7, -1e-5])
def test_the_error_path_holds_at_and_around_a_double_root(nudge: float) -> None:
    for rule in ("momentum", "nesterov"):
        for eigenvalue in (1.0, 9.0):
            eta, mu, _ = (theory.best_heavy_ball if rule == "momentum" else theory.standard_nesterov)(1.0, 9.0)
            check_error_path(rule, eta, mu + nudge, eigenvalue)


def check_error_path(rule: str, eta: float, mu: float, eigenvalue: float) -> None:
    matrix, state, measured = iteration_matrix(rule, eta, mu, eigenvalue), np.array([1.0, 0.0]), [1.0]
    for _ in range(60):
        state = matrix @ state
        measured.append(state[0])
    path = theory.error_path(rule, eta, mu, eigenvalue, 60)
    assert path.numpy() == pytest.approx(measured, rel=1e-6, abs=1e-6)


def test_regimes_name_what_a_learner_at_rest_does() -> None:
    assert theory.regime("gradient_descent", 0.9, 0.0, 1.0) == "monotone"
    assert theory.regime("gradient_descent", 1.1, 0.0, 1.0) == "oscillating"
    assert theory.regime("gradient_descent", 2.1, 0.0, 1.0) == "diverging"
    assert theory.regime("momentum", 0.01, 0.9, (0.1, 1.0)) == "oscillating"
    assert theory.regime("momentum", 3.7, 0.5, (0.1, 1.0)) == "diverging"
    assert theory.regime("momentum", 0.1, 0.1, -1.0) == "diverging"  # downhill along a saddle
    for rule in RULES:
        eta = torch.linspace(0.01, 1.2, 40, dtype=torch.float64)
        for mu in (0.0, 0.2, 0.6):
            for rate, code in zip(eta.tolist(), theory.regime_codes(rule, eta, mu, 1.0).tolist(), strict=True):
                path = theory.error_path(rule, rate, mu, 1.0, 200)
                crosses = bool((path[path.abs() > 1e-12] < 0).any())
                assert crosses == (theory.REGIMES[code] == "oscillating"), (rule, rate, mu)


def test_the_conventions_part_when_the_learning_rate_changes_as_the_lab_states() -> None:
    steps = theory.convention_witness()
    assert steps["momentum"] == pytest.approx((-0.1, -0.019))
    assert steps["classical_momentum"] == pytest.approx((-0.1, -0.1))
    assert sum(steps["momentum"]) == pytest.approx(-0.119)
    assert sum(steps["classical_momentum"]) == pytest.approx(-0.2)
    assert steps["averaged_momentum"] == pytest.approx((-0.01, -0.0019))


@pytest.mark.parametrize("bias_correction", [True, False])
def test_first_adaptive_steps_are_torchs(bias_correction: bool) -> None:
    for gradient in (1e-9, 0.3, -40.0):
        weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        weight.grad = torch.full((1,), gradient, dtype=torch.float64)
        rule = (torch.optim.Adam if bias_correction else torch.optim.RMSprop)([weight], lr=0.01)
        rule.step()
        predict = theory.adam_first_step if bias_correction else theory.rmsprop_first_step
        assert weight.item() == pytest.approx(predict(0.01, gradient), rel=1e-9)


def test_early_stopping_and_weight_decay_filter_alike() -> None:
    eigenvalues = torch.logspace(-2, 0, 20, dtype=torch.float64)
    stopped = theory.early_stopping_filter(0.1, eigenvalues, 100)
    decayed = theory.weight_decay_filter(eigenvalues, 1 / (0.1 * 100))
    assert isinstance(stopped, torch.Tensor) and isinstance(decayed, torch.Tensor)
    assert stopped.diff().min() > 0 and decayed.diff().min() > 0  # both keep the steep directions and damp the flat
    assert (stopped - decayed).abs().max() < 0.25
    error = torch.ones(20, dtype=torch.float64)
    for _ in range(100):
        error = error - 0.1 * eigenvalues * error
    torch.testing.assert_close(stopped, 1 - error)
    assert theory.early_stopping_filter(0.1, 1.0, 0) == 0


@pytest.mark.parametrize("rule", ["gradient_descent", "momentum"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.9])
@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9])
def test_the_variance_under_noise_repeats_itself_through_a_step(rule: str, share: float, mu: float) -> None:
    """The covariance P of (w, velocity) with P = A P Aᵀ + σ² k kᵀ, A being one step and k what a kick adds to it."""
    mu = mu if rule == "momentum" else 0.0
    curvature, sigma = 3.0, 0.7
    eta = share * float(theory.learning_rate_limit(rule, mu, curvature))
    step, kick = iteration_matrix(rule, eta, mu, curvature), np.array([-eta, 1.0 if rule == "momentum" else 0.0])
    added = sigma**2 * np.outer(kick, kick).ravel()
    covariance = np.linalg.solve(np.eye(4) - np.kron(step, step), added).reshape(2, 2)
    assert theory.noise_variance(eta, curvature, sigma, mu) == pytest.approx(covariance[0, 0], rel=1e-9)
    assert theory.noise_floor(eta, curvature, sigma, mu) == pytest.approx(0.5 * curvature * covariance[0, 0], rel=1e-9)
    if mu == 0:
        assert theory.noise_variance(eta, curvature, sigma) == theory.noise_variance(eta, curvature, sigma, 0.0)
        assert theory.noise_floor(eta, curvature, sigma) == theory.noise_floor(eta, curvature, sigma, 0.0)


def test_the_floor_adds_up_over_eigendirections_and_is_infinite_from_the_limit_on() -> None:
    parts = [float(theory.noise_floor(0.1, value, 0.5, 0.3)) for value in (1.0, 2.0, 5.0)]
    assert theory.noise_floor(0.1, (1.0, 2.0, 5.0), 0.5, 0.3) == pytest.approx(sum(parts))
    for beyond in (1.0, 1.5):
        assert theory.noise_variance(beyond, 2.0, 0.5) == theory.noise_floor(beyond, (1.0, 2.0), 0.5) == math.inf


def test_the_error_path_keeps_its_digits_where_the_error_is_tiny() -> None:
    path = theory.error_path("gradient_descent", 0.9999, 0.0, 1.0, 6)
    assert path.dtype == torch.float64
    assert path.tolist() == pytest.approx([(1 - 0.9999) ** t for t in range(7)], rel=1e-9, abs=0)


@pytest.mark.parametrize("gradient", [0.3, -40.0])
def test_first_adaptive_steps_follow_their_settings(gradient: float) -> None:
    def torchs(rule: type[torch.optim.Optimizer], **settings: Any) -> float:
        weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        weight.grad = torch.full((1,), gradient, dtype=torch.float64)
        rule([weight], lr=0.02, **settings).step()  # type: ignore[call-arg]
        return weight.item()

    adam = theory.adam_first_step(0.02, gradient, 0.7, 0.6, 0.1)
    assert adam == pytest.approx(torchs(torch.optim.Adam, betas=(0.7, 0.6), eps=0.1), rel=1e-9)
    rmsprop = theory.rmsprop_first_step(0.02, gradient, 0.7, 0.3)
    assert rmsprop == pytest.approx(torchs(torch.optim.RMSprop, alpha=0.7, eps=0.3), rel=1e-9)
    uncorrected = -0.02 * 0.3 * gradient / (math.sqrt(0.4) * abs(gradient) + 0.1)
    assert theory.adam_first_step(0.02, gradient, 0.7, 0.6, 0.1, False) == pytest.approx(uncorrected, rel=1e-12)
    filtered = theory.weight_decay_filter(abs(gradient), 0.2)
    assert filtered == pytest.approx(abs(gradient) / (abs(gradient) + 0.2), rel=1e-12)
