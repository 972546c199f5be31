"""Closed forms for the update loop: gradients by loss at one example, and what forgotten gradients add up to.

Computed without autograd and without a run, so that it can disagree with both. Notation: z logit, p = sigmoid(z) the
predicted probability, y the label (0 or 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from weightlab.validate import choose, number, whole_number


def sigmoid(logit: float) -> float:
    """p = 1/(1 + exp(-z)), without overflow for logits of either sign."""
    z = number("logit", logit)
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _cross_entropy(p: float, y: float) -> float:
    return p - y


def _squared_error(p: float, y: float) -> float:
    return 2 * (p - y) * p * (1 - p)


LOGIT_GRADIENTS: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {"bce_with_logits": _cross_entropy, "cross_entropy": _cross_entropy, "mse": _squared_error}
)


def logit_gradient(loss: str, logit: float, label: float) -> float:
    """dL/dz for one example of two classes whose probability of class 1 is p = sigmoid(z).

    "bce_with_logits" and "cross_entropy" (over the logits 0 and z): p - y. "mse", the squared error (p - y)² of the
    probability: 2(p - y)·p(1 - p); the last factor is the sigmoid's slope. Source: Bishop 2006, section 4.3.2 (eq.
    4.91); Goodfellow, Bengio & Courville 2016, section 6.2.2.2.
    """
    return LOGIT_GRADIENTS[choose("loss", loss, LOGIT_GRADIENTS)](sigmoid(logit), number("label", label, 0, 1))


def line_gradient(w: float, x: tuple[float, ...], y: tuple[float, ...]) -> float:
    """dL/dw of the mean squared error of w·x against y over a batch: 2·mean(x·(w·x - y))."""
    return 2 * sum(xi * (w * xi - yi) for xi, yi in zip(x, y, strict=True)) / len(x)


def steps_moved(updates: int, zero_grad: bool) -> int:
    """How many steps of size η·|g| a constant gradient g has moved a weight after `updates` updates of plain descent.

    One each with `zero_grad()`. Without it update k uses the sum of k gradients: 1 + 2 + … + k = k(k + 1)/2.
    """
    k = whole_number("updates", updates, 0, 10**9)
    return k if zero_grad else k * (k + 1) // 2
