"""A loss on real data that is exactly quadratic: linear least squares on one-hot labels, run by plain descent.

Every eigendirection of its Hessian obeys the closed forms of theory.quadratic, so early stopping and an L2 penalty can
be compared direction by direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from weightlab.devices import settle_threads
from weightlab.networks.datasets import Dataset
from weightlab.rules.update_rules import UPDATE_RULES
from weightlab.validate import number, whole_number

SMALLEST = 1e-9  # times the largest eigenvalue: directions below it are flat, their minimum is not defined


@dataclass(frozen=True)
class LeastSquares:
    """½·mean |W x - y|² over the training examples; x and the one-hot y are centred, so there is no bias.

    hessian (input, input) is shared by all classes. eigenvalues (input,), ascending, with eigenvectors (input, input)
    in columns; pull (class, input) is minus the gradient at W = 0; minimum (class, input) the smallest W that has the
    lowest loss.
    """

    dataset: Dataset
    hessian: Tensor = field(repr=False)
    pull: Tensor = field(repr=False)
    eigenvalues: Tensor = field(repr=False)
    eigenvectors: Tensor = field(repr=False)
    minimum: Tensor = field(repr=False)

    @property
    def steep(self) -> Tensor:
        """Which eigendirections are not flat, (input,) bool."""
        return self.eigenvalues > SMALLEST * self.eigenvalues[-1]

    @property
    def largest(self) -> float:
        """The largest eigenvalue: descent diverges beyond 2 over it."""
        return float(self.eigenvalues[-1])

    def filters(self, weights: Tensor) -> Tensor:
        """The share of the minimum in `weights` (..., class, input), for each steep direction, (..., direction)."""
        directions = self.eigenvectors[:, self.steep]
        here, there = weights @ directions, self.minimum @ directions
        return (here * there).sum(-2) / there.square().sum(-2)

    def validation(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Validation loss and share of right answers of `weights` (..., class, input)."""
        data = self.dataset
        x = data.x_validation - data.x_train.mean(0)
        answers = x @ weights.mT + _labels(data, data.y_train).mean(0)
        loss = 0.5 * (answers - _labels(data, data.y_validation)).square().sum(-1).mean(-1)
        return loss, (answers.argmax(-1) == data.y_validation).double().mean(-1)


def _labels(data: Dataset, y: Tensor) -> Tensor:
    return one_hot(y, data.classes).double()


def least_squares(data: Dataset) -> LeastSquares:
    """The problem on a dataset's training split."""
    x, y = data.x_train - data.x_train.mean(0), _labels(data, data.y_train)
    y = y - y.mean(0)
    hessian, pull = x.T @ x / len(x), y.T @ x / len(x)
    eigenvalues, eigenvectors = torch.linalg.eigh(hessian)
    steep = eigenvalues > SMALLEST * eigenvalues[-1]
    directions = eigenvectors[:, steep]
    minimum = (pull @ directions / eigenvalues[steep]) @ directions.T
    return LeastSquares(data, hessian, pull, eigenvalues, eigenvectors, minimum)


def stopped_weights(problem: LeastSquares, learning_rate: float, counts: Sequence[int]) -> Tensor:
    """Run plain descent from W = 0 and keep W after so many steps, (count, class, input); counts increase."""
    settle_threads()
    steps = [whole_number("steps", count, 0, 1_000_000) for count in counts]
    if steps != sorted(set(steps)) or not steps:
        raise ValueError(f"counts must increase, got {list(counts)}; sort them")
    step, settings = UPDATE_RULES["gradient_descent"].step, _settings(learning_rate)
    w, kept = torch.zeros_like(problem.pull), []
    for taken in range(steps[-1] + 1):
        if taken in steps:
            kept.append(w)
        w, _ = step(w, w @ problem.hessian - problem.pull, {}, settings)
    return torch.stack(kept)


def penalized_weights(problem: LeastSquares, learning_rate: float, penalties: Tensor, steps: int) -> Tensor:
    """Run plain descent on the loss plus ½τ|W|² for each penalty τ, all in one pass: (penalty, class, input).

    Give it steps enough to arrive: the slowest direction shrinks its error by 1 - ητ a step.
    """
    settle_threads()
    taus = [number("penalty", tau, 0, why="a negative one pushes the weights away") for tau in penalties.tolist()]
    count, (classes, inputs) = len(taus), problem.pull.shape
    settings = _settings(learning_rate)
    settings["weight_decay"] = torch.tensor(taus, dtype=torch.float64).repeat_interleave(classes)[:, None]
    pull, step = problem.pull.repeat(count, 1), UPDATE_RULES["gradient_descent"].step
    w = torch.zeros_like(pull)
    for _ in range(whole_number("steps", steps, 1, 1_000_000)):
        w, _ = step(w, w @ problem.hessian - pull, {}, settings)
    return w.reshape(count, classes, inputs)


def both_ways(problem: LeastSquares, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Validation losses of descent stopped after k steps, and of the penalty τ = 1/(ηk) run to its end, (count,) each.

    η is half of 1/λmax, so that the strongest penalty, τ = 1/η, still leaves the run stable.
    """
    rate = 0.5 / problem.largest
    penalties = 1 / (rate * torch.tensor(counts, dtype=torch.float64))
    ends = 10 * max(counts)  # the weakest penalty leaves 1 - 1/k of its error a step
    weights = stopped_weights(problem, rate, counts), penalized_weights(problem, rate, penalties, ends)
    stopped, penalized = (problem.validation(one)[0] for one in weights)
    return stopped, penalized


def _settings(learning_rate: float) -> dict[str, float | Tensor]:
    rate = number("learning_rate", learning_rate, 0)
    return {**UPDATE_RULES["gradient_descent"].defaults, "learning_rate": rate}
