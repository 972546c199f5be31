"""How a network's weights take one step: as one flat vector, moved by update rules or torch.optim classes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from weightlab.networks.architectures import Network
from weightlab.rules.own_optimizer import needs_closure
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings
from weightlab.training.groups import ParameterGroup, blocks_of

Settings = Mapping[str, Any]
MEASURED = ("gradient", "update", "weight")


class FlatParameters:
    """A network's parameters and gradients as views of flat vectors (weight,), block by block, the frozen ones last.

    weights:  what the network computes with
    gradient: what `backward()` adds to and the step uses, after penalties and clipping; zero where frozen
    update:   what the step added to the weights
    before:   the weights before the step
    measured: (3, weight), the last three, whose norms are recorded, in the order MEASURED
    layers:   the slice of each layer's weights (matrices and kernels; not biases, not normalization)
    blocks:   what is trained, as weightlab.training.groups.blocks_of gives it
    parameters: those of each block; a single block of all is in the order of `network.parameters()`
    """

    def __init__(self, network: Network, groups: Sequence[ParameterGroup] = (), *, apart: bool = False) -> None:
        everything = list(network.parameters())
        self.blocks, frozen = blocks_of(network, groups, apart=apart)
        self.parameters = [[everything[i] for i in block.parameters] for block in self.blocks]
        fixed = [everything[i] for block in frozen for i in block.parameters]
        first = everything[0]
        size = sum(parameter.numel() for parameter in everything)
        self.weights = first.new_zeros(size, requires_grad=False)
        self.measured = first.new_zeros(len(MEASURED), size, requires_grad=False)
        self.gradient, self.update, self.before = self.measured
        self._raw_gradient: Tensor | None = None
        position = 0
        ordered = [*(parameter for part in self.parameters for parameter in part), *fixed]
        for parameter in ordered:
            here = slice(position, position + parameter.numel())
            self.weights[here] = parameter.detach().flatten()
            # .data keeps each parameter's identity, which recurrent modules and optimizers hold on to
            parameter.data = self.weights[here].view_as(parameter)
            parameter.grad = self.gradient[here].view_as(parameter)
            position = here.stop
        for parameter in fixed:
            parameter.requires_grad_(False).grad = None
        self._trained = slice(size - sum(parameter.numel() for parameter in fixed))
        self.layers = layer_slices(network, ordered)

    def views(self, block: int, matrices: bool) -> list[tuple[Tensor, Tensor]]:
        """Weights and gradient of a block: each matrix in its shape, or all elements in a row (1, weight)."""
        parameters = self.parameters[block]
        if matrices:
            return [(one.data, one.grad) for one in parameters if one.grad is not None]
        start = sum(one.numel() for part in self.parameters[:block] for one in part)
        here = slice(start, start + sum(one.numel() for one in parameters))
        return [(self.weights[here].view(1, -1), self.gradient[here].view(1, -1))]

    def shape_gradient(self, l1: float, l2: float, clip_norm: float | None, clip_value: float | None) -> None:
        """Add the gradient of l1·Σ|w| + l2/2·Σw² over all that is trained, where it is now, then clip.

        Clips as torch.nn.utils.clip_grad_norm_ and clip_grad_value_ do, without waiting for the device.
        """
        if not (l1 or l2 or clip_norm or clip_value):
            return
        self._raw_gradient = self.gradient.clone()
        gradient, weights = self.gradient[self._trained], self.weights[self._trained]
        if l2:
            gradient.add_(weights, alpha=l2)
        if l1:
            gradient.add_(weights.sign(), alpha=l1)
        if clip_norm is not None:
            total = torch.linalg.vector_norm(gradient)
            gradient.mul_((clip_norm / (total + 1e-6)).clamp_(max=1.0))
        if clip_value is not None:
            gradient.clamp_(-clip_value, clip_value)

    def restore_gradient(self) -> None:
        """Make `gradient` the loss's own again, as before penalties and clipping."""
        if self._raw_gradient is not None:
            self.gradient.copy_(self._raw_gradient)
            self._raw_gradient = None


def layer_slices(network: Network, ordered: Sequence[nn.Parameter] = ()) -> list[slice]:
    """Where each layer's weights (matrices and kernels) are among all parameters in a row, (weight,).

    ordered: the parameters in that row; without it as in network.parameters().
    """
    starts, position = {}, 0
    for parameter in ordered or network.parameters():
        starts[parameter], position = position, position + parameter.numel()
    return [_weights_slice(module, starts) for _, module in network.layers]


def _weights_slice(module: nn.Module, starts: Mapping[nn.Parameter, int]) -> slice:
    matrices = [parameter for parameter in module.parameters() if parameter.dim() >= 2]
    start = min(starts[matrix] for matrix in matrices)
    stop = max(starts[matrix] + matrix.numel() for matrix in matrices)
    if stop - start != sum(matrix.numel() for matrix in matrices):
        raise ValueError(
            f"the weights of {type(module).__name__} are not one after the other in its parameters(); "
            "register its matrices before its biases"
        )
    return slice(start, stop)


class Stepper(Protocol):
    """What training asks of a rule; `settings` are those of each block in turn, with the scheduled learning rate."""

    def look_ahead(self, settings: Sequence[Settings]) -> bool:
        """Put the weights where the gradient must be taken; False, and nothing done, if that is where they are."""

    def step(self, settings: Sequence[Settings], gradient_again: Callable[[], Tensor]) -> None:
        """Move the weights; `gradient_again` computes loss and gradient anew for rules that search along a line."""

    def memory(self) -> Any:
        """A copy of what the rule remembers from step to step."""

    def remember(self, memory: Any) -> None:
        """Go on from what `memory` gave."""


class RuleStepper:
    """One of UPDATE_RULES on blocks of the network, each as a single learner with (1, weight) weights.

    A rule that sees matrices gets each one in its shape.
    """

    def __init__(self, optimizer: OptimizerSettings, flat: FlatParameters, blocks: range) -> None:
        assert isinstance(optimizer.rule, str)
        self.rule = UPDATE_RULES[optimizer.rule]
        matrices = self.rule.sees == "matrices"
        self.parts = [(i, *pair) for i, block in enumerate(blocks) for pair in flat.views(block, matrices)]
        self.states = [self.rule.init(w) for _, w, _ in self.parts]

    def look_ahead(self, settings: Sequence[Settings]) -> bool:
        if self.rule.looks_ahead:
            for (block, w, _), state in zip(self.parts, self.states, strict=True):
                w.copy_(self.rule.gradient_point(w, state, settings[block]))
        return self.rule.looks_ahead

    def step(self, settings: Sequence[Settings], gradient_again: Callable[[], Tensor]) -> None:
        for i, (block, w, gradient) in enumerate(self.parts):
            new_w, self.states[i] = self.rule.step(w, gradient, self.states[i], settings[block])
            w.copy_(new_w)

    def memory(self) -> list[dict[str, Tensor]]:
        return [{name: value.clone() for name, value in state.items()} for state in self.states]

    def remember(self, memory: list[dict[str, Tensor]]) -> None:
        self.states = [{name: value.clone() for name, value in state.items()} for state in memory]


class TorchStepper:
    """A torch.optim class as it is, on the network's own parameters, a param_group for each block."""

    def __init__(self, optimizer: OptimizerSettings, flat: FlatParameters, blocks: range) -> None:
        parts = [flat.parameters[block] for block in blocks]
        if len(parts) == 1:  # as a list, which is all that some classes take
            self.optimizer = optimizer.build(parts[0])
        else:
            self.optimizer = optimizer.build([{"params": part} for part in parts])
        self.needs_closure = needs_closure(type(self.optimizer))

    def look_ahead(self, settings: Sequence[Settings]) -> bool:
        return False

    def step(self, settings: Sequence[Settings], gradient_again: Callable[[], Tensor]) -> None:
        for i, group in enumerate(self.optimizer.param_groups):  # of one block a class may have made several
            for name, value in settings[min(i, len(settings) - 1)].items():
                group["lr" if name == "learning_rate" else name] = value
        if self.needs_closure:
            self.optimizer.step(gradient_again)  # type: ignore[arg-type]
        else:
            self.optimizer.step()

    def memory(self) -> dict[str, Any]:
        return copy.deepcopy(self.optimizer.state_dict())

    def remember(self, memory: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(memory)


class PairStepper:
    """A rule for the matrices and one for the rest, whose blocks come behind; both use the gradient before the step."""

    def __init__(self, optimizer: OptimizerSettings, flat: FlatParameters) -> None:
        assert optimizer.rest is not None
        self.matrices = sum(not block.of_rest for block in flat.blocks)
        self.first = _stepper(optimizer, flat, range(self.matrices))
        self.second = _stepper(optimizer.rest, flat, range(self.matrices, len(flat.blocks)))

    def look_ahead(self, settings: Sequence[Settings]) -> bool:
        first = self.first.look_ahead(settings[: self.matrices])
        return self.second.look_ahead(settings[self.matrices :]) or first

    def step(self, settings: Sequence[Settings], gradient_again: Callable[[], Tensor]) -> None:
        self.first.step(settings[: self.matrices], gradient_again)
        self.second.step(settings[self.matrices :], gradient_again)

    def memory(self) -> tuple[Any, Any]:
        return self.first.memory(), self.second.memory()

    def remember(self, memory: tuple[Any, Any]) -> None:
        self.first.remember(memory[0])
        self.second.remember(memory[1])


def _stepper(optimizer: OptimizerSettings, flat: FlatParameters, blocks: range) -> Stepper:
    return (RuleStepper if isinstance(optimizer.rule, str) else TorchStepper)(optimizer, flat, blocks)


def make_stepper(optimizer: OptimizerSettings, flat: FlatParameters) -> Stepper:
    """The stepper for `optimizer`, with its state as before the first step."""
    if any(block.of_rest for block in flat.blocks):
        return PairStepper(optimizer, flat)
    return _stepper(optimizer, flat, range(len(flat.blocks)))
