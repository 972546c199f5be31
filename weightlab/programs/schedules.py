"""A learning-rate schedule in a program: PyTorch's scheduler, or a factor by hand where the rate changes midway."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from weightlab.program_text import arguments, call, comment, indented, lines, literal, times
from weightlab.rules.schedules import ScheduleSettings

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
    if chosen.name == "constant":
        return ScheduleCode()
    if chosen.name == "plateau":
        return _plateau(chosen, rate_changes, depth)
    if rate_changes:
        body = _FACTORS[chosen.name](chosen.settings)
        text = f'def factor(step):\n    """What the schedule multiplies the learning rate by."""\n{indented(body)}'
        needs = ("import math",) if "math." in body else ()
        return ScheduleCode(text, rate="lr * factor(step)", uses_rate=True, imports=needs)
    if chosen.name == "warmup" and chosen.decay_steps:
        setup = _warmup_and_decay(chosen, depth)
    else:
        name, values = _SCHEDULERS[chosen.name](chosen)
        setup = call(f"scheduler = {_HOME}{name}", ["optimizer", *values], depth)
    return ScheduleCode(setup=setup, advance="scheduler.step()", uses_rate=bool(re.search(r"\blr\b", setup)))


def _lowest(name: str, chosen: ScheduleSettings) -> list[str]:
    return [f"{name}={times(chosen.lowest, 'lr')}"] if chosen.lowest else []


def _triangular(s: ScheduleSettings) -> tuple[str, list[str]]:
    lowest = times(s.lowest, "lr") if s.lowest else "0.0"
    half = literal(int(s.half_cycle))
    return "CyclicLR", [f"base_lr={lowest}", "max_lr=lr", f"step_size_up={half}", "cycle_momentum=False"]


_SCHEDULERS: Mapping[str, Callable[[ScheduleSettings], tuple[str, list[str]]]] = MappingProxyType({
    "step": lambda s: ("StepLR", arguments({"step_size": int(s.step_size), "gamma": s.gamma})),
    "exponential": lambda s: ("ExponentialLR", arguments({"gamma": s.gamma})),
    "polynomial": lambda s: ("PolynomialLR", arguments({"total_iters": int(s.total_steps), "power": s.power})),
    "triangular": _triangular,
    "cosine": lambda s: ("CosineAnnealingLR", [f"T_max={int(s.half_cycle)}", *_lowest("eta_min", s)]),
    "warmup": lambda s: ("LinearLR", arguments({"start_factor": s.first, "total_iters": int(s.warmup_steps)})),
})


def _warmup_and_decay(s: ScheduleSettings, depth: int) -> str:
    length = int(s.warmup_steps)
    rising = call(f"rising = {_HOME}LinearLR",
                  ["optimizer", *arguments({"start_factor": s.first, "total_iters": length})], depth)
    falling = call(f"falling = {_HOME}CosineAnnealingLR",
                   ["optimizer", f"T_max={int(s.decay_steps)}", *_lowest("eta_min", s)], depth)
    both = call(f"scheduler = {_HOME}SequentialLR", ["optimizer", "[rising, falling]", f"milestones=[{length}]"], depth)
    return lines(rising, falling, both)


def _plateau(s: ScheduleSettings, rate_changes: bool, depth: int) -> ScheduleCode:
    torchs_own = {"factor": 0.1, "patience": 10, "threshold": 1e-4, "cooldown": 0}
    values = {name: type(own)(s.settings[name]) for name, own in torchs_own.items() if s.settings[name] != own}
    # torch leaves out reductions of the rate by less than eps
    head, ends = f"scheduler = {_HOME}ReduceLROnPlateau", [*arguments(values), "eps=0.0"]
    if not rate_changes:
        lowest = _lowest("min_lr", s)
        setup = call(head, ["optimizer", *ends[:-1], *lowest, ends[-1]], depth)
        return ScheduleCode(setup=setup, observe="scheduler.step({loss})", uses_rate=bool(lowest))
    lowest = [f"min_lr={literal(s.lowest)}"] if s.lowest else []
    remark = "The learning rate is set anew midway, so the scheduler works on a factor that begins at 1."
    setup = lines(comment(remark, depth), "pace = torch.optim.SGD([torch.zeros(1)], lr=1.0)",
                  call(head, ["pace", *ends[:-1], *lowest, ends[-1]], depth))
    return ScheduleCode(setup=setup, rate='lr * pace.param_groups[0]["lr"]', observe="scheduler.step({loss})",
                        uses_rate=True)


def _between(lowest: float, height: str) -> str:
    return f"return {literal(lowest)} + {literal(1 - lowest)} * {height}" if lowest else f"return {height}"


def _factor_of_triangle(s: Mapping[str, Any]) -> str:
    height = f"height = 1 - abs(step / {int(s['half_cycle'])} % 2 - 1)"
    return lines(height, _between(s["lowest"], "height"))


def _factor_of_cosine(length: Any, lowest: float, step: str = "step") -> str:
    return _between(lowest, f"(1 + math.cos(math.pi * {step} / {int(length)})) / 2")


def _factor_of_warmup(s: Mapping[str, Any]) -> str:
    length = int(s["warmup_steps"])
    rising = f"{literal(s['first'])} + {literal(1 - s['first'])} * step / {length}"
    if not s["decay_steps"]:
        return f"return min(1.0, {rising})"
    later = _factor_of_cosine(s["decay_steps"], s["lowest"], f"(step - {length})")
    return lines(f"if step < {length}:", f"    return {rising}", later)


def _factor_of_polynomial(s: Mapping[str, Any]) -> str:
    left = f"max(0.0, 1 - step / {int(s['total_steps'])})"
    return f"return {left}" if s["power"] == 1 else f"return {left} ** {literal(s['power'])}"


_FACTORS: Mapping[str, Callable[[Mapping[str, Any]], str]] = MappingProxyType({
    "step": lambda s: f"return {literal(s['gamma'])} ** (step // {int(s['step_size'])})",
    "exponential": lambda s: f"return {literal(s['gamma'])}**step",
    "polynomial": _factor_of_polynomial,
    "triangular": _factor_of_triangle,
    "cosine": lambda s: _factor_of_cosine(s["half_cycle"], s["lowest"]),
    "warmup": _factor_of_warmup,
})
