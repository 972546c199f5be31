"""A panel whose run goes on while the learner watches: its buttons, its pace, and the worker's slices."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from weightlab.pictures.picture import Picture
from weightlab.stage.controls import Question
from weightlab.stage.lenses import changed, said
from weightlab.stage.panel import Panel
from weightlab.stage.worker import Mail
from weightlab.validate import choose

BYTES_PER_MESSAGE = 900  # of numbers; steps that do not fit are left out of the picture, not out of the record

COMMANDS = ("start", "pause", "step", "stop", "reset", "new_seed")
OVER = frozenset({"finished", "diverged", "stopped"})
SLICE_SECONDS = 1 / 30
READINGS_PER_SECOND = 4


class LivePanel(Panel):
    """A run is "idle", "running", "paused", or one of OVER; while it is running, the worker takes its steps.

    Besides `_apply`, subclasses say what a step is, how to begin again, and what is shown when. The value "pace" is how
    many steps a second there are at most.
    """

    pictures_per_second: ClassVar[int] = 30
    steps_a_click: ClassVar[int] = 1  # on the button Step

    def __init__(self, *, questions: Sequence[Question] = (), title: str = "", **values: Any) -> None:
        self._state = "idle"
        self._debt = 0.0  # steps that the pace allows and that have not been taken
        self._last = self._next_picture = self._next_reading = 0.0
        super().__init__(questions=questions, title=title, **values)

    # ---- what subclasses say -------------------------------------------------------------------------------------

    def _begin(self, asked: Any, every: dict[str, Any], seq: int | None) -> None:
        """Begin a new run of an experiment and show it; raises, changing nothing, if it is bad."""
        raise NotImplementedError

    def _one_step(self) -> None:
        """Take the run's next step; set `_state` if that ends it."""
        raise NotImplementedError

    def _show_progress(self) -> None:
        """Bring the picture up to the run, which goes on; asked at most `pictures_per_second` times."""
        raise NotImplementedError

    def _show_reading(self) -> None:
        """The same for what is too slow or too restless for every picture; READINGS_PER_SECOND."""

    def _rest(self) -> None:
        """The run has paused or ended: keep what it has left, and show all of it."""
        self._show_progress()

    @property
    def _pace(self) -> float:
        return float(self._every["pace"])

    @property
    def _seeds_used(self) -> int:
        """How many seeds a run takes; the next run begins after them."""
        return 1

    @property
    def _progress(self) -> str:
        """Where the run stands, in a few words beside the buttons."""
        return {"idle": "ready", "running": "training"}.get(self._state, self._state)

    @property
    def _buttons(self) -> dict[str, Any]:
        """What the stage must know of the buttons besides the run's state."""
        return {}

    # ---- commands ------------------------------------------------------------------------------------------------

    def _command(self, name: str) -> None:
        choose("command", name, COMMANDS)
        going_on = self._state not in OVER
        if name == "reset":
            self._restart()
        elif name == "new_seed":
            reseeded = changed(self.asked, seed=self.asked.seed + self._seeds_used)
            self._begin(reseeded, said(reseeded, self.lenses, self._every), None)
        elif name == "start" and going_on:
            self._start()
        elif name == "pause" and self._state == "running":
            self._state = "paused"
            self._rest()
        elif name == "step" and going_on:
            self._run_on(self.steps_a_click)
            self._rest()
        elif name == "stop" and self._state in {"running", "paused"}:
            self._state = "stopped"
            self._rest()
        self._tell()

    def _start(self) -> None:
        """Leave the run to the worker; the first step comes at once."""
        self._state, self._last, self._debt = "running", time.perf_counter(), 1.0
        self._next_picture = self._next_reading = 0.0

    def _restart(self) -> None:
        self._begin(self.asked, self._every, None)

    def run(self, steps: int | None = None) -> Any:
        """Go on to the end (or `steps` more) in this thread and return the record; a run that is over begins again.

        What cells, tests and CI use.
        """
        with self._lock:
            if self._state in OVER:
                self._restart()
            self._run_on(steps)
            self._keep_all()
            self._tell()
            return self.record

    def _keep_all(self) -> None:
        """Keep and show whatever the run has left, though nobody watched it."""
        self._rest()

    def _run_on(self, steps: int | None = None) -> None:
        """Go on in this thread, for so many steps or to the end, and leave the run paused or over."""
        self._state = "paused"
        done = 0
        while self._state not in OVER and (steps is None or done < steps):
            self._one_step()
            done += 1

    def _interrupts(self, every: dict[str, Any]) -> bool:
        """Whether a run that has begun would be given up for these settings."""
        return self._state in {"running", "paused"} and every != self._every

    def show(self, picture: Picture, *, seq: int | None = None, follow: bool = False) -> None:
        """As the stage does; a picture of a run that is going on is followed to its end."""
        super().show(picture, seq=seq, follow=follow or self._state == "running")

    def _greet(self) -> None:
        """A page that opens or reloads gets all rows so far, not only those sent from now on."""
        with self.hold_sync():
            self.show(self._whole_picture())
            self._tell()

    def _whole_picture(self) -> Picture:
        """Everything so far."""
        return self._picture

    def _failed(self, error: Exception, mail: Mail | None) -> None:
        if mail is None:  # the run itself broke: it cannot go on, and must not say that it does
            self._state = "stopped"
            self._tell()
        super()._failed(error, mail)

    # ---- the worker's slices -------------------------------------------------------------------------------------

    def _advance(self) -> bool:
        with self._lock:
            if self._state != "running":
                return False
            pace = self._pace
            self._take_slice(pace)
            if self._state != "running":
                self._rest()
                self._tell()
                return False
            now = time.perf_counter()
            if now >= self._next_picture:
                self._next_picture = now + 1 / self.pictures_per_second
                self._show_progress()
            if now >= self._next_reading:
                self._next_reading = now + 1 / READINGS_PER_SECOND
                self._show_reading()
        if self._debt < 1:
            self._worker.wait_for_mail(min((1 - self._debt) / pace, SLICE_SECONDS))
        return True

    def _take_slice(self, pace: float) -> None:
        now = time.perf_counter()
        self._debt = min(self._debt + (now - self._last) * pace, max(2.0, pace / 5))
        self._last = now
        while self._debt >= 1 and not self._worker.has_mail and time.perf_counter() < now + SLICE_SECONDS:
            self._debt -= 1
            self._one_step()
            if self._state != "running":
                break

    def _tell(self) -> None:
        self.transport = {"live": True, "state": self._state, "text": self._progress} | self._buttons


def thinned(table: np.ndarray, steps: np.ndarray, most_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """As many rows (rows, columns) and their steps, evenly, as `most_bytes` of float32 hold; the newest among them."""
    most = max(1, most_bytes // (4 * (table.shape[1] + 1)))
    if len(steps) <= most:
        return table, steps
    chosen = np.linspace(len(steps) - 1, 0, most).round().astype(int)[::-1]
    return table[chosen], steps[chosen]


class Rows:
    """Rows for the stage as they come: `_begin` with one from before the start, then `take` what a run adds."""

    def _begin(self, table: np.ndarray, steps: np.ndarray) -> None:
        self._tables, self._steps = [table[:1]], [steps[:1]]
        self._seen, self.rows = 0, 1

    def _since(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (rows, columns) and step numbers from `step` on."""
        raise NotImplementedError

    def take(self, most_bytes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Rows (rows, columns) and step numbers that are new; thinned to `most_bytes`, the newest always among them."""
        table, steps = self._since(self._seen)
        if self._seen == 0:  # the row from before the start stands already
            table, steps, self._seen = table[1:], steps[1:], min(len(steps), 1)
        self._seen += len(steps)
        if most_bytes is not None:
            table, steps = thinned(table, steps, most_bytes)
        if len(steps):
            self._tables.append(table)
            self._steps.append(steps)
            self.rows += len(steps)
        return table, steps
