"""What the stage has of a training run: some of its steps as rows of one table, and the picture made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from weightlab.networks.initializers import fans
from weightlab.networks.models import MODELS
from weightlab.pictures.picture import Axis, Picture, Raster, Reference, Series, View
from weightlab.stage.live_runs import Rows
from weightlab.stage.panel import Row, row, spoken, verdict
from weightlab.theory.signals import activation_sizes
from weightlab.training.record import TrainingRecord
from weightlab.training.run import Training

WIDTHS: tuple[float, ...] = (1.0, 1.0)
REGION_CELLS = 48  # a side: 4.6 kB, sent a few times a second
EXAMPLES_DRAWN = 120  # of each class
TRACED = 400  # points of an earlier run's curve


def predicted_activations(training: Training) -> np.ndarray | None:
    """Mean field's RMS of every layer's output before training, (layer,); None for networks it does not cover."""
    experiment = training.experiment
    entry = MODELS.get(experiment.model.name)  # None for a learner's own
    if entry is None or not entry.mean_field(dict(experiment.model.settings)):
        return None
    start, activation = experiment.initialization, experiment.model.hidden_activation
    if start.initializer.mean(dict(start.settings)) != 0:
        return None
    sides = [fans(module.get_parameter("weight")) for _, module in training.network.layers]
    gain, given = start.gain_for(activation), dict(start.settings)
    gains = [fan_in * start.initializer.variance(fan_in, fan_out, gain, given) for fan_in, fan_out in sides]
    biases = [start.initializer.bias_variance(fan_in) for fan_in, _ in sides]
    square = float(experiment.dataset.x_train.square().mean())
    return activation_sizes(activation.function, gains, biases, square).numpy()


class Film(Rows):
    """What the stage has of a run: some of its steps as rows of one table, in the order of the picture's series.

    Row t shows the network before update t: loss and gradients there, the size of each layer's activations, and how
    far the kept weights have moved. The first row is measured on a network of the same seed that is thrown away.
    """

    def __init__(self, training: Training, earlier: Sequence[tuple[int, TrainingRecord]] = ()) -> None:
        self._training = training
        self._earlier = earlier  # runs that this one branched off, and at which step
        self.layers = training.layers
        self._theory = predicted_activations(training)
        self._origin = training.record().weight_paths[0].numpy().astype(np.float32)
        self._weights = self._origin[None]
        self._validation_loss = np.float32(np.nan)
        self.validated: float | None = None
        self.validated_at = 0
        trial = Training(training.experiment)
        trial.step()
        table, steps = self._table(trial.since(0))
        self._begin(table, steps)
        self._weights = self._origin[None]
        self.start = table[0]

    def _since(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        return self._table(self._training.since(step))

    def _table(self, news: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        steps = news["steps"].astype(np.float32)
        after = news["weight_paths"].reshape(len(steps), *self._origin.shape)
        before = np.concatenate([self._weights, after])[: len(steps)]
        if len(steps):
            self._weights = after[-1:]
        validation = np.full(len(steps), np.nan, np.float32)
        if len(news["validation_steps"]):
            self.validated = float(news["validation_accuracies"][-1])
            self.validated_at = int(news["validation_steps"][-1])
        for at, loss in zip(news["validation_steps"], news["validation_losses"], strict=True):
            validation[steps >= at] = loss
        validation[np.isnan(validation)] = self._validation_loss
        if len(validation):
            self._validation_loss = validation[-1]
        moved = (before - self._origin).reshape(len(steps), self._origin.size)
        columns = [news["losses"][:, None], validation[:, None], news["gradient_norms"], news["activation_rms"], moved]
        table = np.concatenate([column.astype(np.float32) for column in columns], axis=1)
        return table, steps

    @property
    def gradient_norms(self) -> np.ndarray:
        """The newest row's, one a layer."""
        return self._tables[-1][-1, 2 : 2 + len(self.layers)]

    def picture(self, last_step: int) -> Picture:
        """Everything so far as one picture."""
        count = len(self.layers)
        kept = self._origin.shape[1]
        names = tuple(str(i + 1) for i in range(count - 1)) + ("out",)
        gradients = tuple(range(2, 2 + count))
        activations = tuple(range(2 + count, 2 + 2 * count))
        paths = tuple(range(2 + 2 * count, 2 + 2 * count + count * kept))
        series = (
            Series("weights", "family", "weights", paths, groups=tuple(i // kept for i in range(count * kept))),
            Series("loss", "curve", "training loss (batch)", (0,), 0),
            Series("loss", "curve", "validation loss", (1,), 1),
            Series("activations", "bars", "activation", activations),
            Series("gradients", "bars", "gradient", gradients),
        )
        place = np.arange(count)
        marks = [
            Reference("gradients", "marks", "gradient at the start", np.stack([place, self.start[list(gradients)]], 1))
        ]
        if self._theory is not None:
            points = np.stack([place, self._theory], 1)
            marks.append(Reference("activations", "marks", "activation at the start in theory", points))
        table, steps = np.concatenate(self._tables), np.concatenate(self._steps)
        views, widths = _training_views(names), WIDTHS
        if self.has_regions:
            views, widths = (self._regions_view(), *_shifted(views)), (1.35, 1.0, 1.0)
        return Picture(
            views,
            table,
            steps,
            series,
            (*marks, *self._traces(), *self._examples()),
            (self.regions(),) if self.has_regions else (),
            widths=widths,
            summary=self.summary(),
            last_step=last_step,
            groups=self.layers,
        )

    def _traces(self) -> list[Reference]:
        """The losses of the runs that this one branched off."""
        traces = []
        for back, (step, record) in enumerate(reversed(self._earlier)):
            places = np.unique(np.linspace(0, max(0, len(record.losses) - 1), TRACED).round().astype(int))
            losses = np.stack([places, record.losses.numpy()[places]], 1) if len(record.losses) else np.empty((0, 2))
            checks = np.stack([record.validation_steps.numpy(), record.validation_losses.numpy()], 1)
            colour = 2 + 2 * back
            named = (("training loss", losses, colour), ("validation loss", checks, colour + 1))
            traces += [
                Reference("loss", "trace", f"{name} without the branch at {step}", points, colour=colour)
                for name, points, colour in named
                if len(points) > 1
            ]
        return traces

    @property
    def has_regions(self) -> bool:
        """Data of two inputs: what the network makes of the whole plane can be drawn."""
        return self._training.experiment.dataset.inputs == 2

    def regions(self) -> Raster:
        """Which class the network chooses where, now."""
        share, classes = self._training.decision_map(REGION_CELLS).probabilities.max(dim=-1)
        chance = 1 / self._training.experiment.dataset.classes
        certainty = ((share - chance) / (1 - chance)).nan_to_num().clamp(0, 1) * 255
        return Raster("regions", classes.numpy().astype(np.uint8), certainty.numpy().astype(np.uint8))

    def _regions_view(self) -> View:
        across, up, _ = self._training.decision_map(2)
        first, second = (
            Axis(f"input {i}", limits=(float(ends[0]), float(ends[-1]))) for i, ends in ((1, across), (2, up))
        )
        return View("regions", "What the network decides", first, second, (0, 0, 1, 2))

    def _examples(self) -> tuple[Reference, ...]:
        if not self.has_regions:
            return ()
        data = self._training.experiment.dataset
        return tuple(
            Reference("regions", "dots", name, data.x_train[data.y_train == i][:EXAMPLES_DRAWN].numpy(), colour=i)
            for i, name in enumerate(data.class_names)
        )

    def rows_read(self) -> list[Row]:
        """What stands beside the picture."""
        norms, status = self.gradient_norms, self._training.status
        rows = []
        if len(norms) > 1:
            ratio = spoken(norms[0] / norms[-2]) if norms[-2] else "0 : 0"
            rows.append(row("gradient, first layer : last hidden layer", "", ratio))
        if self.validated is not None:
            rows.append(row("validation accuracy", "", f"{self.validated:.1%} after {self.validated_at} updates"))
        rows.append(verdict(status.message if status is not None else f"{self._training.steps_done} updates so far"))
        return rows

    def summary(self) -> str:
        """The newest row in words."""
        norms = self.gradient_norms
        newest, first = (spoken(rows[0], ".3g") for rows in (self._tables[-1][-1], self._tables[0][0]))
        return (
            f"After {int(self._steps[-1][-1])} updates: batch loss {newest} (first {first}); gradient "
            f"norm {spoken(norms[0])} in the first layer, {spoken(norms[-1])} in the output layer."
        )


def _shifted(views: tuple[View, ...]) -> tuple[View, ...]:
    """One column to the right."""
    return tuple(replace(view, cell=(view.cell[0] + 1, *view.cell[1:])) for view in views)


def _training_views(names: tuple[str, ...]) -> tuple[View, ...]:
    return (
        View(
            "weights",
            "Some weights of each layer",
            Axis("update"),
            Axis("w − w at the start"),
            (0, 0, 1, 1),
        ),
        View("loss", "Loss", Axis("update"), Axis("loss", "log"), (1, 0, 1, 1)),
        View("activations", "Activation size by layer", Axis("layer", ticks=names), Axis("RMS", "log"), (0, 1, 1, 1)),
        View("gradients", "Gradient size by layer", Axis("layer", ticks=names), Axis("|g|", "log"), (1, 1, 1, 1)),
    )
