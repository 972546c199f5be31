"""Drives a panel as a page does, and looks after every message at what the page would then show."""

from __future__ import annotations

import json
import re
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ipywidgets.widgets.widget import _remove_buffers
from own_classes import QUADRANTS, Bent, Plain

import weightlab
from weightlab.cures.panel import TimeGradientsPanel
from weightlab.ensembles.panel import EnsemblePanel
from weightlab.imbalance.panel import ImbalancePanel
from weightlab.loop.panel import StepperPanel
from weightlab.networks.own_model import model_from_module
from weightlab.playground.panel import TrainingPanel
from weightlab.scheduling.panel import SchedulePanel
from weightlab.signals.panel import SignalPanel
from weightlab.stage.controls import Question
from weightlab.stage.panel import Panel
from weightlab.stopping.panel import EpochsPanel
from weightlab.surfaces.panel import SurfacePanel
from weightlab.surfaces.sharpness_panel import SharpnessPanel
from weightlab.toys.panel import DescentPanel

OURS = str(Path(weightlab.__file__).parent)
SYNCED = ("values", "scene", "picture", "controls", "unused", "questions", "reading", "summary", "notice", "transport")
NO_NUMBER = re.compile(r"(?<!became )\b(nan|inf|infinity)\b", re.IGNORECASE)
EXPLAINS = re.compile("diverge|beyond|overflow|explode|no gradient|not finite|never")
QUESTIONS = (
    Question("How many?", lambda panel: 0.5),
    Question("Which way?", lambda panel: "up", options=("up", "down")),
)

# Small, so that a message is answered within moments; every control is there, and every problem of the update loop.
PANELS: Mapping[str, Callable[[], Panel]] = {
    "descent": lambda: DescentPanel(
        "rotated_quadratic", ("gradient_descent", "momentum", "adam"), choose_landscape=True, arrows=True,
        settings_map=True, questions=QUESTIONS,
    ),
    "descent, own rates": lambda: DescentPanel(
        "quadratic", ("momentum", "nesterov", "rmsprop"), own_rates=True, loss_scale=1.0,
        right=("directions", "gradient"),
    ),
    "signal": lambda: SignalPanel(width=16, depth=4, questions=QUESTIONS),
    "time gradients": lambda: TimeGradientsPanel(width=8, questions=QUESTIONS),
    "time gradients, gates": lambda: TimeGradientsPanel(cell="lstm", initializer="orthogonal", width=8),
    "training, a plane": lambda: TrainingPanel(
        controls="all", steps=40, depth=2, width=8, dataset="moons", batch_size=8
    ),
    "training, digits": lambda: TrainingPanel(controls="all", steps=20, depth=2, width=8, questions=QUESTIONS),
    "training, yours": lambda: TrainingPanel(
        controls="all", rule=Plain, model=model_from_module(Bent), dataset=QUADRANTS, steps=10, batch_size=8
    ),
    "stepper, a line": lambda: StepperPanel("line", questions=QUESTIONS),
    "stepper, a slope": lambda: StepperPanel("constant_slope", lines=7),
    "stepper, a mistake": lambda: StepperPanel("confident_mistake", lines=13),
    "stepper, digits": lambda: StepperPanel("digits", lines=3),
    "schedule": lambda: SchedulePanel("step", ("momentum", "adam"), steps=40, questions=QUESTIONS),
    "epochs": lambda: EpochsPanel(epochs=4, width=4, questions=QUESTIONS),
    "imbalance": lambda: ImbalancePanel(steps=10, questions=QUESTIONS),
    "surface": lambda: SurfacePanel(steps=20, width=4, questions=QUESTIONS),
    "sharpness": lambda: SharpnessPanel(steps=20, width=4, questions=QUESTIONS),
    "ensemble": lambda: EnsemblePanel(steps=10, depth=2, width=4, seeds=1, questions=QUESTIONS),
    "ensemble, starts": lambda: EnsemblePanel(varies="start", steps=5, depth=2, width=4, seeds=1, batch_size=8),
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What came of one message: seconds until it was answered, and why it was refused if it was."""

    seconds: float
    refusal: Exception | None


class Page:
    """Says messages to a panel, with numbers that go up, and waits until each is answered."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.home = dict(panel.values)
        self.failures: list[tuple[Exception, Any]] = []
        self.said = 0
        self._sent: list[dict[str, Any]] = []
        self._failed, self._send = panel._worker._failed, panel.send
        panel._worker._failed = self._note_failure
        panel.send = self._note_sending

    def _note_failure(self, error: Exception, mail: Any) -> None:
        self.failures.append((error, mail))
        self._failed(error, mail)

    def _note_sending(self, content: dict[str, Any], buffers: Any = None) -> None:
        self._sent.append(json.loads(json.dumps(content, allow_nan=False)))
        self._send(content, buffers)

    @property
    def is_live(self) -> bool:
        return bool(self.panel.transport.get("state") == "running")

    def say(self, seconds: float = 60.0, **message: Any) -> Answer:
        """Send a message and wait for its answer; fails without one, or if the worker has died."""
        self.said += 1
        start, failures = time.monotonic(), len(self.failures)
        self._sent.clear()
        self.panel._receive(self.panel, {**message, "seq": self.said}, [])
        while not self._answered(message["type"]):
            thread = self.panel._worker._thread
            assert thread is not None and thread.is_alive(), f"the worker died of {message}"
            assert time.monotonic() < start + seconds, f"no answer within {seconds} s to {message}"
            time.sleep(0.0005)
        refused = [error for error, mail in self.failures[failures:] if mail is not None]
        return Answer(time.monotonic() - start, refused[0] if refused else None)

    def _answered(self, kind: str) -> bool:
        if {"type": "ack", "seq": self.said} in self._sent:
            return True
        return kind == "fan" and any(message["type"].startswith("fan") for message in self._sent)

    # ---- what the page shows -------------------------------------------------------------------------------------

    def check(self, message: Mapping[str, Any]) -> None:
        """Fails where the page would show what nobody can read or draw."""
        accidents = [(error, mail) for error, mail in self.failures if not on_purpose(error)]
        assert not accidents, f"not foreseen: {accidents[0][0]!r} after {message}, mail {accidents[0][1]}"
        if self.is_live:
            return
        state, _, _ = _remove_buffers(self.panel.get_state(SYNCED))
        json.dumps(state, allow_nan=False)
        notice, words = str(self.panel.notice.get("text", "")), self.words
        assert "Traceback" not in notice and len(notice) < 1000, notice
        assert not NO_NUMBER.search(words), f"{words} after {message}"
        lost = self._lost()
        told = not lost or EXPLAINS.search(f"{words} {notice}")
        assert told, f"{lost} without a number, and no reason: {words} {notice} after {message}"

    @property
    def words(self) -> str:
        """All that is written beside the picture."""
        panel = self.panel
        told = [text for row in panel.reading for text in row.values()]
        return " | ".join([*told, panel.summary, str(panel.transport.get("text", ""))])

    def _lost(self) -> list[str]:
        """Names of what is drawn whose newest numbers are beyond all numbers, or NaN where there always is a number."""
        picture = self.panel._shown
        assert picture is not None
        newest = {id(one): picture.table[-1:, list(one.columns)] for one in picture.series}
        lost = [one for one in picture.series if np.isinf(newest[id(one)]).any()]
        kinds = {"path", "family"} if isinstance(self.panel, StepperPanel) else {"path", "family", "bars"}
        always = [one for one in picture.series if one.kind in kinds]  # the update loop has bars for what is None
        return [one.name for one in (*lost, *(one for one in always if np.isnan(newest[id(one)]).any()))]


def on_purpose(error: Exception) -> bool:
    """Whether a line of the package raises it, in the package's own words."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return isinstance(error, ValueError | TypeError) and last.filename.startswith(OURS) and "raise " in str(last.line)
