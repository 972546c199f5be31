"""A recurrent network before training: how large the gradient is at every time step, with theory's line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from weightlab.cures.picture import TimeGradientExperiment, is_plain, time_gradients_picture, time_gradients_reading
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
)
from weightlab.stage.controls import Choice, Slider, linear
from weightlab.stage.lenses import Lens, Setting, field, whole
from weightlab.stage.panel import Panel

BATCH = 32  # digits on which each change is measured
STARTS = tuple(name for name, entry in INITIALIZERS.items() if entry.follows_size)
TAKES_GAIN = tuple(name for name in STARTS if INITIALIZERS[name].gain_from != "none")


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
        lambda experiment: getattr(experiment, name) if is_plain(experiment.cell) == plain else None, whole_field.put
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
            keep_bias=0.0 if is_plain(asked.cell) else asked.keep_bias,
            seeds=seeds,
            first_seed=first_seed,
            batch=BATCH,
        )

    def _apply(self, asked: TimeGradientExperiment, every: dict[str, Any], seq: int | None) -> None:
        record = self._measure(asked, 1, asked.seed)
        theory = self._theory(asked, record.gradients.shape[1])
        picture = time_gradients_picture(record, theory, asked.cell)
        self.record = record
        self._publish(asked, every, picture, time_gradients_reading(asked, record, theory), seq)

    def _theory(self, asked: TimeGradientExperiment, steps: int) -> Tensor | None:
        """Gradient over that at the last step: mean field for the plain cell, the gate by itself for the others."""
        if not is_plain(asked.cell):
            return gate_alone(asked.keep_bias, steps)
        x = self._digits.x_train[:BATCH]
        return predict_time_gradients(asked.initialization, x, activation_name=asked.activation, width=asked.width)
