"""What a learner can set on a panel, and what a learner is asked before it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from weightlab.validate import MAX_SEED, choose, number, shown

PACES = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 250.0, 500.0, 1000.0)


@dataclass(frozen=True)
class Slider:
    """A slider over fixed positions; any other value can be typed beside it."""

    name: str
    label: str
    positions: tuple[float, ...]
    help: str = ""
    group: str = ""

    def spec(self) -> dict[str, Any]:
        """What the stage needs to build it."""
        return {"kind": "slider", "positions": list(self.positions)} | _common(self)

    def checked(self, value: Any) -> Any:
        """The number, or the one that a text says; it must be finite, as messages to a page cannot hold others."""
        try:
            found = float(value) if isinstance(value, str) else value
        except ValueError:
            example = f"write for example {self.positions[len(self.positions) // 2]:g}"
            raise ValueError(f"{self.label} must be a number, got {shown(value)}; {example}") from None
        number(self.label, found)
        return float(found) if abs(found) > MAX_SEED else found  # a page sends 1e20 as a whole number


@dataclass(frozen=True)
class Choice:
    """One of several names. `options` are (value, label) pairs."""

    name: str
    label: str
    options: tuple[tuple[str, str], ...]
    help: str = ""
    group: str = ""

    def spec(self) -> dict[str, Any]:
        """What the stage needs to build it."""
        return {"kind": "choice", "options": [list(pair) for pair in self.options]} | _common(self)

    def checked(self, value: Any) -> Any:
        """The value, which must be among the options."""
        return choose(self.label.lower(), value, [option for option, _ in self.options])


@dataclass(frozen=True)
class Toggle:
    """On or off."""

    name: str
    label: str
    help: str = ""
    group: str = ""

    def spec(self) -> dict[str, Any]:
        """What the stage needs to build it."""
        return {"kind": "toggle"} | _common(self)

    def checked(self, value: Any) -> bool:
        """On or off, whatever stands for it."""
        return bool(value)


Control = Slider | Choice | Toggle


def _common(control: Control) -> dict[str, Any]:
    return {"name": control.name, "label": control.label, "help": control.help, "group": control.group}


def linear(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` evenly spaced positions from low to high."""
    return tuple(round(low + (high - low) * i / (count - 1), 12) for i in range(count))


def logarithmic(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` positions from low to high at a constant ratio, rounded to three digits."""
    ratio = math.log(high / low) / (count - 1)
    return tuple(float(f"{low * math.exp(ratio * i):.3g}") for i in range(count))


@dataclass(frozen=True)
class Question:
    """Asked before the run, answered by measurement.

    `measure` gets the panel, once it has a record, and returns what was measured: a number, one of `options`, or None
    as long as the panel's present settings cannot tell. A number counts as right within `tolerance` (relative).
    """

    text: str
    measure: Callable[[Any], float | str | None]
    options: Sequence[str] = ()
    tolerance: float = 0.1
    unit: str = ""
    explain: str = ""


@dataclass
class AskedQuestion:
    """A question on a panel with the learner's prediction, once given, and the measurement, once known."""

    question: Question
    prediction: float | str | None = None
    measured: float | str | None = None
    problem: str = field(default="")

    def predict(self, answer: float | str) -> None:
        """Keep the prediction; raise ValueError if it is neither a number nor one of the options."""
        if self.question.options:
            self.prediction = choose("answer", answer, self.question.options)
            return
        try:
            value = float(str(answer).strip().replace(",", ".").replace("−", "-"))
        except ValueError:
            raise ValueError(f"a prediction here is a number, got {answer!r}; write for example 0.2") from None
        if not math.isfinite(value):
            raise ValueError(f"a prediction here is a finite number, got {value}")
        self.prediction = value

    @property
    def verdict(self) -> str:
        """Right or not, and by how much; empty until both sides are known."""
        guess, found = self.prediction, self.measured
        if guess is None or found is None:
            return ""
        if isinstance(guess, str) or isinstance(found, str):
            right, miss = guess == found, ""
        else:
            right = abs(guess - found) <= self.question.tolerance * max(abs(found), 1e-12)
            ratio = guess / found if found else math.inf
            miss = f" by a factor of {ratio:.2g}" if 0 < ratio < math.inf else f" by {guess - found:.2g}"
        head = "As predicted." if right else f"Off{miss}."
        return f"{head} {self.question.explain}".strip()

    def spec(self, number: int) -> dict[str, Any]:
        """What the stage shows."""
        shown = self.measured if self.prediction is not None else None
        return {
            "id": number,
            "text": self.question.text,
            "options": list(self.question.options),
            "prediction": None if self.prediction is None else _text(self.prediction, self.question.unit),
            "measured": None if shown is None else _text(shown, self.question.unit),
            "verdict": self.verdict,
            "problem": self.problem,
        }


def _text(value: float | str, unit: str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}{' ' + unit if unit else ''}"
