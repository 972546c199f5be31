"""Every schedule against its torch.optim.lr_scheduler, and its refusals."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from weightlab.schedules import SCHEDULES, ScheduleSettings, schedule

RATE = 0.3
STEPS = 150
Scheduler = Callable[[torch.optim.Optimizer, ScheduleSettings], Any]


def _cosine(optimizer: torch.optim.Optimizer, half_cycle: float, lowest: float) -> lr_scheduler.LRScheduler:
    return lr_scheduler.CosineAnnealingLR(optimizer, T_max=int(half_cycle), eta_min=lowest * RATE)


def _warmup(optimizer: torch.optim.Optimizer, chosen: ScheduleSettings) -> lr_scheduler.LRScheduler:
    length = int(chosen.warmup_steps)
    rising = lr_scheduler.LinearLR(optimizer, start_factor=chosen.first, total_iters=length)
    if chosen.decay_steps == 0:
        return rising
    falling = _cosine(optimizer, chosen.decay_steps, chosen.lowest)
    return lr_scheduler.SequentialLR(optimizer, [rising, falling], milestones=[length])


COUNTERPARTS: dict[str, Scheduler] = {
    "constant": lambda o, s: lr_scheduler.ConstantLR(o, factor=1.0),
    "step": lambda o, s: lr_scheduler.StepLR(o, step_size=int(s.step_size), gamma=s.gamma),
    "exponential": lambda o, s: lr_scheduler.ExponentialLR(o, gamma=s.gamma),
    "polynomial": lambda o, s: lr_scheduler.PolynomialLR(o, total_iters=int(s.total_steps), power=s.power),
    "triangular": lambda o, s: lr_scheduler.CyclicLR(
        o, base_lr=s.lowest * RATE, max_lr=RATE, step_size_up=int(s.half_cycle), cycle_momentum=False
    ),
    "cosine": lambda o, s: _cosine(o, s.half_cycle, s.lowest),
    "warmup": _warmup,
    "plateau": lambda o, s: lr_scheduler.ReduceLROnPlateau(
        o, factor=s.factor, patience=int(s.patience), threshold=s.threshold, cooldown=int(s.cooldown),
        min_lr=s.lowest * RATE, eps=0.0,
    ),
}

length = st.integers(1, 2 * STEPS)
factor = st.floats(0.05, 1.0)
DRAWN: dict[str, st.SearchStrategy[dict[str, float]]] = {
    "constant": st.just({}),
    "step": st.fixed_dictionaries({"step_size": length, "gamma": factor}),
    "exponential": st.fixed_dictionaries({"gamma": factor}),
    "polynomial": st.fixed_dictionaries({"total_steps": length, "power": st.floats(0.2, 4.0)}),
    "triangular": st.fixed_dictionaries({"half_cycle": length, "lowest": st.floats(0.0, 1.0)}),
    "cosine": st.fixed_dictionaries({"half_cycle": length, "lowest": st.floats(0.0, 1.0)}),
    "warmup": st.fixed_dictionaries({
        "warmup_steps": length, "first": factor, "decay_steps": st.just(0) | length, "lowest": st.floats(0.0, 0.9),
    }),
    "plateau": st.fixed_dictionaries({
        "factor": st.floats(0.05, 0.9), "patience": st.integers(0, 20), "threshold": st.floats(0.0, 0.1),
        "cooldown": st.integers(0, 10), "lowest": st.floats(0.0, 0.5),
    }),
}


def rates_of_torch(chosen: ScheduleSettings, losses: list[float]) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    with warnings.catch_warnings():
        # SequentialLR itself still calls its parts with the epoch that they warn about
        warnings.filterwarnings("ignore", message=".*epoch parameter in `scheduler.step", category=UserWarning)
        scheduler = COUNTERPARTS[chosen.name](optimizer, chosen)
        rates = []
        for loss in losses:
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step(*([loss] if chosen.needs_losses else []))
    return rates


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_schedule_equals_its_torch_counterpart(name: str, data: st.DataObject) -> None:
    chosen = schedule(name, **data.draw(DRAWN[name]))
    if name == "cosine" or (name == "warmup" and chosen.decay_steps):
        # past its half cycle torch's recursive cosine divides by nearly zero and loses digits; ours is its closed form
        steps = min(STEPS, int(chosen.half_cycle if name == "cosine" else chosen.warmup_steps + chosen.decay_steps))
    else:
        steps = STEPS
    noise = torch.rand(steps, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 99)))).tolist()
    losses = [math.exp(-step / 30) + 0.3 * kick for step, kick in enumerate(noise)]
    expected = rates_of_torch(chosen, losses)
    tracker, ours = chosen.start(), []
    for loss in losses:
        ours.append(RATE * tracker.factor())
        tracker.observe(loss)
    assert ours == pytest.approx(expected, rel=1e-12, abs=1e-14)
    if not chosen.needs_losses:
        assert (RATE * chosen.factors(steps)).tolist() == ours


def test_cosine_goes_on_as_torchs_closed_form() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    closed_form = _cosine(optimizer, 40, 0.1)
    ours = (RATE * schedule("cosine", half_cycle=40, lowest=0.1).factors(STEPS)).tolist()
    for step in range(STEPS):
        closed_form.last_epoch = step
        assert ours[step] == pytest.approx(closed_form._get_closed_form_lr()[0], rel=1e-12)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", SCHEDULES)
def test_factors_stay_between_zero_and_one_by_default(name: str) -> None:
    tracker = schedule(name).start()
    for step in range(1000):
        assert 0 <= tracker.factor() <= 1
        tracker.observe(1.0 + step)


def test_plateau_says_that_it_needs_the_losses() -> None:
    assert schedule("plateau").needs_losses
    with pytest.raises(ValueError, match=r"the losses decide schedule 'plateau'; use start\(\)"):
        schedule("plateau").factors(10)


def test_plateau_survives_losses_that_are_not_numbers() -> None:
    tracker = schedule("plateau", patience=1, factor=0.5).start()
    for _ in range(2):
        tracker.observe(math.nan)
    assert tracker.factor() == 0.5


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("cosin", {}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ("cosine", {"half_cicle": 3}, "unknown setting of schedule cosine 'half_cicle': did you mean 'half_cycle'"),
        ("cosine", {"half_cycle": 0}, r"half_cycle must be in \[1, 100000\], got 0; it is a number of steps"),
        ("cosine", {"half_cycle": 2.5}, "half_cycle must be a whole number"),
        ("exponential", {"gamma": math.nan}, r"gamma must be in \[0, 1\], got nan"),
        ("exponential", {"gamma": -0.5}, r"gamma must be in \[0, 1\], got -0.5"),
        ("warmup", {"first": math.inf}, r"first must be in \[0.001, 1\], got inf"),
    ],
)
def test_bad_input_is_refused_with_value_range_and_remedy(name: str, values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schedule(name, **values)


def test_settings_hash_compare_copy_and_read_as_attributes() -> None:
    chosen = schedule("step", gamma=0.25)
    assert chosen == schedule("step", step_size=100, gamma=0.25)
    assert hash(chosen) == hash(copy.deepcopy(chosen))
    assert chosen != schedule("step")
    assert (chosen.gamma, chosen.label) == (0.25, "Step")
    assert eval(repr(chosen), {"schedule": schedule}) == chosen
    with pytest.raises(AttributeError, match="no setting 'patience'"):
        _ = chosen.patience
