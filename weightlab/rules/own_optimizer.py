"""Optimizer classes: those of torch.optim and a learner's own, tried out before a run is built on them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from weightlab.validate import choose, number

OptimizerClass = type[torch.optim.Optimizer]
Numbers = Sequence[Any]  # of a vector or, row by row, of a matrix
TRIAL_STEPS = 3
VECTOR, MATRIX = (1.0, -0.5), ((1.0, -0.5, 2.0), (0.5, -1.0, 0.25))  # what a class is tried out on
SMALLEST_MOVE = 1e-9  # a learning rate below it need not show in the trial's weights


def class_name(rule: OptimizerClass) -> str:
    """`torch.optim.Adagrad`, but only `Lion` for a class of the learner's own."""
    return f"torch.optim.{rule.__name__}" if is_from_torch(rule) else rule.__name__


def is_from_torch(rule: OptimizerClass) -> bool:
    """Whether PyTorch ships the class."""
    return rule.__module__.startswith("torch.optim")


def needs_closure(rule: OptimizerClass) -> bool:
    """Whether its `step` must be given a function that computes loss and gradient anew, as LBFGS's must."""
    closure = inspect.signature(rule.step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty


def checked_class_settings(
    rule: OptimizerClass,
    settings: Mapping[str, Any],
    rates: tuple[float, float, bool, bool, str],
    matrices_only: bool = False,
) -> dict[str, Any]:
    """The settings with the class's own learning rate filled in, after a trial of `TRIAL_STEPS` steps.

    Settings are the class's arguments, `lr` being `learning_rate`; rates: limits of the learning rate as in
    update_rules.SETTING_LIMITS. The trial is on a vector and a matrix, with matrices_only on a matrix. Raises
    ValueError where the class has no learning rate that can be set from outside, refuses a setting, cannot take a step
    on dense gradients, leaves the weights where they are, makes them NaN, or gives them new memory instead of changing
    them in place.
    """
    if not rule.__name__.isidentifier():  # it stands in programs
        raise ValueError(f"a class must be called by a Python name, got {rule.__name__!r}; set its __name__ to one")
    name, parameters = class_name(rule), inspect.signature(rule).parameters
    known = ["learning_rate" if key == "lr" else key for key in parameters if key not in ("params", "kwargs")]
    takes_anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key, value in settings.items():
        if not takes_anything:
            choose(f"setting of {name}", key, known)
        if isinstance(value, float):
            number(key, value)
    values, lr = dict(settings), parameters.get("lr")
    if "learning_rate" not in values:
        if lr is None or not isinstance(lr.default, (int, float)):
            lacks = "takes no learning rate" if lr is None else "has no default for lr"
            remedy = "write `def __init__(self, params, lr=0.001)`; panels and schedules set lr"
            raise ValueError(f"{name} {lacks}: {remedy}")
        values["learning_rate"] = float(lr.default)
    low, high, open_low, open_high, why = rates
    values["learning_rate"] = number(
        "learning_rate", values["learning_rate"], low, high, open_low=open_low, open_high=open_high, why=why
    )
    arguments = {"lr" if key == "learning_rate" else key: value for key, value in values.items()}
    try:
        _try_out(rule, arguments, (MATRIX,) if matrices_only else (VECTOR, MATRIX))
    except ValueError as refusal:
        remedy = "" if matrices_only else _remedy(rule, arguments)
        raise ValueError(f"{refusal}{remedy}") from refusal.__cause__
    return values


def _remedy(rule: OptimizerClass, arguments: Mapping[str, Any]) -> str:
    """What to do where a class fails on vectors or on matrices alone, "" where it fails on both."""
    if _trains(rule, arguments, MATRIX):
        return '; it takes matrices only: give what is not one to another rule, rest=optimizer("adamw")'
    if _trains(rule, arguments, VECTOR):
        return "; it takes vectors only, and networks have matrices: write its step() for parameters of any shape"
    return ""


def _trains(rule: OptimizerClass, arguments: Mapping[str, Any], first: Numbers) -> bool:
    try:
        _try_out(rule, arguments, (first,))
    except ValueError:
        return False
    return True


def _try_out(rule: OptimizerClass, arguments: Mapping[str, Any], firsts: Sequence[Numbers]) -> None:
    """Train parameters that begin with these numbers."""
    name = class_name(rule)
    weights = [torch.nn.Parameter(torch.tensor(first, dtype=torch.float64)) for first in firsts]
    before, memory = [weight.detach().clone() for weight in weights], [weight.data_ptr() for weight in weights]
    try:
        built = rule(weights, **arguments)
    except Exception as refusal:  # a learner's own class may raise anything
        raise ValueError(f"{name} refuses {dict(arguments)}: {_said(refusal)}") from refusal
    if "lr" not in next(iter(getattr(built, "param_groups", ())), {}):
        raise ValueError(
            f'{name} keeps no "lr" in its param_groups, so nobody could change it: call '
            'super().__init__(params, {"lr": lr}) and read group["lr"] in step()'
        )
    try:
        _take_steps(built, weights)
    except Exception as refusal:
        raise ValueError(f"{name} cannot take a step here: {_said(refusal)}") from refusal
    for weight, first, place in zip(weights, before, memory, strict=True):
        if weight.data_ptr() != place:
            raise ValueError(f"{name} gives the weights new memory: change them in place, `p -= …` or `p.add_(…)`")
        if not torch.isfinite(weight).all():
            given = "(1, -0.5)" if weight.ndim == 1 else str(first.tolist())
            raise ValueError(f"{name} turns weights {given} with gradient 1 into {weight.tolist()}; mend its step()")
        if arguments["lr"] > SMALLEST_MOVE and torch.equal(weight, first):
            raise ValueError(
                f"{name} left the weights where they were in {TRIAL_STEPS} steps with gradient 1: `p = p - …` makes a "
                "new tensor; write `p -= …`"
            )


def _take_steps(built: torch.optim.Optimizer, weights: Sequence[torch.nn.Parameter]) -> None:
    def loss() -> torch.Tensor:
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        return torch.stack([weight.detach().sum() for weight in weights]).sum()

    for _ in range(TRIAL_STEPS):
        loss()
        if needs_closure(type(built)):
            built.step(loss)  # type: ignore[arg-type]
        else:
            built.step()


def check_takes_groups(rule: OptimizerClass, arguments: Mapping[str, Any]) -> None:
    """Raises ValueError for a class that does not move every group of param_groups, as LBFGS takes one only."""
    name, remedy = class_name(rule), "leave out groups, or only freeze with them"
    weights = [torch.nn.Parameter(torch.tensor(MATRIX, dtype=torch.float64)) for _ in range(2)]
    before = weights[0].detach().clone()
    try:
        built = rule([{"params": [weight]} for weight in weights], **arguments)
        _take_steps(built, weights)
    except Exception as refusal:
        raise ValueError(f"{name} takes no parameter groups: {_said(refusal)}; {remedy}") from refusal
    if arguments["lr"] > SMALLEST_MOVE and any(torch.equal(weight, before) for weight in weights):
        raise ValueError(
            f"{name} moved only one of two parameter groups: loop over them, `for group in self.param_groups:`, in "
            f"step(), or {remedy}"
        )


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: {error}"


def torch_optimizers() -> tuple[OptimizerClass, ...]:
    """Every class of torch.optim that runs on any network as it is: vectors as well as matrices, dense gradients.

    The first call constructs them, which imports torch's compiler: about 75 MiB and one to seven seconds.
    """
    found = []
    for rule in vars(torch.optim).values():
        if isinstance(rule, type) and issubclass(rule, torch.optim.Optimizer):
            try:
                checked_class_settings(rule, {}, (0.0, torch.inf, False, True, ""))
            except ValueError:  # Muon wants matrices, SparseAdam sparse gradients, Optimizer is no rule
                continue
            found.append(rule)
    return tuple(found)
