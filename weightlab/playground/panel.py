"""A real network in training: start, pause, step, stop, and settings that act while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from weightlab.descent.landscapes import Landscape
from weightlab.networks.datasets import Dataset, dataset
from weightlab.networks.models import model
from weightlab.pictures.picture import Picture
from weightlab.playground.film import Film
from weightlab.playground.settings import LIVE, USUAL, same_rule, training_settings
from weightlab.programs.experiments import program_of
from weightlab.rules.update_rules import optimizer
from weightlab.stage.controls import Question
from weightlab.stage.lenses import Setting, said
from weightlab.stage.live_runs import BYTES_PER_MESSAGE, OVER, LivePanel
from weightlab.stage.own import in_texts, own_things
from weightlab.stage.panel import Row
from weightlab.stage.take_home import is_panel_text
from weightlab.stage.training_lenses import live_settings
from weightlab.texts.experiments import from_text, to_text
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.record import TrainingRecord
from weightlab.training.run import Training
from weightlab.training.sizes import check_size

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

    heading, tall = "Training", 520
    unspelled = ("rest_rate", "group", "group_rate", "group_frozen")

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
        title: str = "",
        **values: Any,
    ) -> None:
        self._own, values = own_things(own, values)
        self._shown_controls = USUAL if controls is None else None if controls == "all" else controls
        counts = {"steps": steps, "seed": seed, "device": device, "validate_every": validate_every}
        self._counts: dict[str, Any] = counts
        self._datasets: dict[tuple[str, float], Dataset] = {}
        self._earlier: list[tuple[int, TrainingRecord]] = []
        super().__init__(questions=questions, title=title, **values)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _declared(self) -> list[Setting]:
        return training_settings(self._own, self._data, self._shown_controls)

    def _first(self) -> TrainingExperiment:
        return TrainingExperiment(model("mlp"), self._data("digits", 0.0), optimizer("momentum"), **self._counts)

    @property
    def experiment(self) -> TrainingExperiment:
        """That of the run that is shown, as it began; `asked` is what the controls say now."""
        return self._training.experiment

    # ---- as a text -----------------------------------------------------------------------------------------------

    @property
    def _so_far(self) -> TrainingExperiment:
        """The experiment with what was changed while it ran, and what is still to change."""
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
            self._load(_training_experiment(text, (*in_texts(self._own), *own)))
            return self.record

    def _load(self, experiment: TrainingExperiment) -> None:
        every = said(experiment, self.lenses, self._every)
        notice = None
        if experiment.changes:
            told = ", ".join(f"{name} = {value} from update {step}" for step, name, value in experiment.changes)
            notice = {"kind": "info", "text": f"This run changes settings by itself: {told}."}
        self._show_new(_made(experiment), experiment, every, None, notice)

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

    def _apply(self, asked: TrainingExperiment, every: dict[str, Any], seq: int | None) -> None:
        changed = [name for name, value in every.items() if self._every.get(name) != value]
        if not self._every or not set(changed) <= set(LIVE):
            self._begin(asked, every, seq)
            return
        notice, wanted = None, live_settings(asked, changed)
        if wanted and self._training.status is None:
            self._training.change(**wanted)
        elif wanted:
            notice = {"kind": "info", "text": "This run has ended: Reset begins one with the new setting."}
        self._keep(asked, every, notice)
        self.reading = self._film.rows_read()

    def _begin(self, asked: TrainingExperiment, every: dict[str, Any], seq: int | None) -> None:
        text = "This setting needs new weights: the run starts again."
        notice = {"kind": "info", "text": text} if self._interrupts(every) else None
        self._show_new(_made(asked), asked, every, seq, notice)

    def _show_new(
        self,
        training: Training,
        asked: TrainingExperiment,
        every: dict[str, Any],
        seq: int | None,
        notice: Row | None,
    ) -> None:
        self._take(training, [])
        self._state, self.record = "idle", None
        self._publish(asked, every, self._whole_picture(), self._film.rows_read(), seq, notice)
        self._tell()

    def _take(self, training: Training, earlier: list[tuple[int, TrainingRecord]]) -> None:
        self._training, self._earlier = training, earlier
        self._film = Film(training, earlier)
        self._run += 1

    def _branch(self, step: int, changes: dict[str, Any]) -> None:
        trunk = self._training
        last = min(trunk.steps_done, trunk.experiment.steps - 1)
        if not 1 <= step <= last:
            raise ValueError(
                f"a branch begins at an update from 1 to {last}, got {step}; go back to where it is to begin"
                if last else "a branch needs a run to begin from; press Start first"
            )  # fmt: skip
        new = sorted(name for name in changes if name not in LIVE and changes[name] != self._every.get(name))
        if new:
            free = ", ".join(LIVE)
            raise ValueError(f"a branch keeps its network and data, got another {new[0]}; it can change {free}")
        asked, every = self._with(changes)
        branch = trunk.branch(step, **live_settings(asked, LIVE))
        self._take(branch, [*self._earlier, (step, trunk.record())][-MOST_EARLIER:])
        self._film.take()
        self._state, self.record = "paused", branch.record()
        text = f"Back at update {step} with all that led there: change a setting, continue. Dashed: the run until now."
        notice = {"kind": "info", "text": text}
        self._publish(asked, every, self._whole_picture(), self._film.rows_read(), None, notice)
        self._tell()

    def _join(self) -> None:
        """The branch stays, the lines of the runs before it go."""
        self._take(self._training, [])
        self._film.take()
        self._publish(self.asked, self._every, self._whole_picture(), self._film.rows_read(), None)
        self._tell()

    # ---- the run -------------------------------------------------------------------------------------------------

    def _keep_all(self) -> None:
        self._film.take()  # all of them: nobody watches
        self._finish()
        self.show(self._whole_picture())

    def _one_step(self) -> None:
        self._training.step()
        if self._training.status is not None:
            self._state = self._training.status.kind

    def _rest(self) -> None:
        if self._state == "stopped":
            self._training.stop()
        if self._state in OVER:
            self._finish()
        else:
            self._show_progress()
            self._show_reading()

    def _finish(self) -> None:
        """Keep the record of the steps so far, and say how they went."""
        self._show_progress()
        self.record = self._training.record()
        self._show_reading()
        self._measure_questions()

    def accuracy_of(self, experiment: TrainingExperiment) -> float | None:
        """Share right in the end, if the panel's last run is this experiment to its end, no setting changed midway.

        For questions: None as long as the panel cannot tell.
        """
        training = self._training
        if training.status is None or training.now != experiment:
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

    def _whole_picture(self) -> Picture:
        return self._film.picture(self._training.experiment.steps)

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
