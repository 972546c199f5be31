"""Where a run stood at some of its steps, so that another run can go on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from weightlab.rules.schedules import Tracker
from weightlab.training.batches import Place

FIRST_APART = 16  # steps from one checkpoint to the next at first
MOST_KEPT = 32
MOST_BYTES = 64 * 2**20  # of all that a run keeps


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """All that the next step depends on, before it is taken.

    step: steps taken so far. weights: (weight,), all of the network's. buffers: batch normalization's statistics.
    memory: what the update rule remembers. schedule, place, stream: where the schedule, the order of the batches and
    the network's own source of random numbers stand. last_loss: what a schedule that watches the losses has seen last.
    """

    step: int
    weights: Tensor
    buffers: Sequence[Tensor]
    memory: Any
    schedule: Tracker
    last_loss: Tensor | None
    place: Place
    stream: Tensor | None

    @property
    def size(self) -> int:
        """Bytes, about: a rule remembers at most two numbers a weight."""
        return 3 * self.weights.numel() * self.weights.element_size() + 10_000


class Checkpoints:
    """The checkpoints of one run, evenly spread over it; when there are too many every other one is let go."""

    def __init__(self) -> None:
        self._apart = FIRST_APART
        self._kept: list[Checkpoint] = []

    def is_due(self, step: int) -> bool:
        """Whether the run should be kept before this step."""
        return step > 0 and step % self._apart == 0

    def keep(self, checkpoint: Checkpoint) -> None:
        self._kept.append(checkpoint)
        most = max(1, min(MOST_KEPT, MOST_BYTES // checkpoint.size))
        while len(self._kept) > most:
            self._apart *= 2
            self._kept = [one for one in self._kept if one.step % self._apart == 0]

    def before(self, step: int) -> Checkpoint | None:
        """The last one that is not beyond this step."""
        return next((one for one in reversed(self._kept) if one.step <= step), None)
