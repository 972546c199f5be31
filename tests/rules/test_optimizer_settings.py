"""Settings of the update rules: refused with value, range and remedy, copied, compared, handed on to torch.optim."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1])
@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_bad_learning_rate_is_refused_with_value_and_range(rule: str, value: float) -> None:
    with pytest.raises(ValueError, match=r"learning_rate must be in \[0, 1e\+20\], got"):
        optimizer(rule, learning_rate=value)


@pytest.mark.parametrize("setting", ["momentum", "weight_decay", "dampening"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -0.01])
def test_other_bad_settings_are_refused_with_value_and_range(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{setting} must be in .*, got"):
        optimizer("momentum", **{setting: value})


def test_momentum_of_one_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\), got 1; at 1 or more the velocity"):
        optimizer("classical_momentum", momentum=1.0)
    with pytest.raises(ValueError, match=r"eps must be in \(0, 1e\+20\]"):
        optimizer("adam", eps=0.0)
    with pytest.raises(TypeError, match="learning_rate must be a number, got 'fast'"):
        optimizer("adam", learning_rate="fast")
    with pytest.raises(ValueError, match="bias_correction must be 0"):
        optimizer("adam", bias_correction=0.5)


@pytest.mark.parametrize("values", [{"momentum": 0.0}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_without_momentum_is_refused_in_torchs_own_words(values: dict[str, float]) -> None:
    with pytest.raises(ValueError) as theirs:
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, nesterov=True, **values)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=str(theirs.value)) as ours:
        optimizer("nesterov", **values)
    assert f"momentum {values['momentum']:g}" in str(ours.value)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown update rule 'nestrov': did you mean 'nesterov'"):
        optimizer("nestrov")
    with pytest.raises(ValueError, match="unknown setting of momentum 'momentun': did you mean 'momentum'"):
        optimizer("momentum", momentun=0.9)
    with pytest.raises(TypeError, match="rule must be a name or a torch.optim.Optimizer class, got 3"):
        optimizer(3)  # type: ignore[arg-type]


def test_settings_hash_compare_copy_and_read_as_attributes() -> None:
    chosen = optimizer("momentum", learning_rate=0.1)
    assert chosen == optimizer("momentum", learning_rate=0.1, momentum=0.9)
    assert hash(chosen) == hash(pickle.loads(pickle.dumps(chosen))) == hash(copy.deepcopy(chosen))
    assert chosen.replace(momentum=0.5) != chosen
    assert (chosen.learning_rate, chosen.momentum, chosen.label) == (0.1, 0.9, "Momentum")
    with pytest.raises(AttributeError, match="no setting 'beta1'"):
        _ = chosen.beta1
    assert eval(repr(chosen), {"optimizer": optimizer}) == chosen


def test_a_rule_for_matrices_has_a_second_one_for_the_rest() -> None:
    usual, other = optimizer("muon", learning_rate=0.02), optimizer("adam", learning_rate=3e-3)
    assert usual.rest == optimizer("adamw") and optimizer("momentum").rest is None
    chosen = optimizer("muon", learning_rate=0.02, rest=other)
    assert chosen != usual and chosen.replace(rest=optimizer("adamw")) == usual
    assert chosen.replace(momentum=0.5).rest == other and chosen.learning_rate == 0.02
    assert len({usual, chosen, optimizer("muon", learning_rate=0.02)}) == 2
    for one in (chosen, optimizer(torch.optim.Muon, learning_rate=0.02, rest=other)):
        assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
        assert hash(pickle.loads(pickle.dumps(one))) == hash(one)
        assert eval(repr(one), {"optimizer": optimizer, "torch": torch}) == one
        assert repr(one).endswith(f", rest={other!r})")


def test_torch_class_is_taken_with_its_own_settings() -> None:
    chosen = optimizer(torch.optim.Adagrad, learning_rate=0.5, lr_decay=0.01)
    built = chosen.build([torch.nn.Parameter(torch.zeros(2))])
    assert isinstance(built, torch.optim.Adagrad)
    assert (built.defaults["lr"], built.defaults["lr_decay"], chosen.label) == (0.5, 0.01, "Adagrad")
    assert optimizer(torch.optim.Adagrad).learning_rate == torch.optim.Adagrad([torch.nn.Parameter(torch.zeros(1))]
                                                                              ).defaults["lr"]
    with pytest.raises(ValueError, match="unknown setting of torch.optim.Adagrad 'lr_decai': did you mean 'lr_decay'"):
        optimizer(torch.optim.Adagrad, lr_decai=0.1)
    with pytest.raises(ValueError, match="learning_rate must be in"):
        optimizer(torch.optim.Adagrad, learning_rate=-1.0)
    with pytest.raises(ValueError, match="torch.optim.Adagrad refuses .*Invalid weight_decay value: -1"):
        optimizer(torch.optim.Adagrad, weight_decay=-1.0)
    with pytest.raises(TypeError, match="is one of our own rules"):
        optimizer("adam").build([])


def test_equivalents_name_classes_that_exist() -> None:
    for name, rule in UPDATE_RULES.items():
        equivalent = rule.torch_equivalent(optimizer(name).settings)
        assert equivalent is not None
        assert rule.relation
        getattr(torch.optim, equivalent[0])([torch.nn.Parameter(torch.zeros(1, 1))], **equivalent[1])
    assert UPDATE_RULES["adam"].torch_equivalent(optimizer("adam", bias_correction=0).settings) is None


def test_equivalents_hand_on_exactly_the_settings() -> None:
    def equivalent(rule: str, **settings: float) -> tuple[str, dict[str, Any]] | None:
        chosen = optimizer(rule, learning_rate=0.5, weight_decay=0.25, **settings)
        return UPDATE_RULES[rule].torch_equivalent(chosen.settings)

    plain = {"lr": 0.5, "weight_decay": 0.25}
    assert equivalent("gradient_descent") == ("SGD", plain)
    damped = {"momentum": 0.5, "dampening": 0.125}
    assert equivalent("momentum", **damped) == ("SGD", {**plain, **damped})
    assert equivalent("averaged_momentum", momentum=0.75) == ("SGD", {**plain, "momentum": 0.75, "lr": 0.125})
    assert equivalent("sutskever_nesterov", momentum=0.5) == ("SGD", {**plain, "momentum": 0.5, "nesterov": True})
    assert equivalent("sutskever_nesterov", momentum=0.0) == ("SGD", {**plain, "momentum": 0.0})
    assert equivalent("rmsprop", alpha=0.5, eps=1e-3, momentum=0.25) == (
        "RMSprop", {**plain, "alpha": 0.5, "eps": 1e-3, "momentum": 0.25},
    )
    for name in ("Adam", "AdamW"):
        expected = (name, {**plain, "betas": (0.5, 0.75), "eps": 1e-3})
        assert equivalent(name.lower(), beta1=0.5, beta2=0.75, eps=1e-3) == expected
        assert equivalent(name.lower(), bias_correction=0) is None
    assert equivalent("muon", momentum=0.5, nesterov=0, ns_steps=3, eps=1e-3, match_rms_adamw=1) == (
        "Muon", {
            **plain, "momentum": 0.5, "nesterov": False, "ns_steps": 3, "eps": 1e-3, "adjust_lr_fn": "match_rms_adamw"
        },
    )  # fmt: skip


REFUSED: dict[str, Callable[[], object]] = {
    "learning_rate must be in [0, 1e+20], got -1; a negative one climbs the loss; use a small positive number": (
        lambda: optimizer("adam", learning_rate=-1)
    ),
    "beta1 must be in [0, 1), got 1; at 1 the average of gradients never starts": lambda: optimizer("adam", beta1=1.0),
    "eps must be in (0, 1e+20], got 0; it keeps the division by the gradient's size finite": (
        lambda: optimizer("adam", eps=0.0)
    ),
    "bias_correction must be 0 (off) or 1 (on), got 0.5": lambda: optimizer("adam", bias_correction=0.5),
    "ns_steps must be a whole number in [0, 99], got 2.5; five are usual": lambda: optimizer("muon", ns_steps=2.5),
    "ns_steps must be in [0, 99], got 100; five are usual, and torch.optim.Muon takes less than 100": (
        lambda: optimizer("muon", ns_steps=100)
    ),
    "nesterov must be 0 (off) or 1 (on), got 0.5": lambda: optimizer("muon", nesterov=0.5),
    "match_rms_adamw must be 0 (off) or 1 (on), got 0.1": lambda: optimizer("muon", match_rms_adamw=0.1),
    "rest must be made by optimizer(...), got 'adamw'; write rest=optimizer(\"adamw\")": (
        lambda: optimizer("muon", rest="adamw")
    ),
    "'adam' moves every parameter, so nothing is left for rest=adamw; leave rest out": (
        lambda: optimizer("adam", rest=optimizer("adamw"))
    ),
    "rest must be a rule for all that is not a matrix, got muon; use optimizer(\"adamw\")": (
        lambda: optimizer("muon", rest=optimizer("muon"))
    ),
    "torch.optim.LBFGS evaluates the loss anew within a step, so it cannot move one part of a network while another "
    "rule moves the rest; let it move all of it": lambda: optimizer("muon", rest=optimizer(torch.optim.LBFGS)),
    "Nesterov momentum requires a momentum and zero dampening (torch.optim.SGD's own words): got momentum 0.5 and "
    "dampening 0.1; set momentum in (0, 1) and dampening 0, or choose 'gradient_descent'": (
        lambda: optimizer("nesterov", momentum=0.5, dampening=0.1)
    ),
    "rule must be a name or a torch.optim.Optimizer class, got <class 'int'>": lambda: optimizer(int),  # type: ignore[arg-type]
    "unknown setting of gradient_descent 'x': choose one of 'learning_rate', 'weight_decay'": (
        lambda: optimizer("gradient_descent", x=1)
    ),
    f"unknown update rule 'x': choose one of {', '.join(map(repr, UPDATE_RULES))}": lambda: optimizer("x"),
    "'adam' is one of our own rules; use UPDATE_RULES['adam'].step": lambda: optimizer("adam").build([]),
    "OptimizerSettings has no setting 'beta1'": lambda: optimizer("momentum").beta1,
    "OptimizerSettings has no setting 'settings'": lambda: object.__new__(OptimizerSettings).settings,
    "OptimizerSettings has no setting '_hidden'": lambda: object.__new__(OptimizerSettings)._hidden,
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_refusal_says_exactly_this(message: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)) as refusal:
        REFUSED[message]()
    assert str(refusal.value) == message


def test_settings_are_written_as_the_call_that_makes_them() -> None:
    chosen = optimizer("momentum", learning_rate=0.1)
    assert repr(chosen) == "optimizer('momentum', dampening=0.0, learning_rate=0.1, momentum=0.9, weight_decay=0.0)"
    assert repr(optimizer(torch.optim.Adagrad)).startswith("optimizer(torch.optim.Adagrad, ")
    assert chosen.arguments == {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0}
    assert chosen.replace() == chosen
    assert chosen.replace(momentum=0.5) == optimizer("momentum", learning_rate=0.1, momentum=0.5)
    assert optimizer("adam", bias_correction=True).bias_correction == 1.0
    assert len({hash(optimizer("momentum", learning_rate=rate)) for rate in (0.1, 0.2, 0.3)}) > 1
    assert len({hash(optimizer(rule)) for rule in UPDATE_RULES}) > 1
