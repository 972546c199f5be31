"""Static figures of signals and of real runs: every name in the legend, theory marked, a zero left out of the logs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from weightlab.pictures.style import to_still
from weightlab.signals.figures import signals_figure
from weightlab.signals.measure import SignalRecord, measure_signals, predict_signals


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.fixture
def records() -> dict[str, SignalRecord]:
    return {name: measure_signals("tanh", name, depth=6, width=32, seeds=3) for name in ("xavier_normal", "zeros")}


def test_a_signals_figure_draws_measured_means_and_theory_on_top(records: dict[str, SignalRecord]) -> None:
    record = records["xavier_normal"]
    theory = predict_signals("tanh", "xavier_normal", depth=6, width=32)
    assert theory is not None
    figure = signals_figure({"Xavier": record}, {"Xavier": theory})
    assert legend(figure) == ["Xavier", "theory"]
    for axes, measured, predicted in zip(
        figure.axes, (record.forward, record.backward), (theory.forward, theory.backward), strict=True
    ):
        assert axes.get_yscale() == "log"
        drawn, marks = (np.asarray(line.get_ydata(), dtype=float) for line in axes.lines[:2])
        np.testing.assert_allclose(drawn, measured.double().log().mean(0).exp().numpy(), rtol=1e-12)
        np.testing.assert_allclose(marks, predicted.numpy(), rtol=1e-12)


def test_a_signal_of_size_zero_is_left_out_of_the_logarithmic_axis(records: dict[str, SignalRecord]) -> None:
    figure = signals_figure({"zeros": records["zeros"]}, {})
    forward = np.asarray(figure.axes[0].lines[0].get_ydata(), dtype=float)
    assert np.isnan(forward).all()
    assert to_still(figure, "nothing passes").png.startswith(b"\x89PNG")


def test_a_predictions_ratios_are_those_of_its_magnitudes() -> None:
    predicted = predict_signals("relu", "pytorch_default", depth=20, width=256)
    assert predicted is not None
    assert predicted.forward_ratio == pytest.approx(1 / math.sqrt(6), rel=1e-12)
    assert predicted.backward_ratio == pytest.approx(1 / math.sqrt(6), rel=1e-12)
    tanh = predict_signals("tanh", "xavier_normal", depth=20, width=256)
    assert tanh is not None
    assert tanh.forward_ratio**17 == pytest.approx(float(tanh.forward[19] / tanh.forward[2]), rel=1e-12)
    assert tanh.backward_ratio**17 == pytest.approx(float(tanh.backward[2] / tanh.backward[19]), rel=1e-12)
