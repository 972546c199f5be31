"""Static figures that set several measurements side by side, each with its spread over seeds; nothing here measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from weightlab.pictures.style import THEORY, Still, draw_magnitudes, label_axes, line_style, new_figure, to_still
from weightlab.signals.measure import SignalRecord
from weightlab.theory.signals import SignalPrediction
from weightlab.training.record import TrainingRecord


def signals_still(
    records: Mapping[str, SignalRecord], predictions: Mapping[str, SignalPrediction | None], alt: str
) -> Still:
    """`signals_figure`, rendered; `alt` says in words what it shows."""
    return to_still(signals_figure(records, predictions), alt)


def runs_still(runs: Mapping[str, Sequence[TrainingRecord]], alt: str) -> Still:
    """`runs_figure`, rendered; `alt` says in words what it shows."""
    return to_still(runs_figure(runs), alt)


def signals_figure(records: Mapping[str, SignalRecord], predictions: Mapping[str, SignalPrediction | None]) -> Figure:
    """Forward and backward magnitude per layer of several networks by name, theory's marks on top.

    A line is the mean of the logarithms over the seeds, its band one standard deviation.
    """
    figure = new_figure(8.4, 3.3)
    ahead, back = figure.subplots(1, 2)
    for number, (name, record) in enumerate(records.items()):
        prediction = predictions.get(name)
        for axes, side in ((ahead, "forward"), (back, "backward")):
            theory = None if prediction is None else getattr(prediction, side)
            _draw_layers(axes, getattr(record, side), name, number, theory)
    label_axes(ahead, "Forward: signal size by layer", "layer", "RMS of the pre-activation")
    label_axes(back, "Backward: gradient size by layer", "layer", "RMS of the gradient")
    handles, names = ahead.get_legend_handles_labels()
    if any(prediction is not None for prediction in predictions.values()):
        handles, names = [*handles, *ahead.plot([], [], **THEORY)], [*names, "theory"]
    figure.legend(handles, names, loc="outside upper left", ncols=4, fontsize=8, frameon=False)
    return figure


def runs_figure(runs: Mapping[str, Sequence[TrainingRecord]]) -> Figure:
    """Real runs by name, each with several seeds: gradients by layer at the first update, accuracy over updates."""
    figure = new_figure(8.4, 3.2)
    gradients, accuracy = figure.subplots(1, 2)
    for number, (name, records) in enumerate(runs.items()):
        _draw_layers(gradients, torch.stack([record.gradient_norms[0] for record in records]), name, number)
        for record in records:
            accuracy.plot(
                record.validation_steps.numpy(),
                record.validation_accuracies.numpy(),
                lw=1.1,
                **line_style(number),
            )
    layers = next(iter(runs.values()))[0].layers
    label_axes(gradients, "Gradient by layer at the first update", "layer", "|g| of the layer's weights")
    gradients.set_xticks(range(1, len(layers) + 1), [*map(str, range(1, len(layers))), "out"])
    label_axes(accuracy, "Validation accuracy, one line a seed", "update", "share of right answers")
    accuracy.set_ylim(0, 1)
    figure.legend(*gradients.get_legend_handles_labels(), loc="outside upper left", ncols=5, fontsize=8, frameon=False)
    return figure


def _draw_layers(axes: Axes, magnitudes: Tensor, name: str, number: int, theory: Tensor | None = None) -> None:
    """Magnitudes (seed, layer), and theory's marks (layer,)."""
    draw_magnitudes(axes, magnitudes, name, number, lw=2)
    if theory is not None:
        axes.plot(range(1, len(theory) + 1), theory.numpy(), **THEORY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
