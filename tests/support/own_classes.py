"""An optimizer class, a network and data as learners bring them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from weightlab.networks.datasets import dataset_from_tensors

POINTS = torch.randn(240, 2, generator=torch.Generator().manual_seed(1))
QUADRANTS = dataset_from_tensors(POINTS, (POINTS[:, 0] * POINTS[:, 1] > 0).long(), name="quadrants")
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


class Bent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(2, 7), nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.outer(torch.sin(self.inner(x)))
        return logits
