"""What the panel of epochs shows: learning curves, and where the stopping rules end the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.stage.panel import Row, row, spoken, verdict
from weightlab.stopping.learning_curves import LearningCurves
from weightlab.stopping.rules import Budget, Patience, Stop, StoppingRule, Target, waits
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import number


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
