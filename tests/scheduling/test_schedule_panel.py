"""The schedule panel without a browser: every control at both ends, other schedules, bad input, theory beside runs."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from panel_support import columns, ends, say
from refusals import refusals

from weightlab.rules.schedules import SCHEDULES
from weightlab.scheduling.panel import SchedulePanel
from weightlab.scheduling.picture import RUNS

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_is_drawn_with_its_rate_and_its_mean(name: str) -> None:
    panel = SchedulePanel(name, steps=100)
    record = panel.record["gradient_descent"]
    np.testing.assert_allclose(columns(panel, "rate", "learning rate")[:-1, -1], record.learning_rates[:, 0], rtol=1e-6)
    np.testing.assert_allclose(columns(panel, "loss", f"mean of {RUNS} runs")[:, -1], record.mean_losses, rtol=1e-5)
    assert panel.reading[-1]["verdict"] and panel.still().png.startswith(b"\x89PNG")
    assert SCHEDULES[name].label in panel.summary


@pytest.mark.parametrize("rules", [("gradient_descent",), ("momentum", "classical_momentum")])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_control_works_at_both_ends(name: str, rules: tuple[str, ...]) -> None:
    panel = SchedulePanel(name, rules, steps=40)
    for control in [one for one in panel.controls if one["name"] not in panel.unused]:
        for value in (*ends(control), panel.values[control["name"]]):
            say(panel, type="set", values={control["name"]: value}, seq=1)
            assert not panel.notice, (control["name"], value, panel.notice)
            assert panel.values[control["name"]] == value and panel.reading[-1]["verdict"]
            assert bool(torch.isfinite(panel.record[rules[0]].learning_rates).all())


def test_the_sliders_of_other_schedules_are_not_shown() -> None:
    panel = SchedulePanel("step")
    assert {"gamma", "step_size"}.isdisjoint(panel.unused) and {"half_cycle", "power", "patience"} <= set(panel.unused)
    assert "step_size=100" in repr(panel) and "half_cycle" not in repr(panel)


def test_another_schedule_takes_its_own_defaults_unless_they_are_given() -> None:
    panel = SchedulePanel("step", gamma=0.1)
    assert panel.values["gamma"] == 0.1
    say(panel, type="set", values={"schedule": "exponential"}, seq=1)
    assert panel.values["gamma"] == 0.99
    panel.set(schedule="step", gamma=0.3)
    assert panel.values["gamma"] == 0.3 and panel.values["step_size"] == 100
    panel.set(schedule="step")  # the same again changes nothing
    assert panel.values["gamma"] == 0.3


def test_the_reading_sets_theory_beside_the_mean_of_the_runs() -> None:
    panel = SchedulePanel("constant", learning_rate=0.2)
    loss, floor = panel.reading[0], panel.reading[1]
    assert loss["theory"] == floor["theory"] == "0.0317" and loss["measured"].startswith("0.032")
    assert "on the noise floor" in panel.reading[-1]["verdict"]
    panel.set(schedule="cosine")
    assert re.search(r"ends at 0\.\d+ of the noise floor", panel.reading[-1]["verdict"])
    panel.set(schedule="exponential", gamma=0.8)
    assert "has not arrived" in panel.reading[-1]["verdict"]
    panel.set(schedule="plateau")
    assert panel.reading[0]["theory"] == "–"


def test_a_move_of_the_minimum_is_drawn_and_read() -> None:
    panel = SchedulePanel("cosine", move_at=200)
    assert [row for row in panel.reading if row["label"].startswith("left of the move")][0]["theory"] == "17%"
    assert "from step 200 on" in [reference["label"] for reference in panel.picture["references"]]
    panel.set(move_at=0)
    assert len(panel.reading) == 3


def test_divergence_is_explained_with_the_limit() -> None:
    panel = SchedulePanel("constant", learning_rate=2.0, condition_number=10.0)
    assert re.search(r"200 of 200 runs diverged: η reaches 2, .* below 0\.2", panel.reading[-1]["verdict"])
    panel.set(learning_rate=0.8, schedule="triangular", condition_number=3.0)
    assert "η reaches 0.8, and a constant rate must stay below 0.667" in panel.reading[-1]["verdict"]
    assert any(reference["label"] == "diverges beyond 0.667" for reference in panel.picture["references"])


def test_two_rules_share_noise_and_rate_and_part_at_a_cut() -> None:
    panel = SchedulePanel(
        "step", ("momentum", "classical_momentum"), learning_rate=0.02, momentum=0.9, step_size=50, gamma=0.1
    )
    one, two = panel.record.values()
    # of a schedule's first 50 steps all are at one rate, and there the two are one path
    torch.testing.assert_close(one.weights[:51], two.weights[:51], rtol=1e-9, atol=1e-12)
    assert float(two.mean_losses[60]) > float(two.mean_losses[50]) > float(one.mean_losses[60])


def test_a_rule_without_theory_is_run_and_says_so() -> None:
    panel = SchedulePanel("cosine", ("adam",), learning_rate=0.1)
    assert panel.reading[0]["theory"] == "–" and "no noise floor to reach" in panel.reading[-1]["verdict"]


test_bad_arguments_name_the_nearest_right_ones = refusals(SchedulePanel, {
    "did you mean 'cosine'": {"schedule": "cosin"},
    "did you mean 'momentum'": {"rules": ("momentun",)},
    "at least one rule": {"rules": ()},
    "unknown setting 'momentum'": {"momentum": 0.5},
})
