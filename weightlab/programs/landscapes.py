"""A landscape's loss as a function of a program: the formula with its numbers put in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from weightlab.descent.landscapes import LANDSCAPES, Landscape
from weightlab.program_text import INDENT, indented, lines
from weightlab.programs.own import OwnSource, source_of

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class LossCode:
    """`definitions` end with `loss_at(w)`, w being (2,)."""

    definitions: tuple[str, ...]
    imports: tuple[str, ...] = ()


def loss_code(landscape: Landscape) -> LossCode:
    """The loss of `landscape`; of a learner's own function its source, or a marked place for it."""
    if landscape.source is not None:
        return _own_loss(landscape)
    body = LANDSCAPES[landscape.name].program(landscape.settings)
    weights = "" if "w1" not in body else f"{INDENT}w1, w2 = w\n"
    text = f"def loss_at(w):\n{weights}{indented(body)}"
    return LossCode((text,), ("import math",) if "math." in body else ())


def landscape_label(landscape: Landscape) -> str:
    """What a program's first line calls it."""
    return LANDSCAPES[landscape.name].label if landscape.source is None else "A loss of your own"


def _own_loss(landscape: Landscape) -> LossCode:
    own = source_of(landscape.source, "own_loss")
    if own is None:
        text = lines(
            "# put your own loss here: the function of two weights, as you gave it to landscape_from_function",
            "def loss_at(w):",
            "    w1, w2 = w",
            "    return ...",
        )
        return LossCode((text,))
    return LossCode((*own.definitions, _wrapper(landscape, own)), own.imports)


def _wrapper(landscape: Landscape, own: OwnSource) -> str:
    # the function may take two weights or one tensor, and be written for one point or for many at once
    point = torch.tensor(landscape.start, dtype=torch.float64)
    expected = landscape.loss(point)
    ways: dict[str, Callable[[], Any]] = {
        f"{own.name}(*w)": lambda: landscape.source(*point),  # type: ignore[misc]
        f"{own.name}(w)": lambda: landscape.source(point),  # type: ignore[misc]
        f"{own.name}(w.unsqueeze(0)).squeeze(0)": lambda: landscape.source(point.unsqueeze(0)).squeeze(0),  # type: ignore[misc]
    }
    for text, way in ways.items():
        try:
            value = way()
        except Exception:  # the learner's code may raise anything where it is called another way than it is meant
            continue
        if isinstance(value, torch.Tensor) and value.shape == () and math.isclose(value, expected, rel_tol=1e-9):
            return f"def loss_at(w):\n{INDENT}return {text}"
    return f"def loss_at(w):\n{INDENT}return {own.name}(w)"
