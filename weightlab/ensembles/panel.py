"""Many small networks in training at once: which learning rates work, or which first weights with which activation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from weightlab.ensembles.choices import Choices, rate_choices, start_choices
from weightlab.ensembles.picture import EnsembleFilm
from weightlab.ensembles.program import ensemble_program
from weightlab.ensembles.run import RULES_TOGETHER, Ensemble, EnsembleRecord
from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.datasets import dataset
from weightlab.networks.initializers import INITIALIZERS, initialization
from weightlab.networks.models import model
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.stage.controls import PACES, Choice, Control, Question, Slider, logarithmic
from weightlab.stage.live_runs import BYTES_PER_MESSAGE, OVER, LivePanel
from weightlab.stage.own import has_momentum, own_parts
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.sizes import check_size
from weightlab.validate import choose, number, whole_number

LOOK_EVERY = 20  # steps, for somebody who has not diverged; seldom, since a GPU waits for the answer
VALIDATION_SHARE = 0.05  # of the time, at most, goes into validating midway
VARIED = {"learning_rate": ("learning_rate",), "start": ("activation", "initializer")}
DEFAULTS: dict[str, Any] = {
    "varies": "learning_rate",
    "rule": "gradient_descent",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "pace": 1000.0,
    "activation": "tanh",
    "initializer": "xavier_normal",
    "depth": 8,
    "width": 32,
    "batch_size": 64,
    "seeds": 5,
    "steps": 300,
}


def ensemble_controls() -> list[Control]:
    """The panel's controls; each but the pace begins a new run."""

    def labels(entries: Any) -> tuple[tuple[str, str], ...]:
        return tuple((name, entry.label) for name, entry in entries.items())

    return [
        Choice(
            "varies", "What differs", (("learning_rate", "learning rate"), ("start", "activation × initialization"))
        ),
        Choice("rule", "Update rule", labels({name: UPDATE_RULES[name] for name in RULES_TOGETHER})),
        Slider("learning_rate", "Learning rate η", logarithmic(1e-4, 10.0, 101), "of all networks"),
        Slider("momentum", "Momentum μ", (*(i / 50 for i in range(50)), 0.99), "of all networks"),
        Slider("pace", "Updates a second", PACES, "at most; slower lets you watch"),
        Choice("activation", "Activation", labels(ACTIVATIONS)),
        Choice("initializer", "Initialization", labels(INITIALIZERS)),
        Slider("depth", "Hidden layers", tuple(range(1, 17)), "more take longer"),
        Slider("width", "Units a layer", (2, 4, 8, 16, 32, 48, 64), "more take longer"),
        Slider("batch_size", "Batch size", (8, 16, 32, 64, 128, 256), "more take longer"),
        Slider("seeds", "Seeds of each", tuple(range(1, 11)), "other weights, other batches"),
        Slider("steps", "Updates", (20, 50, 100, 200, 300, 500, 1000, 2000), "length of the run"),
    ]


class EnsemblePanel(LivePanel):
    """Perceptrons on the digits, all in training at once, drawn as the median over the seeds of each choice.

    `varies` says what differs: "learning_rate" or "start" (activation × initialization). Start trains in the panel's
    worker thread, `run()` in the calling one. A new setting begins a new run. seed: the first of the seeds; New seed
    takes the next ones. device: where to train. Values of all settings (depth, seeds, …) may be given by name.
    own: your own data in place of the digits.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        device: str = "cpu",
        own: Sequence[object] = (),
        questions: Sequence[Question] = (),
        title: str = "Many networks at once",
        **values: Any,
    ) -> None:
        for name in values:
            choose("setting", name, DEFAULTS)
        self._device = device
        self._own = own_parts(own, ("dataset",))  # many networks at once are perceptrons, moved by the package's rules
        self._data = self._own.parts.get("dataset") or dataset("digits")
        self._ensemble: Ensemble | None = None
        self._next_validation = 0.0
        values = {**DEFAULTS, **values}
        super().__init__(ensemble_controls(), values, seed=seed, title=title, questions=questions, height=540)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _build(self, values: dict[str, Any]) -> Choices:
        count = whole_number("seeds", values["seeds"], 1, 100)
        names = ("learning_rate", "momentum") if has_momentum(values["rule"]) else ("learning_rate",)
        whole = {name: whole_number(name, values[name], 1, most) for name, most in (("depth", 100), ("width", 1024))}
        experiment = TrainingExperiment(
            model=model("mlp", activation=values["activation"], **whole),
            dataset=self._data,
            optimizer=optimizer(values["rule"], **{name: values[name] for name in names}),
            initialization=initialization(values["initializer"]),
            batch_size=values["batch_size"],
            steps=values["steps"],
            device=self._device,
        )
        seeds = range(self._seed, self._seed + count)
        choices = (rate_choices if values["varies"] == "learning_rate" else start_choices)(experiment, seeds)
        check_size(experiment, len(choices.experiments))
        return choices

    @property
    def _own_names(self) -> str:
        return self._own.names

    def _apply(self, values: dict[str, Any], seq: int | None) -> None:
        number("pace", values["pace"], 0, open_low=True)
        if self._ensemble is not None and all(
            self.values[name] == value for name, value in values.items() if name not in {"pace", *self._unused(values)}
        ):
            with self.hold_sync():  # nothing that plays a part has changed: the run goes on
                self.values, self.notice = values, {}
            return
        self._begin(self._build(values), values, seq)

    def _begin(self, choices: Choices, values: dict[str, Any], seq: int | None) -> None:
        ensemble, trial = (
            Ensemble(choices.experiments),
            Ensemble(choices.experiments),
        )  # refused before anything changes
        trial.step()
        interrupted = self._interrupts(values)
        self._film = EnsembleFilm(ensemble, choices, trial)
        self._ensemble, self.experiment, self.record = ensemble, choices.experiments, None
        self._state = "idle"
        self._run += 1
        notice = {"kind": "info", "text": "This setting needs new weights: the run starts again."}
        self._publish(values, self._picture(), self._film.rows_read(), seq, notice if interrupted else None)
        self._tell()

    def _unused(self, values: dict[str, Any]) -> list[str]:
        return [*VARIED[values["varies"]], *([] if has_momentum(values["rule"]) else ["momentum"])]

    @property
    def program(self) -> str:
        """A plain PyTorch program that trains the networks now shown one after the other."""
        return ensemble_program(self._film.choices)

    # ---- the run -------------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self._begin(self._build(self.values), self.values, None)

    @property
    def _seeds_used(self) -> int:
        return int(self.values["seeds"])

    def _start(self) -> None:
        super()._start()
        self._next_validation = 0.0
        self.show(self._picture(), follow=True)  # the seeds' marks were those of the pause

    def run(self, steps: int | None = None) -> EnsembleRecord:
        """Train to the end (or `steps` more) in this thread and return the record; what CI and cells use."""
        with self._lock:
            if self._state in OVER:
                self._restart()
            self._run_on(steps)
            self._rest()
            self._tell()
            assert isinstance(self.record, EnsembleRecord)
            return self.record

    def share_right(self) -> dict[str, float] | None:
        """Median share right of each choice at the end of the run, by label; None as long as it has not got there."""
        if self._state != "finished":
            return None
        middle = np.median(self._film.shares, axis=-1)
        return dict(zip(self._film.choices.labels, map(float, middle), strict=True))

    def count_over(self, share: float) -> int | None:
        """How many choices have more than this share right at the end of the run; None as long as it is not there."""
        right = self.share_right()
        return None if right is None else sum(found > share for found in right.values())

    def _one_step(self) -> None:
        assert self._ensemble is not None
        self._ensemble.step()
        done = self._ensemble.steps_done
        if done % LOOK_EVERY == 0 and self._film.nobody_is_left():
            self._state = "diverged"
        elif done == self.experiment[0].steps:
            self._state = "finished"

    def _rest(self) -> None:
        assert self._ensemble is not None
        if self._state == "stopped":
            self._tell()  # at once: validating all of them takes a moment
        self._film.take()
        if self._state == "finished" and self._film.gone.all():
            self._state = "diverged"
        self.record = self._ensemble.record()
        self._film.validate(self.record)
        with self.hold_sync():
            self.show(self._picture(), follow=True)  # marks every single network
            self.reading = self._film.rows_read()
            self._measure_questions()

    # ---- what the learner sees -----------------------------------------------------------------------------------

    def _picture(self) -> Any:
        return self._film.picture(self.experiment[0].steps, with_seeds=self._state in {"paused", *OVER})

    def _show_progress(self) -> None:
        first, floor = self._film.rows, self._film.floor
        table, steps = self._film.take(BYTES_PER_MESSAGE)
        if self._film.floor < floor:
            self.show(self._picture(), follow=True)  # the loss axis goes a decade lower
        elif len(steps):
            self.append_rows(table, steps, first)
        if not self._worker.has_mail:
            self._validate_now_and_then()

    def _validate_now_and_then(self) -> None:
        now = time.perf_counter()
        if now >= self._next_validation:
            assert self._ensemble is not None
            self._film.validate(self._ensemble.record())
            took = time.perf_counter() - now
            self._next_validation = now + max(0.5, took / VALIDATION_SHARE)

    def _show_reading(self) -> None:
        self.reading, self.summary = self._film.rows_read(), self._film.summary()
        self._tell()

    def _greet(self) -> None:
        """A page that opens or reloads gets all rows so far, not only those sent from now on."""
        with self.hold_sync():
            self.show(self._picture(), follow=self._state == "running")
            self._tell()

    @property
    def _progress(self) -> str:
        assert self._ensemble is not None
        count = f"{len(self.experiment)} networks"
        if self._state == "idle":
            return f"{super()._progress}: {count}"
        return f"{super()._progress}: {self._ensemble.steps_done} of {self.experiment[0].steps} updates, {count}"
