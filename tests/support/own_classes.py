"""Optimizer classes as learners write them."""

from __future__ import annotations

from typing import Any

import torch

Group = dict[str, Any]


class Plain(torch.optim.Optimizer):
    """Plain descent as a learner writes it: no closure, one setting of its own."""

    def __init__(self, params: Any, lr: float = 0.01, factor: float = 1.0) -> None:
        super().__init__(params, {"lr": lr, "factor": factor})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                self.move(p, group)

    def move(self, p: torch.Tensor, group: Group) -> None:
        p -= group["lr"] * group["factor"] * p.grad


class KeepsItsRateToItself(Plain):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        torch.optim.Optimizer.__init__(self, params, {})
        self.lr = lr
