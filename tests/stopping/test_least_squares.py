"""Least squares on real data: exactly quadratic, so stopping and a penalty filter it direction by direction as said."""

from __future__ import annotations

import pytest
import torch
from refusals import refusals

from weightlab.networks.datasets import dataset
from weightlab.stopping.least_squares import least_squares, penalized_weights, stopped_weights
from weightlab.theory import quadratic as theory

DATA = dataset("digits", validation_fraction=0.9, label_noise=0.4)
PROBLEM = least_squares(DATA)
ETA = 0.5 / PROBLEM.largest
LAMBDAS = PROBLEM.eigenvalues[PROBLEM.steep]


def test_the_minimum_is_where_the_gradient_vanishes_and_the_smallest_such() -> None:
    gap = PROBLEM.minimum @ PROBLEM.hessian - PROBLEM.pull
    assert float(gap.abs().max()) < 1e-8 * float(PROBLEM.pull.abs().max())
    x = DATA.x_train - DATA.x_train.mean(0)
    y = torch.nn.functional.one_hot(DATA.y_train, 10).double()
    smallest = torch.linalg.pinv(x, rtol=1e-4) @ (y - y.mean(0))
    torch.testing.assert_close(x @ PROBLEM.minimum.T, x @ smallest, rtol=1e-6, atol=1e-8)
    flat = PROBLEM.eigenvectors[:, ~PROBLEM.steep]
    assert flat.shape[1] > 0 and float((PROBLEM.minimum @ flat).abs().max()) < 1e-9


def test_autograd_of_the_loss_gives_its_gradient_and_hessian() -> None:
    x = DATA.x_train - DATA.x_train.mean(0)
    y = torch.nn.functional.one_hot(DATA.y_train, 10).double()
    w = torch.randn(10, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = 0.5 * (x @ w.T - (y - y.mean(0))).square().sum(1).mean()
    (gradient,) = torch.autograd.grad(loss, w)
    torch.testing.assert_close(gradient, w.detach() @ PROBLEM.hessian - PROBLEM.pull)


@pytest.mark.parametrize("share", (0.05, 0.5, 1.0, 1.9))
def test_stopped_runs_filter_as_theory_says(share: float) -> None:
    rate, counts = share / PROBLEM.largest, (0, 1, 7, 60, 500)
    found = PROBLEM.filters(stopped_weights(PROBLEM, rate, counts))
    for measured, steps in zip(found, counts, strict=True):
        said = theory.early_stopping_filter(rate, LAMBDAS, steps)
        torch.testing.assert_close(measured, torch.as_tensor(said), rtol=1e-8, atol=1e-9)


def test_penalized_runs_filter_as_theory_says() -> None:
    penalties = torch.tensor([0.03, 0.3, 3.0, PROBLEM.largest], dtype=torch.float64)
    found = PROBLEM.filters(penalized_weights(PROBLEM, ETA, penalties, steps=8000))
    for measured, penalty in zip(found, penalties.tolist(), strict=True):
        said = theory.weight_decay_filter(LAMBDAS, penalty)
        torch.testing.assert_close(measured, torch.as_tensor(said), rtol=1e-8, atol=1e-9)


test_bad_input_is_refused_in_words = refusals({
    r"counts must increase, got \[5, 3\]": lambda: stopped_weights(PROBLEM, ETA, (5, 3)),
    "learning_rate must be in": lambda: stopped_weights(PROBLEM, -1.0, (5,)),
    "penalty must be in .* a negative one pushes": lambda: penalized_weights(PROBLEM, ETA, torch.tensor([-0.1]), 5),
})
