"""A deep network before training: how large its signals and gradients are, layer by layer, with theory's line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, Initializer, initialization
from weightlab.pictures.picture import Picture
from weightlab.signals.measure import SignalRecord, checked_size, measure_signals, predict_signals
from weightlab.signals.picture import SignalExperiment, signal_picture, signal_reading, signal_words
from weightlab.signals.program import signal_program
from weightlab.stage.controls import Choice, Slider, logarithmic
from weightlab.stage.lenses import Lens, Setting, field, whole
from weightlab.stage.own import labels
from weightlab.stage.panel import Panel, Row

# Settings of initializers that have a slider, with the first entry that offers one.
SLIDERS = {name: entry for entry in [*INITIALIZERS.values()][::-1] for name in entry.sliders}
TAKES_GAIN = tuple(name for name, entry in INITIALIZERS.items() if entry.gain_from == "one")


def _initialized(name: str, values: Mapping[str, Any]) -> InitializationSettings:
    """The initialization with those of the sliders' values that it takes."""
    given = {setting: values[setting] for setting in INITIALIZERS[name].sliders}
    return initialization(name, **given, **({"gain": values["gain"]} if name in TAKES_GAIN else {}))


def _start(setting: str) -> Lens:
    """A number of the initialization, if it takes it."""

    def get(experiment: SignalExperiment) -> Any:
        start = experiment.initialization
        if setting == "gain":
            return start.gain if start.name in TAKES_GAIN else None
        return dict(start.settings)[setting] if setting in INITIALIZERS[start.name].sliders else None

    def put(experiment: SignalExperiment, value: Any, values: Mapping[str, Any]) -> SignalExperiment:
        return replace(experiment, initialization=_initialized(experiment.initialization.name, values))

    return Lens(get, put)


INITIALIZER = Lens(
    lambda experiment: experiment.initialization.name,
    lambda experiment, name, values: replace(experiment, initialization=_initialized(name, values)),
)


def signal_settings() -> list[Setting]:
    """What can be set on the panel."""
    gains = tuple(round(0.2 + 0.05 * i, 2) for i in range(57))
    widths = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256)
    narrow = whole("width", 1, 1024, "wider ones are for measure_signals")
    return [
        Setting(Choice("activation", "Activation", labels(ACTIVATIONS)), field("activation"), "relu"),
        Setting(Choice("initializer", "Initialization", labels(INITIALIZERS)), INITIALIZER, "he_normal"),
        Setting(Slider("depth", "Layers", tuple(range(2, 51)), "how many the signal passes"), field("depth"), 20),
        Setting(Slider("width", "Units a layer", widths, "wider follows theory closer"), field("width", narrow), 128),
        Setting(Slider("gain", "Gain", gains, "Xavier and orthogonal: factor on the weights"), _start("gain"), 1.0),
        *(Setting(_slider(name, entry), _start(name), entry.settings[name]) for name, entry in SLIDERS.items()),
        Setting(Slider("seed", "Seed", tuple(range(21)), "other random weights"), field("seed"), 0),
    ]


def _slider(setting: str, entry: Initializer) -> Slider:
    symbol, low, high, count = entry.sliders[setting]
    hint = f"for the initialization {entry.label}"
    return Slider(setting, f"{symbol} of {entry.label}", logarithmic(low, high, count), hint)


class SignalPanel(Panel):
    """Forward and backward magnitudes per layer for activation × initialization × depth × width.

    Each change measures one network of these settings; `averaged()` measures many seeds. Values may be given by name.
    """

    heading, tall = "Signals through depth", 330

    def _declared(self) -> list[Setting]:
        return signal_settings()

    def _first(self) -> SignalExperiment:
        return SignalExperiment()

    def averaged(self, seeds: int = 20) -> SignalRecord:
        """The present settings measured for `seeds` networks."""
        return measure_signals(*_shape(self.asked), seeds=seeds)

    @property
    def program(self) -> str:
        """A plain PyTorch program that measures the network now shown."""
        return signal_program(*_shape(self.asked), int(self.asked.seed))

    def _drawn(self, asked: SignalExperiment, every: dict[str, Any]) -> tuple[SignalRecord, Picture, list[Row]]:
        shape = _shape(asked)
        record = measure_signals(*shape, seeds=1, first_seed=asked.seed)
        prediction = predict_signals(*shape)
        return record, signal_picture(record, prediction, signal_words(asked)), signal_reading(record, prediction)


def _shape(asked: SignalExperiment) -> tuple[str, InitializationSettings, int, int]:
    return asked.activation, asked.initialization, *checked_size(asked.depth, asked.width)
