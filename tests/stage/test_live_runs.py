"""What all panels share whose run goes on while the learner watches, on a run that only counts its steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from panel_support import say, wait_for

from weightlab.pictures.picture import Axis, Picture, TableBuilder, View
from weightlab.stage.controls import Slider
from weightlab.stage.lenses import PACE, Setting
from weightlab.stage.live_runs import LivePanel

LAST = 500


@dataclass(frozen=True)
class Counting:
    """What is asked for: a run that only counts."""

    seed: int


class CountingPanel(LivePanel):
    """Its run is a number that goes up by one a step; at `breaks_at` the step raises, at LAST the run is finished."""

    pictures_per_second = 20
    steps_a_click = 3

    def __init__(self, *, pace: float = 5000.0, breaks_at: int | None = None, seed: int = 0) -> None:
        self.count, self.breaks_at, self.rests = 0, breaks_at, 0
        self.shown: list[tuple[float, int]] = []
        self.taken: list[float] = []
        self.first_seed = seed
        super().__init__(title="Counts", pace=pace)

    def _declared(self) -> list[Setting]:
        return [Setting(Slider("pace", "Steps a second", (1.0, 5000.0)), PACE, 5000.0)]

    def _first(self) -> Counting:
        return Counting(self.first_seed)

    def _apply(self, asked: Counting, every: dict[str, Any], seq: int | None) -> None:
        view = View("count", "Count", Axis("step"), Axis("count"), (0, 0, 1, 1))
        table = TableBuilder(1)
        table.add("count", "curve", "count", np.zeros(1))
        picture = Picture((view,), table.table, np.zeros(1, np.float32), tuple(table.series))
        self._publish(asked, every, picture, [], seq)

    def _begin(self, asked: Counting, every: dict[str, Any], seq: int | None) -> None:
        if asked.seed == 1:
            raise ValueError("seed 1 is refused")
        self.count, self._state = 0, "idle"
        self._keep(asked, every)

    def _one_step(self) -> None:
        if self.count == self.breaks_at:
            raise RuntimeError("the step broke")
        self.count += 1
        self.taken.append(time.perf_counter())
        if self.count == LAST:
            self._state = "finished"

    def _show_progress(self) -> None:
        self.shown.append((time.perf_counter(), self.count))

    def _rest(self) -> None:
        self.rests += 1
        super()._rest()


@pytest.fixture
def opened() -> Iterator[list[CountingPanel]]:
    panels: list[CountingPanel] = []
    yield panels
    for panel in panels:
        panel.close()


def counting(opened: list[CountingPanel], **settings: Any) -> CountingPanel:
    opened.append(CountingPanel(**settings))
    return opened[-1]


def press(panel: CountingPanel, button: str) -> None:
    panel._receive(panel, {"type": "command", "name": button, "seq": 1}, [])


def test_pictures_come_at_most_as_often_as_the_panel_says(opened: list[CountingPanel]) -> None:
    panel = counting(opened, pace=1000.0)
    pressed = time.perf_counter()
    say(panel, type="command", name="start", seq=1)
    while_running = [at - pressed for at, _ in panel.shown[:-1]]  # the last is the end's
    assert len(while_running) > 1
    assert all(at >= before / panel.pictures_per_second for before, at in enumerate(while_running))


def test_the_first_step_comes_at_once_and_the_next_ones_keep_the_pace(opened: list[CountingPanel]) -> None:
    panel = counting(opened, pace=2.0)
    pressed = time.perf_counter()
    press(panel, "start")
    wait_for(lambda: panel.count >= 3)
    taken = [at - pressed for at in panel.taken]
    assert taken[0] < 1 / 2
    assert all(at >= before / 2 for before, at in enumerate(taken))


def test_pause_acts_at_once_even_where_the_next_step_is_far_away(opened: list[CountingPanel]) -> None:
    panel = counting(opened, pace=0.01)
    press(panel, "start")
    wait_for(lambda: panel.count == 1)
    before = time.monotonic()
    say(panel, type="command", name="pause", seq=2)
    assert time.monotonic() - before < 5 and panel.transport["state"] == "paused" and panel.count == 1


def test_step_takes_the_panels_steps_a_click_and_leaves_the_run_paused(opened: list[CountingPanel]) -> None:
    panel = counting(opened)
    for click in (1, 2):
        say(panel, type="command", name="step", seq=click)
        assert panel.count == 3 * click and panel.transport["state"] == "paused" and panel.rests == click


def test_a_step_that_breaks_ends_the_run_and_says_so(opened: list[CountingPanel]) -> None:
    panel = counting(opened, breaks_at=7)
    say(panel, type="command", name="start", seq=1)
    assert panel.count == 7 and panel.transport["state"] == "stopped" and "the step broke" in panel.notice["text"]


def test_a_new_seed_that_is_refused_leaves_the_seed_as_it_was(opened: list[CountingPanel]) -> None:
    panel = counting(opened)
    say(panel, type="command", name="new_seed", seq=1)
    assert panel.asked.seed == 0 and "seed 1 is refused" in panel.notice["text"]
