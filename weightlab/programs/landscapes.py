"""A landscape's loss as a function of a program: the formula with its numbers put in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from weightlab.descent.landscapes import LANDSCAPES, Landscape
from weightlab.program_text import INDENT, indented, lines, literal, times
from weightlab.programs.own import OwnSource, source_of

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class LossCode:
    """`definitions` end with `loss_at(w)`, w being (2,)."""

    definitions: tuple[str, ...]
    imports: tuple[str, ...] = ()


def _bowl(settings: Settings) -> str:
    return f"return 0.5 * (w1**2 + {times(settings['condition_number'], 'w2**2')})"


def _turned_bowl(settings: Settings) -> str:
    return lines(
        f"angle = math.radians({literal(settings['angle'])})",
        "u = math.cos(angle) * w1 + math.sin(angle) * w2",
        "v = -math.sin(angle) * w1 + math.cos(angle) * w2",
        f"return 0.5 * (u**2 + {times(settings['condition_number'], 'v**2')})",
    )


def _cliff(settings: Settings) -> str:
    power = "w1" if settings["depth"] == 1 else f"w1**{settings['depth']}"
    return f"return 0.5 * (w2 * {power} - 1) ** 2 + 0.005 * ((w1 - 1) ** 2 + (w2 - 1) ** 2)"


_BODIES: Mapping[str, Callable[[Settings], str]] = MappingProxyType({
    "quadratic": _bowl,
    "noisy_bowl": _bowl,
    "rotated_quadratic": _turned_bowl,
    "saddle": lambda s: f"return 0.5 * (w1**2 - {times(s['falling_curvature'], 'w2**2')})",
    "rosenbrock": lambda s: f"return (1 - w1) ** 2 + {times(s['steepness'], '(w2 - w1**2) ** 2')}",
    "beale": lambda s: lines(
        "return (",
        "    (1.5 - w1 + w1 * w2) ** 2",
        "    + (2.25 - w1 + w1 * w2**2) ** 2",
        "    + (2.625 - w1 + w1 * w2**3) ** 2",
        ")",
    ),
    "himmelblau": lambda s: "return (w1**2 + w2 - 11) ** 2 + (w1 + w2**2 - 7) ** 2",
    "rastrigin": lambda s: f"return (w**2 + {times(s['amplitude'], '(1 - torch.cos(2 * math.pi * w))')}).sum()",
    "plateau": lambda s: f"return 1 - torch.exp(-(w1**2 + w2**2) / (2 * {literal(s['width'])} ** 2))",
    "cliff": _cliff,
})


def loss_code(landscape: Landscape) -> LossCode:
    """The loss of `landscape`; of a learner's own function its source, or a marked place for it."""
    if landscape.source is not None:
        return _own_loss(landscape)
    body = _BODIES[landscape.name](landscape.settings)
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
