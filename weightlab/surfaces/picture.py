"""What the surface panel shows: contours on a plane through a network's weights, and the run's path on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.stage.panel import Row, row, verdict
from weightlab.surfaces.weight_paths import (
    PLANES,
    PlaneView,
    WeightPath,
    component_shares,
)
from weightlab.training.experiment import TrainingExperiment

TRUE, SEEN = "the run", "the run as the plane shows it"


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


def plane_arrays(view: PlaneView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
