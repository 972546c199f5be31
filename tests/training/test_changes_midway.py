"""Settings changed midway: an experiment holds them, runs apply them at their step, PyTorch's optimizers agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.descent.run import descend, descend_all
from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training, train

BOWL = landscape("rotated_quadratic", condition_number=20)
FIRST: dict[str, dict[str, Any]] = {
    "gradient_descent": {"learning_rate": 0.02},
    "momentum": {"learning_rate": 0.01, "momentum": 0.0},
    "nesterov": {"learning_rate": 0.01, "momentum": 0.5},
    "rmsprop": {"learning_rate": 0.02},
    "adam": {"learning_rate": 0.05},
    "adamw": {"learning_rate": 0.05},
}
LATER: dict[str, dict[str, Any]] = {
    "gradient_descent": {"learning_rate": 0.05, "weight_decay": 0.1},
    "momentum": {"learning_rate": 0.02, "momentum": 0.9},
    "nesterov": {"learning_rate": 0.02, "momentum": 0.9},
    "rmsprop": {"learning_rate": 0.1, "alpha": 0.5},
    "adam": {"learning_rate": 0.2, "beta1": 0.5},
    "adamw": {"learning_rate": 0.2, "beta2": 0.9},
}


def _as_in_pytorch(rule: str, first: OptimizerSettings, later: OptimizerSettings, turn: int, steps: int) -> list[Any]:
    weights = torch.nn.Parameter(torch.tensor(BOWL.start, dtype=torch.float64))
    equivalent = UPDATE_RULES[rule].torch_equivalent
    name, arguments = equivalent(first.settings) or ("", {})
    moved = getattr(torch.optim, name)([weights], **arguments)
    path = [weights.detach().clone()]
    for step in range(steps):
        if step == turn:
            moved.param_groups[0].update((equivalent(later.settings) or ("", {}))[1])
        moved.zero_grad()
        BOWL.loss(weights).backward()
        moved.step()
        path.append(weights.detach().clone())
    return path


@pytest.mark.parametrize("rule", FIRST)
def test_a_rule_changed_midway_walks_as_pytorchs_does(rule: str) -> None:
    first, later = optimizer(rule, **FIRST[rule]), optimizer(rule, **LATER[rule])
    changed = DescentExperiment(BOWL, (first,), steps=60, changes=((25, (later,)),))
    expected = torch.stack(_as_in_pytorch(rule, first, later, 25, 60))
    torch.testing.assert_close(descend(changed).weights[:, 0], expected, rtol=1e-12, atol=1e-12)


def test_until_the_change_nothing_differs_and_from_there_on_it_does() -> None:
    rules = (optimizer("adam", learning_rate=0.1), optimizer("momentum", learning_rate=0.01))
    later = (optimizer("adam", learning_rate=0.5), optimizer("momentum", learning_rate=0.02, momentum=0.5))
    plain = DescentExperiment(BOWL, rules, steps=50)
    before, after = descend(plain), descend(plain.replace(changes=((20, later),)))
    assert torch.equal(before.weights[:21], after.weights[:21])
    assert not torch.isclose(before.weights[21], after.weights[21]).any()
    assert after.learning_rates[19].tolist() == [0.1, 0.01] and after.learning_rates[20].tolist() == [0.5, 0.02]


def test_side_by_side_a_changed_learner_walks_as_it_does_alone() -> None:
    first = tuple(optimizer("momentum", learning_rate=0.02, momentum=share) for share in (0.0, 0.5, 0.9))
    later = tuple(optimizer("momentum", learning_rate=0.03, momentum=share) for share in (0.9, 0.0, 0.5))
    again = tuple(optimizer("momentum", learning_rate=0.01, momentum=share) for share in (0.5, 0.8, 0.0))
    together = descend(DescentExperiment(BOWL, first, steps=60, changes=((20, later), (40, again))))
    for i in range(3):
        changes = ((20, (later[i],)), (40, (again[i],)))
        alone = descend(DescentExperiment(BOWL, (first[i],), steps=60, changes=changes))
        assert torch.equal(together.weights[:, i], alone.weights[:, 0])


def test_a_schedule_scales_the_changed_rate_and_plateau_keeps_its_count() -> None:
    first, later = (optimizer("momentum", learning_rate=0.01),), (optimizer("momentum", learning_rate=0.03),)
    steps = DescentExperiment(BOWL, first, steps=30, schedule=schedule("step", step_size=10), changes=((15, later),))
    rates = descend(steps).learning_rates[:, 0].tolist()
    assert rates[5] == 0.01 and rates[12] == 0.005 and rates[17] == 0.015 and rates[25] == 0.0075
    waiting = steps.replace(schedule=schedule("plateau", patience=3), steps=120)
    constant = waiting.replace(schedule=schedule("constant"))
    factors = descend(waiting).learning_rates[:, 0] / descend(constant).learning_rates[:, 0]
    assert (factors.diff() <= 0).all() and factors[-1] < 1


def test_a_class_of_torch_optim_changes_midway_too() -> None:
    first, later = (optimizer(torch.optim.Adagrad, learning_rate=0.1) for _ in range(2))
    later = later.replace(learning_rate=0.7)
    record = descend(DescentExperiment(BOWL, (first,), steps=20, changes=((10, (later,)),)))
    assert record.learning_rates[:, 0].tolist() == [0.1] * 10 + [0.7] * 10
    same = descend(DescentExperiment(BOWL, (first,), steps=20))
    assert torch.equal(record.weights[:11], same.weights[:11])
    assert not torch.equal(record.weights[11], same.weights[11])


def test_a_label_says_what_changed_and_when() -> None:
    first = (optimizer("momentum", learning_rate=0.01), optimizer("adam", learning_rate=0.01))
    later = (optimizer("momentum", learning_rate=0.02, momentum=0.5), first[1])
    labels = DescentExperiment(BOWL, first, changes=((7, later),)).labels
    assert labels == ("Momentum, from step 7 η = 0.02, μ = 0.5", "Adam")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (3, "changes must be a tuple of"),
        (((0, (optimizer("adam"),)),), r"in \[1, "),
        (((5, (optimizer("adam"),)), (5, (optimizer("adam"),))), r"in \[6, "),
        (((5, (optimizer("momentum"),)),), "keeps the rules"),
    ],
)
def test_a_bad_change_of_a_descent_is_refused_in_words(changes: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        DescentExperiment(BOWL, (optimizer("adam"),), changes=changes)


def test_a_fan_does_not_take_changes() -> None:
    one = DescentExperiment(BOWL, (optimizer("adam"),), changes=((5, (optimizer("adam", learning_rate=0.1),)),))
    with pytest.raises(ValueError, match="change midway"):
        descend_all([one])


def _training(**changes: Any) -> TrainingExperiment:
    data = dataset("moons", samples=80)
    settings: dict[str, Any] = {"optimizer": optimizer("momentum", learning_rate=0.05, momentum=0.0)} | changes
    return TrainingExperiment(model("mlp", depth=2, width=6), data, steps=40, batch_size=16, **settings)


def test_a_run_of_an_experiment_with_changes_equals_changing_it_by_hand() -> None:
    changes = ((10, "momentum", 0.9), (10, "learning_rate", 0.02), (20, "clip_norm", 0.1), (30, "l2", 0.01))
    record = train(_training(changes=changes))
    by_hand = Training(_training())
    for step in range(40):
        for at, name, value in changes:
            if at == step:
                by_hand.change(**{name: value})
        by_hand.step()
    assert torch.equal(record.weight_paths, by_hand.record().weight_paths)
    assert torch.equal(record.losses, by_hand.record().losses)
    assert record.changes == by_hand.record().changes == changes


def test_clipping_by_norm_can_give_way_to_clipping_by_value_in_one_step() -> None:
    changes = ((5, "clip_value", 0.01), (5, "clip_norm", None))
    training = Training(_training(clip_norm=1.0, changes=changes))
    for _ in training:
        pass
    assert training.now.clip_norm is None and training.now.clip_value == 0.01


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (((3, "learning_rate"),), "changes must be a tuple of"),
        (((3, "learning_rat", 0.1),), "learning_rate"),
        (((3, "learning_rate", -1.0),), "learning_rate"),
        (((3, "l2", 0.1), (2, "l2", 0.2)), r"in \[3, "),
    ],
)
def test_a_bad_change_of_a_training_is_refused_in_words(changes: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        _training(changes=changes)
