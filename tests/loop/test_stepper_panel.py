"""The stepper panel without a browser: Step runs one line, switches make mistakes, bad input is explained."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import numpy as np
import pytest
import torch
from panel_support import say, wait_for

from weightlab.loop.panel import LAST_LINE, StepperPanel, stepper_settings
from weightlab.loop.problems import PROBLEMS
from weightlab.loop.run import LoopExperiment, load_optimizers, run_loop, run_updates
from weightlab.stage.controls import Choice, Question, Slider, Toggle
from weightlab.stage.panel import Panel

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


@pytest.fixture(scope="module", autouse=True)
def optimizers_are_loaded() -> None:
    load_optimizers()


def coming(panel: Panel) -> str:
    """What stands beside the Step button."""
    return str(dict(panel.transport)["text"])


def press(panel: Panel, name: str, times: int = 1) -> None:
    for _ in range(times):
        say(panel, type="command", name=name, seq=1)


def table(panel: Panel) -> np.ndarray:
    picture = panel.picture
    return np.frombuffer(picture["table"], np.float32).reshape(-1, picture["columns"])


def marked(panel: Panel) -> list[str]:
    return [row["label"] for row in panel.reading if row["label"].startswith("▸")]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_step_runs_one_line_and_the_next_one_is_shown_twice(problem: str) -> None:
    panel = StepperPanel(problem)
    for count in range(1, 15):
        press(panel, "step")
        line = count % 6 + 1
        assert len(panel.record.lines) == count + 1 and len(table(panel)) == count + 1
        assert coming(panel).startswith(f"next: line {line} ")
        (label,) = marked(panel)
        assert label.startswith(f"▸ {line}  ") and label.split("  ", 1)[1] in coming(panel)
        assert f"After {count} line" in panel.summary and panel.reading[-1]["verdict"]


def test_stepping_and_running_in_a_cell_give_the_record_of_the_plain_call() -> None:
    first, second = StepperPanel("line", momentum=0.9), StepperPanel("line", momentum=0.9, lines=5)
    press(first, "step", 20)
    second.run(15)
    plain = run_loop(LoopExperiment("line", momentum=0.9), 20)
    for record in (first.record, second.record):
        assert torch.equal(record.weights, plain.weights)


def test_the_reading_sets_the_closed_form_beside_the_measurement() -> None:
    panel = StepperPanel("line", lines=6)
    gradient, change = panel.reading[4], panel.reading[5]
    assert gradient["theory"] == gradient["measured"] == "w.grad = −9"
    assert change["theory"] == change["measured"] == "Δw = 0.9"
    panel = StepperPanel("constant_slope", lines=25, forget_zero_grad=True)
    assert [(row["theory"], row["measured"]) for row in panel.reading[3:6]] == [
        ("w.grad = 1", "w.grad = 5"),
        ("Δw = −0.1", "Δw = −0.5"),
        ("5", "15"),
    ]


def test_a_mistake_runs_the_loop_again_to_the_same_place() -> None:
    panel = StepperPanel("constant_slope", lines=30)
    say(panel, type="set", values={"forget_zero_grad": True}, seq=2)
    assert panel.record.updates[-1] == 5 and panel.record.moved == pytest.approx(-1.5)
    say(panel, type="set", values={"step_first": True}, seq=3)
    assert panel.record.updates[-1] == 5 and panel.record.moved == pytest.approx(-1.0)
    say(panel, type="set", values={"forget_zero_grad": False, "step_first": False}, seq=4)
    assert len(panel.record.lines) == 31 and panel.record.moved == pytest.approx(-0.5)
    panel.run(4)
    say(panel, type="set", values={"forget_zero_grad": True}, seq=5)  # zero_grad() is behind, backward() comes next
    assert coming(panel).startswith("next: line 5")


def test_an_exception_stops_the_loop_and_taking_the_mistake_back_goes_on() -> None:
    panel = StepperPanel("line", lines=8)
    say(panel, type="set", values={"without_no_grad": True}, seq=2)
    assert panel.transport["state"] == "stopped" and coming(panel) == "line 6 raised RuntimeError"
    assert "a leaf Variable that requires grad" in panel.reading[-1]["verdict"] and panel.unused == ["momentum"]
    rows = len(panel.record.lines)
    press(panel, "step", 2)
    press(panel, "start")
    assert len(panel.record.lines) == rows and panel.record.moved == 0
    say(panel, type="set", values={"without_no_grad": False, "by_hand": True}, seq=3)
    assert panel.transport["state"] == "paused" and len(panel.record.lines) == 9
    assert "with torch.no_grad(): w -= learning_rate * w.grad" in panel.reading[5]["label"]


def test_start_runs_at_the_pace_and_pause_and_stop_end_it() -> None:
    panel = StepperPanel("line", pace=300.0)
    panel._receive(panel, {"type": "command", "name": "start", "seq": 1}, [])
    wait_for(lambda: len(panel.record.lines) > 30)
    press(panel, "pause")
    reached = len(panel.record.lines)
    assert panel.transport["state"] == "paused" and len(table(panel)) == reached
    time.sleep(0.1)
    assert len(panel.record.lines) == reached
    press(panel, "stop")
    assert panel.transport["state"] == "stopped" and f"after {reached - 1} lines" in coming(panel)
    press(panel, "reset")
    assert len(panel.record.lines) == 1 and panel.transport["state"] == "idle"


def test_the_loop_ends_at_its_last_line() -> None:
    panel = StepperPanel("constant_slope", lines=LAST_LINE - 1)
    press(panel, "step", 3)
    assert len(panel.record.lines) == LAST_LINE + 1 and panel.transport["state"] == "finished"
    panel.set(learning_rate=0.05)
    assert panel.transport["state"] == "finished"


def test_a_new_seed_draws_another_network_and_reset_brings_it_back() -> None:
    panel = StepperPanel("digits", lines=6)
    first = panel.record.weights
    press(panel, "new_seed")
    panel.run(6)
    assert not torch.equal(panel.record.weights, first)
    second = panel.record.weights
    press(panel, "reset")
    assert torch.equal(panel.run(6).weights, second)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_control_acts_at_both_ends(problem: str) -> None:
    panel = StepperPanel(problem, lines=13)
    before, usual = panel.record, dict(panel.values)
    for control in (one.control for one in stepper_settings(problem)):
        ends: tuple[Any, ...]
        if isinstance(control, Slider):
            ends = control.positions[0], control.positions[-1]
        elif isinstance(control, Choice):
            ends = control.options[0][0], control.options[-1][0]
        else:
            assert isinstance(control, Toggle)
            ends = True, False
        for end in ends:
            say(panel, type="set", values={control.name: end}, seq=9)
            assert not panel.notice, panel.notice
            assert panel.values[control.name] == end
            assert bool(torch.isfinite(panel.record.weights).all())
        panel.set(**{control.name: usual[control.name]})
    assert torch.equal(panel.record.weights, before.weights)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"learning_rate": -0.1}, r"learning_rate must be in \[0"),
        ({"learning_rate": math.nan}, "got nan; use a finite number"),
        ({"learning_rate": "fast"}, "must be a number, got 'fast'; write for example"),
        ({"momentum": 1.5}, "momentum must be in .*grows by itself"),
        ({"pace": 0.0}, "lines a second must be in"),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
    ],
)
def test_bad_input_is_explained_and_the_last_good_picture_stays(values: dict[str, Any], words: str) -> None:
    panel = StepperPanel("confident_mistake", lines=7)
    picture, record, good = panel.picture, panel.record, dict(panel.values)
    say(panel, type="set", values=values, seq=3)
    assert panel.notice["kind"] == "error" and re.search(words, panel.notice["text"])
    assert panel.picture is picture and panel.record is record and panel.values == good
    press(panel, "step")
    assert len(panel.record.lines) == 9


def test_bad_arguments_raise_and_leave_nothing() -> None:
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        StepperPanel("digit")
    with pytest.raises(ValueError, match="did you mean 'momentum'"):
        StepperPanel("line", momentun=0.9)
    with pytest.raises(ValueError, match="lines must be in"):
        StepperPanel("line", lines=10**6)
    with pytest.raises(ValueError, match="unknown command 'jump'"):
        StepperPanel("line")._command("jump")


def test_a_page_that_reloads_gets_everything() -> None:
    panel = StepperPanel("line", lines=9)
    say(panel, type="hello")
    assert len(table(panel)) == 10 and coming(panel).startswith("next: line 4")


def test_predictions_are_measured_by_runs_of_their_own() -> None:
    question = Question("five updates without zero_grad()?", lambda panel: -run_updates(
        LoopExperiment("constant_slope", order=(1, 2, 3, 5, 6)), 5).moved / 0.1)
    panel = StepperPanel("constant_slope", questions=[question])
    panel.predict(1, 5)
    assert panel.predictions[0].measured == pytest.approx(15) and "Off" in panel.predictions[0].verdict


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("lines", [0, 5, 6, 40])
def test_the_still_has_the_picture_in_words(problem: str, lines: int) -> None:
    panel = StepperPanel(problem, lines=lines, momentum=0.5)
    still = panel.still()
    assert still.png.startswith(b"\x89PNG") and still.alt == panel.summary
    assert f"After {lines} lines" in still.alt
    arrows = {series["name"] for series in panel.picture["series"] if series["kind"] == "arrow"}
    assert arrows == {"−η·w.grad", "−η·μ·buffer", "Δw"}


def test_the_arrow_of_the_step_reaches_from_the_old_weight_to_the_new_one() -> None:
    panel = StepperPanel("line", lines=6)
    columns = {series["name"]: series["columns"] for series in panel.picture["series"] if series["kind"] == "arrow"}
    x, _, dx, dy = table(panel)[-1, columns["Δw"]]
    assert (x, x + dx, dy) == pytest.approx((0.0, 0.9, 0.0))
    assert np.isnan(table(panel)[5, columns["Δw"]]).any()
    assert table(panel)[5, columns["−η·w.grad"]][2] == pytest.approx(0.9)
