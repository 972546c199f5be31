"""Each schedule's counterpart in torch.optim.lr_scheduler, and how far the two differ.

Source: https://docs.pytorch.org/docs/stable/optim.html (how to adjust learning rate).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch.optim import Optimizer, lr_scheduler

from weightlab.rules.schedules import SCHEDULES, OfRate, ScheduleSettings, TorchScheduler

Scheduler = lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau


def _rate(optimizer: Optimizer) -> float:
    return float(optimizer.param_groups[0]["lr"])


def _made(twin: TorchScheduler, optimizer: Optimizer, rate: float) -> Scheduler:
    given = {key: one.share * rate if isinstance(one, OfRate) else one for key, one in twin.arguments.items()}
    first: Scheduler = getattr(lr_scheduler, twin.name)(optimizer, **given)
    if twin.then is None:
        return first
    parts = [first, _made(twin.then, optimizer, rate)]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[twin.after])


def torch_scheduler(chosen: ScheduleSettings, optimizer: Optimizer) -> Scheduler:
    """PyTorch's scheduler that does to `optimizer` what `chosen` says, its learning rate being η.

    Raises ValueError where PyTorch has none.
    """
    twin = SCHEDULES[chosen.name].twin(chosen)
    if twin is None:
        raise ValueError(f"torch.optim.lr_scheduler has no counterpart of schedule {chosen.name!r}")
    with warnings.catch_warnings():
        _ignore_torchs_own_warning()
        return _made(twin, optimizer, _rate(optimizer))


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
