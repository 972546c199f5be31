"""Clear refusals of bad input: every message names the value, the allowed range and the remedy.

Entries by name, of which one is chosen, are made here too.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

MAX_SEED = 2**53 - 1  # what a float, and so a link text, still holds exactly


class Named(Protocol):
    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


def registry(*entries: Entry) -> Mapping[str, Entry]:
    """The entries by name, in their order; nothing can be added or taken away afterwards."""
    return MappingProxyType({entry.name: entry for entry in entries})


def choose(kind: str, name: object, options: Iterable[str]) -> str:
    """Return `name` if it is one of `options`; otherwise raise ValueError that names the nearest ones."""
    known = list(options)
    if isinstance(name, str) and name in known:
        return name
    nearest = difflib.get_close_matches(str(name).lower().replace(" ", "_").replace("-", "_"), known, n=3, cutoff=0.5)
    every = f"choose one of {', '.join(map(repr, known))}"
    hint = f"did you mean {' or '.join(map(repr, nearest))}?" if nearest else every
    raise ValueError(f"unknown {kind} {shown(name)}: {hint}")


def shown(value: object) -> str:
    """The value as a message quotes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"


def number(
    name: str,
    value: object,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
    why: str = "",
) -> float:
    """Return `value` as a finite float inside the interval; raise ValueError (TypeError for a non-number) otherwise."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        result = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        result = math.copysign(math.inf, value)

    def inside(at: float) -> bool:
        return (low < at if open_low else low <= at) and (at < high if open_high else at <= high)

    if math.isfinite(result) and inside(result):
        return result
    left, right = "(" if open_low or low == -math.inf else "[", ")" if open_high or high == math.inf else "]"
    interval = f"{left}{low:g}, {high:g}{right}"
    if not math.isfinite(result):
        why = "use a finite number"
    got = f"{result:g}"
    if inside(float(got)):  # six digits would round it into the range
        got = repr(result).removesuffix(".0")
    raise ValueError(f"{name} must be in {interval}, got {got}" + (f"; {why}" if why else ""))


def whole_number(name: str, value: object, low: int, high: int, why: str = "") -> int:
    """Return `value` as an int in [low, high]; raise as `number` does, also for a fraction."""
    result = number(name, value, low, high, why=why)
    if result != int(result):
        remedy = f"; {why}" if why else ""
        raise ValueError(f"{name} must be a whole number in [{low}, {high}], got {result:g}{remedy}")
    return int(result)


def pairs(changes: object, parts: int, form: str) -> tuple[Any, ...]:
    """`changes` as a tuple whose entries have `parts` parts each; else TypeError with the `form` they take."""
    listed = isinstance(changes, (tuple, list))
    if not listed or not all(isinstance(one, (tuple, list)) and len(one) == parts for one in changes):  # type: ignore
        raise TypeError(f"changes must be a tuple of {form}, got {changes!r}")
    return tuple(changes)  # type: ignore[arg-type]
