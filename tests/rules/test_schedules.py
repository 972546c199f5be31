"""Every schedule against its torch.optim.lr_scheduler, and its refusals."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weightlab.rules.schedules import SCHEDULES, schedule
from weightlab.rules.torch_schedulers import largest_difference, rates_of_torch, torch_scheduler

RATE = 0.3
STEPS = 150

length = st.integers(1, 2 * STEPS)
factor = st.floats(0.05, 1.0)
WITH_TWIN = [name for name, entry in SCHEDULES.items() if entry.twin(schedule(name)) is not None]
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


@pytest.mark.parametrize("name", WITH_TWIN)
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
    expected = rates_of_torch(chosen, RATE, losses)
    tracker, ours = chosen.start(), []
    for loss in losses:
        ours.append(RATE * tracker.factor())
        tracker.observe(loss)
    assert ours == pytest.approx(expected, rel=1e-12, abs=1e-14)
    if not chosen.needs_losses:
        assert (RATE * chosen.factors(steps)).tolist() == ours


FLAT = [1.0] * 8
DIPS = [1.0, 0.9, 0.95, 0.9, 0.81, 0.9, 0.9, 0.9, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6]


@pytest.mark.parametrize("losses", [FLAT, DIPS], ids=["flat", "dips"])
@pytest.mark.parametrize("cooldown", [0, 1, 2])
@pytest.mark.parametrize(("threshold", "patience"), [(0.0, 0), (0.0, 1), (0.1, 0), (0.1, 2)])
def test_plateau_is_torchs_where_losses_repeat_to_the_last_bit(
    threshold: float, patience: int, cooldown: int, losses: list[float]
) -> None:
    chosen = schedule("plateau", threshold=threshold, patience=patience, cooldown=cooldown, lowest=0.1)
    tracker, ours = chosen.start(), []
    for loss in losses:
        ours.append(RATE * tracker.factor())
        tracker.observe(loss)
    assert ours == pytest.approx(rates_of_torch(chosen, RATE, losses), rel=1e-12)
    assert ours[-1] < RATE


@pytest.mark.parametrize("name", WITH_TWIN)
def test_the_largest_difference_sees_a_wrong_counterpart(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [math.exp(-step / 30) + 0.3 * (step % 7) / 7 for step in range(STEPS)]
    assert largest_difference(schedule(name), RATE, losses) <= 1e-15
    wrong = rates_of_torch(schedule("exponential", gamma=0.9), RATE, losses)
    monkeypatch.setattr("weightlab.rules.torch_schedulers.rates_of_torch", lambda *_: wrong)
    assert largest_difference(schedule(name), RATE, losses) > 0.01


def test_cosine_goes_on_as_torchs_closed_form() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    closed_form = torch_scheduler(schedule("cosine", half_cycle=40, lowest=0.1), optimizer)
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


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "plateau"])
def test_a_factor_does_not_depend_on_how_many_are_asked_for(name: str) -> None:
    many = schedule(name).factors(200)
    assert many.dtype == torch.float64
    for steps in (0, 1, 63, 64, 65, 130):
        assert torch.equal(schedule(name).factors(steps), many[:steps])


def test_plateau_says_that_it_needs_the_losses() -> None:
    assert schedule("plateau").needs_losses
    with pytest.raises(ValueError) as refusal:
        schedule("plateau").factors(10)
    assert str(refusal.value) == "the losses decide schedule 'plateau'; use start(), then factor() and observe(loss)"


def test_plateau_survives_losses_that_are_not_numbers() -> None:
    tracker = schedule("plateau", patience=1, factor=0.5).start()
    for factor_then in (1.0, 0.5):
        tracker.observe(math.nan)
        assert tracker.factor() == factor_then


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("cosin", {}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ("cosine", {"half_cicle": 3}, "unknown setting of schedule cosine 'half_cicle': did you mean 'half_cycle'"),
        ("cosine", {"half_cycle": 0}, r"half_cycle must be in \[1, 100000\], got 0; it is a number of steps$"),
        ("cosine", {"half_cycle": 2.5}, r"half_cycle must be a whole number in \[1, 100000\], got 2.5; it is a number"),
        ("exponential", {"gamma": math.nan}, r"gamma must be in \[0, 1\], got nan"),
        ("exponential", {"gamma": -0.5}, r"\[0, 1\], got -0.5; schedules scale the learning rate by at most 1$"),
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
    assert len({hash(schedule("step", gamma=gamma)) for gamma in (0.1, 0.2, 0.3)}) > 1
    assert len({hash(schedule(name)) for name in ("step", "cosine", "warmup")}) > 1
    assert (chosen.gamma, chosen.label) == (0.25, "Step")
    assert eval(repr(chosen), {"schedule": schedule}) == chosen
    assert repr(chosen) == "schedule('step', gamma=0.25, step_size=100)"
    with pytest.raises(AttributeError, match="^ScheduleSettings has no setting 'patience'$"):
        _ = chosen.patience
    for name in ("settings", "_hidden"):  # what copy and pickle ask of an object that has no fields yet
        with pytest.raises(AttributeError, match=f"^ScheduleSettings has no setting '{name}'$"):
            getattr(object.__new__(type(chosen)), name)
