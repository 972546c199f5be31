"""A deep network before training: how large its signals and gradients are, layer by layer, with theory's line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, Initializer, initialization
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.signals.measure import SignalRecord, checked_size, measure_signals, predict_signals
from weightlab.signals.program import signal_program
from weightlab.stage.controls import Choice, Control, Question, Slider, logarithmic
from weightlab.stage.panel import Panel, Row, row, spoken, verdict
from weightlab.theory.signals import SignalPrediction
from weightlab.validate import choose, whole_number

# Settings of initializers that have a slider, with the first entry that offers one.
SLIDERS = {name: entry for entry in [*INITIALIZERS.values()][::-1] for name in entry.sliders}
DEFAULTS: dict[str, Any] = {
    "activation": "relu",
    "initializer": "he_normal",
    "depth": 20,
    "width": 128,
    "gain": 1.0,
    **{name: entry.settings[name] for name, entry in SLIDERS.items()},
    "seed": 0,
}
TAKES_GAIN = tuple(name for name, entry in INITIALIZERS.items() if entry.gain_from == "one")


def signal_controls() -> list[Control]:
    """The panel's controls."""
    return [
        Choice("activation", "Activation", tuple((name, entry.label) for name, entry in ACTIVATIONS.items())),
        Choice("initializer", "Initialization", tuple((name, entry.label) for name, entry in INITIALIZERS.items())),
        Slider("depth", "Layers", tuple(range(2, 51)), "how many layers the signal passes"),
        Slider("width", "Units a layer", (4, 8, 16, 32, 48, 64, 96, 128, 192, 256), "wider follows theory closer"),
        Slider(
            "gain",
            "Gain",
            tuple(round(0.2 + 0.05 * i, 2) for i in range(57)),
            "Xavier and orthogonal: factor on the weights",
        ),
        *(_slider(name, entry) for name, entry in SLIDERS.items()),
        Slider("seed", "Seed", tuple(range(21)), "other random weights"),
    ]


def _slider(setting: str, entry: Initializer) -> Slider:
    symbol, low, high, count = entry.sliders[setting]
    hint = f"for the initialization {entry.label}"
    return Slider(setting, f"{symbol} of {entry.label}", logarithmic(low, high, count), hint)


class SignalPanel(Panel):
    """Forward and backward magnitudes per layer for activation × initialization × depth × width.

    Each change measures one network of these settings; `averaged()` measures many seeds. Values may be given by name.
    """

    def __init__(
        self, *, questions: Sequence[Question] = (), title: str = "Signals through depth", **values: Any
    ) -> None:
        for name in values:
            choose("setting", name, DEFAULTS)
        super().__init__(signal_controls(), {**DEFAULTS, **values}, title=title, questions=questions, height=330)

    def initialization(self, values: dict[str, Any]) -> InitializationSettings:
        """The initialization that these values stand for."""
        name = values["initializer"]
        settings = {key: values[key] for key in SLIDERS if key in INITIALIZERS[name].settings}
        return initialization(name, gain=values["gain"] if name in TAKES_GAIN else "auto", **settings)

    def _unused(self, values: dict[str, Any]) -> list[str]:
        name = values["initializer"]
        unused = [] if name in TAKES_GAIN else ["gain"]
        return [*unused, *(key for key in SLIDERS if key not in INITIALIZERS[name].settings)]

    def averaged(self, seeds: int = 20) -> SignalRecord:
        """The present settings measured for `seeds` networks."""
        v = self.values
        return measure_signals(v["activation"], self.initialization(v), int(v["depth"]), int(v["width"]), seeds=seeds)

    @property
    def program(self) -> str:
        """A plain PyTorch program that measures the network now shown."""
        v = self.values
        start = self.initialization(v)
        return signal_program(v["activation"], start, int(v["depth"]), int(v["width"]), int(v["seed"]))

    def _drawn(self, values: dict[str, Any]) -> tuple[Any, SignalRecord, Picture, list[Row]]:
        settings = self.initialization(values)
        width = whole_number("width", values["width"], 1, 1024, why="wider ones are for measure_signals")
        shape = values["activation"], settings, *checked_size(values["depth"], width)
        record = measure_signals(*shape, seeds=1, first_seed=values["seed"])
        prediction = predict_signals(*shape)
        picture = signal_picture(record, prediction, _words(values))
        return shape, record, picture, signal_reading(record, prediction)


def _words(values: dict[str, Any]) -> str:
    names = ACTIVATIONS[values["activation"]].label, INITIALIZERS[values["initializer"]].label
    return f"{' + '.join(names)}, {int(values['depth'])} layers of {int(values['width'])} units"


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
