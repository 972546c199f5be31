"""The panel of gradients through time, without a browser: every control at both ends, bad input, what it says."""

from __future__ import annotations

from typing import Any

import pytest
from panel_support import say

from weightlab.cures.panel import TimeGradientsPanel, time_gradients_settings
from weightlab.stage.controls import Choice, Question, Slider

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


def ends(control: Any) -> list[Any]:
    if isinstance(control, Slider):
        return [control.positions[0], control.positions[-1]]
    assert isinstance(control, Choice)
    return [value for value, _ in control.options]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("control", [one.control for one in time_gradients_settings()], ids=lambda one: one.name)
def test_every_control_works_at_both_ends(control: Any, cell: str) -> None:
    panel = TimeGradientsPanel(cell=cell, width=8, initializer="orthogonal")
    for seq, value in enumerate(ends(control), 1):
        say(panel, type="set", values={control.name: value}, seq=seq)
        assert panel.values[control.name] == value and not panel.notice
        assert panel.picture["seq"] == seq and panel.record.gradients.shape == (1, 64)


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


def test_bad_input_is_explained_and_the_last_picture_stays() -> None:
    panel = TimeGradientsPanel(width=8)
    before = panel.record
    bad: dict[str, tuple[Any, str]] = {"keep_bias": (99, "must be in"), "width": (2.5, "width"), "cell": ("x", "cell")}
    for name, (value, word) in bad.items():
        say(panel, type="set", values={"cell": "lstm", name: value}, seq=1)
        assert panel.notice["kind"] == "error" and word in panel.notice["text"]
        assert panel.record is before and panel.values["cell"] == "rnn"


def test_an_overflowing_network_is_said_to_explode() -> None:
    panel = TimeGradientsPanel(activation="relu", initializer="he_normal", gain=3.0, width=64)
    assert "Exploding" in panel.reading[-1]["verdict"] or "overflow" in panel.reading[-1]["verdict"]


def test_a_prediction_is_answered_by_the_mean_of_several_networks() -> None:
    question = Question("per step?", measure=lambda panel: panel.averaged(3).ratios.mean().item(), tolerance=0.1)
    panel = TimeGradientsPanel(questions=[question], initializer="orthogonal")
    panel.predict(1, 0.9)
    assert panel.predictions[0].verdict.startswith("As predicted")


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown setting 'gian': did you mean 'gain'"):
        TimeGradientsPanel(gian=1)
