"""A real loss surface: contours on a plane through a network's weights, with a run's path on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weightlab.networks.datasets import Dataset, dataset
from weightlab.pictures.contours import losses_backdrop
from weightlab.stage.controls import Choice, Question, Slider, linear, logarithmic
from weightlab.stage.lenses import Lens, Setting, field, inside, whole
from weightlab.stage.own import own_parts
from weightlab.stage.panel import Panel
from weightlab.stage.training_lenses import MOMENTUM, of_model, rate
from weightlab.surfaces.picture import SurfaceExperiment, SurfaceRecord, plane_arrays, surface_picture, surface_reading
from weightlab.surfaces.program import surface_program
from weightlab.surfaces.weight_paths import (
    PLANES,
    WeightPath,
    follow,
    look,
    path_experiment,
    random_plane_shares,
)
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import number

GRID = 17  # points a side: 289 networks, each with all training examples
SNAPSHOTS = 60
KEPT_RUNS = 20
_VIEW, _RUN = "The plane: trains nothing", "The run: trains anew"


def surface_settings(examples: int) -> list[Setting]:
    """What can be set on the panel, the plane first; examples: in the training split."""
    longer = "longer runs are for weight_paths.follow"
    batch = field("batch_size", whole("batch_size", 1, examples))
    narrow = of_model("width", whole("width", 1, 128, "wider ones are for weight_paths.follow"))
    moving = rate(lambda value: number("learning_rate", value, 0, open_low=True, why="a path that stays has no plane"))
    run = (
        (Slider("learning_rate", "Learning rate η", logarithmic(0.01, 2.0, 47), "", _RUN), moving, 0.1),
        (Slider("momentum", "Momentum μ", linear(0.0, 0.98, 50), "", _RUN), MOMENTUM, 0.0),
        (Slider("batch_size", "Batch size", (8, 16, 32, 64, 128, 256, 512), "", _RUN), batch, 64),
        (Slider("width", "Units a layer", (4, 8, 12, 16, 24, 32), "two hidden layers, tanh", _RUN), narrow, 16),
        (Slider("steps", "Updates", (60, 120, 180, 240, 300, 420, 600), "", _RUN),
         field("steps", whole("steps", 10, 2000, longer)), 300),
        (Slider("seed", "Seed of the run", tuple(range(20)), "first weights and batches", _RUN),
         field("seed", whole("seed", 0, 10**6)), 0),
    )  # fmt: skip
    which = Slider("plane_seed", "Which random plane", tuple(range(20)), "draws its two directions", _VIEW)
    near = Slider("zoom", "Zoom", logarithmic(0.2, 20.0, 41), "1 shows the whole path, or one filter's length", _VIEW)
    drawn = field("plane_seed", whole("plane_seed", 0, 10**6))
    kind = Choice("plane", "Plane", tuple(PLANES.items()), "through the last weights", _VIEW)

    def zoomed(value: Any) -> float:
        return number("zoom", value, 0.01, 1000, why="1 shows the whole path")

    return [
        Setting(kind, field("plane"), "path"),
        Setting(which, Lens(lambda one: one.plane_seed if one.plane == "random" else None, drawn.put), 0),
        Setting(near, field("zoom", zoomed), 1.0),
        *(Setting(control, inside("training", lens), default) for control, lens, default in run),
    ]


class SurfacePanel(Panel):
    """A tanh network on the digits, trained; the loss on a plane through its last weights, and its path there.

    Choosing another plane or zooming trains nothing; `trained` counts the runs. Values may be given by name. `record`
    is a SurfaceRecord. own: your own data, network and optimizer class in place of the panel's.
    """

    heading = "A real loss surface"

    def __init__(
        self, *, own: Sequence[object] = (), questions: Sequence[Question] = (), title: str = "", **values: Any
    ) -> None:
        self._own = own_parts(own)
        self._data: Dataset = self._own.parts.get("dataset") or dataset("digits")
        self._path = self._cached(self._train, KEPT_RUNS)
        self.trained = 0
        super().__init__(questions=questions, title=title, **values)

    def _declared(self) -> list[Setting]:
        return surface_settings(len(self._data.y_train))

    def _first(self) -> SurfaceExperiment:
        return SurfaceExperiment(self._own.put_into(path_experiment(self._data)), "path", 0, 1.0)

    def _train(self, experiment: TrainingExperiment) -> WeightPath:
        path = follow(experiment, max(1, experiment.steps // SNAPSHOTS))
        self.trained += 1
        return path

    def _apply(self, asked: SurfaceExperiment, every: dict[str, Any], seq: int | None) -> None:
        path = self._path(asked.training)
        view = look(path, asked.plane, seed=asked.plane_seed, points=GRID, zoom=asked.zoom)
        picture = surface_picture(path, view, losses_backdrop(*plane_arrays(view), size=(4.2, 3.1)))
        self.record = SurfaceRecord(path, view)
        self._publish(asked, every, picture, surface_reading(path, view), seq)

    @property
    def _own_names(self) -> str:
        return self._own.names

    @property
    def program(self) -> str:
        """A plain PyTorch program of the run and of the loss on the plane now shown."""
        asked = self.asked
        return surface_program(
            asked.training,
            asked.plane,
            seed=asked.plane_seed,
            every=max(1, asked.training.steps // SNAPSHOTS),
            points=GRID,
            zoom=asked.zoom,
        )

    def start_beside_truth(self) -> str:
        """How the loss on the path's own plane is where the run starts, beside the true one; within 3 % is the same."""
        path = self.record.path
        ratio = float(look(path, points=3).plane_losses[0] / path.losses[0])
        return "lower than" if ratio < 0.97 else "higher than" if ratio > 1.03 else "the same as"

    def held_by_random_planes(self, planes: int = 20) -> float:
        """Mean share of the path's variance that random planes hold."""
        return float(random_plane_shares(self.record.path, planes).mean())
