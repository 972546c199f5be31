"""Networks of one architecture stacked: their weights as one tensor, every operation shared by torch.func's vmap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from weightlab.networks.architectures import MLP, HiddenLayer, Network, flat_weights
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import initialize
from weightlab.rules.update_rules import UPDATE_RULES
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import streams
from weightlab.training.steppers import layer_slices

EVALUATED_TOGETHER = 2**24  # numbers in a layer's activations while validating: 64 MiB in float32
EVERYONE = slice(None)


class StackedNetworks:
    """Learners of one rule and one activation out of `everyone`.

    learners: their numbers
    weights:  (learner, weight), in the order of `network.parameters()`
    """

    def __init__(
        self, everyone: Sequence[TrainingExperiment], learners: list[int], device: torch.device, dtype: torch.dtype
    ) -> None:
        chosen = [everyone[learner] for learner in learners]
        first = chosen[0]
        self.learners = torch.tensor(learners, device=device)
        self.loss, self.classes = LOSSES[first.loss], first.dataset.classes
        network = first.model.build(first.dataset.shape, first.outputs)
        starts = [_first_weights(one, network) for one in chosen]
        self.network: Network = network.to(dtype).to(device)
        self.weights = torch.stack(starts).to(dtype).to(device)
        self.gradient = torch.zeros_like(self.weights)
        self.parameters = _views(self.network, self.weights)
        self.gradients = list(_views(self.network, self.gradient).values())
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        count = len(chosen)
        self.buffers = {name: b.repeat(count, *[1] * b.ndim) for name, b in self.network.named_buffers()}
        self.layers = layer_slices(self.network)
        rule = first.optimizer.rule
        assert isinstance(rule, str)
        self.rule = UPDATE_RULES[rule]
        settings = [one.optimizer.settings for one in chosen]
        self.settings = {name: self._column([one[name] for one in settings]) for name in self.rule.defaults}
        self.rates = torch.stack([one.optimizer.learning_rate * one.schedule.factors(one.steps) for one in chosen], 1)
        self.rates = self.rates.to(dtype).to(device).unsqueeze(-1)  # (step, learner, 1)
        self.shaping = {
            name: None if not any(values) else self._column([math.inf if v is None else v for v in values])
            for name in ("l1", "l2", "clip_norm", "clip_value")
            for values in [[getattr(one, name) for one in chosen]]
        }
        self.state = self.rule.init(self.weights)

    def _column(self, values: list[float]) -> float | Tensor:
        """One number where all learners agree: fewer operations; else (learner, 1)."""
        return values[0] if len(set(values)) == 1 else self.weights.new_tensor(values).unsqueeze(-1)

    def step(self, number: int, x: Tensor, y: Tensor, losses: Tensor, norms: Tensor) -> None:
        """One step on x (example, …) for all or (learner, example, …); notes losses and norms by learner."""
        settings = {**self.settings, "learning_rate": self.rates[number]}
        with torch.no_grad():
            ahead = self.rule.gradient_point(self.weights, self.state, settings)
            before = None if ahead is self.weights else self.weights.clone()
            if before is not None:
                self.weights.copy_(ahead)
        found = self._losses(self._logits(x), y)
        # the learners share no weight, so the sum's gradient is each one's own
        gradients = torch.autograd.grad(found.sum(), list(self.parameters.values()))
        with torch.no_grad():
            torch._foreach_copy_(self.gradients, gradients)
            losses[self.learners] = found.detach()
            norms[self.learners] = torch.stack(
                [torch.linalg.vector_norm(self.gradient[:, where], dim=1) for where in self.layers], 1
            )
            self._shape_gradient()
            if before is not None:
                self.weights.copy_(before)
            new, self.state = self.rule.step(self.weights, self.gradient, self.state, settings)
            self.weights.copy_(new)

    def _losses(self, logits: Tensor, y: Tensor) -> Tensor:
        """Mean loss by learner; logits (learner, example, outputs), y (example,) or (learner, example)."""
        sides = logits.shape[:2]
        found = self.loss.each(logits.flatten(0, 1), y.expand(sides).flatten(), self.classes)
        return found.view(sides).mean(dim=1)

    def _logits(self, x: Tensor, learners: slice = EVERYONE) -> Tensor:
        """(learner, example, outputs) of x (example, inputs) for all, or (learner, example, inputs)."""
        parameters = {name: part[learners] for name, part in self.parameters.items()}
        if isinstance(self.network, MLP) and not self.buffers:
            return _through_layers(self.network, list(parameters.values()), x)
        buffers = {name: part[learners] for name, part in self.buffers.items()}

        def one(parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], x: Tensor) -> Tensor:
            logits: Tensor = functional_call(self.network, (dict(parameters), dict(buffers)), (x,))
            return logits

        logits: Tensor = vmap(one, in_dims=(0, 0, 0 if x.ndim == 3 else None))(parameters, buffers, x)
        return logits

    def _shape_gradient(self) -> None:
        """Penalties and clipping, as weightlab.training.steppers has them for one network."""
        l1, l2, clip_norm, clip_value = self.shaping.values()
        if l2 is not None:
            self.gradient.add_(self.weights * l2)
        if l1 is not None:
            self.gradient.add_(self.weights.sign() * l1)
        if clip_norm is not None:
            total = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)
            self.gradient.mul_((clip_norm / (total + 1e-6)).clamp_(max=1.0))
        if clip_value is not None:
            bound = torch.as_tensor(clip_value, dtype=self.gradient.dtype, device=self.gradient.device)
            self.gradient.clamp_(-bound, bound)

    def evaluate(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean loss and share of right answers of every learner, (2, learner)."""
        widest = max(math.prod(p.shape[1:2]) for p in self.parameters.values()) * len(y)
        together = max(1, EVALUATED_TOGETHER // widest)
        found = []
        self.network.eval()
        with torch.no_grad():
            for low in range(0, len(self.weights), together):
                logits = self._logits(x, slice(low, low + together))
                right = self.loss.probabilities(logits).argmax(dim=-1) == y
                found.append(torch.stack([self._losses(logits, y), right.to(logits.dtype).mean(dim=1)]))
        self.network.train()
        return torch.cat(found, dim=1)


class BatchNumbers:
    """Which examples are in the next batch: (example,) where all learners share a seed, else (learner, example)."""

    def __init__(self, experiments: Sequence[TrainingExperiment], examples: int, device: torch.device) -> None:
        seeds = sorted({one.seed for one in experiments})
        self._generators = [streams(seed)[1] for seed in seeds]
        self._row = torch.tensor([seeds.index(one.seed) for one in experiments], device=device)
        self._examples, self._size, self._device = examples, experiments[0].batch_size, device
        self._left: list[Tensor] = []

    def next(self) -> Tensor | None:
        """None for all examples in fixed order."""
        if self._size is None:
            return None
        if not self._left:
            used = self._examples // self._size * self._size
            orders = [torch.randperm(self._examples, generator=one)[:used] for one in self._generators]
            self._left = list(torch.stack(orders).to(self._device).split(self._size, dim=1))[::-1]
        rows = self._left.pop()
        return rows[0] if len(rows) == 1 else rows[self._row]


def _through_layers(network: MLP, parameters: Sequence[Tensor], x: Tensor) -> Tensor:
    """A perceptron's logits, a batched product a layer: half the time that vmap takes for the same products."""
    h = x if x.ndim == 3 else x.expand(len(parameters[0]), *x.shape)
    pairs = list(zip(parameters[::2], parameters[1::2], strict=True))  # weight (learner, out, in), bias (learner, out)
    for layer, (weight, bias) in zip(network.hidden, pairs[:-1], strict=True):
        assert isinstance(layer, HiddenLayer)
        f = layer.activation(torch.baddbmm(bias.unsqueeze(1), h, weight.mT))
        h = h + f if layer.residual else f
    weight, bias = pairs[-1]
    return torch.baddbmm(bias.unsqueeze(1), h, weight.mT)


def _first_weights(experiment: TrainingExperiment, network: Network) -> Tensor:
    initialize(network, experiment.initialization, experiment.model.hidden_activation, streams(experiment.seed)[0])
    return flat_weights(network)


def _views(network: Network, flat: Tensor) -> dict[str, Tensor]:
    """Parts of flat (learner, weight) under the names and in the shapes of the network's parameters."""
    found, position = {}, 0
    for name, parameter in network.named_parameters():
        here = slice(position, position + parameter.numel())
        found[name] = flat[:, here].view(len(flat), *parameter.shape)
        position = here.stop
    return found
