"""Many small networks trained at once: one architecture, one data set, other first weights, rates, seeds, activations.

    experiments = variations(experiment, learning_rate=(0.01, 0.1), seed=range(8))
    ensemble = Ensemble(experiments)
    for steps_done in ensemble:
        ...  # show progress, or break to stop
    record = ensemble.record()

Each network goes the way it would go alone in weightlab.training.run; together they share every operation by torch.func
(https://docs.pytorch.org/docs/stable/func.html, "Model ensembling").
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weightlab.devices import find_device, settle_threads
from weightlab.ensembles.stacked import BatchNumbers, StackedNetworks
from weightlab.networks.architectures import Network
from weightlab.networks.models import MODELS
from weightlab.rules.update_rules import UPDATE_RULES
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.recorder import LIMIT, LOSS_LIMIT
from weightlab.validate import choose

MODELS_TOGETHER = tuple(name for name, entry in MODELS.items() if entry.together)
RULES_TOGETHER = tuple(name for name, rule in UPDATE_RULES.items() if rule.sees == "elements")
MAX_LEARNERS = 10_000
MAX_BYTES = 2 * 2**30
SHARED = ("dataset", "loss", "batch_size", "steps", "device", "dtype")


@dataclass(frozen=True)
class EnsembleRecord:
    """What an ensemble left, on the CPU in its dtype; row t belongs to step t, counted from 0.

    losses:         (steps, learner)        mean over the batch, without penalties, where the gradient was taken
    gradient_norms: (steps, learner, layer) of the loss, before penalties and clipping
    validation_losses, validation_accuracies: (learner,) at the end; NaN for who diverged and without validation split
    diverged_at:    (learner,)              step at which the loss or a gradient passed its limit, -1 for never
    layers:         one name a layer

    What follows a learner's divergence is NaN.
    """

    losses: Tensor
    gradient_norms: Tensor
    validation_losses: Tensor
    validation_accuracies: Tensor
    diverged_at: Tensor
    layers: tuple[str, ...]


def variations(experiment: TrainingExperiment, **choices: Sequence[Any]) -> tuple[TrainingExperiment, ...]:
    """The experiment with every combination of the choices, the last one running fastest.

    Names are fields of TrainingExperiment (initialization, seed, …), `activation`, or settings of the optimizer.
    Raises ValueError for an unknown name, an empty list of choices, and values that the experiment refuses.
    """
    own = dict(experiment.optimizer.settings)
    known = [*vars(experiment), "activation", *own]
    for name, values in choices.items():
        choose("setting to vary", name, known)
        if not len(values):
            raise ValueError(f"{name} has no values to choose from; give at least one, or leave it out")
    found = []
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        rule = {name: chosen.pop(name) for name in own if name in chosen}
        if rule:
            chosen["optimizer"] = chosen.get("optimizer", experiment.optimizer).replace(**rule)
        if "activation" in chosen:
            chosen["model"] = chosen.get("model", experiment.model).replace(activation=chosen.pop("activation"))
        found.append(experiment.replace(**chosen))
    return tuple(found)


class Ensemble:
    """Networks of one architecture on their way: `step()`, or iterate; `record()` at any time.

    experiments: equal in all but optimizer settings (of weightlab's own rules), initialization, activation, seed,
    penalties, clipping and schedule. The weights are those that training.run gives each experiment, to rounding;
    a network that diverges leaves the others as they are. Raises ValueError for experiments that do not go together,
    for too many of them, for a device that is absent and where it would take more than 2 GiB.

    steps_done: steps taken
    """

    def __init__(self, experiments: Sequence[TrainingExperiment]) -> None:
        self.experiments = _checked(experiments)
        first = self.experiments[0]
        settle_threads()
        self._device, self._dtype = find_device(first.device), getattr(torch, first.dtype)
        if self._device.type == "mps" and self._dtype == torch.float64:
            raise ValueError("device 'mps' has no float64; use dtype='float32' or device='cpu'")
        data = first.dataset
        template = first.model.build(data.shape, first.outputs)
        self.layers = tuple(name for name, _ in template.layers)
        _check_memory(self.experiments, template)
        self._x, self._y = self._here(data.x_train), data.y_train.to(self._device)
        order: dict[tuple[Any, Any], list[int]] = {}
        for learner, one in enumerate(self.experiments):
            order.setdefault((one.optimizer.rule, one.model), []).append(learner)
        where = self._device, self._dtype
        self._groups = [StackedNetworks(self.experiments, learners, *where) for learners in order.values()]
        self._batches = BatchNumbers(self.experiments, len(self._y), self._device)
        count = len(self.experiments)
        self._losses = torch.empty(first.steps, count, dtype=self._dtype, device=self._device)
        self._norms = torch.empty(first.steps, count, len(self.layers), dtype=self._dtype, device=self._device)
        self.steps_done = 0

    def _here(self, x: Tensor) -> Tensor:
        return x.to(self._dtype).to(self._device)

    def step(self) -> bool:
        """Take one step with every network; False, and nothing done, once all steps are taken."""
        now = self.steps_done
        if now == len(self._losses):
            return False
        numbers = self._batches.next()
        for group in self._groups:
            if numbers is None:
                x, y = self._x, self._y
            else:
                chosen = numbers if numbers.ndim == 1 else numbers[group.learners]
                x, y = self._x[chosen], self._y[chosen]
            group.step(now, x, y, self._losses[now], self._norms[now])
        self.steps_done += 1
        return True

    def __iter__(self) -> Iterator[int]:
        """Take steps to the end; yields the number of steps taken, after each."""
        while self.step():
            yield self.steps_done

    @property
    def weights(self) -> Tensor:
        """All networks' weights as they are now, (learner, weight), in the order of `network.parameters()`."""
        together = torch.cat([group.weights for group in self._groups])
        return together[torch.cat([group.learners for group in self._groups]).argsort()]

    def since(self, step: int) -> tuple[Tensor, Tensor]:
        """Losses (steps, learner) and gradient norms (steps, learner, layer) from `step` on, on the CPU as measured."""
        now = slice(step, self.steps_done)
        return self._losses[now].cpu(), self._norms[now].cpu()

    def record(self) -> EnsembleRecord:
        """All that has happened so far, validated now; the training can go on afterwards."""
        done = self.steps_done
        losses, norms = self._losses[:done].cpu().clone(), self._norms[:done].cpu().clone()
        diverged_at = _diverged_at(losses, norms)
        gone = (diverged_at >= 0) & (torch.arange(done).unsqueeze(-1) > diverged_at)
        losses[gone], norms[gone] = torch.nan, torch.nan
        validation = torch.full((2, len(self.experiments)), torch.nan, dtype=self._dtype)
        data = self.experiments[0].dataset
        if len(data.y_validation):
            x, y = self._here(data.x_validation), data.y_validation.to(self._device)
            for group in self._groups:
                validation[:, group.learners.cpu()] = group.evaluate(x, y).cpu()
        validation[:, diverged_at >= 0] = torch.nan
        return EnsembleRecord(losses, norms, validation[0], validation[1], diverged_at, self.layers)


def train_together(experiments: Sequence[TrainingExperiment]) -> EnsembleRecord:
    """Train all of them to the end. Raises what Ensemble raises."""
    ensemble = Ensemble(experiments)
    for _ in ensemble:
        pass
    return ensemble.record()


def _checked(experiments: Sequence[TrainingExperiment]) -> tuple[TrainingExperiment, ...]:
    found = tuple(experiments)
    if not found or not all(isinstance(one, TrainingExperiment) for one in found):
        raise TypeError(f"experiments must be a non-empty sequence of TrainingExperiment, got {experiments!r}")
    if len(found) > MAX_LEARNERS:
        raise ValueError(f"at most {MAX_LEARNERS} networks train at once, got {len(found)}; take fewer at a time")
    first = found[0]
    if first.model.name not in MODELS_TOGETHER:
        raise ValueError(
            f"networks train at once if they are one of {MODELS_TOGETHER}, got {first.model.name!r}; "
            "train the others one after the other with weightlab.training.run"
        )
    for number, one in enumerate(found):
        differing = [name for name in SHARED if getattr(one, name) != getattr(first, name)]
        if _without_activation(one) != _without_activation(first):
            differing.append("model (but for the activation)")
        if differing:
            raise ValueError(f"experiment {number} differs from the first in {differing}; train them apart")
        if not isinstance(one.optimizer.rule, str):
            raise ValueError(
                f"experiment {number} uses the class {one.optimizer.label}, which moves one network; "
                f"choose one of the rules {RULES_TOGETHER}"
            )
        if one.optimizer.rule not in RULES_TOGETHER:
            raise ValueError(
                f"experiment {number} uses {one.optimizer.label}, which sees each matrix of one network; choose one of "
                f"the rules {RULES_TOGETHER}"
            )
        if one.groups:
            raise ValueError(f"experiment {number} has parameter groups, got {one.groups}; leave out groups")
        if one.schedule.needs_losses:
            raise ValueError(f"experiment {number}: a schedule that waits for validation losses moves one network only")
    return found


def _without_activation(experiment: TrainingExperiment) -> tuple[Any, ...]:
    model = experiment.model
    return model.name, tuple(pair for pair in model.settings if pair[0] != "activation")


def _check_memory(experiments: tuple[TrainingExperiment, ...], network: Network) -> None:
    first, weights = experiments[0], sum(p.numel() for p in network.parameters())
    sizes: list[int] = []
    hooks = [m.register_forward_hook(lambda m, i, output: sizes.append(output.numel())) for m in network.modules()]
    with torch.no_grad():
        network.eval()(first.dataset.x_train[:1].to(torch.float64))
    for hook in hooks:
        hook.remove()
    batch = first.batch_size or len(first.dataset.y_train)
    # weights, gradient, two of state and the temporaries of a step; activations forward and backward; what is recorded
    numbers = 8 * weights + 2 * batch * (sum(sizes) + first.dataset.inputs) + first.steps * (1 + len(network.layers))
    needed = len(experiments) * numbers * (8 if first.dtype == "float64" else 4)
    if needed > MAX_BYTES:
        raise ValueError(
            f"{len(experiments)} networks of {weights} weights over {first.steps} steps would take about "
            f"{needed / 2**30:.1f} GiB, more than 2 GiB; train fewer at a time, fewer steps, or smaller ones"
        )


def _diverged_at(losses: Tensor, norms: Tensor) -> Tensor:
    """The first step at which a learner's loss or a gradient is beyond the recorder's limits, -1 for never."""
    if not len(losses):
        return torch.full(losses.shape[1:], -1)
    first = losses[0].where(losses[0].isfinite(), 1.0).clamp(min=1.0)
    beyond = ~(losses <= LOSS_LIMIT * first) | ~(norms <= LIMIT).all(-1)  # not ">": NaN is out of bounds too
    return torch.where(beyond.any(0), beyond.byte().argmax(0), -1)
