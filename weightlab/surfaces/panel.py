"""A real loss surface: contours on a plane through a network's weights, with a run's path on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from weightlab.networks.datasets import Dataset, dataset
from weightlab.pictures.contours import losses_backdrop
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.stage.controls import Choice, Question, Slider, linear, logarithmic
from weightlab.stage.lenses import Lens, Setting, field, inside, whole
from weightlab.stage.own import own_parts
from weightlab.stage.panel import Panel, Row, row, verdict
from weightlab.stage.training_lenses import MOMENTUM, of_model, rate
from weightlab.surfaces.program import surface_program
from weightlab.surfaces.weight_paths import (
    PLANES,
    PlaneView,
    WeightPath,
    component_shares,
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
TRUE, SEEN = "the run", "the run as the plane shows it"
_VIEW, _RUN = "The plane: trains nothing", "The run: trains anew"


@dataclass(frozen=True)
class SurfaceExperiment:
    """A run, and the plane on which its loss is looked at."""

    training: TrainingExperiment
    plane: str
    plane_seed: int
    zoom: float


@dataclass(frozen=True, eq=False)
class SurfaceRecord:
    """The run's path and what the plane shows of it."""

    path: WeightPath
    view: PlaneView


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
        picture = surface_picture(path, view, losses_backdrop(*_arrays(view), size=(4.2, 3.1)))
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


def _arrays(view: PlaneView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    across, up, losses = view.drawn()
    losses = torch.nan_to_num(losses.double(), nan=1e30, posinf=1e30)
    return across.double().numpy(), up.double().numpy(), losses.numpy()


def surface_picture(path: WeightPath, view: PlaneView, backdrop: Any) -> Picture:
    """The path on the plane's contours, its loss beside the plane's, and how far from the end it is and seems."""
    table = TableBuilder(len(path.steps))
    table.add("plane", "path", SEEN, view.places.numpy(), colour=1)
    table.add("loss", "curve", TRUE, path.losses.numpy(), colour=0)
    table.add("loss", "curve", SEEN, view.plane_losses.numpy(), colour=1)
    lengths = [torch.where(one > 0, one, torch.nan) for one in (view.lengths, view.seen_lengths)]
    table.add("distance", "curve", TRUE, lengths[0].numpy(), colour=0)
    table.add("distance", "curve", SEEN, lengths[1].numpy(), colour=1)
    kind = "random direction" if view.kind == "random" else "principal component"
    ends = [(float(one[0]), float(one[-1])) for one in (view.across, view.up)]
    first, second = (Axis(f"{name} {kind}", limits=end) for name, end in zip(("1st", "2nd"), ends, strict=True))
    views = (
        View("plane", "Loss on the plane", first, second, (0, 0, 1, 2), backdrop),
        View("loss", "Loss of all training examples", Axis("update"), Axis("loss", "log"), (1, 0, 1, 1)),
        View("distance", "Distance from the last weights", Axis("update"), Axis("|w − w_end|", "log"), (1, 1, 1, 1)),
    )
    return Picture(
        views,
        table.table,
        path.steps.numpy().astype(np.float32),
        tuple(table.series),
        (Reference("plane", "points", "the last weights", np.zeros((1, 2))),),
        widths=(1.15, 1.0),
        summary=_summary(path, view),
    )


def _summary(path: WeightPath, view: PlaneView) -> str:
    return (
        f"The loss of {len(path.weights[0]):,} weights on a plane: {PLANES[view.kind]}. The run's loss went from "
        f"{float(path.losses[0]):.3g} to {float(path.losses[-1]):.3g} in {int(path.steps[-1])} updates."
    )


def surface_reading(path: WeightPath, view: PlaneView) -> list[Row]:
    """What the plane holds, and where its loss is farthest from the path's own."""
    true, seen = path.losses.double(), view.plane_losses.double()
    worst = int(torch.nan_to_num((seen - true).abs(), nan=-1.0).argmax())
    expected = "–" if view.expected is None else f"{view.expected:.2%} on average"
    rows = [row("share of the path's variance in this plane", expected, f"{view.share:.2%}")]
    if view.kind == "path":
        first, second = component_shares(path.weights, 2).tolist()
        rows.append(row("its two components one by one", "", f"{first:.1%}, {second:.2%}"))
        rows.append(row("of a random walk's, in its own plane", "90.1%", ""))
    rows.append(row("at the start: loss on the plane, true loss", "", f"{float(seen[0]):.3g}, {float(true[0]):.3g}"))
    both = f"{float(seen[worst]):.3g}, {float(true[worst]):.3g}"
    rows.append(row(f"farthest apart: update {int(path.steps[worst])}", "", both))
    if path.status.kind == "diverged":
        return [*rows, verdict(f"The run diverged; its path ends where it was finite. {path.status.message}")]
    return [*rows, verdict(_verdict(view, float(true[0]), float(seen[0]), float(true[-1])))]


def _verdict(view: PlaneView, true: float, seen: float, end: float) -> str:
    if view.kind == "random":
        return (
            f"The path seems to stand still: {view.share:.2%} of it lies in this plane. The contours show the "
            "surroundings of the last weights, not the way there."
        )
    if not 0 <= seen <= true or end >= true:
        return "The plane shows the way. Its height is another matter: compare both curves."
    share = (true - seen) / (true - end)
    return f"The plane shows the way, but at the start it leaves out {share:.0%} of the loss's fall."
