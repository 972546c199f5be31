"""Optimizer classes, PyTorch's and a learner's own: what runs, what is refused and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from own_classes import Group, KeepsItsRateToItself, Plain
from training_support import small

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.descent.run import descend
from weightlab.rules.own_optimizer import class_name, is_from_torch, needs_closure, torch_optimizers
from weightlab.rules.update_rules import optimizer
from weightlab.training.run import Training, train


def moving(move: Callable[[torch.Tensor, Group], None]) -> type[Plain]:
    """A class that moves each weight by `move(p, group)`."""
    return type("Wrong", (Plain,), {"move": lambda self, p, group: move(p, group)})


def test_a_class_of_ones_own_walks_the_path_of_the_rule_it_writes_out() -> None:
    bowl = landscape("rotated_quadratic")
    pair = (optimizer(Plain, learning_rate=0.05), optimizer("gradient_descent", learning_rate=0.05))
    weights = descend(DescentExperiment(bowl, pair, steps=50)).weights
    torch.testing.assert_close(weights[:, 0], weights[:, 1], rtol=0, atol=1e-12)


def test_a_class_of_ones_own_trains_a_network_as_the_rule_does() -> None:
    own = train(small(optimizer=optimizer(Plain, learning_rate=0.1), steps=30))
    rule = train(small(optimizer=optimizer("gradient_descent", learning_rate=0.1), steps=30))
    torch.testing.assert_close(own.losses, rule.losses, rtol=1e-10, atol=0)


def test_its_learning_rate_and_settings_can_be_changed_midway() -> None:
    training = Training(small(optimizer=optimizer(Plain, learning_rate=0.1, factor=0.5), steps=10))
    training.step()
    training.change(learning_rate=0.0)
    before = training.network.layers[0][1].get_parameter("weight").detach().clone()
    training.step()
    assert torch.equal(before, training.network.layers[0][1].get_parameter("weight"))
    assert training.settings["factor"] == 0.5


def test_the_classes_own_default_learning_rate_counts() -> None:
    assert optimizer(Plain).learning_rate == 0.01
    assert optimizer(Plain).label == "Plain" and "torch.optim" not in repr(optimizer(Plain))
    assert repr(optimizer(torch.optim.Adagrad)).startswith("optimizer(torch.optim.Adagrad")


class NoRate(Plain):
    def __init__(self, params: Any) -> None:
        torch.optim.Optimizer.__init__(self, params, {})


class NoDefault(Plain):
    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)


class ForgetsToInitialize(Plain):
    def __init__(self, params: Any, lr: float = 0.1) -> None:
        self.lr = lr


def _replaces(p: torch.Tensor, group: Group) -> None:
    p = p - group["lr"] * p.grad


def _rebinds(p: torch.Tensor, group: Group) -> None:
    p.data = p.data - group["lr"] * p.grad


def _divides_by_nothing(p: torch.Tensor, group: Group) -> None:
    p -= group["lr"] * p.grad / (p.grad - p.grad)  # type: ignore[operator]


def _takes_rows(p: torch.Tensor, group: Group) -> None:
    p -= group["lr"] * p.grad.sum(dim=1, keepdim=True)  # type: ignore[union-attr]


def _takes_numbers(p: torch.Tensor, group: Group) -> None:
    for i in range(len(p)):
        p[i] -= group["lr"] * float(p.grad[i])  # type: ignore[index]


def _looks_for_what_is_not_there(p: torch.Tensor, group: Group) -> None:
    p -= group["rate"] * p.grad


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (NoRate, "NoRate takes no learning rate: write `def __init__"),
        (NoDefault, "NoDefault has no default for lr"),
        (KeepsItsRateToItself, 'keeps no "lr" in its param_groups'),
        (ForgetsToInitialize, r"ForgetsToInitialize keeps no .* call super\(\).__init__"),
        (moving(_replaces), "left the weights where they were .* write `p -= …`"),
        (moving(_rebinds), "gives the weights new memory: change them in place"),
        (moving(_divides_by_nothing), r"turns weights \(1, -0.5\) with gradient 1 into \[-inf, -inf\]|nan"),
        (moving(_looks_for_what_is_not_there), "cannot take a step here: KeyError: 'rate'"),
        (torch.optim.SparseAdam, "torch.optim.SparseAdam cannot take a step here: .*dense gradients"),
        (torch.optim.Muon, r'torch.optim.Muon refuses .*2D.*matrices only: .*, rest=optimizer\("adamw"\)'),
        (moving(_takes_rows), r'cannot take a step here: .*; it takes matrices only: .*, rest=optimizer\("adamw"\)'),
        (moving(_takes_numbers), "cannot take a step here: .*; it takes vectors only, .* parameters of any shape"),
    ],
)
def test_a_class_that_cannot_train_is_refused_with_what_to_change(
    rule: type[torch.optim.Optimizer], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        optimizer(rule)


def test_a_class_for_matrices_is_taken_with_a_rule_for_the_rest() -> None:
    rows = moving(_takes_rows)
    assert optimizer(rows, rest=optimizer("adam")).rest == optimizer("adam")
    assert optimizer(torch.optim.Muon, learning_rate=0.02, rest=optimizer(torch.optim.AdamW)).learning_rate == 0.02
    with pytest.raises(ValueError, match="torch.optim.Muon refuses .*weight decay should be >= 0"):
        optimizer(torch.optim.Muon, weight_decay=-1.0, rest=optimizer("adam"))


def test_a_rate_of_zero_may_leave_the_weights_where_they_are() -> None:
    assert optimizer(Plain, learning_rate=0.0).learning_rate == 0.0


def test_unknown_settings_of_a_class_are_met_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown setting of Plain 'facto': did you mean 'factor'"):
        optimizer(Plain, facto=2.0)


def test_every_dense_class_of_torch_is_offered_and_takes_a_step() -> None:
    found = torch_optimizers()
    assert {torch.optim.Adagrad, torch.optim.LBFGS, torch.optim.Rprop, torch.optim.SGD} <= set(found)
    assert not {torch.optim.SparseAdam, torch.optim.Muon, torch.optim.Optimizer} & set(found)
    assert all(is_from_torch(rule) and class_name(rule).startswith("torch.optim.") for rule in found)
    assert needs_closure(torch.optim.LBFGS) and not needs_closure(torch.optim.Adam) and not needs_closure(Plain)
