"""The arithmetic of update rules that see matrices: each weight matrix in its shape, (..., rows, columns).

Sources: Jordan 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu and others 2025, "Muon is scalable
for LLM training" (the other adjustment of the rate); torch.optim.Muon, whose rounding is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Number = float | Tensor  # a tensor broadcasts to (..., rows, columns)
QUINTIC = (3.4445, -4.7750, 2.0315)  # Jordan's: steepest at zero, so that small singular values grow fast


def orthogonalized(matrix: Tensor, steps: Number, eps: Number) -> Tensor:
    """About UVᵀ of matrix = USVᵀ, (..., rows, columns) in bfloat16: singular values come to lie between 0.7 and 1.2.

    A Newton–Schulz iteration X ← aX + (bXXᵀ + c(XXᵀ)²)X from X = matrix/max(‖matrix‖, eps); with 0 steps that.
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.bfloat16()
    x = x.mT if tall else x  # XXᵀ is then the smaller of the two products
    if x.ndim == 2:  # as torch.optim.Muon has it, to the last bit
        x = _iterated(x / _at_least(torch.linalg.vector_norm(x), eps), torch.addmm, steps)
    else:
        x = x / _at_least(torch.linalg.vector_norm(x, dim=(-2, -1), keepdim=True), eps)
        if isinstance(steps, Tensor):
            steps = steps.expand(*x.shape[:-2], 1, 1).reshape(-1, 1, 1)
        x = _iterated(x.flatten(0, -3), torch.baddbmm, steps).view_as(x)
    return x.mT if tall else x


def _at_least(norm: Tensor, eps: Number) -> Tensor:
    return torch.maximum(norm, eps.to(norm.dtype)) if isinstance(eps, Tensor) else norm.clamp(min=eps)


def _iterated(x: Tensor, add_product: Any, steps: Number) -> Tensor:
    a, b, c = QUINTIC
    for number in range(int(steps.max()) if isinstance(steps, Tensor) else int(steps)):
        gram = x @ x.mT
        polynomial = add_product(gram, gram, gram, beta=b, alpha=c)
        new = add_product(x, polynomial, x, beta=a)
        x = torch.where(steps > number, new, x) if isinstance(steps, Tensor) else new
    return x


def muon(
    w: Tensor, gradient: Tensor, state: Mapping[str, Tensor], settings: Mapping[str, Any]
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step; w and gradient (..., rows, columns), settings numbers or tensors such as (learner, 1, 1)."""
    rate, momentum, nesterov = settings["learning_rate"], settings["momentum"], settings["nesterov"]
    average = torch.lerp(state["average"], gradient, 1 - momentum)
    direction = average
    if isinstance(nesterov, Tensor):
        direction = torch.where(nesterov > 0, torch.lerp(gradient, average, momentum), average)
    elif nesterov:
        direction = torch.lerp(gradient, average, momentum)
    direction = orthogonalized(direction, settings["ns_steps"], settings["eps"])
    decayed = w * (1 - rate * settings["weight_decay"])
    rate = rate * rate_factor(w.shape[-2], w.shape[-1], settings["match_rms_adamw"])
    if isinstance(rate, Tensor):
        return torch.addcmul(decayed, direction.to(w.dtype), rate, value=-1.0), {"average": average}
    return torch.add(decayed, direction, alpha=-rate), {"average": average}


def rate_factor(rows: int, columns: int, match_rms_adamw: Number) -> Number:
    """What the learning rate is multiplied by, so that steps of matrices of different shapes are of one size.

    √max(1, rows/columns); with match_rms_adamw 0.2·√max(rows, columns), at which rates found for AdamW serve.
    """
    original, matched = math.sqrt(max(1.0, rows / columns)), 0.2 * math.sqrt(max(rows, columns))
    if isinstance(match_rms_adamw, Tensor):
        return match_rms_adamw * matched + (1 - match_rms_adamw) * original  # of 0 and 1: exact, in its own dtype
    return matched if match_rms_adamw else original


def muon_start(w: Tensor) -> dict[str, Tensor]:
    return {"average": torch.zeros_like(w)}


def torch_muon(settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """torch.optim.Muon's arguments."""
    kept = {name: settings[name] for name in ("weight_decay", "momentum", "eps")}
    return "Muon", {
        "lr": settings["learning_rate"],
        **kept,
        "nesterov": bool(settings["nesterov"]),
        "ns_steps": int(settings["ns_steps"]),
        "adjust_lr_fn": "match_rms_adamw" if settings["match_rms_adamw"] else None,
    }
