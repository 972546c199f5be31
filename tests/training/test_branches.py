"""A run that branches off another one equals a run with those settings from that step on, to the last bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.networks.own_model import model_from_module
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.groups import ParameterGroup
from weightlab.training.run import Training

MOONS = dataset("moons", samples=90)


def _dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, 2))


CASES: dict[str, dict[str, Any]] = {
    "momentum": {"optimizer": optimizer("momentum", learning_rate=0.05)},
    "Adam with plateau": {
        "optimizer": optimizer("adam", learning_rate=0.02),
        "schedule": schedule("plateau", patience=1, factor=0.7),
        "validate_every": 7,
    },
    "look-ahead": {"optimizer": optimizer("sutskever_nesterov", learning_rate=0.05)},
    "batch norm": {
        "model": model("mlp", depth=3, width=8, batch_norm=True, residual=True),
        "optimizer": optimizer("rmsprop", learning_rate=0.01),
        "schedule": schedule("cosine", half_cycle=80),
    },
    "torch.optim": {"optimizer": optimizer(torch.optim.NAdam, learning_rate=0.01)},
    "Muon and AdamW": {
        "optimizer": optimizer("muon", learning_rate=0.02),
        "schedule": schedule("cosine", half_cycle=80),
    },
    "Muon and NAdam as classes": {
        "optimizer": optimizer(torch.optim.Muon, learning_rate=0.02, rest=optimizer(torch.optim.NAdam)),
    },
    "groups": {
        "optimizer": optimizer("adamw", learning_rate=0.01),
        "groups": (ParameterGroup("first", frozen=True), ParameterGroup("biases", rate_factor=0.1, weight_decay=0.0)),
    },
    "groups of Muon": {
        "optimizer": optimizer("muon", learning_rate=0.02, rest=optimizer("sutskever_nesterov")),
        "groups": (ParameterGroup("output", rate_factor=0.1), ParameterGroup("hidden", weight_decay=0.0)),
    },
    "groups of a class": {
        "optimizer": optimizer(torch.optim.NAdam, learning_rate=0.01),
        "groups": (ParameterGroup("biases", rate_factor=0.1), ParameterGroup("output", frozen=True)),
    },
    "dropout": {"model": model_from_module(_dropping, name="dropping")},
    "all at once": {"batch_size": None, "schedule": schedule("warmup", warmup_steps=30)},
    "plateau without validation": {
        "dataset": dataset("moons", samples=60, validation_fraction=0.0),
        "schedule": schedule("plateau", patience=0, factor=0.8),
        "validate_every": 3,
    },
    "GRU": {
        "model": model("gru", width=6),
        "dataset": dataset("digits"),
        "batch_size": 32,
    },
}


def _experiment(**settings: Any) -> TrainingExperiment:
    usual: dict[str, Any] = {
        "model": model("mlp", depth=2, width=8),
        "dataset": MOONS,
        "optimizer": optimizer("momentum", learning_rate=0.05),
        "batch_size": 16,
        "steps": 90,
    }
    return TrainingExperiment(**usual | settings)


def _finish(training: Training) -> Training:
    for _ in training:
        pass
    return training


def _same(one: Training, other: Training) -> None:
    for name, parameter in one.network.state_dict().items():
        assert torch.equal(parameter, other.network.state_dict()[name]), name
    first, second = one.record(), other.record()
    for field in dataclasses.fields(first):
        here, there = getattr(first, field.name), getattr(second, field.name)
        equal = torch.equal(here, there) if isinstance(here, torch.Tensor) else here == there
        assert equal or (isinstance(here, torch.Tensor) and torch.allclose(here, there, equal_nan=True)), field.name


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("step", [16, 53])  # at a checkpoint, and between two
def test_a_branch_equals_the_run_with_those_settings_from_the_start(name: str, step: int) -> None:
    experiment = _experiment(**CASES[name])
    trunk = _finish(Training(experiment, keep_checkpoints=True))
    change = {"learning_rate": 0.011, "clip_norm": 0.5}
    branch = trunk.branch(step, **change)
    assert branch.steps_done == step and branch.status is None
    whole = Training(experiment.replace(changes=tuple((step, key, value) for key, value in change.items())))
    _same(_finish(branch), _finish(whole))


def test_a_branch_goes_on_from_the_nearest_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = _finish(Training(_experiment(), keep_checkpoints=True))
    taken: list[int] = []
    step = Training.step

    def noted(training: Training) -> bool:
        taken.append(training.steps_done)
        return step(training)

    monkeypatch.setattr(Training, "step", noted)
    trunk.branch(70, learning_rate=0.01)
    assert taken == list(range(64, 70))


def test_a_branch_leaves_the_trunk_as_it_was_and_keeps_its_earlier_changes() -> None:
    trunk = Training(_experiment(), keep_checkpoints=True)
    for _ in range(60):
        if trunk.steps_done == 20:
            trunk.change(learning_rate=0.02)
        if trunk.steps_done == 50:
            trunk.change(momentum=0.5)
        trunk.step()
    before = trunk.record()
    branch = _finish(trunk.branch(40, momentum=0.1))
    assert branch.changes == [(20, "learning_rate", 0.02), (40, "momentum", 0.1)]
    assert torch.equal(trunk.record().weight_paths, before.weight_paths) and trunk.steps_done == 60
    again = _finish(branch.branch(30))
    assert again.changes == [(20, "learning_rate", 0.02)]


def test_a_branch_of_a_run_that_diverged_can_save_it() -> None:
    trunk = _finish(Training(_experiment(changes=((30, "learning_rate", 1e3),)), keep_checkpoints=True))
    assert trunk.status is not None and trunk.status.kind == "diverged"
    saved = _finish(trunk.branch(30, learning_rate=1e-3))
    assert saved.status is not None and saved.status.kind == "finished"


def test_a_branch_from_a_step_that_was_not_reached_is_refused() -> None:
    trunk = Training(_experiment())
    trunk.step()
    with pytest.raises(ValueError, match="has not come further"):
        trunk.branch(2)
    with pytest.raises(ValueError, match="learning_rate"):
        trunk.branch(1, learning_rate=-1.0)
