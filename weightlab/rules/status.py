"""How a run ended: the kind of end, the step and a sentence, the same for toys and networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StatusKind = Literal["converged", "diverged", "stopped", "finished"]


@dataclass(frozen=True)
class RunStatus:
    """How a run ended.

    kind: "converged", "diverged", "stopped" (by the learner) or "finished" (used up its steps).
    step: the step at which that happened; for "finished" the number of steps taken.
    message: a sentence that says what happened, for "diverged" with the direction or layer and the limit passed.
    """

    kind: StatusKind
    step: int
    message: str
