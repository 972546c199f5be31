"""What the panel of gradients through time shows: the gradient at every time step, theory's beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weightlab.networks.initializers import InitializationSettings, initialization
from weightlab.networks.models import MODELS
from weightlab.networks.time_gradients import (
    TimeGradientRecord,
    predicted_radius,
)
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.stage.panel import Row, row, spoken, verdict


@dataclass(frozen=True)
class TimeGradientExperiment:
    """A recurrent network before training: which one, and the seed of its weights."""

    cell: str = "rnn"
    initialization: InitializationSettings = initialization("pytorch_default")
    activation: str = "tanh"
    keep_bias: float = 0.0
    width: int = 32
    seed: int = 0


def is_plain(cell: str) -> bool:
    """Whether it has an activation to choose, and no gate."""
    return "activation" in MODELS[cell].settings


def time_gradients_reading(
    asked: TimeGradientExperiment, record: TimeGradientRecord, theory: Tensor | None
) -> list[Row]:
    """Theory beside measurement, and what it means for the first pixel."""
    ratio, whole_way = record.ratios[0], record.first_to_last[0]
    expected = "–" if theory is None else spoken(float(theory[0]) ** (1 / (len(theory) - 1)), ".3f")
    rows = [row("gradient × per time step, backwards", expected, spoken(float(ratio), ".3f"))]
    if is_plain(asked.cell):
        radius = predicted_radius(asked.initialization, asked.width, asked.activation)
        found = float(record.radii[0])
        rows.append(row("spectral radius of the recurrent matrix", f"{radius:.2f}", f"{found:.2f}"))
    whole_theory = "–" if theory is None else spoken(float(theory[0]), ".1e")
    rows.append(row("time step 1 : time step 64", whole_theory, spoken(float(whole_way), ".1e")))
    return [*rows, verdict(_verdict(float(whole_way)))]


def _verdict(ratio: float) -> str:
    if not np.isfinite(ratio):
        return "The numbers overflow: the state or the gradient explodes."
    if ratio == 0:
        return "No gradient reaches the first time step."
    if ratio < 1e-2:
        return f"Vanishing: the first pixel gets {ratio:.1g} of the last pixel's gradient."
    if ratio > 1e2:
        return f"Exploding: the first pixel gets {ratio:.1g} times the last pixel's gradient."
    return f"Healthy: the first pixel gets {ratio:.2g} times the last pixel's gradient."


def time_gradients_picture(record: TimeGradientRecord, theory: Tensor | None, cell: str) -> Picture:
    """Gradient by time step as bars with theory's line, and the size of the hidden state."""
    gradients, states = record.gradients[0], record.states[0]
    steps = len(gradients)
    table, references = TableBuilder(1), []
    table.add("gradient", "bars", "gradient (measured)", gradients.numpy()[None])
    table.add("state", "bars", "hidden state (measured)", states.numpy()[None])
    line = None if theory is None else theory * gradients[-1]
    if line is not None:
        name = "theory: wide network" if is_plain(cell) else "theory: the keep gate alone"
        points = torch.stack([torch.arange(steps, dtype=torch.float64), line], dim=1).numpy()
        references.append(Reference("gradient", "marks", name, points))
    names = tuple(str(step + 1) for step in range(steps))
    views = (
        View(
            "gradient",
            "Gradient by time step: the last pixel is right",
            Axis("time step", ticks=names),
            Axis("norm of the gradient", "log", _decades(gradients, line)),
            (0, 0, 1, 1),
        ),
        View(
            "state",
            "Hidden state by time step",
            Axis("time step", ticks=names),
            Axis("RMS of h", "log", _decades(states, None)),
            (1, 0, 1, 1),
        ),
    )
    ratio = float(record.first_to_last[0])
    return Picture(
        views,
        table.table,
        np.zeros(1, np.float32),
        tuple(table.series),
        tuple(references),
        widths=(1.5, 1.0),
        heights=(1.0,),
        groups=tuple(f"time step {name}" for name in names),
        summary=f"{MODELS[cell].label}: gradient {spoken(float(gradients[0]))} at time step 1, "
        f"{spoken(float(gradients[-1]))} at time step {steps}, ratio {spoken(ratio)}; hidden state "
        f"{spoken(float(states[-1]))} at the end.",
    )


def _decades(measured: Tensor, theory: Tensor | None) -> tuple[float, float]:
    """Whole decades around the data, at least three, so that small differences look small."""
    values = measured if theory is None else torch.cat([measured, theory])
    values = values[torch.isfinite(values) & (values > 0)]
    if not len(values):
        return 1e-3, 1.0
    low, high = float(values.min().log10().floor()), float((1.05 * values.max()).log10().ceil())
    return 10.0 ** max(min(low, high - 3), -30.0), 10.0 ** min(high, 30.0)
