"""Programs of runs with parameter groups and with a rule of its own for the matrices end with the runs' weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from program_support import PACES, STEPS, TOLERANCE, Lion, data_of, differences
from reliability import Record
from torch import Tensor, nn

from weightlab.networks.models import model
from weightlab.networks.own_model import model_from_module
from weightlab.programs.experiments import program_of
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.surfaces.sharpness_program import sharpness_program
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.groups import ParameterGroup

FROZEN = ParameterGroup("first", frozen=True)
GROUPS = (FROZEN, ParameterGroup("biases", weight_decay=0.0), ParameterGroup("hidden", 0.1, weight_decay=0.03))
MUON = optimizer("muon", learning_rate=0.02, rest=optimizer("adamw", learning_rate=3e-3))


class Wide(nn.Module):
    """Parameters beside the layers, and one that no gradient reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))
        self.idle = nn.Parameter(torch.ones(3))
        self.one = nn.Linear(2, 8)
        self.two = nn.Linear(8, 8, bias=False)
        self.norm = nn.LayerNorm(8)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.norm(self.two(torch.tanh(self.one(x + self.shift)))))
        logits: Tensor = self.last(h)
        return logits


def run(**changes: Any) -> TrainingExperiment:
    settings: dict[str, Any] = {
        "model": model("mlp", depth=3, width=8), "dataset": data_of("digits"), "groups": GROUPS, "batch_size": 16,
        "optimizer": optimizer("momentum", learning_rate=0.01), "steps": STEPS, "dtype": "float64", "validate_every": 8,
    }  # fmt: skip
    return TrainingExperiment(**{**settings, **changes})


def slow(rule: str) -> Any:
    return optimizer(rule, learning_rate=0.002, weight_decay=1e-3)


ALL = {f"groups with {rule}": run(optimizer=slow(rule)) for rule in UPDATE_RULES}
ALL |= {f"groups paced by {pace}": run(schedule=PACES[pace]) for pace in PACES}
ALL |= {f"Muon paced by {pace}": run(groups=(), optimizer=MUON, schedule=PACES[pace]) for pace in PACES}
ALL |= {
    "decay where the rule has none": run(optimizer=optimizer("classical_momentum", learning_rate=0.01)),
    "changed midway": run(changes=((9, "learning_rate", 0.004), (9, "weight_decay", 0.1), (17, "momentum", 0.5))),
    "changed midway, paced": run(schedule=schedule("cosine", half_cycle=30), changes=((9, "learning_rate", 0.004),)),
    "changed midway, Muon": run(groups=(), optimizer=MUON, changes=((9, "learning_rate", 0.1), (9, "momentum", 0.5))),
    "penalized and clipped": run(l1=1e-4, l2=1e-3, clip_norm=0.5),
    "equal rates, paced": run(groups=GROUPS[:2], schedule=schedule("step", step_size=7)),
    "only frozen": run(groups=(FROZEN,)),
    "only frozen, searching": run(
        groups=(FROZEN,), batch_size=None, clip_value=0.02, l2=1e-3,
        optimizer=optimizer(torch.optim.LBFGS, learning_rate=0.02, max_iter=3),
    ),
    "a class": run(optimizer=optimizer(torch.optim.NAdam, learning_rate=0.002)),
    "a class of one's own": run(
        optimizer=optimizer(Lion, learning_rate=0.001), groups=(FROZEN, ParameterGroup("hidden", 0.1))
    ),
    "groups of Muon": run(optimizer=MUON),
    "Muon and a class of one's own": run(groups=(), optimizer=optimizer("muon", rest=optimizer(Lion))),
    "Muon and a look-ahead": run(groups=GROUPS[2:], optimizer=optimizer("muon", rest=optimizer("sutskever_nesterov"))),
    "two classes": run(groups=(), optimizer=optimizer(torch.optim.Muon, rest=optimizer(torch.optim.NAdam))),
    "Muon with settings": run(
        groups=(), optimizer=optimizer("muon", nesterov=0, ns_steps=3, match_rms_adamw=1, weight_decay=0.0)
    ),
    "cnn with batch norm": run(
        model=model("cnn", depth=2, width=4, batch_norm=True),
        groups=(ParameterGroup("norms", frozen=True), ParameterGroup("output", 0.5)),
    ),
    "lstm": run(
        model=model("lstm", width=6, depth=2), groups=(ParameterGroup("layer 2", 0.5), ParameterGroup("biases"))
    ),
    "own network": run(
        model=model_from_module(Wide), dataset=data_of("moons"), l2=1e-3, groups=(FROZEN, ParameterGroup("norms", 0.5))
    ),
}  # fmt: skip


def test_programs_with_groups_and_with_muon_end_with_the_runs_weights(tmp_path: Path, record_property: Record) -> None:
    named = {f"run_{number:02d}": experiment for number, experiment in enumerate(ALL.values())}
    found = dict(zip(ALL, differences(named, tmp_path).values(), strict=True))
    too_far = {name: gap for name, gap in found.items() if not gap <= TOLERANCE}
    assert not too_far, too_far
    record_property("difference", max(found.values()))


def test_groups_are_written_as_pytorchs_users_write_them() -> None:
    text = program_of(run(optimizer=optimizer("adamw", learning_rate=0.01)))
    assert """parameters = list(model.parameters())
for p in parameters[:2]:  # first
    p.requires_grad_(False)
groups = [
    {"params": [parameters[3], parameters[5], parameters[7]], "weight_decay": 0.0},  # biases
    {"params": [parameters[2], parameters[4]], "lr": 0.1 * 0.01, "weight_decay": 0.03},  # hidden
    {"params": [parameters[6]]},  # all others
]
optimizer = torch.optim.AdamW(groups, lr=0.01)
""" in text


def test_muon_is_written_with_the_optimizer_for_the_rest() -> None:
    text = program_of(run(groups=(), optimizer=MUON, schedule=schedule("step", step_size=7)))
    assert text.startswith('"""Handwritten digits, 8×8: Multilayer perceptron, Muon and AdamW."""')
    for part in (
        "optimizer = torch.optim.Muon([p for p in model.parameters() if p.ndim == 2], lr=lr)\n"
        "rest = torch.optim.AdamW([p for p in model.parameters() if p.ndim != 2], lr=0.003)\n",
        '    optimizer.param_groups[0]["lr"] = lr * factor(step)\n'
        '    rest.param_groups[0]["lr"] = 0.003 * factor(step)\n'
        "    optimizer.zero_grad()\n"
        "    rest.zero_grad()\n",
        "    optimizer.step()\n    rest.step()\n",
    ):
        assert part in text


def test_a_program_that_needs_every_gradient_refuses_what_is_frozen() -> None:
    with pytest.raises(ValueError, match="no group may be frozen here, got 'first'; see program_of"):
        sharpness_program(run())
