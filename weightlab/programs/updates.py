"""One update of a training program: batch, loss, penalties, clipping, and what is changed midway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weightlab.networks.losses import LOSSES
from weightlab.program_text import indented, lines, literal
from weightlab.programs.groups import MAIN, REST, Layout, changed_groups
from weightlab.programs.optimizers import OptimizerCode
from weightlab.training.experiment import RUN_SETTINGS, TrainingExperiment


@dataclass(frozen=True)
class Updates:
    """What decides an update.

    first:   the experiment as it is in the first step
    changed: step -> RUN_SETTINGS set anew there
    modes:   whether the network computes something else in training than in use
    idle:    whether some of its parameters get no gradient
    layout:  the param_groups
    rest:    the optimizer that moves what is no matrix, None for none
    """

    experiment: TrainingExperiment
    first: TrainingExperiment
    optimizer: OptimizerCode
    changed: Mapping[int, Mapping[str, Any]]
    modes: bool
    idle: bool = False
    layout: Layout = Layout()
    rest: OptimizerCode | None = None

    @property
    def optimizers(self) -> dict[str, OptimizerCode]:
        """By the variable's name."""
        return {MAIN: self.optimizer, **({REST: self.rest} if self.rest is not None else {})}

    @property
    def rates_by_hand(self) -> bool:
        """Whether no scheduler of PyTorch's can set the learning rates."""
        return self.optimizer.rate_changes or self.layout.uneven

    def rates(self, rate: str) -> str:
        """Lines before each step that set the learning rates, "" where a scheduler does."""
        return self.layout.rates(rate, 0.0 if self.rest is None else self.rest.rate) if rate else ""

    def values(self, name: str) -> list[Any]:
        """What a setting is in turn."""
        return [getattr(self.first, name), *(ones[name] for ones in self.changed.values() if name in ones)]

    def varies(self, name: str) -> bool:
        return len(set(self.values(name))) > 1

    def first_values(self) -> dict[str, Any]:
        """The settings that the program keeps in variables, as they change, and how they begin."""
        return {name: getattr(self.first, name) for name in RUN_SETTINGS if self.varies(name)}

    def text(self, name: str) -> str:
        return name if self.varies(name) else literal(getattr(self.first, name))

    def turns(self, rate_apart: bool) -> str:
        """The lines that change settings midway; with rate_apart the learning rate is in a variable `lr`."""
        texts = []
        for step in sorted({*self.changed, *self.optimizer.changes}):
            values = {name: value for name, value in self.changed.get(step, {}).items() if self.varies(name)}
            body = lines(
                changed_groups(self.optimizer.changes.get(step, {}), rate_apart, self.layout.of(MAIN)),
                *(f"{name} = {literal(value)}" for name, value in values.items()),
            )
            if body:
                texts.append(f"if step == {step}:\n{indented(body)}")
        return lines(*texts)




def loss_of(loss: str, logits: str, labels: str) -> str:
    """The mean loss as an expression."""
    return f"{LOSSES[loss].called}({logits}, {labels})"


def batch_definition(size: int | None) -> str:
    """The generator `batches()`, "" where all examples are used at once."""
    if size is None:
        return ""
    return lines(
        "def batches():",
        f'    """Batches of {size}, each epoch in a new order; what does not fill a batch is left out."""',
        "    while True:",
        "        order = torch.randperm(len(x_train), generator=order_stream)",
        f"        for chosen in order[: len(order) // {size} * {size}].split({size}):",
        "            yield x_train[chosen], y_train[chosen]",
    )


def validation(experiment: TrainingExperiment, modes: bool) -> str:
    """The function `validate()`, "" without a validation split."""
    if not len(experiment.dataset.y_validation):
        return ""
    guess = LOSSES[experiment.loss].guess
    right = f"({guess}) == y_validation" if " " in guess else f"{guess} == y_validation"
    return lines(
        "@torch.no_grad()",
        "def validate():",
        '    """Loss and share of right answers on the validation examples."""',
        "    model.eval()" if modes else "",
        "    logits = model(x_validation)",
        "    model.train()" if modes else "",
        f"    right = {right}",
        f"    return {loss_of(experiment.loss, 'logits', 'y_validation')}.item(), right.float().mean().item()",
    )


def update_lines(updates: Updates) -> str:
    """From the gradient to the step of the optimizer."""
    rule, experiment = updates.optimizer, updates.experiment
    x, y = ("x", "y") if experiment.batch_size else ("x_train", "y_train")
    gradient = lines(
        *(f"{name}.zero_grad({'set_to_none=False' if updates.idle else ''})" for name in updates.optimizers),
        f"loss = {loss_of(experiment.loss, f'model({x})', y)}",
        "loss.backward()",
        _penalty(updates),
        _clipping(updates),
    )
    if not rule.closure:
        ahead = [f"{name}.look_ahead()" for name, one in updates.optimizers.items() if one.looks_ahead]
        return lines(*ahead, gradient, *(f"{name}.step()" for name in updates.optimizers))
    closure = f"def closure():\n{indented(lines(gradient, 'return loss'))}"
    if updates.modes:  # one evaluation more, which batch normalization's running averages count
        return f"\n{closure}\n\nloss = closure()\noptimizer.step(closure)"
    return f"\n{closure}\n\nloss = optimizer.step(closure)"


def _penalty(updates: Updates) -> str:
    """The gradient of l1·Σ|w| + l2/2·Σw², added parameter by parameter."""
    added = ""
    if any(updates.values("l2")):
        added += f".add_(p.data, alpha={updates.text('l2')})"
    if any(updates.values("l1")):
        added += f".add_(p.data.sign(), alpha={updates.text('l1')})"
    if not added:
        return ""
    if updates.layout.frozen:
        return f"for p in model.parameters():\n    if p.requires_grad:\n        p.grad{added}"
    return f"for p in model.parameters():\n    p.grad{added}"


def _clipping(updates: Updates) -> str:
    texts = []
    for name, function in (("clip_norm", "clip_grad_norm_"), ("clip_value", "clip_grad_value_")):
        values = updates.values(name)
        if not any(values):
            continue
        text = f"nn.utils.{function}(model.parameters(), {updates.text(name)})"
        texts.append(f"if {name} is not None:\n    {text}" if None in values else text)
    return lines(*texts)
