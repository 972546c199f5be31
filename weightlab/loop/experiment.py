"""What the update loop is to run, and what it leaves: the six lines, an experiment, a record with one row a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from weightlab.loop.problems import PROBLEMS, LoopProblem
from weightlab.validate import choose, number, whole_number

GET_BATCH, PREDICT, LOSS, ZERO_GRAD, BACKWARD, UPDATE = USUAL_ORDER = (1, 2, 3, 4, 5, 6)
NO_ZERO_GRAD = (1, 2, 3, 5, 6)
STEP_FIRST = (1, 2, 3, 4, 6, 5)
STEP_FIRST_NO_ZERO_GRAD = (1, 2, 3, 6, 5)
LINES: Mapping[int, str] = MappingProxyType(
    {
        GET_BATCH: "x, y = next(batches)",
        PREDICT: "prediction = model(x)",
        LOSS: "loss = loss_fn(prediction, y)",
        ZERO_GRAD: "optimizer.zero_grad()",
        BACKWARD: "loss.backward()",
        UPDATE: "optimizer.step()",
    }
)
LONGEST_ORDER = 24
SIZES = ("w", "w.grad", "buffer", "Δw")  # what is followed, in the order of LoopRecord's last dimension


@dataclass(frozen=True)
class LoopExperiment:
    """A loop to be stepped through; the same experiment gives the same lines and numbers, bit for bit.

    problem:  one of PROBLEMS; loss: one of its losses, the first where None
    order:    numbers of the LINES that make one pass, in the order in which they run; NO_ZERO_GRAD leaves out line 4,
              STEP_FIRST has line 6 before line 5
    by_hand:  line 6 is written out as plain descent instead of `optimizer.step()`
    no_grad:  the hand-written line stands under `torch.no_grad()`
    evaluate_in_train_mode: the digits' validation forgets `model.eval()`
    validate_every: updates from one validation to the next (digits)
    start:    first weight, the problem's own where None (problems of one weight)
    seed:     first weights and order of the examples (digits)
    Raises ValueError or TypeError that names value, range and remedy.
    """

    problem: str = "line"
    loss: str | None = None
    learning_rate: float = 0.1
    momentum: float = 0.0
    order: tuple[int, ...] = USUAL_ORDER
    by_hand: bool = False
    no_grad: bool = True
    evaluate_in_train_mode: bool = False
    validate_every: int = 1
    start: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        problem = PROBLEMS[choose("problem", self.problem, PROBLEMS)]
        checked: dict[str, Any] = {
            "loss": choose(f"loss of {self.problem!r}", self.loss or next(iter(problem.losses)), problem.losses),
            "learning_rate": number("learning_rate", self.learning_rate, 0, 1e6),
            "momentum": number("momentum", self.momentum, 0, 1, why="beyond 1 the buffer grows by itself"),
            "order": _checked_order(self.order),
            "validate_every": whole_number("validate_every", self.validate_every, 1, 10**6),
            "seed": whole_number("seed", self.seed, 0, 10**6),
        }
        if self.start is not None:
            if not problem.one_weight:
                raise ValueError(f"start must be None for {self.problem!r}, got {self.start!r}: seed sets its weights")
            checked["start"] = number("start", self.start, -1e6, 1e6)
        if self.by_hand and checked["momentum"]:
            raise ValueError(
                f"momentum must be 0 with by_hand, got {checked['momentum']:g}: the hand-written line is plain descent"
            )
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def entry(self) -> LoopProblem:
        return PROBLEMS[self.problem]

    def text(self, line: int) -> str:
        """Line number `line` as it is run."""
        if line != UPDATE or not self.by_hand:
            return LINES[line]
        move = "w -= learning_rate * w.grad"
        if not self.entry.one_weight:
            move = f"for w in model.parameters(): {move}"
        if not self.no_grad:
            return move
        return f"with torch.no_grad(): {move}" if self.entry.one_weight else f"with torch.no_grad():\n    {move}"

    def shown(self, line: int) -> str:
        """Line number `line` on one line of print."""
        return " ".join(self.text(line).split())


def _checked_order(order: object) -> tuple[int, ...]:
    if not isinstance(order, tuple | list) or not 1 <= len(order) <= LONGEST_ORDER:
        raise ValueError(
            f"order must be a tuple of 1 to {LONGEST_ORDER} line numbers, got {order!r}; the usual one is {USUAL_ORDER}"
        )
    return tuple(whole_number("a line number in order", line, 1, 6) for line in order)


@dataclass(frozen=True, eq=False)
class LoopRecord:
    """What a loop left after each line; row 0 is the start, NaN stands for None. Δw is that of the latest update.

    lines:      (row,) number of the line that ran, 0 at the start
    updates:    (row,) updates so far; batches: (row,) batches fetched so far
    summed:     (row,) how many gradients `w.grad` is the sum of
    losses:     (row,) latest loss
    watched:    (row, watched weight, 4) w, w.grad, momentum buffer and Δw of single weights
    sizes:      (row, layer, 4) the same as norms of each layer's weights
    accuracies: (row, 2) share of examples right at the latest validation: mixed batches, batches sorted by class
    drift:      (row,) how far the latest validation moved the model's running means (largest unit)
    notes:      what each row's line did, in words
    error:      the exception that ended the loop, "" if none; the line that raised it is the next one
    """

    experiment: LoopExperiment
    lines: Tensor
    updates: Tensor
    batches: Tensor
    summed: Tensor
    losses: Tensor
    watched: Tensor
    sizes: Tensor
    accuracies: Tensor
    drift: Tensor
    notes: tuple[str, ...]
    layers: tuple[str, ...]
    watched_names: tuple[str, ...]
    error: str

    @property
    def weights(self) -> Tensor:
        """(row, watched weight)."""
        return self.watched[:, :, 0]

    @property
    def moved(self) -> float:
        """How far the first watched weight has come from its start."""
        return float(self.weights[-1, 0] - self.weights[0, 0])

    @property
    def right(self) -> float:
        """Share of validation examples right at the latest validation, in mixed batches; NaN for one weight."""
        return float(self.accuracies[-1, 0])

    @property
    def growth(self) -> float:
        """Norm of the first layer's weights over what it was at the start."""
        return float(self.sizes[-1, 0, 0] / self.sizes[0, 0, 0])

    def changed_by(self, name: str) -> tuple[int, ...]:
        """Numbers of the lines that have ever changed `name` (one of SIZES) of the first watched weight."""
        values = self.watched[:, 0, SIZES.index(choose("name", name, SIZES))]
        same = (values[1:] == values[:-1]) | (values[1:].isnan() & values[:-1].isnan())
        return tuple(sorted(set(self.lines[1:][~same].tolist())))
