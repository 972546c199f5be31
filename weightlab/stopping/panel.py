"""How many epochs: one run's learning curves, and where patience, a target or a budget would have ended it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from weightlab.networks.datasets import Dataset, dataset
from weightlab.stage.controls import Question, Slider, linear, logarithmic
from weightlab.stage.lenses import Lens, Setting, Values, field, inside, whole
from weightlab.stage.own import own_parts
from weightlab.stage.panel import Panel
from weightlab.stage.training_lenses import RATE, is_own, label_noise, of_model
from weightlab.stopping.learning_curves import LearningCurves, few_digits, learning_curves
from weightlab.stopping.picture import EpochsExperiment, epochs_picture, epochs_reading
from weightlab.stopping.program import epochs_program
from weightlab.stopping.rules import Stop, first_stop
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import number, whole_number

KEPT_RUNS = 40
_WHOLE_RUN = "the panel trains a whole run at once; learning_curves takes longer ones"
_STOP = "When to stop: trains nothing"
_RUN = "The run: trains anew"


def _put_epochs(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
    passes = whole_number("epochs", value, 1, 500, why=_WHOLE_RUN)
    return experiment.replace(steps=passes * experiment.validate_every)


def epochs_settings(read: Callable[[float, int], Dataset]) -> list[Setting]:
    """What can be set on the panel, first what only asks the curves again; read: (noise, seed) -> the digits."""
    widths, shares = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128), tuple(i / 20 for i in range(13))
    passes = Lens(lambda experiment: experiment.steps // experiment.validate_every, _put_epochs)
    capacity = of_model("width", whole("width", 1, 512, _WHOLE_RUN))
    run = (
        (Slider("width", "Units: capacity", widths, "hidden units", _RUN), capacity, 64),
        (Slider("label_noise", "Wrong labels, share", shares, "in training only", _RUN), label_noise(read), 0.2),
        (Slider("learning_rate", "Learning rate η", logarithmic(0.001, 1.0, 61), "momentum 0.9", _RUN), RATE, 0.05),
        (Slider("l2", "L2 penalty", (0.0, *logarithmic(1e-4, 1.0, 41)), "½·l2·|w|²", _RUN), field("l2"), 0.0),
        (Slider("epochs", "Epochs", (5, *range(10, 201, 10)), "passes over the training examples", _RUN), passes, 60),
        (Slider("seed", "Seed", tuple(range(20)), "of split, wrong labels, weights and batches", _RUN), _seed(read), 0),
    )
    patience = Slider("patience", "Patience, epochs", tuple(range(41)), "epochs without improvement; 0: off", _STOP)
    deltas = (0.0, *logarithmic(1e-4, 0.3, 29))
    least = Slider("min_delta", "Least improvement", deltas, "smaller counts as none", _STOP)
    share = Slider("target", "Target, share right", (0.0, *linear(0.5, 1.0, 51)), "on validation; 0: off", _STOP)
    budget = Slider("budget", "Budget, updates", (0, *range(14, 2801, 14)), "0: off", _STOP)
    return [
        Setting(patience, field("patience"), 5),
        Setting(least, field("min_delta"), 0.0),
        Setting(share, field("target"), 0.0),
        Setting(budget, field("budget"), 0),
        *(Setting(control, inside("training", lens), default) for control, lens, default in run),
    ]


def _seed(read: Callable[[float, int], Dataset]) -> Lens:
    """Of everything: the split and the wrong labels too."""

    def put(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
        seed, data = whole_number("seed", value, 0, 10**6), experiment.dataset
        return experiment.replace(seed=seed, dataset=data if is_own(data) else read(values["label_noise"], seed))

    return Lens(lambda experiment: experiment.seed, put)


class EpochsPanel(Panel):
    """Learning curves of one hidden layer on 450 of the digits, and the epoch at which the stopping rules end the run.

    The stopping sliders ask the curves again and train nothing; `trained` counts the runs. Values may be given by name.
    `record` is the LearningCurves, `stop` where the rules end it. own: your own data, network and optimizer class in
    place of the panel's.
    """

    heading, tall = "How many epochs?", 460

    def __init__(
        self, *, own: Sequence[object] = (), questions: Sequence[Question] = (), title: str = "", **values: Any
    ) -> None:
        self._own = own_parts(own)
        self._curves = self._cached(self._train, KEPT_RUNS)
        self._read = self._cached(_digits)
        self.trained = 0
        self.stop: Stop | None = None
        super().__init__(questions=questions, title=title, **values)

    def _declared(self) -> list[Setting]:
        return epochs_settings(self._read)

    def _first(self) -> EpochsExperiment:
        data = self._own.parts.get("dataset") or self._read(0.0, 0)
        return EpochsExperiment(self._own.put_into(few_digits(data=data)))

    def _train(self, experiment: TrainingExperiment) -> LearningCurves:
        self.trained += 1
        return learning_curves(experiment)

    def _apply(self, asked: EpochsExperiment, every: dict[str, Any], seq: int | None) -> None:
        rules = asked.rules  # refuses bad values before anything trains
        curves = self._curves(asked.training)
        stop = first_stop(curves.validation, *rules)
        picture = epochs_picture(asked, curves, stop, int(asked.patience), float(asked.min_delta))
        self.record, self.stop = curves, stop
        self._publish(asked, every, picture, epochs_reading(asked, curves, stop), seq)

    @property
    def program(self) -> str:
        """A plain PyTorch program of the run up to where the rules now stop it."""
        return epochs_program(self.asked.training, self.asked.rules)

    @property
    def _own_names(self) -> str:
        return self._own.names


def _digits(noise: float, seed: int) -> Dataset:
    return dataset("digits", seed=seed, validation_fraction=0.75, label_noise=number("label_noise", noise, 0, 1))
