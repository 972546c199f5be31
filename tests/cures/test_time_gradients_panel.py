"""The panel of gradients through time, without a browser: every control at both ends, bad input, what it says."""

from __future__ import annotations

import pytest

from weightlab.cures.panel import TimeGradientsPanel
from weightlab.stage.controls import Question

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


def test_theory_stands_beside_the_measurement() -> None:
    panel = TimeGradientsPanel(initializer="orthogonal", width=128)
    ratio = panel.reading[0]
    assert float(ratio["theory"]) == pytest.approx(float(ratio["measured"]), abs=0.02)
    assert panel.reading[1]["theory"] == panel.reading[1]["measured"] == "1.00"


def test_controls_without_a_part_to_play_are_marked() -> None:
    panel = TimeGradientsPanel()
    assert set(panel.unused) == {"gain", "keep_bias"}
    panel.set(cell="lstm", initializer="orthogonal")
    assert panel.unused == ["activation"]


def test_an_overflowing_network_is_said_to_explode() -> None:
    panel = TimeGradientsPanel(activation="relu", initializer="he_normal", gain=3.0, width=64)
    assert "Exploding" in panel.reading[-1]["verdict"] or "overflow" in panel.reading[-1]["verdict"]


def test_a_prediction_is_answered_by_the_mean_of_several_networks() -> None:
    question = Question("per step?", measure=lambda panel: panel.averaged(3).ratios.mean().item(), tolerance=0.1)
    panel = TimeGradientsPanel(questions=[question], initializer="orthogonal")
    panel.predict(1, 0.9)
    assert panel.predictions[0].verdict.startswith("As predicted")
