"""How a network's weights take one step: as one flat vector, moved by an update rule or a torch.optim class."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from weightlab.networks.architectures import Network
from weightlab.rules.own_optimizer import needs_closure
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings

MEASURED = ("gradient", "update", "weight")


class FlatParameters:
    """A network's parameters and gradients as views of flat vectors (weight,), in the order of `network.parameters()`.

    weights:  what the network computes with
    gradient: what `backward()` adds to and the step uses, after penalties and clipping
    update:   what the step added to the weights
    before:   the weights before the step
    measured: (3, weight), the last three, whose norms are recorded, in the order MEASURED
    layers:   the slice of each layer's weights (matrices and kernels; not biases, not normalization)
    """

    def __init__(self, network: Network) -> None:
        self.parameters = list(network.parameters())
        first = self.parameters[0]
        size = sum(parameter.numel() for parameter in self.parameters)
        self.weights = first.new_zeros(size, requires_grad=False)
        self.measured = first.new_zeros(len(MEASURED), size, requires_grad=False)
        self.gradient, self.update, self.before = self.measured
        self._raw_gradient: Tensor | None = None
        position = 0
        for parameter in self.parameters:
            here = slice(position, position + parameter.numel())
            self.weights[here] = parameter.detach().flatten()
            # .data keeps each parameter's identity, which recurrent modules and optimizers hold on to
            parameter.data = self.weights[here].view_as(parameter)
            parameter.grad = self.gradient[here].view_as(parameter)
            position = here.stop
        self.layers = layer_slices(network)

    def shape_gradient(self, l1: float, l2: float, clip_norm: float | None, clip_value: float | None) -> None:
        """Add the gradient of l1·Σ|w| + l2/2·Σw² over all parameters, where they are now, then clip.

        Clips as torch.nn.utils.clip_grad_norm_ and clip_grad_value_ do, without waiting for the device.
        """
        if not (l1 or l2 or clip_norm or clip_value):
            return
        self._raw_gradient = self.gradient.clone()
        if l2:
            self.gradient.add_(self.weights, alpha=l2)
        if l1:
            self.gradient.add_(self.weights.sign(), alpha=l1)
        if clip_norm is not None:
            total = torch.linalg.vector_norm(self.gradient)
            self.gradient.mul_((clip_norm / (total + 1e-6)).clamp_(max=1.0))
        if clip_value is not None:
            self.gradient.clamp_(-clip_value, clip_value)

    def restore_gradient(self) -> None:
        """Make `gradient` the loss's own again, as before penalties and clipping."""
        if self._raw_gradient is not None:
            self.gradient.copy_(self._raw_gradient)
            self._raw_gradient = None


def layer_slices(network: Network) -> list[slice]:
    """Where each layer's weights (matrices and kernels) are among all parameters in a row, (weight,)."""
    starts, position = {}, 0
    for parameter in network.parameters():
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
    """What training asks of a rule; `settings` are the rule's, with the scheduled learning rate."""

    def look_ahead(self, settings: Mapping[str, Any]) -> Tensor | None:
        """Where the gradient must be taken, (weight,), if not at the weights."""

    def step(self, settings: Mapping[str, Any], gradient_again: Callable[[], Tensor]) -> None:
        """Move the weights; `gradient_again` computes loss and gradient anew for rules that search along a line."""

    def memory(self) -> Any:
        """A copy of what the rule remembers from step to step."""

    def remember(self, memory: Any) -> None:
        """Go on from what `memory` gave."""


class RuleStepper:
    """One of UPDATE_RULES on the whole network as a single learner with (1, weight) weights."""

    def __init__(self, optimizer: OptimizerSettings, flat: FlatParameters) -> None:
        assert isinstance(optimizer.rule, str)
        self.rule = UPDATE_RULES[optimizer.rule]
        self.w, self.gradient = flat.weights.view(1, -1), flat.gradient.view(1, -1)
        self.state = self.rule.init(self.w)

    def look_ahead(self, settings: Mapping[str, Any]) -> Tensor | None:
        point = self.rule.gradient_point(self.w, self.state, settings)
        return None if point is self.w else point.view(-1)

    def step(self, settings: Mapping[str, Any], gradient_again: Callable[[], Tensor]) -> None:
        new_w, self.state = self.rule.step(self.w, self.gradient, self.state, settings)
        self.w.copy_(new_w)

    def memory(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.state.items()}

    def remember(self, memory: dict[str, Tensor]) -> None:
        self.state = {name: value.clone() for name, value in memory.items()}


class TorchStepper:
    """A torch.optim class as it is, on the network's own parameters."""

    def __init__(self, optimizer: OptimizerSettings, flat: FlatParameters) -> None:
        self.optimizer = optimizer.build(flat.parameters)
        self.needs_closure = needs_closure(type(self.optimizer))

    def look_ahead(self, settings: Mapping[str, Any]) -> Tensor | None:
        return None

    def step(self, settings: Mapping[str, Any], gradient_again: Callable[[], Tensor]) -> None:
        for group in self.optimizer.param_groups:
            for name, value in settings.items():
                group["lr" if name == "learning_rate" else name] = value
        if self.needs_closure:
            self.optimizer.step(gradient_again)  # type: ignore[arg-type]
        else:
            self.optimizer.step()

    def memory(self) -> dict[str, Any]:
        return copy.deepcopy(self.optimizer.state_dict())

    def remember(self, memory: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(memory)


def make_stepper(optimizer: OptimizerSettings, flat: FlatParameters) -> Stepper:
    """The stepper for `optimizer`, with its state as before the first step."""
    return RuleStepper(optimizer, flat) if isinstance(optimizer.rule, str) else TorchStepper(optimizer, flat)
