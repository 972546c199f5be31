"""Branches on the panels: back to a step, other settings from there on, earlier lines stay on the picture by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from panel_support import say, wait_for

from weightlab.descent.run import descend
from weightlab.playground.panel import TrainingPanel
from weightlab.signals.panel import SignalPanel
from weightlab.toys.panel import MOST_EARLIER, DescentPanel

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


def _toy(**settings: Any) -> DescentPanel:
    return DescentPanel("rotated_quadratic", ("momentum", "adam"), **{"steps": 80, "learning_rate": 0.03} | settings)


def _drawn(panel: Any, view: str) -> list[tuple[str, bool]]:
    return [(series.name, series.dashed) for series in panel._shown.series if series.view == view]


def _line(panel: Any, name: str, view: str = "plane") -> np.ndarray:
    series = next(one for one in panel._shown.series if one.view == view and one.name == name)
    return np.asarray(panel._shown.table[:, list(series.columns)])


def test_a_branch_of_a_toy_goes_on_from_its_step_and_the_line_before_stays() -> None:
    panel = _toy()
    before = panel.record
    record = panel.branch(30, learning_rate=0.01)
    assert torch.equal(record.weights[:31], before.weights[:31]) and not torch.equal(record.weights, before.weights)
    assert torch.equal(record.weights, descend(panel.experiment).weights)
    names = [("Momentum", True), ("Adam", True), ("Momentum, from step 30 η = 0.01", False)]
    assert _drawn(panel, "plane")[:3] == names and len(_drawn(panel, "loss")) == 4
    np.testing.assert_array_equal(_line(panel, "Momentum"), before.weights[:, 0].float().numpy())
    np.testing.assert_array_equal(_line(panel, names[2][0]), record.weights[:, 0].float().numpy())


def test_sliders_move_only_the_branch_and_a_new_start_moves_all() -> None:
    panel = _toy()
    panel.branch(30, learning_rate=0.01)
    trunk = _line(panel, "Momentum")
    panel.set(momentum=0.5)
    np.testing.assert_array_equal(_line(panel, "Momentum"), trunk)
    assert panel.record.labels[0] == "Momentum, from step 30 η = 0.01, μ = 0.5"
    panel.set(start_x=1.5)
    assert panel.record.weights[0, 0, 0] == 1.5 and _line(panel, "Momentum")[0, 0] == 1.5


def test_a_branch_before_the_last_branch_leaves_that_one_behind() -> None:
    panel = _toy()
    panel.branch(50, learning_rate=0.01)
    panel.branch(20, learning_rate=0.02)
    assert [step for step, _ in panel.experiment.changes] == [20]
    names = {name for name, dashed in _drawn(panel, "loss") if dashed}
    assert {"Momentum", "Momentum, from step 50 η = 0.01"} <= names
    panel.branch(60, momentum=0.2)
    assert [step for step, _ in panel.experiment.changes] == [20, 60]


def test_earlier_lines_are_bounded_and_go_when_one_line_is_wanted() -> None:
    panel = _toy(learning_rate=0.02)
    for step in (10, 20, 30, 40, 50):
        panel.branch(step, learning_rate=0.02 + step / 10_000)
    assert sum(dashed for name, dashed in _drawn(panel, "loss") if name.startswith("Momentum")) == MOST_EARLIER
    panel.join()
    assert panel.experiment.changes == () and not any(dashed for _, dashed in _drawn(panel, "loss"))


@pytest.mark.parametrize("step", [0, 80, 1000])
def test_a_branch_from_no_step_of_the_run_is_refused_and_nothing_changes(step: int) -> None:
    panel = _toy()
    before = panel.record
    with pytest.raises(ValueError, match="from 1 to 79"):
        panel.branch(step)
    with pytest.raises(ValueError, match="learning_rate"):
        panel.branch(20, learning_rate=-1.0)
    assert panel.record is before and panel.experiment.changes == () and not panel.transport["branches"]


def test_theory_of_a_branch_is_that_of_its_settings_beside_what_it_did_since() -> None:
    panel = DescentPanel("rotated_quadratic", ("gradient_descent",), steps=200, learning_rate=0.02)
    panel.branch(100, learning_rate=0.15)
    row = panel.reading[0]
    theory, measured = (float(row[side].split()[1]) for side in ("theory", "measured"))
    assert theory == pytest.approx(0.85, abs=1e-4) and measured == pytest.approx(theory, abs=2e-3)


def test_the_page_branches_and_joins() -> None:
    panel = _toy()
    say(panel, type="branch", step=25)
    wait_for(lambda: panel.transport["branches"] == 1)
    assert "step 25" in panel.notice["text"]
    say(panel, type="branch", step=80)
    wait_for(lambda: "from 1 to 79" in panel.notice.get("text", ""))
    say(panel, type="join")
    wait_for(lambda: panel.transport["branches"] == 0)


def test_a_panel_whose_runs_do_not_branch_says_so() -> None:
    panel = SignalPanel(depth=3, width=8)
    with pytest.raises(ValueError, match="do not branch"):
        panel.branch(2)


def _network(**settings: Any) -> TrainingPanel:
    usual: dict[str, Any] = {"dataset": "moons", "depth": 2, "width": 8, "batch_size": 16}
    usual |= {"rule": "momentum", "learning_rate": 0.05}
    return TrainingPanel(steps=120, **usual | settings)


def _traces(panel: TrainingPanel) -> dict[str, Any]:
    assert panel._shown is not None
    return {one.name: one.points for one in panel._shown.references if one.kind == "trace"}


def test_the_run_before_stays_on_the_picture_of_the_branch() -> None:
    panel = _network()
    trunk = panel.run()
    panel.branch(70, learning_rate=0.3)
    traces = _traces(panel)
    losses = traces["training loss without the branch at 70"]
    np.testing.assert_allclose(losses[:, 1], trunk.losses.numpy()[losses[:, 0].astype(int)])
    assert losses[-1, 0] == 119 and "validation loss without the branch at 70" in traces
    panel.join()
    assert not _traces(panel)
    assert panel._training is not None and panel._training.steps_done == 70


def test_a_branch_of_a_real_run_is_refused_where_it_cannot_be() -> None:
    panel = _network()
    with pytest.raises(ValueError, match="press Start first"):
        panel.branch(10)
    panel.run(50)
    with pytest.raises(ValueError, match="from 1 to 50"):
        panel.branch(51)
    with pytest.raises(ValueError, match="another depth"):
        panel.branch(10, depth=5)
    assert panel._training is not None and panel._training.steps_done == 50 and panel.values["depth"] == 2
