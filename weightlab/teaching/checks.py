"""Verdicts on a learner's answer: pure functions whose result prints as one readable sentence at the end of a lab cell.

An answer that is still `...` is "not answered yet", never an error, so that Run All reaches the end of a lab.
"""

from __future__ import annotations

import difflib
import math
import reprlib
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

NOT_ANSWERED = "not answered yet: replace the ... by your answer and run the cell again"
WIDTH = 100  # characters of a line: Jupyter breaks one that is too long for the page in the middle of a word


@dataclass(frozen=True, repr=False)
class Verdict:
    """passed: True, False, or None for an answer not given yet; message: what was met or missed, and by how much."""

    passed: bool | None
    message: str

    def __repr__(self) -> str:
        sign = {True: "✓", False: "✗", None: "○"}[self.passed]
        text = f"{sign} {self.message}"
        return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def check_number(answer: object, expected: float, tolerance: float, hint: str = "", *, name: str = "") -> Verdict:
    """Is `answer` (a number or a one-element tensor) within `tolerance` of `expected`, in the number's own unit?

    name: what the number is, for the message.
    """
    if answer is ...:
        return Verdict(None, NOT_ANSWERED)
    value, refusal = _as_number(answer)
    if refusal:
        return _missed(refusal, hint)
    gap = value - expected
    if abs(gap) <= tolerance:
        return Verdict(True, f"right: {_what(name)}{_text(value)}, within {tolerance:.2g} of {_text(expected)}")
    side = "too large" if gap > 0 else "too small"
    share = value / expected if expected else math.nan
    if share < 0:
        factor = ", and of the wrong sign"
    elif share > 2 or 0 < share < 0.5:
        factor = f", a factor of {_text(max(share, 1 / share))}"
    else:
        factor = ""
    return _missed(f"{_what(name)}{_text(value)} is {side} by {abs(gap):.2g}{factor}", hint)


def check_choice(answer: object, expected: str, options: Iterable[str], hint: str = "") -> Verdict:
    """Is `answer` the option `expected`? Upper and lower case count as equal."""
    if answer is ...:
        return Verdict(None, NOT_ANSWERED)
    known = {option.lower(): option for option in options}
    listed = ", ".join(repr(option) for option in known.values())
    if not isinstance(answer, str):
        return _missed(f"the answer must be one of {listed} (text in quotes), got {_kind(answer)}", hint)
    given = answer.strip().lower()
    if given not in known:
        nearest = difflib.get_close_matches(given, known, n=1)
        advice = f"did you mean {known[nearest[0]]!r}?" if nearest else f"choose one of {listed}"
        return _missed(f"{answer!r} is not among the choices; {advice}", "")
    if given == expected.lower():
        return Verdict(True, f"right: {expected!r}")
    return _missed(f"{known[given]!r} is not what happens", hint)


def check_function(
    function: object,
    reference: Callable[..., Any],
    inputs: Sequence[Sequence[Any]],
    hint: str = "",
    *,
    tolerance: float = 1e-6,
) -> Verdict:
    """Does `function` give what `reference` gives for every tuple of arguments in `inputs`?

    Results may be numbers, tensors or tuples of these; `tolerance` is relative to the largest entry expected (absolute
    below 1e-12). Each call gets its own copies of tensor arguments. `function` being `...`, or returning it, counts as
    not answered. The function's own exceptions become part of the verdict.
    """
    if not inputs:
        raise ValueError("inputs must hold at least one tuple of arguments, got none; add some to compare on")
    if function is ...:
        return Verdict(None, NOT_ANSWERED)
    if not callable(function):
        return _missed(f"a function is asked for, got {_kind(function)}", "define it with `def`")
    for arguments in inputs:
        call = f"for {', '.join(_brief(argument) for argument in arguments)}"
        try:
            result = function(*_copies(arguments))
        except Exception as error:  # whatever the learner's code raises is an answer to be explained
            return _missed(f"{call} it raised {type(error).__name__}: {_one_line(error)}", hint)
        if result is ...:
            return Verdict(None, NOT_ANSWERED)
        difference = _difference(result, reference(*_copies(arguments)), tolerance)
        if difference:
            return _missed(f"{call} {difference}", hint)
    return Verdict(True, f"right on {'all ' if len(inputs) > 1 else ''}{len(inputs)} input{'s' * (len(inputs) > 1)}")


def check_run(
    answer: object,
    measure: Callable[[Any], Any],
    *,
    at_most: float = math.inf,
    at_least: float = -math.inf,
    quantity: str = "measured value",
    hint: str = "",
) -> Verdict:
    """Does `measure(answer)` reach the goal [at_least, at_most]? `answer` is whatever the lab asks for.

    A record, an experiment, settings. What `measure` raises (a refused setting, say) becomes part of the verdict.
    """
    if at_least > at_most or (at_most, at_least) == (math.inf, -math.inf):
        raise ValueError(f"a goal needs at_least <= at_most and one of them finite, got [{at_least:g}, {at_most:g}]")
    if answer is ...:
        return Verdict(None, NOT_ANSWERED)
    try:
        measured = measure(answer)
    except Exception as error:  # a refusal names value, range and remedy: show it, the lab goes on
        return _missed(f"{type(error).__name__}: {_one_line(error)}", hint)
    value, refusal = _as_number(measured)
    if refusal:
        return _missed(f"the {quantity} cannot be judged: {refusal}; did the run diverge?", hint)
    goal = " and ".join(
        f"{word} {_text(bound)}"
        for word, bound in (("at least", at_least), ("at most", at_most))
        if math.isfinite(bound)
    )
    if at_least <= value <= at_most:
        return Verdict(True, f"right: {quantity} {_text(value)}, the goal is {goal}")
    gap, side = (value - at_most, "too large") if value > at_most else (at_least - value, "too small")
    return _missed(f"{quantity} {_text(value)} is {side} by {gap:.2g}, the goal is {goal}", hint)


def _missed(message: str, hint: str) -> Verdict:
    stop = "" if message.endswith("?") else "."
    return Verdict(False, f"not yet: {message}{stop}" + (f" Hint: {hint}" if hint else ""))


def _what(name: str) -> str:
    return f"{name} " if name else ""


def _text(value: float) -> str:
    return f"{value:.4g}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _kind(value: object) -> str:
    if value is None:
        return "None"
    described = reprlib.repr(value) if isinstance(value, str | bool | int | float | complex) else ""
    return f"{described} (a {type(value).__name__})" if described else f"a {type(value).__name__}"


def _as_number(value: object) -> tuple[float, str]:
    """The value as a finite float and "", or NaN and why not."""
    if hasattr(value, "shape") and hasattr(value, "item"):  # tensors, and NumPy's arrays and scalars
        if math.prod(value.shape) != 1:
            return math.nan, f"one number is asked for, got shape {tuple(value.shape)}"
        value = value.item()
    if isinstance(value, bool | str | complex) or not hasattr(value, "__float__"):
        return math.nan, f"a number is asked for, got {_kind(value)}"
    result = float(value)
    return (result, "") if math.isfinite(result) else (math.nan, f"a finite number is asked for, got {result:g}")


def _copies(arguments: Sequence[Any]) -> list[Any]:
    return [argument.clone() if isinstance(argument, Tensor) else argument for argument in arguments]


def _brief(value: object) -> str:
    if isinstance(value, Tensor):
        if value.numel() > 4:
            return f"a tensor of shape {tuple(value.shape)}"
        value = value.tolist()
    if isinstance(value, list):
        return f"[{', '.join(_brief(entry) for entry in value)}]"
    return _text(value) if isinstance(value, float) else repr(value)


def _difference(result: object, expected: object, tolerance: float) -> str:
    """How `result` differs from `expected`, or "" where it does not."""
    if result is None:
        return "it returns None: is `return` missing?"
    if isinstance(expected, tuple | list):
        if not isinstance(result, tuple | list) or len(result) != len(expected):
            count = f"{len(result)} values" if isinstance(result, tuple | list) else _kind(result)
            return f"it returns {count}, {len(expected)} values are asked for"
        parts = (_difference(*pair, tolerance) for pair in zip(result, expected, strict=True))
        found = ((number, part) for number, part in enumerate(parts, 1) if part)
        return next((f"in value {number} {part}" for number, part in found), "")
    try:
        got, wanted = (torch.as_tensor(value, dtype=torch.float64) for value in (result, expected))
    except (TypeError, ValueError, RuntimeError):
        return f"it returns {_kind(result)}, a number or a tensor is asked for"
    if got.shape != wanted.shape:
        return f"it returns shape {tuple(got.shape)}, shape {tuple(wanted.shape)} is asked for"
    gap = (got - wanted).abs().max().item() if got.numel() else 0.0
    if gap <= max(tolerance * wanted.abs().max().item(), 1e-12) if wanted.numel() else True:
        return ""
    return f"it returns {_brief(got)}, {_brief(wanted)} is right (off by {gap:.2g})"
