"""Programs of descents end where the descents end: every landscape, every rule, settings changed midway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from program_support import PACES, TOLERANCE, Lion, data_of, differences

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import LANDSCAPES, Landscape, landscape
from weightlab.networks.models import model
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.training.experiment import TrainingExperiment


def slow_rules(place: Landscape, weight_decay: float = 0.0) -> tuple[OptimizerSettings, ...]:
    """Every rule, at rates that suit the steepness where the landscape begins."""
    steepness = float(place.gradient(torch.tensor(place.start, dtype=torch.float64)).norm())
    rate = 0.002 * place.size / steepness
    names = list(UPDATE_RULES)
    slow = {name: optimizer(name, learning_rate=rate, weight_decay=weight_decay) for name in names}
    for name in ("adam", "adamw", "rmsprop"):
        slow[name] = optimizer(name, learning_rate=0.003 * place.size, weight_decay=weight_decay)
    uncorrected = [slow[name].replace(bias_correction=0) for name in ("adam", "adamw")]
    return (*slow.values(), *uncorrected, optimizer(Lion, learning_rate=0.002 * place.size))


@pytest.mark.parametrize("alone", [False, True], ids=["rules side by side", "one rule a program"])
def test_descent_programs_end_where_the_descents_end(alone: bool, tmp_path: Path) -> None:
    experiments = {}
    for number, name in enumerate(LANDSCAPES):
        place, pace = landscape(name), list(PACES.values())[number % len(PACES)]
        rules = slow_rules(place, weight_decay=0.01 * (number % 2))
        halved = tuple(rule.replace(learning_rate=rule.learning_rate / 2) for rule in rules)
        whole = DescentExperiment(place, rules, steps=50, schedule=pace, seed=number, loss_scale=[1.0, 0.5][number % 2])
        experiments[f"plain_{number}"] = whole
        if number % 2:
            experiments[f"changed_{number}"] = whole.replace(changes=((20, halved), (35, rules)))
    if alone:
        experiments = {
            f"{name}_{learner}": one.replace(
                optimizers=one.optimizers[learner],
                changes=tuple((step, (later[learner],)) for step, later in one.changes),
            )
            for name, one in experiments.items()
            for learner in range(len(one.optimizers))
            if (learner + int(name[-1])) % 4 == 0
        }
    found = differences(experiments, tmp_path)
    assert max(found.values()) <= TOLERANCE, {name: gap for name, gap in found.items() if gap > TOLERANCE}


RULE_CHANGES = {
    "momentum switched on": [optimizer("momentum", learning_rate=0.02, momentum=m, dampening=0.3) for m in (0, 0.8, 0)],
    "momentum switched off and on": [optimizer("momentum", learning_rate=0.02, momentum=m) for m in (0.8, 0, 0.5)],
    "momentum of rmsprop": [optimizer("rmsprop", momentum=m) for m in (0, 0.8, 0.0)],
    "averaged momentum": [optimizer("averaged_momentum", learning_rate=0.02, momentum=m) for m in (0.9, 0.5, 0.7)],
    "look-ahead": [optimizer("sutskever_nesterov", learning_rate=0.02, momentum=m) for m in (0.9, 0.5, 0.7)],
    "bias correction": [optimizer("adam", learning_rate=0.02, bias_correction=on) for on in (1, 0, 1)],
    "bias correction of AdamW": [optimizer("adamw", learning_rate=0.02, bias_correction=on) for on in (0, 1, 0)],
    "averages": [optimizer("adam", learning_rate=0.02, beta1=b, eps=e) for b, e in ((0.9, 1e-8), (0.5, 0.1), (0.5, 1))],
    "weight decay": [optimizer("nesterov", learning_rate=0.02, weight_decay=decay) for decay in (0.1, 0, 0.2)],
    "a rate of zero": [optimizer("momentum", learning_rate=rate) for rate in (0, 0.02, 0)],
}


@pytest.mark.parametrize("pace", ["constant", "cosine", "plateau"])
def test_settings_changed_midway_are_in_the_program(pace: str, tmp_path: Path) -> None:
    bowl = landscape("rotated_quadratic", condition_number=5)
    experiments: dict[str, Any] = {}
    for number, (first, second, third) in enumerate(RULE_CHANGES.values()):
        changes: Any = ((10, (second,)), (20, (third,)), (40, (first,)))
        toy = DescentExperiment(bowl, (first,), steps=40, schedule=PACES[pace], changes=changes)
        settings = tuple((at, k, v) for at, one in ((10, second), (20, third)) for k, v in one.settings.items())
        real = TrainingExperiment(
            model("mlp", width=8, activation="tanh"), data_of("digits"), first, schedule=PACES[pace], batch_size=16,
            steps=30, dtype="float64", validate_every=5, changes=settings,
        )  # fmt: skip
        experiments |= {f"toy_{number}": toy, f"real_{number}": real}
    found = differences(experiments, tmp_path)
    assert max(found.values()) <= TOLERANCE, {name: gap for name, gap in found.items() if gap > TOLERANCE}
