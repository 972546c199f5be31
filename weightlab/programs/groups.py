"""Parameter groups in a program: lists of dicts as PyTorch takes them, frozen parameters, two optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weightlab.program_text import INDENT, call, lines, literal, times
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.groups import Block, laid_out_blocks

MAIN, REST = "optimizer", "rest"  # the variables in a program
FEW = 4  # parameters that are written one by one, if not this many


@dataclass(frozen=True)
class GroupCode:
    """One param_group.

    optimizer:  the variable that it belongs to, MAIN or REST
    number:     its place in the param_groups
    parameters: an expression that gives them
    block:      what is said of them
    """

    optimizer: str
    number: int
    parameters: str
    block: Block | None = None

    @property
    def name(self) -> str:
        return f"{self.optimizer}.param_groups[{self.number}]"

    @property
    def factor(self) -> float:
        return 1.0 if self.block is None or self.block.group is None else self.block.group.rate_factor

    @property
    def weight_decay(self) -> float | None:
        return None if self.block is None or self.block.group is None else self.block.group.weight_decay

    @property
    def is_plain(self) -> bool:
        """Whether the optimizer's own settings hold."""
        return self.factor == 1 and self.weight_decay is None

    def entry(self, rate: str) -> str:
        """The dict, with what it is for; rate: the optimizer's, as a text."""
        own = [f'"params": {self.parameters}']
        own += [f'"lr": {times(self.factor, rate)}'] if self.factor != 1 else []
        own += [f'"weight_decay": {literal(self.weight_decay)}'] if self.weight_decay is not None else []
        group = None if self.block is None else self.block.group
        return f"{{{', '.join(own)}}},  # {group.parameters if group is not None else 'all others'}"


WHOLE = GroupCode(MAIN, 0, "model.parameters()")


@dataclass(frozen=True)
class Layout:
    """groups: what is trained; setup: lines before the optimizers are made."""

    groups: tuple[GroupCode, ...] = (WHOLE,)
    setup: str = ""
    frozen: bool = False

    @property
    def uneven(self) -> bool:
        """Whether the learning rates differ, so that no scheduler of PyTorch's sets all of them."""
        return any(one.factor != 1 or one.optimizer == REST for one in self.groups)

    def of(self, optimizer: str) -> list[GroupCode]:
        return [one for one in self.groups if one.optimizer == optimizer]

    def made(self, optimizer: str, constructor: str, given: Sequence[str], rate: str) -> str:
        """The lines that make the optimizer; rate: its learning rate as a text."""
        groups = self.of(optimizer)
        if not groups:
            return ""
        if len(groups) == 1 and groups[0].is_plain:
            return call(f"{optimizer} = {constructor}", [groups[0].parameters, *given])
        name = "groups" if optimizer == MAIN else "rest_groups"
        listed = "\n".join(INDENT + one.entry(rate) for one in groups)
        return lines(f"{name} = [", listed, "]", call(f"{optimizer} = {constructor}", [name, *given]))

    def rates(self, rate: str, rest_rate: float) -> str:
        """Lines that set each group's learning rate; rate: an expression that begins with `lr`, the main one's."""
        bases = {MAIN: rate, REST: rate.replace("lr", literal(rest_rate), 1)}
        return lines(*(f'{one.name}["lr"] = {times(one.factor, bases[one.optimizer])}' for one in self.groups))


def layout(experiment: TrainingExperiment) -> Layout:
    """The groups of `experiment` in a program."""
    if experiment.optimizer.rest is None and not experiment.groups:
        return Layout()
    trained, frozen, count = laid_out_blocks(experiment.groups, experiment.optimizer, experiment.model,
                                             experiment.dataset.shape, experiment.outputs)  # fmt: skip
    if not experiment.groups:
        tests = {False: "p.ndim == 2", True: "p.ndim != 2"}
        return Layout(tuple(
            GroupCode(REST if block.of_rest else MAIN, 0, f"[p for p in model.parameters() if {tests[block.of_rest]}]")
            for block in trained
        ))  # fmt: skip
    setup = ["parameters = list(model.parameters())"]
    for block in frozen:
        name = "" if block.group is None else block.group.parameters
        setup += [f"for p in {_chosen(block.parameters, count)}:  # {name}", f"{INDENT}p.requires_grad_(False)"]
    groups: list[GroupCode] = []
    for block in trained:
        variable = REST if block.of_rest else MAIN
        number = sum(one.optimizer == variable for one in groups)
        groups.append(GroupCode(variable, number, _chosen(block.parameters, count), block))
    return Layout(tuple(groups), lines(*setup), bool(frozen))


def _chosen(numbers: Sequence[int], count: int) -> str:
    """`parameters[1::2]` where many numbers are at even distances, else one by one."""
    apart = {after - before for before, after in zip(numbers[:-1], numbers[1:], strict=True)}
    if len(numbers) < FEW and apart != {1}:
        return f"[{', '.join(f'parameters[{i}]' for i in numbers)}]"
    if len(apart) > 1:
        return f"[parameters[i] for i in {tuple(numbers)}]"
    (step,) = apart
    first, last = numbers[0] or "", numbers[-1] + 1
    return f"parameters[{first}:{'' if last + step > count else last}{'' if step == 1 else f':{step}'}]"


def changed_groups(values: Mapping[str, Any], rate_apart: bool, groups: Sequence[GroupCode] = (WHOLE,)) -> str:
    """Lines that set entries of the param_groups anew; with rate_apart `lr` is a variable of the program."""
    rate = f"lr = {literal(values['lr'])}" if rate_apart and "lr" in values else ""
    texts = []
    for group in groups:
        new = {name: literal(value) for name, value in values.items()}
        if "lr" in new:
            new["lr"] = times(group.factor, new["lr"])
        if rate_apart:
            new.pop("lr", None)
        if group.weight_decay is not None:
            new.pop("weight_decay", None)
        if len(new) == 1:
            ((name, value),) = new.items()
            texts.append(f'{group.name}["{name}"] = {value}')
        elif new:
            texts.append(call(f"{group.name}.update", [f"{name}={value}" for name, value in new.items()], 2))
    return lines(rate, *texts)
