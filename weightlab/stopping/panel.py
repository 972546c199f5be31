"""How many epochs: one run's learning curves, and where patience, a target or a budget would have ended it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from weightlab.networks.datasets import Dataset, dataset
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.stage.controls import Question, Slider, linear, logarithmic
from weightlab.stage.lenses import Lens, Setting, Values, field, inside, whole
from weightlab.stage.own import own_parts
from weightlab.stage.panel import Panel, Row, row, spoken, verdict
from weightlab.stage.training_lenses import RATE, is_own, label_noise, of_model
from weightlab.stopping.learning_curves import LearningCurves, few_digits, learning_curves
from weightlab.stopping.program import epochs_program
from weightlab.stopping.rules import Budget, Patience, Stop, StoppingRule, Target, first_stop, waits
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import number, whole_number

KEPT_RUNS = 40
_WHOLE_RUN = "the panel trains a whole run at once; learning_curves takes longer ones"
_STOP = "When to stop: trains nothing"
_RUN = "The run: trains anew"


@dataclass(frozen=True)
class EpochsExperiment:
    """A run, and where patience, a target or a budget would have ended it; 0: not asked."""

    training: TrainingExperiment
    patience: int = 5
    min_delta: float = 0.0
    target: float = 0.0
    budget: int = 0

    @property
    def epochs(self) -> int:
        """Passes over the training examples."""
        return self.training.steps // self.training.validate_every

    @property
    def rules(self) -> tuple[StoppingRule, ...]:
        """Those that are switched on; each refuses a bad value."""
        least = number("min_delta", self.min_delta, 0, why="0 takes any improvement")
        rules: list[StoppingRule] = []
        if self.patience:
            rules.append(Patience(self.patience, least))
        if self.target:
            rules.append(Target(accuracy=self.target))
        if self.budget:
            rules.append(Budget(updates=self.budget))
        return tuple(rules)


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


def epochs_picture(
    experiment: EpochsExperiment, curves: LearningCurves, stop: Stop, patience: int, min_delta: float
) -> Picture:
    """Loss, share right, the counter that patience watches, and the weights' length, over the epochs."""
    validation, epochs = curves.validation, len(curves) - 1
    table = TableBuilder(epochs + 1)
    waited = waits(validation.losses, min_delta)
    for view, name, values, colour in (
        ("loss", "training", curves.training_losses, 0),
        ("loss", "validation", validation.losses, 1),
        ("right", "training", curves.training_accuracies, 0),
        ("right", "validation", validation.accuracies, 1),
        ("waits", "epochs without improvement", waited, 6),
        ("norm", "length of all weights", curves.weight_norms, 4),
    ):
        table.add(view, "curve", name, values.numpy(), colour=colour)
    losses = torch.cat([curves.training_losses, validation.losses])
    losses = losses[torch.isfinite(losses) & (losses > 0)]
    low, high = (float(losses.min()), float(losses.max())) if len(losses) else (0.1, 1.0)
    limits = 10 ** np.floor(np.log10(low) + 1e-9), 10 ** np.ceil(np.log10(high) - 1e-9)
    most = 2.2 * patience + 1 if patience else float(waited.max()) * 1.1 + 1
    references = [
        _upright("loss", stop.index, limits, f"stop: epoch {stop.index}"),
        _upright("right", stop.index, (0.0, 1.0), ""),
        _upright("waits", stop.index, (0.0, most), ""),
        Reference("loss", "points", "best, its weights come back", _point(stop.best, validation.losses)),
        Reference("right", "points", "best, its weights come back", _point(stop.best, validation.accuracies)),
    ]
    noise = dict(experiment.training.dataset.settings)["label_noise"]
    if noise:
        references.append(_level("right", "theory: true answers to all labels", 1 - float(noise), epochs, ""))
    if patience:
        references.append(_level("waits", "", float(patience), epochs, f"patience {patience}"))
    across = Axis("epoch")
    views = (
        View("loss", "Loss", across, Axis("loss", "log", limits), (0, 0, 1, 1)),
        View("right", "Share of right answers", across, Axis("share right", limits=(0.0, 1.0)), (1, 0, 1, 1)),
        View("waits", "Epochs without improvement", across, Axis("epochs", limits=(0.0, most)), (0, 1, 1, 1)),
        View("norm", "Length of all weights", across, Axis("|w|"), (1, 1, 1, 1)),
    )
    return Picture(
        views,
        table.table,
        np.arange(epochs + 1, dtype=np.float32),
        tuple(table.series),
        tuple(references),
        heights=(1.3, 1.0),
        summary=_summary(curves, stop),
    )


def _upright(view: str, epoch: int, limits: tuple[float, float], label: str) -> Reference:
    places = np.array([0.0, 0.5, 0.93, 1.0])  # the label is written by the third
    low, high = limits
    heights = low * (high / low) ** places if low > 0 else low + (high - low) * places
    return Reference(view, "line", "", np.stack([np.full(4, float(epoch)), heights], axis=1), label)


def _level(view: str, name: str, height: float, epochs: int, label: str) -> Reference:
    across = np.array([0.0, 0.5, 0.6, 1.0]) * epochs
    return Reference(view, "line", name, np.stack([across, np.full(4, height)], axis=1), label)


def _point(epoch: int, values: torch.Tensor) -> np.ndarray:
    return np.array([[float(epoch), float(values[epoch])]])


def _summary(curves: LearningCurves, stop: Stop) -> str:
    seen = curves.validation
    training, validation = (
        f"{spoken(float(losses[0]))} to {spoken(float(losses[-1]))}" for losses in (curves.training_losses, seen.losses)
    )
    return (
        f"{len(curves) - 1} epochs: training loss {training}, validation loss {validation}, lowest "
        f"{spoken(float(seen.losses.nan_to_num(nan=np.inf).min()))}. "
        f"Stopped at epoch {stop.index}, best epoch {stop.best}."
    )


def epochs_reading(experiment: EpochsExperiment, curves: LearningCurves, stop: Stop) -> list[Row]:
    """What the restored weights score beside the last ones, and why the run ended."""
    seen = curves.validation

    def scores(at: int) -> str:
        return f"loss {spoken(float(seen.losses[at]), '.3g')}, {float(seen.accuracies[at]):.1%} right"

    rows = [
        row(f"validation at epoch {stop.best}, the best so far", "", scores(stop.best)),
        row(f"after all {experiment.epochs} epochs", "", scores(-1)),
    ]
    noise = float(dict(experiment.training.dataset.settings)["label_noise"])
    found = float(curves.training_accuracies[-1])
    if noise:
        rows.append(row("training labels repeated at the end", f"{1 - noise:.0%} if only true ones", f"{found:.0%}"))
    if curves.status.kind == "diverged":
        return [*rows, verdict(f"The run diverged. {curves.status.message}")]
    stopped = stop.index < len(curves) - 1 or any(rule.stops_at(seen) is not None for rule in experiment.rules)
    end = f"Stops at epoch {stop.index}: {stop.reason}." if stopped else "No rule stops this run before its end."
    return [*rows, verdict(f"{end} Lowest of the whole run: epoch {seen.best}.")]
