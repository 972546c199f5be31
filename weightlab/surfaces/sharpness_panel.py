"""Sharpness while a real network trains: it rises to the limit that the learning rate sets, and stays there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weightlab.networks.datasets import Dataset
from weightlab.rules.update_rules import optimizer
from weightlab.stage.controls import Choice, Control, Question, Slider, linear
from weightlab.stage.live_runs import OVER, LivePanel
from weightlab.stage.own import own_parts
from weightlab.stage.panel import Row
from weightlab.surfaces.sharpness import SharpnessRecord, SharpnessWatch, edge_experiment, noisy_digits
from weightlab.surfaces.sharpness_picture import sharpness_picture, sharpness_reading
from weightlab.surfaces.sharpness_program import sharpness_program
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import choose, number, whole_number

EVERY = 5  # updates from one measurement to the next; odd, so that the swing's changing sign shows
RATES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)
LIVE = ("learning_rate", "momentum", "pace")  # act on the run that is going on
DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 0.4,
    "momentum": 0.0,
    "pace": 120.0,
    "rule": "momentum",
    "width": 12,
    "label_noise": 0.5,
    "batch_size": 0,
}
_NOW, _NEW = "acts while it runs", "begins a new run"


def sharpness_controls() -> list[Control]:
    """The panel's controls, those that act on the run that is going on first."""
    return [
        Slider("learning_rate", "Learning rate η", RATES, _NOW),
        Slider("momentum", "Momentum μ", linear(0.0, 0.98, 50), f"0 is plain descent; {_NOW}"),
        Slider("pace", "Updates a second", (5.0, 10.0, 20.0, 60.0, 120.0, 250.0, 1000.0), "at most"),
        Choice("rule", "Momentum's form", (("momentum", "momentum"), ("nesterov", "Nesterov")), _NEW),
        Slider("width", "Units a layer", (4, 8, 12, 16, 24, 32), f"two hidden layers; {_NEW}"),
        Slider("label_noise", "Wrong labels, share", linear(0.0, 0.9, 10), _NEW),
        Slider("batch_size", "Batch size", (0, 16, 32, 64, 128, 256, 512), f"0: all examples; {_NEW}"),
    ]


class SharpnessPanel(LivePanel):
    """A small tanh network on half of the digits, its loss and its sharpness measured every EVERY updates.

    Start trains in the panel's worker thread, `run()` in the calling one. The limit is drawn once all `questions` are
    answered, at once where there are none. steps: length of a run. seed: of the first weights and batches; New seed
    counts it up. Values of the controls may be given by name. `record` is the SharpnessRecord so far. own: your own
    data and network in place of the panel's.
    """

    pictures_per_second = 12  # each is whole
    steps_a_click = EVERY  # to the next measurement

    def __init__(
        self,
        *,
        steps: int = 600,
        seed: int = 0,
        own: Sequence[object] = (),
        questions: Sequence[Question] = (),
        title: str = "Sharpness while it trains",
        **values: Any,
    ) -> None:
        for name in values:
            choose("setting", name, DEFAULTS)
        self._steps = steps
        self._own = own_parts(own, ("dataset", "model"))  # theory's limit is known for momentum and Nesterov only
        self._datasets: dict[float, Dataset] = {}
        self._watch: SharpnessWatch | None = None
        self._wants_theory = False
        given = {**DEFAULTS, **values}
        super().__init__(sharpness_controls(), given, seed=seed, title=title, questions=questions, height=440)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _build(self, values: Mapping[str, Any]) -> TrainingExperiment:
        rule = optimizer(values["rule"] if values["momentum"] else "momentum",
                         learning_rate=values["learning_rate"], momentum=values["momentum"])  # fmt: skip
        noise = number("label_noise", values["label_noise"], 0, 1)
        data = self._own.parts.get("dataset") or self._digits(noise)
        most = len(data.y_train)
        batch = whole_number("batch_size", values["batch_size"], 0, most, why=f"0 takes all {most} examples at once")
        experiment = edge_experiment(
            data,
            rule,
            width=whole_number("width", values["width"], 1, 512, why="wider ones are for SharpnessWatch"),
            batch_size=batch or None,
            steps=self._steps,
            seed=self._seed,
        )
        return self._own.put_into(experiment)

    def _digits(self, noise: float) -> Dataset:
        if noise not in self._datasets:
            self._datasets[noise] = noisy_digits(noise)
        return self._datasets[noise]

    @property
    def _own_names(self) -> str:
        return self._own.names

    def _apply(self, values: dict[str, Any], seq: int | None) -> None:
        number("pace", values["pace"], 0, open_low=True)
        number("learning_rate", values["learning_rate"], 1e-12, why="at 0 nothing moves")
        experiment = self._build(values)  # refuses bad values before anything changes
        changed = {name for name, value in values.items() if self.values.get(name) != value}
        watch = self._watch
        if watch is not None and changed <= {"pace"} and self.experiment is not None:
            self._show(values, seq)
        elif watch is not None and changed <= set(LIVE) and self._goes_on and self._keeps_its_rule(experiment):
            now = watch.training.settings
            rates = {name: values[name] for name in ("learning_rate", "momentum") if values[name] != now[name]}
            watch.change(**rates)
            self._show(values, seq)
        else:
            self._begin(experiment, values, seq)

    @property
    def _goes_on(self) -> bool:
        """A run that has begun and not ended."""
        return self._state in {"running", "paused"} and self._watch is not None and self._watch.training.status is None

    def _keeps_its_rule(self, experiment: TrainingExperiment) -> bool:
        assert self._watch is not None
        return experiment.optimizer.rule == self._watch.training.experiment.optimizer.rule

    def _begin(self, experiment: TrainingExperiment, values: dict[str, Any], seq: int | None) -> None:
        interrupted = self._interrupts(values)
        self._watch, self.experiment = SharpnessWatch(experiment, EVERY), experiment
        self._state = "idle"
        self._run += 1
        text = "This setting needs a new run: Start begins it."
        self._show(values, seq, {"kind": "info", "text": text} if interrupted else None)
        self._tell()

    def _unused(self, values: dict[str, Any]) -> list[str]:
        replaced = self._own.unused({"dataset": ["label_noise"], "model": ["width"]})
        return replaced if values["momentum"] else [*replaced, "rule"]

    @property
    def program(self) -> str:
        """A plain PyTorch program of the run now shown, with what has been changed while it went on."""
        assert self._watch is not None
        return sharpness_program(self.experiment.replace(changes=tuple(self._watch.training.changes)), EVERY)

    # ---- the run -------------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self._begin(self._build(self.values), self.values, None)

    def run(self) -> SharpnessRecord:
        """Train to the end in this thread and return the record; what cells and tests use."""
        with self._lock:
            if self._state in OVER:
                self._restart()
            self._run_on()
            self._show(self.values, None)
            self._tell()
            assert isinstance(self.record, SharpnessRecord)
            return self.record

    def _one_step(self) -> None:
        assert self._watch is not None
        self._watch.step()
        if self._watch.training.status is not None:
            self._state = self._watch.training.status.kind

    def _show_progress(self) -> None:
        self._show(self.values, None)

    # ---- what the learner sees -----------------------------------------------------------------------------------

    @property
    def reveals_theory(self) -> bool:
        """Whether all questions are answered, or the learner would rather see, so that the limit may be drawn."""
        return self._wants_theory or all(asked.prediction is not None for asked in self._questions)

    def predict(self, number: int, answer: float | str) -> None:
        """As the learner does; the last answer brings the limit."""
        super().predict(number, answer)
        with self._lock:
            self._show(self.values, None)

    def _reveal(self) -> None:
        self._wants_theory = True
        self._show(self.values, None, dict(self.notice))

    def _predicted(self, number: int, answer: str) -> None:
        super()._predicted(number, answer)
        self._show(self.values, None, dict(self.notice))

    def settled(self, *, since: int = 300, **wanted: Any) -> float | None:
        """Mean sharpness from update `since` on, of a finished run with these settings throughout; None for others."""
        watch = self._watch
        if watch is None or self._state != "finished" or watch.training.changes:
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

    def _show(self, values: dict[str, Any], seq: int | None, notice: Row | None = None) -> None:
        assert self._watch is not None
        self.record = record = self._watch.record()
        theory = self.reveals_theory
        picture = sharpness_picture(record, theory=theory, last_step=self._steps)
        ended = self._watch.training.status is not None
        reading = sharpness_reading(record, batches=bool(values["batch_size"]), ended=ended)
        self._publish(values, picture, reading, seq, notice)

    def show(self, picture: Any, *, seq: int | None = None, follow: bool = False) -> None:
        """As the stage does; a picture of a run that is going on is followed to its end."""
        super().show(picture, seq=seq, follow=follow or self._state == "running")
