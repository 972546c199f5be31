"""Parameter groups and a rule for matrices on the live panel: text and program repeat the run that is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from panel_support import say
from program_support import TOLERANCE, differences

from weightlab.playground.panel import TrainingPanel
from weightlab.rules.update_rules import optimizer
from weightlab.texts.experiments import from_text
from weightlab.training.groups import ParameterGroup
from weightlab.training.run import train

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")
SMALL: dict[str, Any] = {"controls": "all", "depth": 2, "width": 6, "batch_size": 16, "steps": 20}
CASES: dict[str, dict[str, Any]] = {
    "muon": {"rule": "muon", "learning_rate": 0.02, "rest_rate": 0.003},
    "biases without decay": {"rule": "adamw", "group": "biases_without_decay"},
    "a slower first layer": {"rule": "momentum", "group": "first", "group_rate": 0.1},
    "a frozen layer": {"rule": "adam", "group": "hidden", "group_frozen": True},
    "muon and a group": {"rule": "muon", "group": "output", "group_rate": 2.0},
}


@pytest.mark.parametrize("case", CASES)
def test_a_live_run_is_the_experiments_and_its_text_and_program_repeat_it(case: str, tmp_path: Path) -> None:
    panel = TrainingPanel(**SMALL, **CASES[case])
    record = panel.run()
    assert torch.equal(record.weight_paths, train(panel.experiment).weight_paths)
    assert from_text(panel.text) == panel.experiment
    assert TrainingPanel.from_text(panel.text, controls="all").values == panel.values
    exact = panel.experiment.replace(dtype="float64")
    assert differences({"run": exact}, tmp_path)["run"] <= TOLERANCE
    assert all(f"{name}=" in repr(panel) for name in CASES[case] if name.startswith("group"))


def test_controls_of_a_group_play_a_part_only_where_there_is_one() -> None:
    panel = TrainingPanel(**SMALL)
    assert {"rest_rate", "group_rate", "group_frozen"} <= set(panel.unused)
    assert "group" not in panel.unused and "group" not in repr(panel) and "rest_rate" not in repr(panel)
    panel.set(group="biases", rule="adamw")
    assert not {"group_rate", "group_frozen"} & set(panel.unused)
    panel.set(group_frozen=True)
    assert "group_rate" in panel.unused and "group_frozen" not in panel.unused
    panel.set(group_frozen=False, group="norms_without_decay", batch_norm=True)
    assert panel.experiment.groups == (ParameterGroup("norms", weight_decay=0.0),)
    panel.set(group="none")
    assert panel.experiment.groups == ()


def test_a_group_that_the_network_lacks_is_refused_and_the_run_stays() -> None:
    panel = TrainingPanel(**SMALL)
    panel.run()
    before = panel.record
    say(panel, type="set", values={"group": "norms"}, seq=1)
    assert panel.notice["kind"] == "error" and "norms" in panel.notice["text"]
    assert panel.record is before and panel.values["group"] == "none"
    panel.set(batch_norm=True, group="norms")
    assert panel.experiment.groups == (ParameterGroup("norms"),)


def test_a_learners_rule_brings_its_own_rest() -> None:
    mine = optimizer(torch.optim.Muon, learning_rate=0.02, rest=optimizer("adamw", learning_rate=0.005))
    panel = TrainingPanel(**SMALL, rule=mine)
    assert panel.values["rest_rate"] == 0.005 and panel.experiment.optimizer == mine
    panel.set(rest_rate=0.01)
    assert panel.experiment.optimizer.rest.learning_rate == 0.01  # type: ignore[union-attr]
