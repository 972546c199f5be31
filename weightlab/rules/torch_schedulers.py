"""Each schedule's counterpart in torch.optim.lr_scheduler, and how far the two differ.

Source: https://docs.pytorch.org/docs/stable/optim.html (how to adjust learning rate).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler

from weightlab.rules.schedules import ScheduleSettings

Scheduler = lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau


def _rate(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def _cosine(optimizer: Optimizer, half_cycle: float, lowest: float) -> Scheduler:
    return lr_scheduler.CosineAnnealingLR(optimizer, T_max=int(half_cycle), eta_min=lowest * _rate(optimizer))


def _warmup(optimizer: Optimizer, chosen: ScheduleSettings) -> Scheduler:
    length, rate = int(chosen.warmup_steps), _rate(optimizer)
    rising = lr_scheduler.LinearLR(optimizer, start_factor=chosen.first, total_iters=length)
    if chosen.decay_steps == 0:
        return rising
    falling = lr_scheduler.CosineAnnealingLR(optimizer, T_max=int(chosen.decay_steps), eta_min=chosen.lowest * rate)
    return lr_scheduler.SequentialLR(optimizer, [rising, falling], milestones=[length])


_COUNTERPARTS: Mapping[str, Callable[[Optimizer, ScheduleSettings], Any]] = MappingProxyType(
    {
        "constant": lambda o, s: lr_scheduler.ConstantLR(o, factor=1.0),
        "step": lambda o, s: lr_scheduler.StepLR(o, step_size=int(s.step_size), gamma=s.gamma),
        "exponential": lambda o, s: lr_scheduler.ExponentialLR(o, gamma=s.gamma),
        "polynomial": lambda o, s: lr_scheduler.PolynomialLR(o, total_iters=int(s.total_steps), power=s.power),
        "triangular": lambda o, s: lr_scheduler.CyclicLR(
            o, base_lr=s.lowest * _rate(o), max_lr=_rate(o), step_size_up=int(s.half_cycle), cycle_momentum=False
        ),
        "cosine": lambda o, s: _cosine(o, s.half_cycle, s.lowest),
        "warmup": _warmup,
        "plateau": lambda o, s: lr_scheduler.ReduceLROnPlateau(
            o,
            factor=s.factor,
            patience=int(s.patience),
            threshold=s.threshold,
            cooldown=int(s.cooldown),
            min_lr=s.lowest * _rate(o),
            eps=0.0,
        ),
    }
)


def torch_scheduler(chosen: ScheduleSettings, optimizer: Optimizer) -> Scheduler:
    """PyTorch's scheduler that does to `optimizer` what `chosen` says, its learning rate being η."""
    with warnings.catch_warnings():
        _ignore_torchs_own_warning()
        made: Scheduler = _COUNTERPARTS[chosen.name](optimizer, chosen)
        return made


def rates_of_torch(chosen: ScheduleSettings, learning_rate: float, losses: Sequence[float]) -> list[float]:
    """The learning rate in each of len(losses) steps under PyTorch's scheduler, which is told each step's loss."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=learning_rate)
    scheduler = torch_scheduler(chosen, optimizer)
    rates = []
    with warnings.catch_warnings():
        _ignore_torchs_own_warning()
        for loss in losses:
            rates.append(_rate(optimizer))
            optimizer.step()
            scheduler.step(*([loss] if chosen.needs_losses else []))  # type: ignore[arg-type]
    return rates


def largest_difference(chosen: ScheduleSettings, learning_rate: float, losses: Sequence[float]) -> float:
    """How far this package's learning rates and PyTorch's lie apart at most in len(losses) steps."""
    tracker, gap = chosen.start(), 0.0
    for loss, expected in zip(losses, rates_of_torch(chosen, learning_rate, losses), strict=True):
        gap = max(gap, abs(learning_rate * tracker.factor() - expected))
        tracker.observe(loss)
    return gap


def _ignore_torchs_own_warning() -> None:
    # SequentialLR itself still calls its parts with the epoch that they warn about
    warnings.filterwarnings("ignore", message=".*epoch parameter in `scheduler.step", category=UserWarning)
