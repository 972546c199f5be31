"""Many small networks in training at once: which learning rates work, or which first weights with which activation."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from weightlab.ensembles.choices import Choices, rate_choices, start_choices
from weightlab.ensembles.picture import EnsembleFilm
from weightlab.ensembles.program import ensemble_program
from weightlab.ensembles.run import RULES_TOGETHER, Ensemble
from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.datasets import dataset
from weightlab.networks.initializers import INITIALIZERS
from weightlab.networks.models import model
from weightlab.pictures.picture import Picture
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.stage.controls import PACES, Choice, Question, Slider, logarithmic
from weightlab.stage.lenses import PACE, Lens, Setting, Values, field, inside, whole
from weightlab.stage.live_runs import BYTES_PER_MESSAGE, OVER, LivePanel
from weightlab.stage.own import has_momentum, labels, own_parts
from weightlab.stage.training_lenses import INITIALIZER, MOMENTUM, RATE, of_model
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.sizes import check_size
from weightlab.validate import whole_number

LOOK_EVERY = 20  # steps, for somebody who has not diverged; seldom, since a GPU waits for the answer
VALIDATION_SHARE = 0.05  # of the time, at most, goes into validating midway
VARIED = {"learning_rate": ("learning_rate",), "start": ("activation", "initializer")}


@dataclass(frozen=True)
class EnsembleExperiment:
    """Networks to train at once: one experiment, what is varied in it, and how many seeds each variant gets."""

    base: TrainingExperiment
    varies: str = "learning_rate"
    seeds: int = 5

    @property
    def seed(self) -> int:
        """The first of the seeds."""
        return self.base.seed

    def replace(self, *, seed: int | None = None, **changes: Any) -> EnsembleExperiment:
        """The same with some fields, or the first seed, changed."""
        base = changes.pop("base", self.base)
        return dataclasses.replace(self, base=base if seed is None else base.replace(seed=seed), **changes)

    def choices(self) -> Choices:
        """All its networks. Raises ValueError where together they are too large."""
        count = whole_number("seeds", self.seeds, 1, 100)
        made = rate_choices if self.varies == "learning_rate" else start_choices
        choices = made(self.base, range(self.seed, self.seed + count))
        check_size(self.base, len(choices.experiments))
        return choices


def _of_base(name: str, lens: Lens) -> Lens:
    """A setting of all networks, as long as it is not what differs between them."""
    whole_base = inside("base", lens)
    get = whole_base.get
    assert get is not None
    return Lens(lambda asked: None if name in VARIED[asked.varies] else get(asked), whole_base.put)


def _put_rule(experiment: TrainingExperiment, name: str, values: Values) -> TrainingExperiment:
    chosen = optimizer(name)
    given = {setting: values[setting] for setting in ("learning_rate", "momentum")}
    return experiment.replace(
        optimizer=chosen.replace(**{s: v for s, v in given.items() if s == "learning_rate" or has_momentum(chosen)})
    )


def ensemble_settings() -> list[Setting]:
    """What can be set on the panel; each but the pace begins a new run."""
    differs = (("learning_rate", "learning rate"), ("start", "activation × initialization"))
    momenta, lengths = (*(i / 50 for i in range(50)), 0.99), (20, 50, 100, 200, 300, 500, 1000, 2000)
    rule = Lens(lambda experiment: experiment.optimizer.rule, _put_rule)
    rules = labels({name: UPDATE_RULES[name] for name in RULES_TOGETHER})
    of_all = (
        (Choice("rule", "Update rule", rules), rule, "gradient_descent"),
        (Slider("learning_rate", "Learning rate η", logarithmic(1e-4, 10.0, 101), "of all networks"), RATE, 0.1),
        (Slider("momentum", "Momentum μ", momenta, "of all networks"), MOMENTUM, 0.9),
        (Slider("pace", "Updates a second", PACES, "at most; slower lets you watch"), PACE, 1000.0),
        (Choice("activation", "Activation", labels(ACTIVATIONS)), of_model("activation"), "tanh"),
        (Choice("initializer", "Initialization", labels(INITIALIZERS)), INITIALIZER, "xavier_normal"),
        (Slider("depth", "Hidden layers", tuple(range(1, 17)), "more take longer"),
         of_model("depth", whole("depth", 1, 100)), 8),
        (Slider("width", "Units a layer", (2, 4, 8, 16, 32, 48, 64), "more take longer"),
         of_model("width", whole("width", 1, 1024)), 32),
        (Slider("batch_size", "Batch size", (8, 16, 32, 64, 128, 256), "more take longer"), field("batch_size"), 64),
        (Slider("steps", "Updates", lengths, "length of the run"), field("steps"), 300),
    )  # fmt: skip
    settings = [
        Setting(one, lens if lens is PACE else _of_base(one.name, lens), default) for one, lens, default in of_all
    ]
    seeds = Slider("seeds", "Seeds of each", tuple(range(1, 11)), "other weights, other batches")
    counted = Setting(seeds, field("seeds", whole("seeds", 1, 100)), 5)
    return [Setting(Choice("varies", "What differs", differs), field("varies"), "learning_rate"),
            *settings[:-1], counted, settings[-1]]  # fmt: skip


class EnsemblePanel(LivePanel):
    """Perceptrons on the digits, all in training at once, drawn as the median over the seeds of each choice.

    `varies` says what differs: "learning_rate" or "start" (activation × initialization). Start trains in the panel's
    worker thread, `run()` in the calling one. A new setting begins a new run. seed: the first of the seeds; New seed
    takes the next ones. device: where to train. Values of all settings (depth, seeds, …) may be given by name.
    own: your own data in place of the digits.
    """

    heading, tall = "Many networks at once", 540

    def __init__(
        self,
        *,
        seed: int = 0,
        device: str = "cpu",
        own: Sequence[object] = (),
        questions: Sequence[Question] = (),
        title: str = "",
        **values: Any,
    ) -> None:
        self._own = own_parts(own, ("dataset",))  # many networks at once are perceptrons, moved by the package's rules
        data = self._own.parts.get("dataset") or dataset("digits")
        self._beginning = TrainingExperiment(model("mlp"), data, optimizer("momentum"), seed=seed, device=device)
        self._next_validation = 0.0
        super().__init__(questions=questions, title=title, **values)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _declared(self) -> list[Setting]:
        return ensemble_settings()

    def _first(self) -> EnsembleExperiment:
        return EnsembleExperiment(self._beginning)

    @property
    def experiment(self) -> tuple[TrainingExperiment, ...]:
        """Those of all the networks that are shown."""
        return self._film.choices.experiments

    @property
    def _own_names(self) -> str:
        return self._own.names

    def _apply(self, asked: EnsembleExperiment, every: dict[str, Any], seq: int | None) -> None:
        idle = {"pace", *self._idle(asked)}
        if self._every and all(self._every[name] == value for name, value in every.items() if name not in idle):
            with self.hold_sync():  # nothing that plays a part has changed: the run goes on
                self._keep(asked, every)
            return
        self._begin(asked, every, seq)

    def _begin(self, asked: EnsembleExperiment, every: dict[str, Any], seq: int | None) -> None:
        choices = asked.choices()
        ensemble = Ensemble(choices.experiments)  # refuses before anything changes
        trial = Ensemble(choices.experiments)
        trial.step()
        interrupted = self._interrupts(every)
        self._film = EnsembleFilm(ensemble, choices, trial)
        self._ensemble, self.record = ensemble, None
        self._state = "idle"
        self._run += 1
        notice = {"kind": "info", "text": "This setting needs new weights: the run starts again."}
        rows = self._film.rows_read()
        self._publish(asked, every, self._whole_picture(), rows, seq, notice if interrupted else None)
        self._tell()

    @property
    def program(self) -> str:
        """A plain PyTorch program that trains the networks now shown one after the other."""
        return ensemble_program(self._film.choices)

    # ---- the run -------------------------------------------------------------------------------------------------

    @property
    def _seeds_used(self) -> int:
        return int(self.asked.seeds)

    def _start(self) -> None:
        super()._start()
        self._next_validation = 0.0
        self.show(self._whole_picture(), follow=True)  # the seeds' marks were those of the pause

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
        self._ensemble.step()
        done = self._ensemble.steps_done
        if done % LOOK_EVERY == 0 and self._film.nobody_is_left():
            self._state = "diverged"
        elif done == self.asked.base.steps:
            self._state = "finished"

    def _rest(self) -> None:
        if self._state == "stopped":
            self._tell()  # at once: validating all of them takes a moment
        self._film.take()
        if self._state == "finished" and self._film.gone.all():
            self._state = "diverged"
        self.record = self._ensemble.record()
        self._film.validate(self.record)
        with self.hold_sync():
            self.show(self._whole_picture(), follow=True)  # marks every single network
            self.reading = self._film.rows_read()
            self._measure_questions()

    # ---- what the learner sees -----------------------------------------------------------------------------------

    def _whole_picture(self) -> Picture:
        return self._film.picture(self.asked.base.steps, with_seeds=self._state in {"paused", *OVER})

    def _show_progress(self) -> None:
        first, floor = self._film.rows, self._film.floor
        table, steps = self._film.take(BYTES_PER_MESSAGE)
        if self._film.floor < floor:
            self.show(self._whole_picture(), follow=True)  # the loss axis goes a decade lower
        elif len(steps):
            self.append_rows(table, steps, first)
        if not self._worker.has_mail:
            self._validate_now_and_then()

    def _validate_now_and_then(self) -> None:
        now = time.perf_counter()
        if now >= self._next_validation:
            self._film.validate(self._ensemble.record())
            took = time.perf_counter() - now
            self._next_validation = now + max(0.5, took / VALIDATION_SHARE)

    def _show_reading(self) -> None:
        self.reading, self.summary = self._film.rows_read(), self._film.summary()
        self._tell()

    @property
    def _progress(self) -> str:
        count = f"{len(self.experiment)} networks"
        if self._state == "idle":
            return f"{super()._progress}: {count}"
        return f"{super()._progress}: {self._ensemble.steps_done} of {self.asked.base.steps} updates, {count}"
