"""What a network is asked to make small, each loss one entry of LOSSES.

A network's last layer gives logits; every entry knows how many it needs, the mean loss over a batch, and the class
probabilities they stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from weightlab.validate import choose


@dataclass(frozen=True)
class Loss:
    """A loss over a batch.

    outputs:       classes -> how many logits the network gives per example
    value:         (logits (example, outputs), labels (example,) int64, classes) -> mean loss (), differentiable
    each:          the same for every example, -> (example,)
    probabilities: logits (..., outputs) -> (..., classes), summing to 1
    two_classes:   usable with two classes only
    """

    name: str
    label: str
    formula: str
    outputs: Callable[[int], int]
    value: Callable[[Tensor, Tensor, int], Tensor]
    each: Callable[[Tensor, Tensor, int], Tensor]
    probabilities: Callable[[Tensor], Tensor]
    two_classes: bool = False


def _squared_error(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    wanted = functional.one_hot(labels, classes).to(logits.dtype)
    return functional.mse_loss(logits.softmax(dim=-1), wanted)


def _squared_errors(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    wanted = functional.one_hot(labels, classes).to(logits.dtype)
    return (logits.softmax(dim=-1) - wanted).square().mean(dim=-1)


def _binary(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.squeeze(-1), labels.to(logits.dtype))


def _binaries(logits: Tensor, labels: Tensor, classes: int) -> Tensor:
    wanted = labels.to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits.squeeze(-1), wanted, reduction="none")


def _both_classes(logits: Tensor) -> Tensor:
    # sigmoid(-z) rather than 1 - sigmoid(z): the small one keeps its digits
    return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=-1)


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Loss(
                "cross_entropy",
                "cross-entropy",
                "-log softmax(z)[class]",
                lambda classes: classes,
                lambda logits, labels, classes: functional.cross_entropy(logits, labels),
                lambda logits, labels, classes: functional.cross_entropy(logits, labels, reduction="none"),
                lambda logits: logits.softmax(dim=-1),
            ),
            Loss(
                "mse",
                "mean squared error",
                "mean of (softmax(z) - one_hot)^2 over classes",
                lambda classes: classes,
                _squared_error,
                _squared_errors,
                lambda logits: logits.softmax(dim=-1),
            ),
            Loss(
                "bce_with_logits",
                "binary cross-entropy with logits",
                "-log sigmoid(z) for class 1, -log(1 - sigmoid(z)) for class 0",
                lambda classes: 1,
                _binary,
                _binaries,
                _both_classes,
                two_classes=True,
            ),
        )
    }
)


def loss(name: str) -> Loss:
    """The entry of LOSSES called `name`; an unknown name raises ValueError with the nearest ones.

    Source: torch.nn.functional's cross_entropy, mse_loss and binary_cross_entropy_with_logits, all with the mean.
    """
    return LOSSES[choose("loss", name, LOSSES)]
