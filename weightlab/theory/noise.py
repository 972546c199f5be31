"""What noisy descent does on average on a quadratic, step by step, under any schedule; computed without a run.

The error e (distance from the minimum along one eigendirection) and the buffer b of momentum are linear in what they
were and in the noise. So their means and E[e²], E[e·b], E[b²] follow from those of the step before, exactly. For plain
descent: E[e²] ← (1-ηλ)²E[e²] + η²σ², which Bottou, Curtis & Nocedal 2018 (section 4.2) have as a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from weightlab.validate import choose, number, whole_number

# What the buffer of a rule holds; every step is b ← μb + taken·g, w ← w - given·b, plain descent's with μ = 0.
BUFFERS = ("gradients", "average", "steps")


class _Moments(NamedTuple):
    """E[e], E[b], E[e²], E[e·b] and E[b²] in one eigendirection."""

    error: float
    buffer: float
    errors: float
    together: float
    buffers: float


def expected_losses(
    learning_rates: Sequence[float] | Tensor,
    eigenvalues: Sequence[float],
    errors: Sequence[float],
    noise: float,
    buffer: str = "gradients",
    momentum: float = 0.0,
    move: tuple[int, Sequence[float]] | None = None,
) -> Tensor:
    """The mean loss before each step and after the last, (steps + 1,) float64, over all noise that could have come.

    learning_rates: (steps,), as scheduled. errors: the start's distances from the minimum along the eigendirections.
    noise: standard deviation of each step's gradient along each of them. buffer: what the rule keeps, one
    of BUFFERS.
    move: before this step number the minimum moves by so much along the eigendirections.
    Raises ValueError or TypeError for values out of range. Entries beyond 1e308 are infinite or NaN.
    """
    if not len(eigenvalues) == len(errors) == len(errors if move is None else move[1]):
        raise ValueError(f"give one error and one move for each of the {len(eigenvalues)} eigenvalues")
    kind = choose("buffer", buffer, BUFFERS)
    mu = number("momentum", momentum, 0, 1, open_high=True)
    sigma = number("noise", noise, 0, why="a standard deviation; 0 for none")
    rates = [number("learning rate", float(rate), 0) for rate in learning_rates]
    moved_at = -1 if move is None else whole_number("step of the move", move[0], 0, 10**9)
    total = torch.zeros(len(rates) + 1, dtype=torch.float64)
    for i, (value, start) in enumerate(zip(eigenvalues, errors, strict=True)):
        curvature, error = number("eigenvalue", value, 0), number("error", start)
        by = 0.0 if move is None else number("move", move[1][i])
        path = _squared_errors(rates, curvature, error, sigma, kind, mu, moved_at, by)
        total += 0.5 * curvature * torch.tensor(path, dtype=torch.float64)
    return total


def _squared_errors(
    rates: Sequence[float], curvature: float, error: float, sigma: float, kind: str, mu: float, moved_at: int, by: float
) -> list[float]:
    now = _Moments(error, 0.0, error * error, 0.0, 0.0)
    path = []
    for step in range(len(rates) + 1):
        if step == moved_at:
            now = _moved(now, by)
        path.append(now.errors)
        if step < len(rates):
            rate = rates[step]
            taken = {"gradients": 1.0, "average": 1 - mu, "steps": rate}[kind]
            now = _after_a_step(now, taken, 1.0 if kind == "steps" else rate, curvature, sigma, mu)
    return path


def _after_a_step(before: _Moments, taken: float, given: float, curvature: float, sigma: float, mu: float) -> _Moments:
    """b ← μb + taken·(λe + σξ), then e ← e - given·b; both as they are and squared, averaged over ξ."""
    pull, kick = taken * curvature, taken * sigma
    buffer = mu * before.buffer + pull * before.error
    buffers = mu * mu * before.buffers + 2 * mu * pull * before.together + pull * pull * before.errors + kick * kick
    crossed = mu * before.together + pull * before.errors  # E[old error · new buffer]
    errors = before.errors - 2 * given * crossed + given * given * buffers
    return _Moments(before.error - given * buffer, buffer, errors, crossed - given * buffers, buffers)


def _moved(before: _Moments, by: float) -> _Moments:
    """The minimum moves by so much, and the error by as much the other way."""
    return before._replace(
        error=before.error - by,
        errors=before.errors - 2 * by * before.error + by * by,
        together=before.together - by * before.buffer,
    )


def distance_left(learning_rates: Sequence[float] | Tensor, eigenvalue: float) -> Tensor:
    """Π(1-ηλ) over the steps so far, (steps + 1,) float64: the share of the first error that plain descent leaves.

    With noise it is the mean's. For small ηλ it is exp(-λ·Ση): a schedule travels only as far as its rates add up to,
    so Ση must be infinite to arrive from anywhere (Robbins & Monro 1951).
    """
    curvature = number("eigenvalue", eigenvalue)
    factors = 1 - torch.as_tensor(learning_rates, dtype=torch.float64) * curvature
    return torch.cat([torch.ones(1, dtype=torch.float64), factors]).cumprod(0)
