"""What the update loop is shown on: three problems of one weight, and a small real network on the 8×8 digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from weightlab.networks.datasets import Dataset, dataset
from weightlab.networks.initializers import initialization
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import initialize, model
from weightlab.theory.loop import line_gradient, logit_gradient
from weightlab.validate import registry

LossFunction = Callable[[Tensor, Tensor], Tensor]
BATCH_SIZE = 64  # of the digits
WIDTH = 32
TOGETHER = 50  # digits that are validated at once


class OneWeight(nn.Module):
    """prediction = w·x."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(float(start), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


@dataclass(frozen=True, eq=False)
class Workbench:
    """A problem with its objects made: what a script has before its loop begins.

    batches: endless, pass after pass over the data. layers: (name, weights) whose sizes are shown.
    watched: (name, parameter, index) of single weights that are followed. validation: inputs and labels, or None.
    """

    model: nn.Module
    loss_fn: LossFunction
    batches: Iterator[tuple[Tensor, Tensor]]
    layers: tuple[tuple[str, nn.Parameter], ...]
    watched: tuple[tuple[str, nn.Parameter, int], ...]
    validation: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class LoopLoss:
    """A loss of a problem.

    program:  a function of PyTorch's, or the text that defines `loss_fn(prediction, y)`
    gradient: dL/dw of a batch in closed form, (w, x, y) -> float; None where there is none
    slope:    dL/dz in words, where a figure draws it
    """

    label: str
    value: LossFunction
    program: str
    gradient: Callable[[float, tuple[float, ...], tuple[float, ...]], float] | None = None
    slope: str = ""


@dataclass(frozen=True)
class LoopProblem:
    """A problem that the loop can be stepped through.

    losses: by name, the first is the default. start, span: first weight, and the range to draw (one weight only).
    points: the batches of a pass as (x, y) tuples (one weight only). learning_rate: where a panel begins.
    """

    name: str
    label: str
    losses: Mapping[str, LoopLoss]
    batches: int
    start: float = 0.0
    span: tuple[float, float] = (-1.0, 1.0)
    points: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = field(default=())
    learning_rate: float = 0.1

    @property
    def one_weight(self) -> bool:
        return bool(self.points)

    def build(self, loss: str, seed: int, start: float | None = None) -> Workbench:
        """Everything made anew: the same arguments give the same weights and batches, bit for bit."""
        if not self.one_weight:
            return _digits_bench(self.losses[loss].value, seed)
        network = OneWeight(self.start if start is None else start)
        tensors = [tuple(torch.tensor(side, dtype=torch.float64) for side in batch) for batch in self.points]
        return Workbench(
            network,
            self.losses[loss].value,
            _endless(tensors),
            (("w", network.w),),
            (("w", network.w, 0),),
        )

    def loss_at(self, loss: str, batch: int, w: Tensor) -> Tensor:
        """The loss of batch number `batch` at weights w (point,): the curve on which the weight moves."""
        x, y = (torch.tensor(side, dtype=torch.float64) for side in self.points[batch])
        return torch.stack([self.losses[loss].value(value * x, y) for value in w])


def _endless(batches: list[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches


@cache
def digits_data() -> Dataset:
    """The digits, read once: a step must not wait for the disk."""
    return dataset("digits")


def digits_network(seed: int) -> nn.Module:
    """64 pixels → 32 ReLU units with batch normalization → 10 classes, float64, weights drawn from `seed` (He)."""
    settings = model("mlp", depth=1, width=WIDTH, activation="relu", batch_norm=True)
    network = settings.build(digits_data().shape, 10)
    generator = torch.Generator().manual_seed(seed)
    initialize(network, initialization("he_normal"), settings.hidden_activation, generator)
    return network


def digits_batches(seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of 64 training digits, every epoch in a new order; the last, smaller one is left out."""
    data, generator = digits_data(), torch.Generator().manual_seed(seed + 1_000_000)
    x, y = data.x_train.double(), data.y_train
    count = len(x) // BATCH_SIZE * BATCH_SIZE
    while True:
        order = torch.randperm(len(x), generator=generator)[:count]
        yield from zip(x[order].split(BATCH_SIZE), y[order].split(BATCH_SIZE), strict=True)


def _digits_bench(loss: LossFunction, seed: int) -> Workbench:
    network: Any = digits_network(seed)
    layers = tuple((name, layer.weight) for name, layer in network.layers)
    first, output = (weight for _, weight in layers)
    pixel = 28  # in the middle of the picture; the rim is always blank and its weights have no gradient
    watched = (("a weight of layer 1", first, pixel), ("a weight of the output", output, 0))
    data = digits_data()
    return Workbench(
        network, loss, digits_batches(seed), layers, watched, (data.x_validation.double(), data.y_validation)
    )


def mixed_order(y: Tensor) -> Tensor:
    """An order in which examples of labels y come from all classes, always the same."""
    return torch.randperm(len(y), generator=torch.Generator().manual_seed(0))


def share_right(model: nn.Module, x: Tensor, y: Tensor, *, train_mode: bool = False) -> float:
    """Share of examples that `model` gets right, in batches of TOGETHER in the given order.

    The model's mode stays as it was. x: (example, …), y: (example,) classes. train_mode: as if `model.eval()` were
    forgotten, which moves the running statistics of batch normalization.
    """
    was_training = model.training
    model.train(train_mode)
    with torch.no_grad():
        right = [model(a).argmax(dim=-1) == b for a, b in zip(x.split(TOGETHER), y.split(TOGETHER), strict=True)]
    model.train(was_training)
    return float(torch.cat(right).double().mean())


def _mean_of_prediction(prediction: Tensor, y: Tensor) -> Tensor:
    return prediction.mean()


def _squared_error_of_sigmoid(prediction: Tensor, y: Tensor) -> Tensor:
    return functional.mse_loss(prediction.sigmoid(), y)


def _two_logits(prediction: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(torch.stack([torch.zeros_like(prediction), prediction], dim=-1), y.long())


_SQUARED_ERROR = "def loss_fn(prediction, y):\n    return nn.functional.mse_loss(prediction.sigmoid(), y)"
_TWO_LOGITS = '''def loss_fn(prediction, y):
    """Cross-entropy over two classes, of which the first has the logit 0."""
    logits = torch.stack([torch.zeros_like(prediction), prediction], dim=-1)
    return nn.functional.cross_entropy(logits, y.long())'''


def _on_logit(name: str) -> Callable[[float, tuple[float, ...], tuple[float, ...]], float]:
    return lambda w, x, y: x[0] * logit_gradient(name, w * x[0], y[0])


def _on_classes(name: str) -> LoopLoss:
    entry = LOSSES[name]
    program = entry.definition(10).replace("def loss_of", "def loss_fn") or entry.called
    return LoopLoss(entry.label, lambda prediction, y: entry.value(prediction, y, 10), program)


PROBLEMS = registry(
    LoopProblem(
        "line",
        "one weight, four points",
        {"mse": LoopLoss("mean squared error", functional.mse_loss, "nn.functional.mse_loss", line_gradient)},
        batches=2,
        span=(-0.5, 4.2),
        points=(((1.0, 2.0), (2.0, 3.5)), ((0.5, 1.5), (1.5, 3.5))),
    ),
    LoopProblem(
        "constant_slope",
        "one weight, constant slope",
        {
            "slope": LoopLoss(
                "the prediction itself",
                _mean_of_prediction,
                "def loss_fn(prediction, y):\n    return prediction.mean()",
                lambda w, x, y: sum(x) / len(x),
            )
        },
        batches=1,
        span=(-2.0, 0.2),
        points=(((1.0,), (0.0,)),),
    ),
    LoopProblem(
        "confident_mistake",
        "one weight, one example of class 1",
        {
            "bce_with_logits": LoopLoss(
                "binary cross-entropy with logits",
                functional.binary_cross_entropy_with_logits,
                "nn.functional.binary_cross_entropy_with_logits",
                _on_logit("bce_with_logits"),
                "cross-entropy: p − y",
            ),
            "cross_entropy": LoopLoss(
                "cross-entropy over two classes", _two_logits, _TWO_LOGITS, _on_logit("cross_entropy")
            ),
            "mse": LoopLoss(
                "squared error of the sigmoid",
                _squared_error_of_sigmoid,
                _SQUARED_ERROR,
                _on_logit("mse"),
                "squared error: 2(p − y)·p(1 − p)",
            ),
        },
        batches=1,
        start=-6.0,
        span=(-7.0, 3.0),
        points=(((1.0,), (1.0,)),),
        learning_rate=1.0,
    ),
    LoopProblem(
        "digits",
        "8×8 digits (real)",
        {name: _on_classes(name) for name in ("cross_entropy", "mse")},
        batches=1347 // BATCH_SIZE,
    ),
)
