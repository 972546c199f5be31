"""A real network in training: start, pause, step, stop, and settings that act while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from weightlab.descent.landscapes import Landscape
from weightlab.networks.datasets import Dataset, dataset
from weightlab.playground.film import Film
from weightlab.playground.settings import (
    DEFAULTS,
    LIVE,
    USUAL,
    Given,
    experiment_of,
    own_in_texts,
    run_settings,
    same_rule,
    training_controls,
    values_of,
    without_effect,
)
from weightlab.programs.experiments import program_of
from weightlab.stage.controls import Question
from weightlab.stage.live_runs import BYTES_PER_MESSAGE, OVER, LivePanel
from weightlab.stage.own import own_things
from weightlab.stage.panel import Row
from weightlab.stage.take_home import is_panel_text
from weightlab.texts.experiments import from_text, to_text
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.record import TrainingRecord
from weightlab.training.run import Training
from weightlab.training.sizes import check_size
from weightlab.validate import choose, number

MOST_EARLIER = 2  # runs whose losses stay on the picture


class TrainingPanel(LivePanel):
    """Trains in the panel's worker thread and draws at most 30 times a second; `run()` trains in the calling thread.

    controls: names of the controls to show, by default the usual ones; "all" for all of training_settings.DEFAULTS.
    steps: length of a run, with a validation every `validate_every` of them. seed: of weights and batches; New seed
    counts it up. device: where to train.
    Values of all settings (learning_rate, depth, …) may be given by name, whether their controls are shown or not.
    own: things of your own that the menus offer besides: optimizer classes, networks (model_from_module), data
    (dataset_from_tensors), schedules (schedule with settings). A value may be one too: `rule=Lion`, `model=mine`.
    """

    def __init__(
        self,
        *,
        controls: Sequence[str] | Literal["all"] | None = None,
        steps: int = 1000,
        seed: int = 0,
        device: str = "cpu",
        validate_every: int = 50,
        own: Sequence[object] = (),
        questions: Sequence[Question] = (),
        title: str = "Training",
        **values: Any,
    ) -> None:
        for name in values:
            choose("setting", name, DEFAULTS)
        self._own, values = own_things(own, values)
        everything = training_controls(self._own)
        wanted = USUAL if controls is None else list(everything) if controls == "all" else controls
        names = [choose("control", name, everything) for name in wanted]
        shown = [control for name, control in everything.items() if name in names]
        self._hidden = {**DEFAULTS, **values}
        self._steps, self._device, self._validate_every = steps, device, validate_every
        self._datasets: dict[tuple[str, float], Dataset] = {}
        self._training: Training | None = None
        self._earlier: list[tuple[int, TrainingRecord]] = []
        self._given: Given | None = None
        for menu in ("rule", "model", "schedule", "dataset"):
            everything[menu].checked(self._hidden[menu])
        visible = {control.name: self._hidden[control.name] for control in shown}
        super().__init__(shown, visible, seed=seed, title=title, questions=questions, height=520)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _everything(self, values: dict[str, Any]) -> dict[str, Any]:
        return {**self._hidden, **values}

    def _build(self, values: dict[str, Any]) -> TrainingExperiment:
        everything = self._everything(values)
        number("updates a second", everything["pace"], 0, open_low=True, why="Pause rests it")
        experiment = experiment_of(
            everything,
            self._data,
            steps=self._steps,
            seed=self._seed,
            device=self._device,
            own=self._own,
            validate_every=self._validate_every,
        )
        return experiment if self._given is None else self._given.over(experiment, everything)

    # ---- as a text -----------------------------------------------------------------------------------------------

    @property
    def _so_far(self) -> TrainingExperiment:
        """The experiment with what was changed while it ran, and what is still to change."""
        assert self._training is not None
        run, experiment = self._training, self._training.experiment
        changes = [*run.changes, *(change for change in experiment.changes if change[0] >= run.steps_done)]
        begun = {name: value for step, name, value in changes if step == 0}
        later = tuple(change for change in changes if change[0] > 0)
        return experiment.replace(changes=()).with_settings(**begun).replace(changes=later)

    @property
    def text(self) -> str:
        return to_text(self._so_far)

    @property
    def program(self) -> str:
        return program_of(self._so_far)

    def load(self, text: str, own: Sequence[object] = ()) -> Any:
        if is_panel_text(text):
            return super().load(text)
        with self._lock:
            self._load(_training_experiment(text, (*own_in_texts(self._own), *own)))
            return self.record

    def _load(self, experiment: TrainingExperiment) -> None:
        everything = values_of(experiment, {**self._hidden, **self.values}, self._own)
        values = {name: everything[name] for name in self.values}
        training = _made(experiment)  # refuses an absent device before anything changes
        self._hidden, self._given = everything, Given(experiment, everything)
        self._steps, self._seed, self._device = experiment.steps, experiment.seed, experiment.device
        self._validate_every = experiment.validate_every
        notice = None
        if experiment.changes:
            told = ", ".join(f"{name} = {value} from update {step}" for step, name, value in experiment.changes)
            notice = {"kind": "info", "text": f"This run changes settings by itself: {told}."}
        self._show_new(training, values, None, notice)

    @classmethod
    def from_text(cls, text: str, own: Sequence[object] = (), **options: Any) -> TrainingPanel:
        """A panel that shows a text's experiment; `own` and errors as in `load`, `options` as in the constructor."""
        experiment = _training_experiment(text, own)
        rule = experiment.optimizer.rule
        things = [thing for thing in own if not isinstance(thing, Landscape) and not same_rule(thing, rule)]
        panel = cls(own=things if isinstance(rule, str) else [*things, experiment.optimizer], **options)
        panel._load(experiment)
        return panel

    def _data(self, name: str, label_noise: float) -> Dataset:
        """Datasets are read once; a slider must not wait for the disk."""
        if name in self._own.dataset:
            return self._own.dataset[name]
        if (name, label_noise) not in self._datasets:
            if len(self._datasets) > 8:
                self._datasets.pop(next(iter(self._datasets)))
            self._datasets[name, label_noise] = dataset(name, label_noise=label_noise)
        return self._datasets[name, label_noise]

    def _apply(self, values: dict[str, Any], seq: int | None) -> None:
        changed = {name for name, value in values.items() if self.values.get(name) != value}
        experiment = self._build(values)  # refuses bad values before anything changes
        if self._training is not None and changed <= set(LIVE):
            notice = {}
            wanted = run_settings(self._everything(values), self._own)
            names = set(wanted) & changed
            if names and self._training.status is None:
                self._training.change(**{name: wanted[name] for name in names})
            elif names:
                notice = {"kind": "info", "text": "This run has ended: Reset begins one with the new setting."}
            self.values = values
            self.notice = notice
            self.reading = self._film.rows_read()
            return
        self._begin(experiment, values, seq)

    def _begin(self, experiment: TrainingExperiment, values: dict[str, Any], seq: int | None) -> None:
        text = "This setting needs new weights: the run starts again."
        notice = {"kind": "info", "text": text} if self._interrupts(values) else None
        self._show_new(_made(experiment), values, seq, notice)

    def _show_new(self, training: Training, values: dict[str, Any], seq: int | None, notice: Row | None) -> None:
        self._take(training, [])
        self._state, self.record = "idle", None
        self._publish(values, self._film.picture(self._steps), self._film.rows_read(), seq, notice)
        self._tell()

    def _take(self, training: Training, earlier: list[tuple[int, TrainingRecord]]) -> None:
        self._training, self.experiment, self._earlier = training, training.experiment, earlier
        self._film = Film(training, earlier)
        self._run += 1

    def _branch(self, step: int, values: dict[str, Any]) -> None:
        assert self._training is not None
        trunk = self._training
        last = min(trunk.steps_done, trunk.experiment.steps - 1)
        if not 1 <= step <= last:
            raise ValueError(
                f"a branch begins at an update from 1 to {last}, got {step}; go back to where it is to begin"
                if last else "a branch needs a run to begin from; press Start first"
            )  # fmt: skip
        new = sorted(name for name in values if name not in LIVE and values[name] != self.values.get(name))
        if new:
            free = ", ".join(LIVE)
            raise ValueError(f"a branch keeps its network and data, got another {new[0]}; it can change {free}")
        branch = trunk.branch(step, **run_settings(self._everything(values), self._own))
        self._take(branch, [*self._earlier, (step, trunk.record())][-MOST_EARLIER:])
        self._film.take()
        self._state, self.record = "paused", branch.record()
        text = f"Back at update {step} with all that led there: change a setting, continue. Dashed: the run until now."
        notice = {"kind": "info", "text": text}
        self._publish(values, self._film.picture(self._steps), self._film.rows_read(), None, notice)
        self._tell()

    def _join(self) -> None:
        """The branch stays, the lines of the runs before it go."""
        assert self._training is not None
        self._take(self._training, [])
        self._film.take()
        self._publish(self.values, self._film.picture(self._steps), self._film.rows_read(), None)
        self._tell()

    def _unused(self, values: dict[str, Any]) -> list[str]:
        return without_effect(self._everything(values), self._own)

    # ---- the run -------------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self._begin(self._build(self.values), self.values, None)

    def run(self, steps: int | None = None) -> Any:
        """Train to the end (or `steps` more) in this thread and return the TrainingRecord; what CI and cells use."""
        with self._lock:
            if self._state in OVER:
                self._restart()
            self._run_on(steps)
            self._film.take()  # all of them: nobody watches
            self._finish()
            self.show(self._film.picture(self._steps))
            self._tell()
            return self.record

    @property
    def _pace(self) -> float:
        return float(self._everything(self.values)["pace"])

    def _one_step(self) -> None:
        assert self._training is not None
        self._training.step()
        if self._training.status is not None:
            self._state = self._training.status.kind

    def _rest(self) -> None:
        assert self._training is not None
        if self._state == "stopped":
            self._training.stop()
        if self._state in OVER:
            self._finish()
        else:
            self._show_progress()
            self._show_reading()

    def _finish(self) -> None:
        """Keep the record of the steps so far, and say how they went."""
        assert self._training is not None
        self._show_progress()
        self.record = self._training.record()
        self._show_reading()
        self._measure_questions()

    def accuracy_of(self, experiment: TrainingExperiment) -> float | None:
        """Share right in the end, if the panel's last run is this experiment to its end, no setting changed midway.

        For questions: None as long as the panel cannot tell.
        """
        training = self._training
        if training is None or training.status is None or training.now != experiment:
            return None
        record = training.record()
        whole = record.status.kind == "finished" and all(step == 0 for step, _, _ in record.changes)
        return float(record.validation_accuracies[-1]) if whole and len(record.validation_accuracies) else None

    # ---- what the learner sees -----------------------------------------------------------------------------------

    def _show_reading(self) -> None:
        """Reading, words and regions as the newest row has them."""
        self.reading, self.summary = self._film.rows_read(), self._film.summary()
        if self._film.has_regions:
            self.replace_raster(self._film.regions())

    def _show_progress(self) -> None:
        first = self._film.rows
        table, steps = self._film.take(BYTES_PER_MESSAGE)
        if len(steps):
            self.append_rows(table, steps, first)

    def _greet(self) -> None:
        """A page that opens or reloads gets all rows so far, not only those sent from now on."""
        with self.hold_sync():
            self.show(self._film.picture(self._steps), follow=self._state == "running")
            self._tell()

    @property
    def _buttons(self) -> dict[str, Any]:
        return {"branch": self._state != "idle", "branches": len(self._earlier)}


def _made(experiment: TrainingExperiment) -> Training:
    check_size(experiment)
    return Training(experiment, keep_checkpoints=True)


def _training_experiment(text: str, own: Sequence[object]) -> TrainingExperiment:
    experiment = from_text(text, own)
    if not isinstance(experiment, TrainingExperiment):
        raise ValueError("the text is of a toy landscape; DescentPanel.from_text(text) shows it")
    return experiment
