"""Verdicts: unanswered stubs pass by, right answers pass, wrong ones fail and say what is missed and by how much."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from weightlab.rules.update_rules import optimizer
from weightlab.teaching.checks import (
    NOT_ANSWERED,
    Verdict,
    check_choice,
    check_function,
    check_number,
    check_run,
)


def reference_step(w: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
    return w - learning_rate * gradient


INPUTS = [
    (torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.5]), 0.1),
    (torch.tensor([0.0, 3.0]), torch.tensor([-1.0, 2.0]), 0.01),
]


def loss_of(settings: float) -> float:
    return settings**2


UNANSWERED: dict[str, Callable[[], Verdict]] = {
    "number": lambda: check_number(..., 0.2, 0.01),
    "choice": lambda: check_choice(..., "a", ["a", "b"]),
    "function": lambda: check_function(..., reference_step, INPUTS),
    "function that returns ...": lambda: check_function(lambda w, g, lr: ..., reference_step, INPUTS),
    "run": lambda: check_run(..., loss_of, at_most=1),
}


@pytest.mark.parametrize("case", UNANSWERED)
def test_an_unanswered_stub_is_no_error_and_no_failure(case: str) -> None:
    verdict = UNANSWERED[case]()
    assert verdict.passed is None
    assert repr(verdict).startswith("○ not answered yet") and "\n" not in repr(verdict)


@pytest.mark.parametrize(
    "answer", [0.2, 0.2049, torch.tensor(0.2), torch.tensor([0.2]), np.float32(0.2), np.array([0.2])], ids=repr
)
def test_a_number_within_tolerance_passes(answer: object) -> None:
    verdict = check_number(answer, 0.2, 0.005, "use 2/λ")
    assert verdict.passed is True and repr(verdict).startswith("✓ right: 0.2")
    assert "2/λ" not in repr(verdict)


@settings(max_examples=50, deadline=None)
@given(expected=st.floats(-1e6, 1e6), gap=st.floats(-1e3, 1e3), tolerance=st.floats(1e-9, 1e2))
def test_a_number_passes_exactly_when_it_is_within_tolerance(expected: float, gap: float, tolerance: float) -> None:
    answer = expected + gap
    verdict = check_number(answer, expected, tolerance)
    assert verdict.passed == (abs(answer - expected) <= tolerance)
    assert "\n" not in verdict.message
    if not verdict.passed:
        assert ("too large" in verdict.message) == (answer > expected)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (0.25, "0.25 is too large by 0.05. Hint: use 2/λ"),
        (0.15, "0.15 is too small by 0.05. Hint"),
        (2.0, "too large by 1.8, a factor of 10"),
        (0.02, "too small by 0.18, a factor of 10"),
        (-0.2, "too small by 0.4, and of the wrong sign"),
        ("0.2", "a number is asked for, got '0.2' (a str)"),
        (True, "a number is asked for, got True (a bool)"),
        (None, "a number is asked for, got None"),
        (0.2 + 1j, "a complex"),
        ([0.2], "a number is asked for, got a list"),
        (torch.tensor([0.2, 0.2]), "one number is asked for, got shape (2,)"),
        (math.nan, "a finite number is asked for, got nan"),
        (math.inf, "a finite number is asked for, got inf"),
    ],
)
def test_a_wrong_number_is_told_by_how_much_or_what_it_is_instead(answer: object, said: str) -> None:
    verdict = check_number(answer, 0.2, 0.005, "use 2/λ")
    assert verdict.passed is False
    assert said in verdict.message and verdict.message.endswith("Hint: use 2/λ")


def test_a_factor_is_told_beyond_two_and_below_a_half_and_never_of_zero() -> None:
    for answer, said in {
        0.0: "0 is too small by 0.2",
        0.1: "0.1 is too small by 0.1",
        0.4: "0.4 is too large by 0.2",
        0.5: "0.5 is too large by 0.3, a factor of 2.5",
        0.08: "0.08 is too small by 0.12, a factor of 2.5",
        -0.0001: "-0.0001 is too small by 0.2, and of the wrong sign",
    }.items():
        assert repr(check_number(answer, 0.2, 0.005)) == f"✗ not yet: {said}."


def test_a_named_number_says_its_name() -> None:
    assert repr(check_number(3.0, 2.0, 0.1, name="the limit")) == "✗ not yet: the limit 3 is too large by 1."
    assert "right: the limit 2" in repr(check_number(2.0, 2.0, 0.1, name="the limit"))
    assert check_number(1e-9, 0.0, 1e-12).passed is False


REGIMES = ["monotone", "oscillating", "diverging"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (" Oscillating ", "right: 'oscillating'"),
        ("diverging", "not yet: 'diverging' is not what happens. Hint: look at the sign"),
        (1, "not yet: the answer must be one of 'monotone', 'oscillating', 'diverging' (text in quotes), got 1 (a int)."
            " Hint: look at the sign"),
        ("oscilating", "not yet: 'oscilating' is not among the choices; did you mean 'oscillating'?"),
        ("xyz", "not yet: 'xyz' is not among the choices; choose one of 'monotone', 'oscillating', 'diverging'."),
    ],
)  # fmt: skip
def test_a_choice_is_judged_and_a_slip_of_the_pen_is_named(answer: object, said: str) -> None:
    verdict = check_choice(answer, "oscillating", REGIMES, "look at the sign")
    assert verdict.passed is said.startswith("right") and verdict.message == said
    assert check_choice(answer, "oscillating", REGIMES).message == said.removesuffix(" Hint: look at the sign")


def test_a_long_verdict_breaks_between_words_and_reads_on() -> None:
    hint = "the " + "half-open " * 12
    verdict = check_number(3.0, 2.0, 0.1, hint)
    first, *more = repr(verdict).splitlines()
    assert first.startswith("✗ not yet: 3 is too large by 1. Hint: the half-open") and len(more) == 1
    assert all(len(line) <= 100 for line in (first, *more)) and more[0].startswith("  ")
    assert " ".join([first, *(line.strip() for line in more)]) == f"✗ {verdict.message}".strip()
    assert max(map(len, repr(Verdict(False, "x" * 300)).splitlines())) > 100, "what has no space stays whole"


def test_a_right_function_passes_whatever_its_way() -> None:
    def mine(w: Tensor, g: Tensor, lr: float) -> Tensor:
        w -= lr * g  # changes its argument: it gets a copy
        return w

    before = [argument.clone() for argument in INPUTS[0][:2]]
    assert repr(check_function(mine, reference_step, INPUTS)) == "✓ right on all 2 inputs"
    assert all(torch.equal(a, b) for a, b in zip(INPUTS[0][:2], before, strict=True))
    assert check_function(lambda x: (x, 2 * x), lambda x: (x, x + x), [(3.0,)]).passed


def _raises(w: Tensor, g: Tensor, lr: float) -> Tensor:
    raise KeyError("velocity\nis missing")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda w, g, lr: w + lr * g, "for [1, -2], [0.5, 0.5], 0.1 it returns [1.05, -1.95], [0.95, -2.05] is right"),
        (lambda w, g, lr: w - 0.1 * g, "for [0, 3], [-1, 2], 0.01 it returns"),
        (lambda w, g, lr: None, "it returns None: is `return` missing?"),
        (lambda w, g, lr: (w - lr * g).sum(), "it returns shape (), shape (2,) is asked for"),
        (lambda w, g, lr: "w", "it returns 'w' (a str), a number or a tensor is asked for"),
        (lambda w, g: w - g, "it raised TypeError"),
        (_raises, "it raised KeyError: 'velocity\\nis missing'"),
        (lambda w, g, lr: w * torch.nan, "it returns [nan, nan]"),
        (0.1, "a function is asked for, got 0.1 (a float). Hint: define it with `def`"),
    ],
)
def test_a_wrong_function_is_told_on_which_input_and_how(function: object, said: str) -> None:
    verdict = check_function(function, reference_step, INPUTS, "minus the gradient")
    assert verdict.passed is False
    assert said in verdict.message and "\n" not in verdict.message


def test_a_verdict_on_a_function_is_told_whole() -> None:
    def said(function: object, *inputs: tuple[object, ...], hint: str = "") -> str:
        return repr(check_function(function, lambda *values: values[0], inputs, hint))

    def refuses(x: object) -> None:
        raise ValueError("... x is\n over  MAX.")

    assert said(lambda x: x, (3.0,)) == "✓ right on 1 input"
    assert said(lambda x: None, (3.0,)) == "✗ not yet: for 3 it returns None: is `return` missing?"
    assert said(lambda x: 4, (3,), hint="x") == "✗ not yet: for 3 it returns 4, 3 is right (off by 1). Hint: x"
    assert said(refuses, ("w",)) == "✗ not yet: for 'w' it raised ValueError: ... x is over MAX."
    assert said(refuses, (0.5,), hint="x") == "✗ not yet: for 0.5 it raised ValueError: ... x is over MAX. Hint: x"


def test_a_tensor_of_up_to_four_entries_is_written_out() -> None:
    four, five = torch.arange(4), torch.ones(5)
    said = check_function(lambda x: 0, lambda x: x, [(four,)]).message
    assert said.startswith("not yet: for [0, 1, 2, 3] it returns")
    shape = "a tensor of shape (5,)"
    said = check_function(lambda x: 2 * x, lambda x: x, [(five,)]).message
    assert said == f"not yet: for {shape} it returns {shape}, {shape} is right (off by 1)."


def test_tensors_without_entries_are_equal_where_their_shapes_are() -> None:
    empty = torch.zeros(0, 2)
    assert check_function(lambda x: x, lambda x: x, [(empty,)]).passed
    assert "returns shape (0,), shape (0, 2)" in check_function(lambda x: x[:, 0], lambda x: x, [(empty,)]).message


def test_several_right_results_of_several_kinds_pass() -> None:
    x = torch.tensor([1.0, 2.0])
    assert check_function(lambda x: [x.sum(), (x, 3)], lambda x: (3.0, [x.double(), 3.0]), [(x,)]).passed
    third = torch.tensor(1 / 3, dtype=torch.float64)
    assert check_function(lambda x: 1 / 3, lambda x: third, [(x,)], tolerance=0).passed


def test_several_results_are_compared_one_by_one() -> None:
    verdict = check_function(lambda x: (x, x), lambda x: (x, 2 * x), [(3.0,)])
    assert "for 3 in value 2 it returns 3, 6 is right (off by 3)" in verdict.message
    verdict = check_function(lambda x: x, lambda x: (x, x), [(3.0,)])
    assert "it returns 3.0 (a float), 2 values are asked for" in verdict.message
    assert "returns 1 values, 2 values" in str(check_function(lambda x: (x,), lambda x: (x, x), [(3.0,)]))


def test_the_tolerance_of_a_function_is_relative_to_the_largest_entry() -> None:
    big = [(torch.tensor([1e6, 1.0], dtype=torch.float64),)]
    assert check_function(lambda x: x + 0.5, lambda x: x, big).passed
    assert not check_function(lambda x: x + 2.0, lambda x: x, big).passed
    assert not check_function(lambda x: 1e-9, lambda x: 0.0, [(1.0,)]).passed
    assert check_function(lambda x: x + 0.25, lambda x: x, [(1.0,)], tolerance=0.25).passed
    assert not check_function(lambda x: x + 0.26, lambda x: x, [(1.0,)], tolerance=0.25).passed


@pytest.mark.parametrize(
    ("answer", "passed", "said"),
    [
        (0.05, True, "right: final loss 0.0025, the goal is at most 0.01"),
        (0.2, False, "final loss 0.04 is too large by 0.03, the goal is at most 0.01. Hint: smaller"),
        (math.nan, False, "the final loss cannot be judged: a finite number is asked for, got nan; did the run"),
        ("fast", False, "TypeError: "),
    ],
)
def test_a_run_is_judged_by_what_it_measures_against_the_goal(answer: object, passed: bool, said: str) -> None:
    verdict = check_run(answer, loss_of, at_most=0.01, quantity="final loss", hint="smaller")
    assert verdict.passed is passed and said in verdict.message and "\n" not in verdict.message


def test_a_verdict_on_a_run_is_told_whole() -> None:
    assert repr(check_run(0.5, loss_of, at_least=1)) == (
        "✗ not yet: measured value 0.25 is too small by 0.75, the goal is at least 1."
    )
    assert repr(check_run("fast", loss_of, at_most=1, hint="a number")).endswith("'int'. Hint: a number")
    assert check_run(math.inf, loss_of, at_most=1, hint="less").message == (
        "not yet: the measured value cannot be judged: a finite number is asked for, got inf; did the run diverge?"
        " Hint: less"
    )


def test_the_ends_of_a_goal_belong_to_it() -> None:
    assert check_run(1.0, loss_of, at_least=1, at_most=4).passed
    assert check_run(2.0, loss_of, at_least=1, at_most=4).passed
    assert check_run(2.0, loss_of, at_least=4, at_most=4).passed


def test_a_goal_with_one_end_says_so() -> None:
    assert repr(check_run(-2, float, at_least=0, quantity="gap", hint="more a")) == (
        "✗ not yet: gap -2 is too small by 2, the goal is at least 0. Hint: more a"
    )
    assert repr(check_run(1, float, at_most=0)) == (
        "✗ not yet: measured value 1 is too large by 1, the goal is at most 0."
    )
    assert repr(check_run(1, float, at_most=1, at_least=0)) == (
        "✓ right: measured value 1, the goal is at least 0 and at most 1"
    )
    assert check_run(..., float, at_most=0).message == NOT_ANSWERED


def test_an_object_that_has_a_shape_but_no_item_is_no_number() -> None:
    class Table:
        shape = (1,)

    assert check_number(Table(), 1.0, 0.1).message == "not yet: a number is asked for, got a Table."


def test_a_goal_may_have_two_ends() -> None:
    verdict = check_run(3.0, loss_of, at_least=1, at_most=4)
    assert "is too large by 5, the goal is at least 1 and at most 4" in verdict.message
    assert "is too small by 0.75" in check_run(0.5, loss_of, at_least=1, at_most=4).message


def test_a_refused_setting_becomes_the_verdict() -> None:
    def measured(momentum: float) -> float:
        return float(optimizer("momentum", learning_rate=0.1, momentum=momentum).learning_rate)

    verdict = check_run(1.2, measured, at_most=1)
    assert verdict.passed is False and "momentum must be in [0, 1), got 1.2" in verdict.message
    assert check_run(0.9, measured, at_most=1).passed


def test_a_check_written_wrongly_is_an_error_of_its_own() -> None:
    with pytest.raises(ValueError, match="^inputs must hold at least one tuple of arguments, got none; add some to"):
        check_function(reference_step, reference_step, [])
    with pytest.raises(ValueError, match="a goal needs at_least <= at_most"):
        check_run(0.1, loss_of)
    with pytest.raises(ValueError, match="a goal needs at_least <= at_most"):
        check_run(0.1, loss_of, at_least=2, at_most=1)
