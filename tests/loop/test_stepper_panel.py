"""The stepper panel without a browser: Step runs one line, switches make mistakes, bad input is explained."""

from __future__ import annotations

import pytest
import torch
from panel_support import say, table

from weightlab.loop.panel import LAST_LINE, StepperPanel
from weightlab.loop.problems import PROBLEMS
from weightlab.loop.run import LoopExperiment, load_optimizers, run_loop
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


def test_the_loop_ends_at_its_last_line() -> None:
    panel = StepperPanel("constant_slope", lines=LAST_LINE - 1)
    press(panel, "step", 3)
    assert len(panel.record.lines) == LAST_LINE + 1 and panel.transport["state"] == "finished"
    panel.set(learning_rate=0.05)
    assert panel.transport["state"] == "finished"
