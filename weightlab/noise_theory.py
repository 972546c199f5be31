"""What a run with noisy gradients does on average on a quadratic, step by step, under any schedule; computed without runs.

The error e (distance from the minimum along one eigendirection) and the buffer b of momentum are linear in what they
were and in the noise, so three numbers, E[e²], E[e·b] and E[b²], follow from those of the step before, exactly.
For plain descent alone: E[e²] ← (1-ηλ)²E[e²] + η²σ² (Bottou, Curtis & Nocedal 2018, section 4.2, have it as a bound).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from weightlab.validate import choose, number

# What a rule's buffer takes in of each gradient, and what a step takes out of the buffer, as (rate, momentum) -> factor:
# b ← μb + taken·g, w ← w - given·b.
_BUFFERS: Mapping[str, str] = MappingProxyType(
    {
        "gradient_descent": "gradients",
        "momentum": "gradients",
        "averaged_momentum": "average",
        "classical_momentum": "steps",
        "sutskever_momentum": "steps",
    }
)
LINEAR_RULES: tuple[str, ...] = tuple(_BUFFERS)


class _Moments(NamedTuple):
    """E[e²], E[e·b] and E[b²] in one eigendirection."""

    errors: float
    together: float
    buffers: float


def expected_losses(
    learning_rates: Sequence[float] | Tensor,
    eigenvalues: Iterable[float],
    errors: Iterable[float],
    noise: float,
    rule: str = "gradient_descent",
    momentum: float = 0.0,
) -> Tensor:
    """The mean loss before each step and after the last, (steps + 1,) float64, over all noise that could have come.

    learning_rates: (steps,), as scheduled. errors: the start's distances from the minimum along the eigendirections.
    noise: standard deviation of each step's gradient along each of them. rule: one of LINEAR_RULES.
    Raises ValueError or TypeError for values out of range. Entries beyond 1e308 are infinite or NaN.
    """
    kind = _BUFFERS[choose("rule with a linear step", rule, _BUFFERS)]
    mu = 0.0 if rule == "gradient_descent" else number("momentum", momentum, 0, 1, open_high=True)
    sigma = number("noise", noise, 0, why="a standard deviation; 0 for none")
    rates = [number("learning rate", float(rate), 0) for rate in learning_rates]
    total = torch.zeros(len(rates) + 1, dtype=torch.float64)
    for value, error in zip(eigenvalues, errors, strict=True):
        curvature = number("eigenvalue", value, 0)
        path = _squared_errors(rates, curvature, number("error", error), sigma, kind, mu)
        total += 0.5 * curvature * torch.tensor(path, dtype=torch.float64)
    return total


def _squared_errors(
    rates: Sequence[float], curvature: float, error: float, sigma: float, kind: str, mu: float
) -> list[float]:
    moments = _Moments(error * error, 0.0, 0.0)
    path = [moments.errors]
    for rate in rates:
        taken = {"gradients": 1.0, "average": 1 - mu, "steps": rate}[kind]
        given = 1.0 if kind == "steps" else rate
        moments = _after_a_step(moments, taken, given, curvature, sigma, mu)
        path.append(moments.errors)
    return path


def _after_a_step(before: _Moments, taken: float, given: float, curvature: float, sigma: float, mu: float) -> _Moments:
    """b ← μb + taken·(λe + σξ), then e ← e - given·b, squared and averaged."""
    pull = taken * curvature
    buffers = mu * mu * before.buffers + 2 * mu * pull * before.together
    buffers += pull * pull * before.errors + (taken * sigma) * (taken * sigma)
    crossed = mu * before.together + pull * before.errors  # E[old error · new buffer]
    errors = before.errors - 2 * given * crossed + given * given * buffers
    return _Moments(errors, crossed - given * buffers, buffers)


def distance_left(learning_rates: Sequence[float] | Tensor, eigenvalue: float) -> Tensor:
    """Π(1-ηλ) over the steps so far, (steps + 1,) float64: the share of the first error that is left, noise averaged out.

    Plain descent. For small ηλ it is exp(-λ·Ση): a schedule can only travel as far as its rates add up to, which is why
    Ση must be infinite to arrive for sure (Robbins & Monro 1951).
    """
    curvature = number("eigenvalue", eigenvalue)
    factors = 1 - torch.as_tensor(learning_rates, dtype=torch.float64) * curvature
    return torch.cat([torch.ones(1, dtype=torch.float64), factors]).cumprod(0)
