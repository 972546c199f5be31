"""The panel of imbalanced data without a browser: a pair of runs, a threshold that trains nothing, live changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from panel_support import columns, say, wait_for

from weightlab.imbalance.panel import ImbalancePanel
from weightlab.imbalance.picture import CELLS
from weightlab.imbalance.run import ImbalanceExperiment, train_imbalanced
from weightlab.theory import imbalance as theory

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

QUICK: dict[str, Any] = {"steps": 15, "pace": 5000.0, "ratio": 20.0}


def test_both_networks_are_the_plain_runs_of_their_experiments() -> None:
    panel = ImbalancePanel(technique="smote", **QUICK)
    alone = [ImbalanceExperiment(technique=name, ratio=20, steps=15) for name in ("none", "smote")]
    expected = train_imbalanced(alone, evaluate_every=1)
    assert torch.equal(panel.record.logits, expected.logits) and torch.equal(panel.record.pulls, expected.pulls)
    np.testing.assert_allclose(columns(panel, "share", "SMOTE")[1:, 0], expected.shares[:, 1], rtol=1e-6)
    np.testing.assert_allclose(columns(panel, "share", "no technique")[1:, 0], expected.shares[:, 0], rtol=1e-6)


@pytest.mark.parametrize("threshold", [0.001, 0.05, 0.5, 0.999])
def test_the_threshold_moves_over_curve_and_matrix_and_trains_nothing(threshold: float) -> None:
    panel = ImbalancePanel(technique="class_weights", **{**QUICK, "steps": 60})
    training, steps = panel._training, panel._training.steps_done
    say(panel, type="set", values={"threshold": threshold}, seq=3)
    assert panel._training is training and training is not None and training.steps_done == steps
    assert panel.picture["seq"] == 3 and panel.transport["state"] == "finished"
    result = panel.record.scores(20, threshold)
    cells = columns(panel, "matrix", "class weights")[-1]
    assert cells.sum() == pytest.approx(1000, rel=1e-5) and len(cells) == len(CELLS)
    assert cells[0] == pytest.approx(1000 / 21 * result.recall[1].item(), abs=1e-3)
    assert cells[2] == pytest.approx(1000 * 20 / 21 * result.false_alarm_rate[1].item(), abs=1e-3)
    if threshold == 0.999:
        return  # no alarm, no point
    recall, precision = columns(panel, "curve", "class weights")[-1]
    np.testing.assert_allclose([recall, precision], [result.recall[1], result.precision[1]], rtol=1e-5)


def test_a_threshold_without_any_alarm_is_said_in_words() -> None:
    panel = ImbalancePanel(ratio=200, steps=100, threshold=0.999)
    assert "No alarm at all: all 5.0 rare cases in 1,000 are missed" in panel.reading[-1]["verdict"]
    assert not [series for series in panel.picture["series"] if series["view"] == "curve"]
    assert panel.still().png.startswith(b"\x89PNG")


def test_a_technique_chosen_in_a_pause_acts_from_the_next_update_on() -> None:
    panel = ImbalancePanel(steps=60, pace=10.0)
    panel._receive(panel, {"type": "command", "name": "reset", "seq": 1}, [])
    wait_for(lambda: len(panel.record.pulls) >= 2 and panel.transport["state"] == "running")
    say(panel, type="command", name="pause", seq=2)
    done = panel._training.steps_done
    say(panel, type="set", values={"technique": "class_weights"}, seq=3)
    assert f"Goes on with class weights from update {done}" in panel.notice["text"]
    assert panel._training.steps_done == done
    record = panel.run()
    assert torch.equal(record.pulls[:done, 0], record.pulls[:done, 1])  # the same network until then
    assert record.share(done, done + 10)[1] > record.share(done, done + 10)[0] + 0.1
    assert [r["label"] for r in panel.picture["references"] if r["label"]][-1] == "class weights"


def test_a_cost_acts_on_training_only_where_the_technique_uses_it() -> None:
    panel = ImbalancePanel(technique="none", **QUICK)
    assert panel.unused == ["cost_ratio"]
    training = panel._training
    panel.set(cost_ratio=3.0)
    assert panel._training is training
    panel.set(technique="cost_matrix")
    assert panel.unused == [] and panel._training is not training
    weights = panel._training.sets[1].weights
    assert weights[1] / weights[0] == pytest.approx(3.0)
    cost = panel.record.scores(20).cost(miss=3.0)[1].item()
    assert f"Cost {cost:.0f}, where a miss costs 3 false alarms" in panel.reading[-1]["verdict"]


def test_the_reading_puts_theory_beside_what_was_measured() -> None:
    panel = ImbalancePanel(ratio=50)
    rows = {row["label"]: row for row in panel.reading if row["label"]}
    untrained = rows["share of the rare, untrained"]
    assert float(untrained["theory"]) == pytest.approx(theory.starting_share(974 / 19), abs=5e-4)
    assert float(untrained["measured"]) == pytest.approx(panel.untrained_share, abs=5e-4)
    without = rows["batches without a rare example"]
    assert float(without["measured"]) == pytest.approx(float(without["theory"]), abs=0.1)
    assert float(rows["accuracy (theory: never “rare”)"]["theory"]) == 0.98
