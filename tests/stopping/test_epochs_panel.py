"""The epochs panel without a browser: stopping sliders train nothing, every control at both ends, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from panel_support import columns, say

from weightlab.stopping.learning_curves import few_digits, learning_curves
from weightlab.stopping.panel import EpochsPanel

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

QUICK: dict[str, Any] = {"width": 12, "epochs": 10}


def uprights(panel: EpochsPanel) -> set[str]:
    return {reference["label"] for reference in panel.picture["references"] if reference["label"].startswith("stop")}


def test_the_panel_draws_the_run_that_a_plain_call_makes() -> None:
    panel = EpochsPanel(**QUICK, label_noise=0.3, seed=2)
    curves = learning_curves(few_digits(12, 0.3, epochs=10, seed=2))
    np.testing.assert_allclose(columns(panel, "loss", "validation")[:, 0], curves.validation.losses, rtol=1e-6)
    np.testing.assert_allclose(columns(panel, "right", "training")[:, 0], curves.training_accuracies, rtol=1e-6)
    np.testing.assert_allclose(columns(panel, "norm", "length of all weights")[:, 0], curves.weight_norms, rtol=1e-6)


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
