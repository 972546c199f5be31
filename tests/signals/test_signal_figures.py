"""Static figures of signals and of real runs: every name in the legend, theory marked, a zero left out of the logs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.pictures.style import to_still
from weightlab.rules.update_rules import optimizer
from weightlab.signals.figures import runs_figure, signals_figure
from weightlab.signals.measure import SignalRecord, measure_signals, predict_signals
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.record import TrainingRecord
from weightlab.training.run import train


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


def test_without_a_theory_no_mark_is_promised(records: dict[str, SignalRecord]) -> None:
    assert legend(signals_figure(records, {})) == ["xavier_normal", "zeros"]


def test_a_signal_of_size_zero_is_left_out_of_the_logarithmic_axis(records: dict[str, SignalRecord]) -> None:
    figure = signals_figure({"zeros": records["zeros"]}, {})
    forward = np.asarray(figure.axes[0].lines[0].get_ydata(), dtype=float)
    assert np.isnan(forward).all()
    assert to_still(figure, "nothing passes").png.startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def run() -> TrainingRecord:
    network, rule = model("mlp", depth=2, width=4), optimizer("gradient_descent", learning_rate=0.1)
    return train(TrainingExperiment(network, dataset("breast_cancer"), rule, steps=20, validate_every=10))


def test_a_runs_figure_has_the_first_gradients_and_one_accuracy_line_a_seed(run: TrainingRecord) -> None:
    figure = runs_figure({"two seeds": [run, run], "one": [run]})
    gradients, accuracy = figure.axes
    assert legend(figure) == ["two seeds", "one"] and len(accuracy.lines) == 3
    drawn = np.asarray(gradients.lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(drawn, run.gradient_norms[0].double().numpy(), rtol=1e-6)
    assert [label.get_text() for label in gradients.get_xticklabels()] == ["1", "2", "out"]
    assert accuracy.lines[0].get_xdata() == pytest.approx([0, 10, 20])


def test_a_predictions_ratios_are_those_of_its_magnitudes() -> None:
    predicted = predict_signals("relu", "pytorch_default", depth=20, width=256)
    assert predicted is not None
    assert predicted.forward_ratio == pytest.approx(1 / math.sqrt(6), rel=1e-12)
    assert predicted.backward_ratio == pytest.approx(1 / math.sqrt(6), rel=1e-12)
    tanh = predict_signals("tanh", "xavier_normal", depth=20, width=256)
    assert tanh is not None
    assert tanh.forward_ratio**17 == pytest.approx(float(tanh.forward[19] / tanh.forward[2]), rel=1e-12)
    assert tanh.backward_ratio**17 == pytest.approx(float(tanh.backward[2] / tanh.backward[19]), rel=1e-12)


def test_a_prediction_without_a_ratio_says_so() -> None:
    shallow = predict_signals("relu", "he_normal", depth=3, width=8)
    nothing = predict_signals("tanh", "zeros", depth=8, width=8)
    assert shallow is not None and nothing is not None
    assert math.isnan(shallow.forward_ratio) and math.isnan(shallow.backward_ratio)
    assert math.isnan(nothing.forward_ratio) and math.isnan(nothing.backward_ratio)
    assert torch.isnan(measure_signals("tanh", "zeros", 8, 8, seeds=1).forward_ratios).all()
