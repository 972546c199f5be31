"""Sharpness while a real network trains: it rises to the limit that the learning rate sets, and stays there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weightlab.networks.datasets import Dataset
from weightlab.rules.update_rules import optimizer
from weightlab.stage.controls import Choice, Question, Slider, linear
from weightlab.stage.lenses import PACE, Lens, Setting, Values, whole
from weightlab.stage.live_runs import LivePanel
from weightlab.stage.own import own_parts
from weightlab.stage.panel import Row
from weightlab.stage.training_lenses import label_noise, of_model, rate
from weightlab.surfaces.sharpness import SharpnessRecord, SharpnessWatch, edge_experiment, noisy_digits
from weightlab.surfaces.sharpness_picture import sharpness_picture, sharpness_reading
from weightlab.surfaces.sharpness_program import sharpness_program
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import number, whole_number

EVERY = 5  # updates from one measurement to the next; odd, so that the swing's changing sign shows
RATES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)
LIVE = ("learning_rate", "momentum", "pace")  # act on the run that is going on
_NOW, _NEW = "acts while it runs", "begins a new run"


def _put_momentum(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
    """Without momentum the rule is plain descent, whatever its form."""
    rule = values["rule"] if value else "momentum"
    return experiment.replace(
        optimizer=optimizer(rule, learning_rate=experiment.optimizer.learning_rate, momentum=value)
    )


def _put_form(experiment: TrainingExperiment, name: str, values: Values) -> TrainingExperiment:
    return _put_momentum(experiment, experiment.optimizer.momentum, values)


MOMENTUM = Lens(lambda experiment: experiment.optimizer.momentum, _put_momentum)
FORM = Lens(lambda one: one.optimizer.rule if one.optimizer.momentum else None, _put_form)


def sharpness_settings(read: Callable[[float, int], Dataset]) -> list[Setting]:
    """What can be set on the panel, first what acts on the run that is going on; read: noise, seed -> the digits."""
    moving = rate(lambda value: number("learning_rate", value, 1e-12, why="at 0 nothing moves"))
    narrow = of_model("width", whole("width", 1, 512, "wider ones are for SharpnessWatch"))
    paces = (5.0, 10.0, 20.0, 60.0, 120.0, 250.0, 1000.0)
    forms = Choice("rule", "Momentum's form", (("momentum", "momentum"), ("nesterov", "Nesterov")), _NEW)
    batches = Slider("batch_size", "Batch size", (0, 16, 32, 64, 128, 256, 512), f"0: all examples; {_NEW}")
    return [
        Setting(Slider("learning_rate", "Learning rate η", RATES, _NOW), moving, 0.4),
        Setting(Slider("momentum", "Momentum μ", linear(0.0, 0.98, 50), f"0 is plain descent; {_NOW}"), MOMENTUM, 0.0),
        Setting(Slider("pace", "Updates a second", paces, "at most"), PACE, 120.0),
        Setting(forms, FORM, "momentum"),
        Setting(Slider("width", "Units a layer", (4, 8, 12, 16, 24, 32), f"two hidden layers; {_NEW}"), narrow, 12),
        Setting(Slider("label_noise", "Wrong labels, share", linear(0.0, 0.9, 10), _NEW), label_noise(read), 0.5),
        Setting(batches, Lens(lambda experiment: experiment.batch_size or 0, _put_batch), 0),
    ]


def _put_batch(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
    most = len(experiment.dataset.y_train)
    batch = whole_number("batch_size", value, 0, most, why=f"0 takes all {most} examples at once")
    return experiment.replace(batch_size=batch or None)


class SharpnessPanel(LivePanel):
    """A small tanh network on half of the digits, its loss and its sharpness measured every EVERY updates.

    Start trains in the panel's worker thread, `run()` in the calling one. The limit is drawn once all `questions` are
    answered, at once where there are none. steps: length of a run. seed: of the first weights and batches; New seed
    counts it up. Values of the controls may be given by name. `record` is the SharpnessRecord so far. own: your own
    data and network in place of the panel's.
    """

    pictures_per_second = 12  # each is whole
    steps_a_click = EVERY  # to the next measurement

    heading = "Sharpness while it trains"

    def __init__(
        self,
        *,
        steps: int = 600,
        seed: int = 0,
        own: Sequence[object] = (),
        questions: Sequence[Question] = (),
        title: str = "",
        **values: Any,
    ) -> None:
        self._length, self._first_seed = steps, seed
        self._own = own_parts(own, ("dataset", "model"))  # theory's limit is known for momentum and Nesterov only
        self._read = self._cached(_digits)
        self._wants_theory = False
        super().__init__(questions=questions, title=title, **values)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _declared(self) -> list[Setting]:
        return sharpness_settings(self._read)

    def _first(self) -> TrainingExperiment:
        data, rule = self._own.parts.get("dataset") or self._read(0.5, 0), optimizer("momentum", momentum=0.0)
        return self._own.put_into(edge_experiment(data, rule, steps=self._length, seed=self._first_seed))

    @property
    def _own_names(self) -> str:
        return self._own.names

    def _apply(self, asked: TrainingExperiment, every: dict[str, Any], seq: int | None) -> None:
        changed = {name for name, value in every.items() if self._every.get(name) != value}
        if self._every and changed <= {"pace"}:
            self._draw(asked, every, seq)
        elif self._every and changed <= set(LIVE) and self._goes_on and self._keeps_its_rule(asked):
            now = self._watch.training.settings
            moved = {name: every[name] for name in ("learning_rate", "momentum") if every[name] != now[name]}
            self._watch.change(**moved)
            self._draw(asked, every, seq)
        else:
            self._begin(asked, every, seq)

    @property
    def _goes_on(self) -> bool:
        """A run that has begun and not ended."""
        return self._state in {"running", "paused"} and self._watch.training.status is None

    def _keeps_its_rule(self, asked: TrainingExperiment) -> bool:
        return asked.optimizer.rule == self._watch.training.experiment.optimizer.rule

    def _begin(self, asked: TrainingExperiment, every: dict[str, Any], seq: int | None) -> None:
        interrupted = self._interrupts(every)
        self._watch = SharpnessWatch(asked, EVERY)
        self._state = "idle"
        self._run += 1
        text = "This setting needs a new run: Start begins it."
        self._draw(asked, every, seq, {"kind": "info", "text": text} if interrupted else None)
        self._tell()

    @property
    def experiment(self) -> TrainingExperiment:
        """That of the run that is shown, as it began; `asked` is what the controls say now."""
        return self._watch.training.experiment

    @property
    def program(self) -> str:
        """A plain PyTorch program of the run now shown, with what has been changed while it went on."""
        return sharpness_program(self.experiment.replace(changes=tuple(self._watch.training.changes)), EVERY)

    # ---- the run -------------------------------------------------------------------------------------------------

    def _one_step(self) -> None:
        self._watch.step()
        if self._watch.training.status is not None:
            self._state = self._watch.training.status.kind

    def _show_progress(self) -> None:
        self._draw(self.asked, self._every, None)

    # ---- what the learner sees -----------------------------------------------------------------------------------

    @property
    def reveals_theory(self) -> bool:
        """Whether all questions are answered, or the learner would rather see, so that the limit may be drawn."""
        return self._wants_theory or all(asked.prediction is not None for asked in self._questions)

    def predict(self, number: int, answer: float | str) -> None:
        """As the learner does; the last answer brings the limit."""
        super().predict(number, answer)
        with self._lock:
            self._draw(self.asked, self._every, None)

    def _reveal(self) -> None:
        self._wants_theory = True
        self._draw(self.asked, self._every, None, dict(self.notice))

    def _predicted(self, number: int, answer: str) -> None:
        super()._predicted(number, answer)
        self._draw(self.asked, self._every, None, dict(self.notice))

    def settled(self, *, since: int = 300, **wanted: Any) -> float | None:
        """Mean sharpness from update `since` on, of a finished run with these settings throughout; None for others."""
        watch = self._watch
        if self._state != "finished" or watch.training.changes:
            return None
        if any(self.values[name] != value for name, value in wanted.items()):
            return None
        record: SharpnessRecord = self.record
        return float(record.sharpnesses[record.steps >= since].mean())

    def beside_limit(self, **wanted: Any) -> str | None:
        """The same in words, beside theory's limit: "lower", "near" (0.8 to 1.4 of it) or "higher"."""
        if self.settled(**wanted) is None:
            return None
        ratio = self.record.hovers_at(300)
        return "lower" if ratio < 0.8 else "near" if ratio <= 1.4 else "higher"

    def _draw(
        self, asked: TrainingExperiment, every: dict[str, Any], seq: int | None, notice: Row | None = None
    ) -> None:
        self.record = record = self._watch.record()
        picture = sharpness_picture(record, theory=self.reveals_theory, last_step=self._length)
        ended = self._watch.training.status is not None
        reading = sharpness_reading(record, batches=asked.batch_size is not None, ended=ended)
        self._publish(asked, every, picture, reading, seq, notice)


def _digits(noise: float, seed: int) -> Dataset:
    return noisy_digits(number("label_noise", noise, 0, 1))
