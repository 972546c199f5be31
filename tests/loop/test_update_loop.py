"""The update loop, line by line: what each line changes, what each mistake costs, and that nothing is simulated."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refusals

from weightlab.loop import experiment as loop_experiments
from weightlab.loop.experiment import (
    NO_ZERO_GRAD,
    SIZES,
    STEP_FIRST,
    STEP_FIRST_NO_ZERO_GRAD,
    USUAL_ORDER,
    LoopExperiment,
)
from weightlab.loop.problems import PROBLEMS
from weightlab.loop.run import UpdateLoop, run_loop, run_updates
from weightlab.theory.loop import line_gradient, logit_gradient, steps_moved

RATES = st.floats(0.001, 0.3)


# ---- one line a step ---------------------------------------------------------------------------------------------


def test_a_step_runs_exactly_one_line_and_names_the_next() -> None:
    loop = UpdateLoop(LoopExperiment("line"))
    for count in range(1, 20):
        coming = loop.next_line
        assert loop.step() and loop.lines_done == count
        assert loop.record().lines[-1] == coming
        assert loop.next_line == coming % 6 + 1


@pytest.mark.parametrize("problem", PROBLEMS)
def test_only_the_update_moves_the_weight_and_only_two_lines_touch_its_gradient(problem: str) -> None:
    record = run_loop(LoopExperiment(problem, momentum=0.9), 30)
    assert record.changed_by("w") == (6,)
    assert set(record.changed_by("w.grad")) == {4, 5}
    assert record.changed_by("buffer") == record.changed_by("Δw") == (6,)


def test_the_text_shown_is_the_text_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**loop_experiments.LINES, 3: "loss = 0 * prediction.sum()"}
    monkeypatch.setattr(loop_experiments, "LINES", changed)
    record = run_loop(LoopExperiment("line"), 6)
    assert record.losses[3] == 0 and record.moved == 0


@given(learning_rate=RATES, momentum=st.floats(0, 0.95), start=st.floats(-3, 3))
@settings(max_examples=20, deadline=None)
def test_the_line_follows_the_closed_form_of_its_gradient(learning_rate: float, momentum: float, start: float) -> None:
    record = run_updates(LoopExperiment("line", None, learning_rate, momentum, start=start), 6)
    w, buffer, points = start, 0.0, PROBLEMS["line"].points
    for update in range(6):
        buffer = momentum * buffer + line_gradient(w, *points[update % 2])
        w -= learning_rate * buffer
    assert float(record.weights[-1, 0]) == pytest.approx(w, rel=1e-10, abs=1e-12)
    if momentum:
        assert float(record.watched[-1, 0, SIZES.index("buffer")]) == pytest.approx(buffer, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_same_experiment_repeats_to_the_last_bit(problem: str) -> None:
    first, second = (run_loop(LoopExperiment(problem, momentum=0.5, seed=3), 40) for _ in range(2))
    assert torch.equal(first.weights, second.weights)
    assert torch.equal(first.losses.nan_to_num(), second.losses.nan_to_num())


# ---- mistakes ----------------------------------------------------------------------------------------------------


@given(updates=st.integers(0, 12), learning_rate=RATES)
@settings(max_examples=15, deadline=None)
def test_forgotten_gradients_add_up_to_k_k_plus_1_halves(updates: int, learning_rate: float) -> None:
    for order, zero_grad in ((USUAL_ORDER, True), (NO_ZERO_GRAD, False)):
        record = run_updates(LoopExperiment("constant_slope", learning_rate=learning_rate, order=order), updates)
        assert -record.moved / learning_rate == pytest.approx(steps_moved(updates, zero_grad), abs=1e-9)
        assert int(record.summed[-1]) == (min(updates, 1) if zero_grad else updates)


@pytest.mark.parametrize("problem", ["line", "constant_slope", "digits"])
def test_forgetting_zero_grad_is_momentum_of_1(problem: str) -> None:
    forgotten = run_updates(LoopExperiment(problem, order=NO_ZERO_GRAD), 12)
    undamped = run_updates(LoopExperiment(problem, momentum=1.0), 12)
    assert torch.equal(forgotten.weights[-1], undamped.weights[-1])


def test_stepping_before_backward_moves_nothing_or_comes_one_update_late() -> None:
    assert run_updates(LoopExperiment("constant_slope", order=STEP_FIRST), 5).moved == 0
    late = run_updates(LoopExperiment("constant_slope", order=STEP_FIRST_NO_ZERO_GRAD), 5).moved
    assert late == pytest.approx(-0.1 * steps_moved(4, zero_grad=False))


def test_in_a_network_stepping_before_backward_raises_pytorchs_own_error() -> None:
    loop = UpdateLoop(LoopExperiment("digits", order=STEP_FIRST_NO_ZERO_GRAD))
    while loop.step():
        assert loop.lines_done < 20
    assert loop.error.startswith("line 5 raised RuntimeError") and "inplace operation" in loop.error
    before = loop.record()
    assert not loop.step() and loop.next_line == 5
    assert torch.equal(loop.record().weights, before.weights)


@pytest.mark.parametrize("problem", ["line", "digits"])
def test_the_update_by_hand_needs_no_grad(problem: str) -> None:
    record = run_updates(LoopExperiment(problem, by_hand=True, no_grad=False), 2)
    assert record.error.startswith("line 6 raised RuntimeError: a leaf Variable") and record.moved == 0
    by_hand, by_sgd = (run_updates(LoopExperiment(problem, by_hand=hand), 5) for hand in (True, False))
    torch.testing.assert_close(by_hand.weights[-1], by_sgd.weights[-1], rtol=1e-14, atol=1e-15)


def test_validating_in_train_mode_depends_on_the_company_and_moves_the_running_means() -> None:
    right, wrong = (run_updates(LoopExperiment("digits", evaluate_in_train_mode=mode), 42) for mode in (False, True))
    assert torch.equal(right.losses.nan_to_num(), wrong.losses.nan_to_num())  # the training is the same
    assert right.accuracies[-1, 0] == right.accuracies[-1, 1] and right.drift[-1] == 0
    assert wrong.accuracies[-1, 1] < wrong.accuracies[-1, 0] - 0.3 and wrong.drift[-1] > 1e-3


# ---- losses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", PROBLEMS["confident_mistake"].losses)
@given(logit=st.floats(-30, 30))
@settings(max_examples=25, deadline=None)
def test_each_loss_has_the_gradient_of_its_formula(loss: str, logit: float) -> None:
    measured = float(run_loop(LoopExperiment("confident_mistake", loss, start=logit), 5).watched[-1, 0, 1])
    assert measured == pytest.approx(logit_gradient(loss, logit, 1.0), rel=1e-7, abs=1e-13)


def test_the_curve_drawn_is_the_loss_that_the_loop_computes() -> None:
    for name in ("line", "constant_slope", "confident_mistake"):
        record = run_loop(LoopExperiment(name, start=0.7), 3)
        entry = record.experiment.entry
        drawn = entry.loss_at(str(record.experiment.loss), 0, torch.tensor([0.7], dtype=torch.float64))
        assert float(record.losses[-1]) == pytest.approx(float(drawn[0]), rel=1e-12)


# ---- bad input ---------------------------------------------------------------------------------------------------


test_a_bad_experiment_is_refused_with_value_range_and_remedy = refusals(LoopExperiment, {
    "did you mean 'line'": {"problem": "lines"},
    "unknown loss of 'line' 'bce'": {"loss": "bce"},
    r"learning_rate must be in \[0": {"learning_rate": -1},
    "got nan; use a finite number": {"learning_rate": math.nan},
    "momentum must be in .*grows by itself": {"momentum": 1.1},
    "order must be a tuple of 1 to 24 line numbers.*usual one is": {"order": ()},
    "a line number in order must be in": {"order": (1, 2, 7)},
    "order must be a tuple": {"order": "123456"},
    "momentum must be 0 with by_hand, got 0.5": {"by_hand": True, "momentum": 0.5},
    "start must be None for 'digits'": {"problem": "digits", "start": 1.0},
    "start must be in": {"start": math.inf},
    "seed must be a whole number": {"seed": 0.5},
    "validate_every must be in": {"validate_every": 0},
})


test_counts_are_checked_too = refusals({
    "lines must be in": lambda: run_loop(LoopExperiment("line"), -1),
    "order must hold line 6": lambda: run_updates(LoopExperiment("line", order=(1, 2, 3)), 1),
    "updates must be": lambda: steps_moved(-1, True),
    "did you mean 'buffer'": lambda: run_loop(LoopExperiment("line"), 1).changed_by("bufer"),
})
