"""Learning-rate schedules: step number -> factor on the learning rate, each equal to its torch.optim.lr_scheduler.

To add a schedule: write its factor and give it one entry in _SCHEDULES.
Source of every formula: https://docs.pytorch.org/docs/stable/optim.html (how to adjust learning rate).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import Tensor

from weightlab.program_text import lines, literal
from weightlab.validate import choose, number, whole_number

Factor = Callable[[Tensor, Mapping[str, float]], Tensor]  # steps (steps,), settings -> factors (steps,)
Range = tuple[float, float, float]  # default, low, high


@dataclass(frozen=True)
class OfRate:
    """A scheduler's argument that is a share of the learning rate it begins with."""

    share: float


@dataclass(frozen=True)
class TorchScheduler:
    """A class of torch.optim.lr_scheduler and its arguments; `then` takes over after `after` steps."""

    name: str
    arguments: Mapping[str, float | bool | OfRate]
    then: TorchScheduler | None = None
    after: int = 0


@dataclass(frozen=True)
class Schedule:
    """One schedule.

    settings: name -> (default, low, high)
    factor:   None where the losses decide
    twin:     PyTorch's scheduler that does the same, None where it has none
    program:  settings -> the body of `factor(step)` in a program; never asked where the losses decide
    """

    name: str
    label: str
    formula: str
    settings: Mapping[str, Range]
    factor: Factor | None
    twin: Callable[[ScheduleSettings], TorchScheduler | None]
    program: Callable[[Mapping[str, float]], str] = lambda settings: "return 1.0"


def _constant(step: Tensor, settings: Mapping[str, float]) -> Tensor:
    return torch.ones_like(step)


def _step(step: Tensor, settings: Mapping[str, float]) -> Tensor:
    return settings["gamma"] ** torch.floor(step / settings["step_size"])


def _exponential(step: Tensor, settings: Mapping[str, float]) -> Tensor:
    return settings["gamma"] ** step


def _polynomial(step: Tensor, settings: Mapping[str, float]) -> Tensor:
    return (1 - step / settings["total_steps"]).clamp(min=0) ** settings["power"]


def _triangular(step: Tensor, settings: Mapping[str, float]) -> Tensor:
    half = settings["half_cycle"]
    height = 1 - (step / half % 2 - 1).abs()
    return settings["lowest"] + (1 - settings["lowest"]) * height


def _cosine(step: Tensor, settings: Mapping[str, float]) -> Tensor:
    lowest = settings["lowest"]
    return lowest + (1 - lowest) * (1 + torch.cos(math.pi * step / settings["half_cycle"])) / 2


def _warmup(step: Tensor, settings: Mapping[str, float]) -> Tensor:
    length, first = settings["warmup_steps"], settings["first"]
    rising = first + (1 - first) * step / length
    if settings["decay_steps"] == 0:
        return rising.clamp(max=1)
    falling = _cosine(step - length, {"half_cycle": settings["decay_steps"], "lowest": settings["lowest"]})
    return torch.where(step < length, rising, falling)


# ---- PyTorch's counterparts --------------------------------------------------------------------------------------


def _lowest(name: str, share: float) -> dict[str, OfRate]:
    return {name: OfRate(share)} if share else {}


def _cosine_twin(half_cycle: float, lowest: float) -> TorchScheduler:
    return TorchScheduler("CosineAnnealingLR", {"T_max": int(half_cycle), **_lowest("eta_min", lowest)})


def _triangular_twin(s: ScheduleSettings) -> TorchScheduler:
    ends = {"base_lr": OfRate(s.lowest), "max_lr": OfRate(1.0)}
    return TorchScheduler("CyclicLR", {**ends, "step_size_up": int(s.half_cycle), "cycle_momentum": False})


def _warmup_twin(s: ScheduleSettings) -> TorchScheduler:
    length = int(s.warmup_steps)
    falling = _cosine_twin(s.decay_steps, s.lowest) if s.decay_steps else None
    return TorchScheduler("LinearLR", {"start_factor": s.first, "total_iters": length}, falling, length)


def _plateau_twin(s: ScheduleSettings) -> TorchScheduler:
    torchs_own = {"factor": 0.1, "patience": 10, "threshold": 1e-4, "cooldown": 0}
    given = {name: type(own)(s.settings[name]) for name, own in torchs_own.items() if s.settings[name] != own}
    # torch leaves out reductions of the rate by less than eps
    return TorchScheduler("ReduceLROnPlateau", {**given, **_lowest("min_lr", s.lowest), "eps": 0.0})


# ---- as lines of a program ---------------------------------------------------------------------------------------


def _between(lowest: float, height: str) -> str:
    return f"return {literal(lowest)} + {literal(1 - lowest)} * {height}" if lowest else f"return {height}"


def _triangular_lines(s: Mapping[str, float]) -> str:
    return lines(f"height = 1 - abs(step / {int(s['half_cycle'])} % 2 - 1)", _between(s["lowest"], "height"))


def _cosine_lines(length: float, lowest: float, step: str = "step") -> str:
    return _between(lowest, f"(1 + math.cos(math.pi * {step} / {int(length)})) / 2")


def _warmup_lines(s: Mapping[str, float]) -> str:
    length = int(s["warmup_steps"])
    rising = f"{literal(s['first'])} + {literal(1 - s['first'])} * step / {length}"
    if not s["decay_steps"]:
        return f"return min(1.0, {rising})"
    later = _cosine_lines(s["decay_steps"], s["lowest"], f"(step - {length})")
    return lines(f"if step < {length}:", f"    return {rising}", later)


def _polynomial_lines(s: Mapping[str, float]) -> str:
    left = f"max(0.0, 1 - step / {int(s['total_steps'])})"
    return f"return {left}" if s["power"] == 1 else f"return {left} ** {literal(s['power'])}"


_LENGTH: Range = (100, 1, 100_000)
_LOWEST: Range = (0.0, 0.0, 1.0)
_SCHEDULES = (
    Schedule("constant", "Constant", "η", {}, _constant, lambda s: TorchScheduler("ConstantLR", {"factor": 1.0})),
    Schedule(
        "step", "Step", "η γ^⌊t/s⌋", {"step_size": _LENGTH, "gamma": (0.5, 0.0, 1.0)}, _step,
        lambda s: TorchScheduler("StepLR", {"step_size": int(s.step_size), "gamma": s.gamma}),
        lambda s: f"return {literal(s['gamma'])} ** (step // {int(s['step_size'])})",
    ),
    Schedule(
        "exponential", "Exponential", "η γᵗ", {"gamma": (0.99, 0.0, 1.0)}, _exponential,
        lambda s: TorchScheduler("ExponentialLR", {"gamma": s.gamma}),
        lambda s: f"return {literal(s['gamma'])}**step",
    ),
    Schedule(
        "polynomial", "Polynomial", "η (1 − t/T)ᵖ, then 0",
        {"total_steps": (300, 1, 100_000), "power": (1.0, 0.0, 10.0)}, _polynomial,
        lambda s: TorchScheduler("PolynomialLR", {"total_iters": int(s.total_steps), "power": s.power}),
        _polynomial_lines,
    ),
    Schedule(
        "triangular", "Cyclical (triangular)", "up from lowest·η to η in half a cycle and down again",
        {"half_cycle": (50, 1, 100_000), "lowest": (0.1, 0.0, 1.0)}, _triangular, _triangular_twin, _triangular_lines,
    ),
    Schedule(
        "cosine", "Cosine", "η (lowest + (1 − lowest)(1 + cos(πt/T))/2)",
        {"half_cycle": (300, 1, 100_000), "lowest": _LOWEST}, _cosine,
        lambda s: _cosine_twin(s.half_cycle, s.lowest), lambda s: _cosine_lines(s["half_cycle"], s["lowest"]),
    ),
    Schedule(
        "warmup", "Warm-up", "linearly from first·η up to η, then constant (decay_steps 0) or a cosine to lowest·η",
        {
            "warmup_steps": (20, 1, 100_000), "first": (0.1, 0.001, 1.0),
            "decay_steps": (0, 0, 100_000), "lowest": _LOWEST,
        },
        _warmup, _warmup_twin, _warmup_lines,
    ),
    Schedule(
        "plateau", "Reduce on plateau", "η times factor whenever the loss has not improved for over patience steps",
        {
            "factor": (0.5, 0.0, 0.999), "patience": (10, 0, 100_000), "threshold": (1e-4, 0.0, 1.0),
            "cooldown": (0, 0, 100_000), "lowest": _LOWEST,
        },
        None, _plateau_twin,
    ),
)
SCHEDULES: Mapping[str, Schedule] = MappingProxyType({entry.name: entry for entry in _SCHEDULES})


class Tracker(Protocol):
    """A schedule while a run goes on: ask `factor()` before each step, tell the step's loss with `observe`."""

    def factor(self) -> float: ...

    def observe(self, loss: float) -> None: ...


class _Counting:
    def __init__(self, schedule: ScheduleSettings) -> None:
        self._schedule = schedule
        self._step = 0
        self._factors: list[float] = []

    def factor(self) -> float:
        if self._step >= len(self._factors):  # grown by doubling: one tensor for many steps
            self._factors = self._schedule.factors(max(256, 2 * self._step)).tolist()
        return self._factors[self._step]

    def observe(self, loss: float) -> None:
        self._step += 1


class _Plateau:
    """torch.optim.lr_scheduler.ReduceLROnPlateau with mode="min", threshold_mode="rel" and eps=0."""

    def __init__(self, settings: Mapping[str, float]) -> None:
        self._settings = settings
        self._factor = 1.0
        self._best = math.inf
        self._bad_steps = 0
        self._resting = 0

    def factor(self) -> float:
        return self._factor

    def observe(self, loss: float) -> None:
        if loss < self._best * (1 - self._settings["threshold"]):
            self._best, self._bad_steps = loss, 0
        else:
            self._bad_steps += 1
        if self._resting > 0:
            self._resting -= 1
            self._bad_steps = 0
        if self._bad_steps > self._settings["patience"]:
            self._factor = max(self._factor * self._settings["factor"], self._settings["lowest"])
            self._resting, self._bad_steps = int(self._settings["cooldown"]), 0


@dataclass(frozen=True)
class ScheduleSettings:
    """A schedule by name with all its settings; checked when made, settings are attributes too.

    Raises ValueError or TypeError for an unknown name or setting and for a value out of its range.
    """

    name: str
    settings: Mapping[str, float]

    def __post_init__(self) -> None:
        entry = SCHEDULES[choose("schedule", self.name, SCHEDULES)]
        values: dict[str, float] = {key: default for key, (default, _, _) in entry.settings.items()}
        for key, value in self.settings.items():
            default, low, high = entry.settings[choose(f"setting of schedule {self.name}", key, values)]
            if isinstance(default, int):  # lengths are counted in steps
                values[key] = whole_number(key, value, int(low), int(high), why="it is a number of steps")
            else:
                values[key] = number(key, value, low, high, why="schedules scale the learning rate by at most 1")
        object.__setattr__(self, "settings", MappingProxyType(dict(sorted(values.items()))))

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.settings.items())))

    def __reduce__(self) -> tuple[Any, ...]:
        return ScheduleSettings, (self.name, dict(self.settings))

    def __repr__(self) -> str:
        given = (f"{key}={value!r}" for key, value in self.settings.items())
        return f"schedule({', '.join([repr(self.name), *given])})"

    def __getattr__(self, name: str) -> float:
        if not name.startswith("_") and name != "settings" and name in self.settings:
            return self.settings[name]
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}")

    @property
    def label(self) -> str:
        return SCHEDULES[self.name].label

    @property
    def is_constant(self) -> bool:
        """Whether it leaves the learning rate alone."""
        return self.name == "constant"

    @property
    def needs_losses(self) -> bool:
        return SCHEDULES[self.name].factor is None

    def factors(self, steps: int) -> Tensor:
        """The factor on the learning rate at steps 0 .. steps - 1, (steps,) float64.

        Raises ValueError for a schedule that the losses decide ("plateau"): use `start()`.
        """
        factor = SCHEDULES[self.name].factor
        if factor is None:
            raise ValueError(f"the losses decide schedule {self.name!r}; use start(), then factor() and observe(loss)")
        # in whole blocks: torch rounds the odd ends of a tensor differently, and a factor must not depend on the length
        return factor(torch.arange(-(-steps // 64) * 64, dtype=torch.float64), self.settings)[:steps]

    def start(self) -> Tracker:
        return _Plateau(self.settings) if self.needs_losses else _Counting(self)


def schedule(name: str, **settings: float) -> ScheduleSettings:
    """`schedule("cosine", half_cycle=300)`; settings left out take the schedule's defaults."""
    return ScheduleSettings(name, settings)


CONSTANT = schedule("constant")
