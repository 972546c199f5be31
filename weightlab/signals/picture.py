"""What the signal panel shows: sizes of signals and gradients layer by layer, theory's beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, initialization
from weightlab.pictures.picture import Axis, Picture, Reference, TableBuilder, View
from weightlab.signals.measure import SignalRecord
from weightlab.stage.panel import Row, row, spoken, verdict
from weightlab.theory.signals import SignalPrediction


@dataclass(frozen=True)
class SignalExperiment:
    """A network before training: which one, and the seed of its weights."""

    activation: str = "relu"
    initialization: InitializationSettings = initialization("he_normal")
    depth: int = 20
    width: int = 128
    seed: int = 0


def signal_words(asked: SignalExperiment) -> str:
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
