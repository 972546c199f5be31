"""Learners side by side on a landscape, moved by an update rule or by a torch.optim class, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from weightlab.descent.experiment import DescentExperiment
from weightlab.rules.own_optimizer import class_name, needs_closure
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, UpdateRule


def together(values: Tensor) -> float | Tensor:
    """(learner,) values as (learner, 1), or as one number where all agree: fewer operations."""
    first = values[0].item()
    return first if len(values) == 1 or bool((values == first).all()) else values.unsqueeze(-1)


class Learners:
    """Learners of one rule; w is (learner, 2), and settings are numbers or (learner, 1).

    A rule that sees matrices gets the two weights as a matrix of one row.
    """

    def __init__(self, rule: UpdateRule, settings: Mapping[str, Any]) -> None:
        self.rule, self.settings = rule, dict(settings)
        self._sees_matrices = rule.sees == "matrices"
        self.state: dict[str, Tensor] = {}

    def start(self, w: Tensor) -> None:
        """Before the first step."""
        self.state = self.rule.init(w.unsqueeze(-2) if self._sees_matrices else w)

    def set_rates(self, rates: float | Tensor) -> None:
        """The learning rate of the next step, as `together` makes it."""
        self.settings["learning_rate"] = rates

    def point(self, w: Tensor) -> Tensor:
        """Where the gradient must be taken."""
        return self.rule.gradient_point(w, self.state, self.settings)

    def step(self, w: Tensor, gradient: Tensor) -> Tensor:
        """The weights after a step."""
        if self._sees_matrices:
            return self._step_of_matrices(w.unsqueeze(-2), gradient.unsqueeze(-2)).squeeze(-2)
        w, self.state = self.rule.step(w, gradient, self.state, self.settings)
        return w

    def _step_of_matrices(self, w: Tensor, gradient: Tensor) -> Tensor:
        settings = {name: one.unsqueeze(-1) if isinstance(one, Tensor) else one for name, one in self.settings.items()}
        w, self.state = self.rule.step(w, gradient, self.state, settings)
        return w


class Group(Protocol):
    """Some of the optimizers of several experiments: those numbered `learners`, each of them in every experiment."""

    learners: list[int]

    def turn(self, optimizers: Sequence[OptimizerSettings]) -> None:
        """From here on the settings are these, in the one experiment there is."""

    def start(self, w: Tensor) -> None: ...

    def set_rates(self, rates: float | Tensor) -> None: ...

    def point(self, w: Tensor) -> Tensor: ...

    def step(self, w: Tensor, gradient: Tensor) -> Tensor: ...


class RuleGroup(Learners):
    """The optimizers of one rule of ours."""

    def __init__(self, experiments: Sequence[DescentExperiment], learners: list[int]) -> None:
        self.learners = learners
        super().__init__(UPDATE_RULES[str(experiments[0].optimizers[learners[0]].rule)], {})
        self._set([experiment.optimizers for experiment in experiments])

    def turn(self, optimizers: Sequence[OptimizerSettings]) -> None:
        self._set([optimizers])

    def _set(self, each: Sequence[Sequence[OptimizerSettings]]) -> None:
        for name in self.rule.defaults:
            values = [float(optimizers[learner].settings[name]) for learner in self.learners for optimizers in each]
            self.settings[name] = together(torch.tensor(values, dtype=torch.float64))


class TorchLearner:
    """A torch.optim class as it is, in one experiment."""

    def __init__(self, experiment: DescentExperiment, learner: int) -> None:
        self.experiment, self.learners = experiment, [learner]

    def start(self, w: Tensor) -> None:
        chosen = self.experiment.optimizers[self.learners[0]]
        self.shape = (1, 2) if chosen.rest is not None else (2,)  # a class for matrices gets one of a single row
        self.parameter = torch.nn.Parameter(w[0].clone().view(self.shape))
        self.optimizer = chosen.build([self.parameter])

    def turn(self, optimizers: Sequence[OptimizerSettings]) -> None:
        for group in self.optimizer.param_groups:
            group.update(optimizers[self.learners[0]].arguments)

    def set_rates(self, rates: float | Tensor) -> None:
        for group in self.optimizer.param_groups:
            if "lr" in group:
                group["lr"] = float(rates)

    def point(self, w: Tensor) -> Tensor:
        return w

    def step(self, w: Tensor, gradient: Tensor) -> Tensor:
        landscape, scale = self.experiment.landscape, self.experiment.loss_scale
        noise = gradient - landscape.gradient(w) * scale if landscape.gradient_noise else torch.zeros(())

        def closure() -> float:  # line searches, as in L-BFGS, evaluate several points in one step
            here = self.parameter.detach().view(1, 2)
            self.parameter.grad = (landscape.gradient(here) * scale + noise).view(self.shape)
            return float(landscape.loss(here) * scale)

        self.parameter.grad = gradient[0].clone().view(self.shape)
        try:
            if needs_closure(type(self.optimizer)):
                self.optimizer.step(closure)
            else:  # without the closure, which a learner's own class need not call
                self.optimizer.step()
        except (RuntimeError, ValueError) as refusal:
            name = class_name(type(self.optimizer))
            raise ValueError(f"{name} cannot take a step here: {refusal}") from refusal
        return self.parameter.detach().clone().view(1, 2)


def groups_of(experiments: Sequence[DescentExperiment]) -> list[Group]:
    """All learners of experiments that share their rules, those of one rule together, classes one by one."""
    first = experiments[0]
    # side by side learners of a rule all have a velocity; alone one without momentum has none until it is switched on
    apart = bool(first.changes)
    by_rule: dict[tuple[str, int], list[int]] = {}
    classes: list[Group] = []
    for learner, optimizer in enumerate(first.optimizers):
        if isinstance(optimizer.rule, str):
            by_rule.setdefault((optimizer.rule, learner if apart else 0), []).append(learner)
        else:
            classes.append(TorchLearner(first, learner))
    return [*(RuleGroup(experiments, learners) for learners in by_rule.values()), *classes]
