"""A learning-rate schedule in a program: PyTorch's scheduler, or a factor by hand where the rate changes midway."""

from __future__ import annotations

import re
from dataclasses import dataclass

from weightlab.program_text import call, comment, indented, lines, literal, times
from weightlab.rules.schedules import SCHEDULES, OfRate, ScheduleSettings, TorchScheduler

_HOME = "torch.optim.lr_scheduler."


@dataclass(frozen=True)
class ScheduleCode:
    """Where a schedule shows in a program.

    definition: a function `factor(step)`, "" where PyTorch's scheduler is used
    setup:      after `optimizer` is made
    rate:       the learning rate before each step as an expression of `lr`, "" where the scheduler sets it
    advance:    after each step, "" for nothing
    observe:    told a loss, for "plateau": `{loss}` is to be put in
    uses_rate:  whether setup or rate need a variable `lr`
    """

    definition: str = ""
    setup: str = ""
    rate: str = ""
    advance: str = ""
    observe: str = ""
    uses_rate: bool = False
    imports: tuple[str, ...] = ()


def schedule_code(chosen: ScheduleSettings, rate_changes: bool, depth: int = 0) -> ScheduleCode:
    """`chosen` for an optimizer called `optimizer`; depth: indentation at which `setup` will stand.

    rate_changes: whether the learning rate is set anew midway. PyTorch's schedulers go on from the rate they began
    with, so then the program multiplies by the factor itself.
    """
    if chosen.is_constant:
        return ScheduleCode()
    entry, twin = SCHEDULES[chosen.name], SCHEDULES[chosen.name].twin(chosen)
    if twin is not None and chosen.needs_losses:
        return _told_losses(twin, rate_changes, depth)
    if twin is None or rate_changes:
        body = entry.program(chosen.settings)
        text = f'def factor(step):\n    """What the schedule multiplies the learning rate by."""\n{indented(body)}'
        needs = ("import math",) if "math." in body else ()
        return ScheduleCode(text, rate="lr * factor(step)", uses_rate=True, imports=needs)
    setup = _made(twin, depth)
    return ScheduleCode(setup=setup, advance="scheduler.step()", uses_rate=bool(re.search(r"\blr\b", setup)))


def _made(twin: TorchScheduler, depth: int) -> str:
    if twin.then is None:
        return _call("scheduler", twin, depth)
    both = ["optimizer", "[first, second]", f"milestones=[{twin.after}]"]
    parts = (_call("first", twin, depth), _call("second", twin.then, depth))
    return lines(*parts, call(f"scheduler = {_HOME}SequentialLR", both, depth))


def _call(variable: str, twin: TorchScheduler, depth: int, optimizer: str = "optimizer", rate: str = "lr") -> str:
    given = [f"{name}={_argument(value, rate)}" for name, value in twin.arguments.items()]
    return call(f"{variable} = {_HOME}{twin.name}", [optimizer, *given], depth)


def _argument(value: float | OfRate, rate: str) -> str:
    if not isinstance(value, OfRate):
        return literal(value)
    return times(value.share, rate) if value.share and rate else literal(value.share)


def _told_losses(twin: TorchScheduler, rate_changes: bool, depth: int) -> ScheduleCode:
    observe = "scheduler.step({loss})"
    if not rate_changes:
        setup = _call("scheduler", twin, depth)
        return ScheduleCode(setup=setup, observe=observe, uses_rate=bool(re.search(r"\blr\b", setup)))
    remark = "The learning rate is set anew midway, so the scheduler works on a factor that begins at 1."
    setup = lines(
        comment(remark, depth),
        "pace = torch.optim.SGD([torch.zeros(1)], lr=1.0)",
        _call("scheduler", twin, depth, "pace", rate=""),
    )
    return ScheduleCode(setup=setup, rate='lr * pace.param_groups[0]["lr"]', observe=observe, uses_rate=True)
