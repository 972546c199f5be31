"""What every row of the comparison shares: timing things in turn, medians with spread, and the table."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Timed = Callable[[], float | None]  # returns its own seconds, or None to be timed from outside
PAUSE = 0.005  # seconds, in which a peer's threads stop spinning

COLUMNS = ("what", "weightlab", "against", "the other", "ratio", "wanted")


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is how many times the other's time (or bytes) weightlab's goes into."""

    what: str
    ours: str
    against: str
    theirs: str = "–"
    ratio: str = "–"
    wanted: str = ""

    def __str__(self) -> str:
        return f"| {self.what} | {self.ours} | {self.against} | {self.theirs} | {self.ratio} | {self.wanted} |"


def header() -> str:
    return f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def in_turn(timed: Mapping[str, Timed], repetitions: int) -> dict[str, list[float]]:
    """Seconds of each, `repetitions` times, one after the other and every second time in the other order.

    Each is run once before, untimed. What else the machine does then falls on all alike, so the ratios within a
    repetition can be trusted where the times cannot.
    """
    times: dict[str, list[float]] = {name: [] for name in timed}
    for run in timed.values():
        run()
    for repetition in range(repetitions):
        order = list(timed.items())
        for name, run in order if repetition % 2 == 0 else reversed(order):
            time.sleep(PAUSE)
            begun = time.perf_counter()
            own = run()
            times[name].append(time.perf_counter() - begun if own is None else own)
    return times


def spread(values: Iterable[float], digits: int = 3) -> str:
    """The median and, in brackets, the quartiles."""
    found = list(values)
    if len(found) < 2:
        return _short(found[0], digits)
    low, middle, high = statistics.quantiles(found, n=4, method="inclusive")
    return f"{_short(middle, digits)} ({_short(low, digits)}–{_short(high, digits)})"


def _short(value: float, digits: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"


def ratios(theirs: list[float], ours: list[float]) -> list[float]:
    """Repetition by repetition."""
    return [other / own for other, own in zip(theirs, ours, strict=True)]


def row(
    what: str,
    times: Mapping[str, list[float]],
    ours: str,
    theirs: str,
    against: str = "",
    wanted: str = "",
    *,
    ours_each: float = 1.0,
    theirs_each: float = 1.0,
    scale: float = 1e3,
    unit: str = "ms",
) -> Row:
    """Times of `ours` and `theirs`, each divided by how much was done in it, in `unit` of 1/scale seconds."""
    own = [seconds / ours_each for seconds in times[ours]]
    other = [seconds / theirs_each for seconds in times[theirs]]
    shown = [f"{spread(value * scale for value in values)} {unit}" for values in (own, other)]
    return Row(what, shown[0], against or theirs, shown[1], spread(ratios(other, own)), wanted)


def is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def absent(what: str, peer: str, how: str = "pip install -e '.[benchmarks]'") -> Row:
    return Row(what, "–", f"{peer}: not installed ({how})")
