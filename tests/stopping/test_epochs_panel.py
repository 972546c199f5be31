"""The epochs panel without a browser: stopping sliders train nothing, every control at both ends, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from panel_support import say

from weightlab.stage.controls import Question
from weightlab.stopping.figures import curves_figure, filters_figure, ways_figure
from weightlab.stopping.learning_curves import few_digits, learning_curves
from weightlab.stopping.panel import EpochsPanel

STOPPING = ("patience", "min_delta", "target", "budget")
TRAINING = ("width", "label_noise", "learning_rate", "l2", "epochs", "seed")

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

QUICK: dict[str, Any] = {"width": 12, "epochs": 10}


def column(panel: EpochsPanel, view: str, name: str) -> np.ndarray:
    picture = panel.picture
    table = np.frombuffer(picture["table"], np.float32).reshape(-1, picture["columns"])
    series = next(one for one in picture["series"] if (one["view"], one["name"]) == (view, name))
    return table[:, series["columns"][0]]


def uprights(panel: EpochsPanel) -> set[str]:
    return {reference["label"] for reference in panel.picture["references"] if reference["label"].startswith("stop")}


def test_the_panel_draws_the_run_that_a_plain_call_makes() -> None:
    panel = EpochsPanel(**QUICK, label_noise=0.3, seed=2)
    curves = learning_curves(few_digits(12, 0.3, epochs=10, seed=2))
    np.testing.assert_allclose(column(panel, "loss", "validation"), curves.validation.losses, rtol=1e-6)
    np.testing.assert_allclose(column(panel, "right", "training"), curves.training_accuracies, rtol=1e-6)
    np.testing.assert_allclose(column(panel, "norm", "length of all weights"), curves.weight_norms, rtol=1e-6)


def test_the_stopping_sliders_move_the_stop_and_train_nothing() -> None:
    panel = EpochsPanel(label_noise=0.4)
    record = panel.record
    stops = []
    for patience in (1, 2, 5, 10, 20):
        say(panel, type="set", values={"patience": patience}, seq=1)
        assert panel.stop is not None and uprights(panel) == {f"stop: epoch {panel.stop.index}"}
        stops.append(panel.stop.index)
    assert stops == sorted(stops) and stops[0] < stops[-1]
    say(panel, type="set", values={"budget": 42}, seq=2)
    assert panel.stop is not None and panel.stop.index == 3
    assert "the budget of 42 updates is spent" in panel.reading[-1]["verdict"]
    say(panel, type="set", values={"budget": 0, "target": 0.7}, seq=3)
    assert "reached the target 70.0%" in panel.reading[-1]["verdict"]
    say(panel, type="set", values={"min_delta": 0.3, "target": 0.0, "patience": 3}, seq=4)
    assert panel.trained == 1 and panel.record is record
    say(panel, type="set", values={"patience": 0}, seq=5)
    assert panel.reading[-1]["verdict"].startswith("No rule stops this run before its end.")


def test_a_run_seen_before_is_not_trained_again() -> None:
    panel = EpochsPanel(**QUICK)
    first = panel.record
    panel.set(width=8)
    panel.set(width=12)
    assert panel.trained == 2 and panel.record is first


def test_controls_that_train_are_told_from_those_that_do_not() -> None:
    groups = {control["name"]: control["group"] for control in EpochsPanel(**QUICK).controls}
    assert {groups[name] for name in STOPPING} == {"When to stop: trains nothing"}
    assert {group for name, group in groups.items() if name not in STOPPING} == {"The run: trains anew"}


def test_the_reading_has_the_share_that_true_answers_would_give() -> None:
    panel = EpochsPanel(label_noise=0.4)
    row = next(row for row in panel.reading if row["label"].startswith("training labels"))
    assert row["theory"] == "60% if only true ones" and row["measured"] == "100%"
    panel.set(label_noise=0.0)
    assert not any(row["label"].startswith("training labels") for row in panel.reading)


def test_a_run_that_diverges_is_explained() -> None:
    panel = EpochsPanel(**QUICK)
    panel.set(learning_rate=1e4)
    verdict = panel.reading[-1]["verdict"]
    assert verdict.startswith("The run diverged.") and "learning rate" in verdict
    panel.set(learning_rate=0.05)
    assert "diverged" not in panel.reading[-1]["verdict"]


def test_a_prediction_is_measured_on_the_curves() -> None:
    question = Question("best epoch?", lambda panel: float(panel.record.validation.best), tolerance=0.01)
    panel = EpochsPanel(**QUICK, questions=[question])
    panel.predict(1, panel.record.validation.best)
    assert panel.predictions[0].verdict == "As predicted."


def test_static_figures_show_every_name() -> None:
    runs = {f"run {i}": [learning_curves(few_digits(4, epochs=3, seed=seed)) for seed in range(2)] for i in range(4)}
    shown = curves_figure(runs)
    assert [axes.get_title(loc="left") for axes in shown.axes][:4] == list(runs)
    assert [text.get_text() for text in shown.legends[0].get_texts()] == ["training", "validation", "lowest, each seed"]
    values = torch.linspace(0.1, 1.0, 12)
    filters = filters_figure(values, {"stop": (values, values)}, {"L2": (values, values)})
    assert [text.get_text() for text in filters.legends[0].get_texts()] == ["stop", "L2"]
    ways = ways_figure(values, {"one": values.repeat(3, 1), "two": values.repeat(3, 1)}, "k")
    legend = ways.axes[0].get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == ["one", "two"]
