"""What of an experiment on a toy landscape the controls of a descent panel say, and what they cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weightlab.descent.experiment import DescentExperiment
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings

START = ("start_x", "start_y")


def shares_momentum(rule: str) -> bool:
    """Whether the momentum control is this rule's; RMSprop's own stays off, as in torch.optim."""
    return "momentum" in UPDATE_RULES[rule].sliders


def rule_name(settings: OptimizerSettings) -> str:
    """What a panel calls it: the rule's name, a class's own."""
    return settings.rule if isinstance(settings.rule, str) else settings.label


def peculiar_rules(optimizers: Sequence[OptimizerSettings]) -> dict[str, OptimizerSettings]:
    """By name those that say more than the controls of learning rate and momentum can."""
    found = {}
    for one in optimizers:
        if not isinstance(one.rule, str):
            found[one.label] = one  # of a class all settings but the learning rate
            continue
        free = {"learning_rate", "momentum"} if shares_momentum(one.rule) else {"learning_rate"}
        usual = UPDATE_RULES[one.rule].defaults
        if any(value != usual[name] for name, value in one.settings.items() if name not in free):
            found[one.rule] = one
    return found


def control_values(
    experiment: DescentExperiment, last: Sequence[OptimizerSettings], values: Mapping[str, Any]
) -> dict[str, Any]:
    """What the controls among `values` must show for this experiment, as far as they can."""
    land, start = experiment.landscape, experiment.start or (0.0, 0.0)
    found: dict[str, Any] = {"landscape": land.name, "steps": experiment.steps, "loss_scale": experiment.loss_scale}
    found |= dict(land.settings) | dict(zip(START, start, strict=True))
    for one in last:
        found |= {f"learning_rate_{rule_name(one)}": one.settings.get("learning_rate")}
        found |= dict(one.settings)
    return {name: value for name, value in found.items() if name in values}
