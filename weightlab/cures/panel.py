"""A recurrent network before training: how large the gradient is at every time step, with theory's line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightlab.cures.program import time_gradients_program
from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.datasets import Dataset, dataset
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, initialization
from weightlab.networks.models import MODELS
from weightlab.networks.time_gradients import (
    CELLS,
    TimeGradientRecord,
    gate_alone,
    measure_time_gradients,
    predict_time_gradients,
    predicted_radius,
)
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.stage.controls import Choice, Slider, linear
from weightlab.stage.lenses import Lens, Setting, field, whole
from weightlab.stage.panel import Panel, Row, row, spoken, verdict

BATCH = 32  # digits on which each change is measured
STARTS = tuple(name for name, entry in INITIALIZERS.items() if entry.follows_size)
TAKES_GAIN = tuple(name for name in STARTS if INITIALIZERS[name].gain_from != "none")


@dataclass(frozen=True)
class TimeGradientExperiment:
    """A recurrent network before training: which one, and the seed of its weights."""

    cell: str = "rnn"
    initialization: InitializationSettings = initialization("pytorch_default")
    activation: str = "tanh"
    keep_bias: float = 0.0
    width: int = 32
    seed: int = 0


def _initialized(name: str, values: Mapping[str, Any]) -> InitializationSettings:
    return initialization(name, gain=values["gain"]) if name in TAKES_GAIN else initialization(name)


INITIALIZER = Lens(
    lambda experiment: experiment.initialization.name,
    lambda experiment, name, values: replace(experiment, initialization=_initialized(name, values)),
)
GAIN = Lens(
    lambda experiment: experiment.initialization.gain if experiment.initialization.name in TAKES_GAIN else None,
    lambda experiment, value, values: replace(
        experiment, initialization=_initialized(experiment.initialization.name, values)
    ),
)


def _of_cell(name: str, plain: bool) -> Lens:
    """A field that plays a part with the plain cell only, or with the others only."""
    whole_field = field(name)
    return Lens(
        lambda experiment: getattr(experiment, name) if _is_plain(experiment.cell) == plain else None, whole_field.put
    )


def time_gradients_settings() -> list[Setting]:
    """What can be set on the panel."""
    activations = tuple((name, ACTIVATIONS[name].label) for cell in CELLS for name in MODELS[cell].activations)
    starts = tuple((name, INITIALIZERS[name].label) for name in STARTS)
    bias = Slider("keep_bias", "Keep gate's bias", linear(-2.0, 8.0, 41), "LSTM's forget gate, GRU's update gate")
    units = Slider("width", "Units", (4, 8, 16, 32, 48, 64, 96, 128), "wider follows theory closer")
    narrow = whole("width", 1, 512, "wider ones are for measure_time_gradients")
    return [
        Setting(Choice("cell", "Cell", tuple((name, MODELS[name].label) for name in CELLS)), field("cell"), "rnn"),
        Setting(Choice("initializer", "Initialization", starts), INITIALIZER, "pytorch_default"),
        Setting(Slider("gain", "Gain", linear(0.2, 3.0, 57), "factor on the weights"), GAIN, 1.0),
        Setting(Choice("activation", "Activation", activations, "of the plain cell"), _of_cell("activation", True),
                "tanh"),
        Setting(bias, _of_cell("keep_bias", False), 0.0),
        Setting(units, field("width", narrow), 32),
        Setting(Slider("seed", "Seed", tuple(range(21)), "other random weights"), field("seed"), 0),
    ]  # fmt: skip


def _is_plain(cell: str) -> bool:
    """Whether it has an activation to choose, and no gate."""
    return "activation" in MODELS[cell].settings


class TimeGradientsPanel(Panel):
    """The gradient at each of 64 time steps of a recurrent network that reads real digits pixel by pixel.

    Each change measures one network; `averaged()` measures several seeds. Values may be given by name.
    """

    heading, tall = "Gradients through time", 340

    def _declared(self) -> list[Setting]:
        self._digits: Dataset = dataset("digits")
        return time_gradients_settings()

    def _first(self) -> TimeGradientExperiment:
        return TimeGradientExperiment()

    def averaged(self, seeds: int = 5) -> TimeGradientRecord:
        """The present settings measured for `seeds` networks."""
        return self._measure(self.asked, seeds, 0)

    @property
    def program(self) -> str:
        """A plain PyTorch program that measures the network now shown."""
        asked: TimeGradientExperiment = self.asked
        return time_gradients_program(
            asked.cell,
            asked.initialization,
            self._digits,
            activation=asked.activation,
            width=asked.width,
            keep_bias=asked.keep_bias,
            seed=int(asked.seed),
            batch=BATCH,
        )

    def _measure(self, asked: TimeGradientExperiment, seeds: int, first_seed: int) -> TimeGradientRecord:
        return measure_time_gradients(
            asked.cell,
            asked.initialization,
            self._digits,
            activation_name=asked.activation,
            width=asked.width,
            keep_bias=0.0 if _is_plain(asked.cell) else asked.keep_bias,
            seeds=seeds,
            first_seed=first_seed,
            batch=BATCH,
        )

    def _apply(self, asked: TimeGradientExperiment, every: dict[str, Any], seq: int | None) -> None:
        record = self._measure(asked, 1, asked.seed)
        theory = self._theory(asked, record.gradients.shape[1])
        picture = time_gradients_picture(record, theory, asked.cell)
        self.record = record
        self._publish(asked, every, picture, _rows(asked, record, theory), seq)

    def _theory(self, asked: TimeGradientExperiment, steps: int) -> Tensor | None:
        """Gradient over that at the last step: mean field for the plain cell, the gate by itself for the others."""
        if not _is_plain(asked.cell):
            return gate_alone(asked.keep_bias, steps)
        x = self._digits.x_train[:BATCH]
        return predict_time_gradients(asked.initialization, x, activation_name=asked.activation, width=asked.width)


def _rows(asked: TimeGradientExperiment, record: TimeGradientRecord, theory: Tensor | None) -> list[Row]:
    ratio, whole_way = record.ratios[0], record.first_to_last[0]
    expected = "–" if theory is None else spoken(float(theory[0]) ** (1 / (len(theory) - 1)), ".3f")
    rows = [row("gradient × per time step, backwards", expected, spoken(float(ratio), ".3f"))]
    if _is_plain(asked.cell):
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
        name = "theory: wide network" if _is_plain(cell) else "theory: the keep gate alone"
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
