"""A deep network before training: how large its signals and gradients are, layer by layer, with theory's line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, Initializer, initialization
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.signals.measure import SignalRecord, checked_size, measure_signals, predict_signals
from weightlab.signals.program import signal_program
from weightlab.stage.controls import Choice, Slider, logarithmic
from weightlab.stage.lenses import Lens, Setting, field, whole
from weightlab.stage.own import labels
from weightlab.stage.panel import Panel, Row, row, spoken, verdict
from weightlab.theory.signals import SignalPrediction

# Settings of initializers that have a slider, with the first entry that offers one.
SLIDERS = {name: entry for entry in [*INITIALIZERS.values()][::-1] for name in entry.sliders}
TAKES_GAIN = tuple(name for name, entry in INITIALIZERS.items() if entry.gain_from == "one")


@dataclass(frozen=True)
class SignalExperiment:
    """A network before training: which one, and the seed of its weights."""

    activation: str = "relu"
    initialization: InitializationSettings = initialization("he_normal")
    depth: int = 20
    width: int = 128
    seed: int = 0


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
        return record, signal_picture(record, prediction, _words(asked)), signal_reading(record, prediction)


def _shape(asked: SignalExperiment) -> tuple[str, InitializationSettings, int, int]:
    return asked.activation, asked.initialization, *checked_size(asked.depth, asked.width)


def _words(asked: SignalExperiment) -> str:
    names = ACTIVATIONS[asked.activation].label, INITIALIZERS[asked.initialization.name].label
    return f"{' + '.join(names)}, {int(asked.depth)} layers of {int(asked.width)} units"


def signal_picture(record: SignalRecord, prediction: SignalPrediction | None, words: str) -> Picture:
    """Two bar charts, forward and backward, with theory's marks on top."""
    depth = len(record.layers)
    names = tuple(str(i + 1) for i in range(depth))
    table = TableBuilder(1)
    views, references = [], []
    for column, (name, title, label) in enumerate(
        (
            ("forward", "Forward: signal size by layer", "RMS of the pre-activation"),
            ("backward", "Backward: gradient size by layer", "RMS of the gradient"),
        )
    ):
        measured: Tensor = getattr(record, name)[0]
        theory = None if prediction is None else getattr(prediction, name)
        table.add(name, "bars", f"{name} (measured)", measured.numpy()[None])
        if theory is not None:
            points = torch.stack([torch.arange(depth, dtype=torch.float64), theory], dim=1).numpy()
            references.append(Reference(name, "marks", "theory, infinite width", points))
        limits = _decades(measured, theory)
        views.append(View(name, title, Axis("layer", ticks=names), Axis(label, "log", limits), (column, 0, 1, 1)))
    return Picture(
        tuple(views),
        table.table,
        np.zeros(1, np.float32),
        tuple(table.series),
        tuple(references),
        heights=(1.0,),
        summary=_summary(record, words),
        groups=record.layers,
    )


def _decades(measured: Tensor, theory: Tensor | None) -> tuple[float, float]:
    """Whole decades around the data, at least from 0.01 to 10 so that small differences look small."""
    values = measured.double() if theory is None else torch.cat([measured.double(), theory])
    values = values[torch.isfinite(values) & (values > 0)]
    if not len(values):
        return 0.01, 10.0
    low, high = float(values.min().log10().floor()), float(values.max().log10().ceil())
    return 10.0 ** max(min(low, -2.0), -30.0), 10.0 ** min(max(high, 1.0), 30.0)


def _summary(record: SignalRecord, words: str) -> str:
    parts = [words]
    for name in ("forward", "backward"):
        values = getattr(record, name)[0]
        first, last = (spoken(float(values[at])) for at in (0, -1))
        parts.append(f"{name} magnitude {first} in the first layer, {last} in the last")
    return "; ".join(parts) + "."


def _ratio_text(magnitudes: Tensor | None, forward: bool) -> str:
    """Growth per layer in the direction in which the signal travels, without the first two layers."""
    if magnitudes is None:
        return "no theory holds"
    settled = magnitudes.double()[2:]
    if len(settled) < 2 or not bool(torch.isfinite(settled).all()) or bool((settled <= 0).any()):
        return "–"
    growth = float(settled[-1] / settled[0]) ** (1 / (len(settled) - 1))
    return f"{growth if forward else 1 / growth:.3f}"


def signal_reading(record: SignalRecord, prediction: SignalPrediction | None) -> list[Row]:
    """Ratios per layer, theory beside measurement, and what they mean."""
    rows = []
    for name, label in (("forward", "signal × per layer, upwards"), ("backward", "gradient × per layer, downwards")):
        theory = None if prediction is None else getattr(prediction, name)
        rows.append(
            row(label, _ratio_text(theory, name == "forward"), _ratio_text(getattr(record, name)[0], name == "forward"))
        )
    rows.append(verdict(_verdict(record)))
    return rows


def _verdict(record: SignalRecord) -> str:
    if float(record.unit_differences[0].max()) == 0.0:
        return "Every unit of a layer does exactly what its neighbours do: the layer is one unit wide."
    first, last = float(record.backward[0, 0]), float(record.backward[0, -1])
    if not np.isfinite([first, last]).all():
        return "The numbers overflow: the signal explodes."
    if first == 0:
        return "No gradient reaches the first layer."
    ratio = first / last
    if ratio < 1e-2:
        return f"Vanishing: the first layer gets {ratio:.1g} of the last layer's gradient."
    if ratio > 1e2:
        return f"Exploding: the first layer gets {ratio:.1g} times the last layer's gradient."
    kind = "Healthy" if 0.5 <= ratio <= 2 else "Shrinking on the way down" if ratio < 1 else "Growing on the way down"
    return f"{kind}: the first layer gets {ratio:.2g} times the last layer's gradient."
