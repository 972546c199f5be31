"""What a network is asked to make small, each loss one entry of LOSSES.

A network's last layer gives logits; every entry knows how many it needs, the mean loss over a batch, the class
probabilities they stand for, and how a program says it. Source: torch.nn.functional's cross_entropy, mse_loss and
binary_cross_entropy_with_logits, all with the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from weightlab.validate import registry


@dataclass(frozen=True)
class Loss:
    """A loss over a batch.

    outputs:       classes -> how many logits the network gives per example
    function:      (logits (example, outputs), labels (example,) int64, classes, reduction) -> differentiable: the mean
                   () for the reduction "mean", every example's loss (example,) for "none"
    probabilities: logits (..., outputs) -> (..., classes), summing to 1
    two_classes:   usable with two classes only

    program:       a function of PyTorch's that does all of it, or the definition of `loss_of(logits, labels)`, in which
                   {classes} stands for their number
    guess:         the class that an example gets in a program, from `logits`
    theory:        the form in weightlab.theory.loop.LOGIT_GRADIENTS that speaks of two classes with the logits 0 and z,
                   or of the one logit z
    """

    name: str
    label: str
    outputs: Callable[[int], int]
    function: Callable[[Tensor, Tensor, int, str], Tensor]
    probabilities: Callable[[Tensor], Tensor]
    program: str
    guess: str = "logits.argmax(dim=1)"
    theory: str = ""
    two_classes: bool = False

    def value(self, logits: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Mean over the batch, ()."""
        return self.function(logits, labels, classes, "mean")

    def each(self, logits: Tensor, labels: Tensor, classes: int) -> Tensor:
        """Example by example, (example,)."""
        return self.function(logits, labels, classes, "none")

    @property
    def called(self) -> str:
        """The function that a program calls."""
        return "loss_of" if self.program.startswith("def ") else self.program

    def definition(self, classes: int) -> str:
        """The function `loss_of`, "" where PyTorch's own is used as it is."""
        return self.program.replace("{classes}", str(classes)) if self.called == "loss_of" else ""


def _squared_error(logits: Tensor, labels: Tensor, classes: int, reduction: str) -> Tensor:
    wanted = functional.one_hot(labels, classes).to(logits.dtype)
    errors = functional.mse_loss(logits.softmax(dim=-1), wanted, reduction=reduction)
    return errors.mean(dim=-1) if reduction == "none" else errors  # over the classes


def _binary(logits: Tensor, labels: Tensor, classes: int, reduction: str) -> Tensor:
    wanted = labels.to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits.squeeze(-1), wanted, reduction=reduction)


def _both_classes(logits: Tensor) -> Tensor:
    # sigmoid(-z) rather than 1 - sigmoid(z): the small one keeps its digits
    return torch.cat([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=-1)


_SQUARED_ERROR = '''def loss_of(logits, labels):
    """Mean squared error of the probabilities."""
    wanted = nn.functional.one_hot(labels, {classes}).to(logits.dtype)
    return nn.functional.mse_loss(logits.softmax(dim=1), wanted)'''
_BINARY = '''def loss_of(logits, labels):
    wanted = labels.to(logits.dtype)
    return nn.functional.binary_cross_entropy_with_logits(logits.squeeze(1), wanted)'''

LOSSES = registry(
    Loss(
        "cross_entropy", "cross-entropy",
        lambda classes: classes,
        lambda logits, labels, classes, reduction: functional.cross_entropy(logits, labels, reduction=reduction),
        lambda logits: logits.softmax(dim=-1),
        "nn.functional.cross_entropy",
        theory="cross_entropy",
    ),
    Loss(
        "mse", "mean squared error",
        lambda classes: classes,
        _squared_error,
        lambda logits: logits.softmax(dim=-1),
        _SQUARED_ERROR,
        theory="mse",
    ),
    Loss(
        "bce_with_logits", "binary cross-entropy with logits",
        lambda classes: 1,
        _binary,
        _both_classes,
        _BINARY,
        guess="logits.squeeze(1) > 0",
        theory="bce_with_logits",
        two_classes=True,
    ),
)
