"""Toy losses of two weights: function, bounds, start, known minima, gradient and Hessian; your own function too.

To add a landscape: write a factory that returns a Landscape and give it one entry in LANDSCAPES.
Sources: Rosenbrock 1960; Beale 1955; Himmelblau 1972; Rastrigin 1974; the cliff of deep products of weights:
Goodfellow, Bengio, Courville 2016, "Deep Learning", section 8.2.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from weightlab.descent.own_function import (
    Bounds,
    Function,
    Point,
    autograd_gradient,
    autograd_hessian,
    batched_loss,
    checked_bounds,
    checked_start,
)
from weightlab.program_text import lines, literal, times
from weightlab.validate import choose, number, whole_number

Range = tuple[float, float, float]  # default, low, high


@dataclass(frozen=True, eq=False)
class Landscape:
    """A loss of two weights, evaluated on any number of points at once.

    loss:      (..., 2) -> (...), float64
    bounds:    ((w1 low, w1 high), (w2 low, w2 high)), the part that is drawn
    minima:    the global minima that are known; empty where there is none
    settings:  what made it; name, settings, bounds, start and source decide whether two landscapes are equal
    gradient_function, hessian_function: (..., 2) -> (..., 2) and (..., 2, 2); None means by autograd
    gradient_noise: standard deviation of the noise that a run adds to each gradient component
    spectrum:  for a quadratic its eigenvalues (ascending) and unit eigenvectors, else None
    source:    the learner's function it was made from, else None
    """

    name: str
    formula: str
    loss: Function
    bounds: Bounds
    start: Point
    minima: tuple[Point, ...] = ()
    settings: Mapping[str, float] = field(default_factory=dict)
    gradient_function: Function | None = None
    hessian_function: Function | None = None
    gradient_noise: float = 0.0
    spectrum: tuple[Point, tuple[Point, Point]] | None = None
    source: Callable[..., Tensor] | None = None

    def _key(self) -> tuple[Any, ...]:
        return self.name, tuple(sorted(self.settings.items())), self.bounds, self.start, self.source

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Landscape) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"landscape({', '.join([repr(self.name), *(f'{k}={v!r}' for k, v in self.settings.items())])})"

    def gradient(self, w: Tensor) -> Tensor:
        """The gradient without noise, (..., 2) -> (..., 2)."""
        return autograd_gradient(self.loss, w) if self.gradient_function is None else self.gradient_function(w)

    def hessian(self, w: Tensor) -> Tensor:
        """The matrix of second derivatives, (..., 2) -> (..., 2, 2)."""
        return autograd_hessian(self.loss, w) if self.hessian_function is None else self.hessian_function(w)

    @property
    def eigenvalues(self) -> Point | None:
        """(λ1, λ2) with λ1 <= λ2 for a quadratic, whose curvature is the same everywhere; else None."""
        return None if self.spectrum is None else self.spectrum[0]

    @property
    def eigenvectors(self) -> Tensor | None:
        """(2, 2), column i belongs to eigenvalue i; None unless quadratic."""
        return None if self.spectrum is None else torch.tensor(self.spectrum[1], dtype=torch.float64).T

    @property
    def minimum_loss(self) -> float | None:
        """The loss at the global minimum, None where none is known."""
        return float(self.loss(torch.tensor(self.minima[0], dtype=torch.float64))) if self.minima else None

    @property
    def size(self) -> float:
        """The longer side of the bounds."""
        return max(high - low for low, high in self.bounds)


def _pair(w: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """(..., 2) laid out in memory as w is: a sweep keeps each weight of all learners together, for speed."""
    if w.stride(-1) == 1:
        return torch.stack((first, second), -1)
    return torch.stack((first, second)).movedim(0, -1)


def _symmetric(xx: Tensor, xy: Tensor, yy: Tensor) -> Tensor:
    return torch.stack((torch.stack((xx, xy), -1), torch.stack((xy, yy), -1)), -2)


def _quadratic_of(
    name: str,
    formula: str,
    spectrum: tuple[Point, tuple[Point, Point]],
    settings: Mapping[str, float],
    start: Point,
    **others: Any,
) -> Landscape:
    """½ wᵀHw with the given eigenvalues and eigenvectors of H."""
    (low, high), (low_vector, high_vector) = spectrum
    vectors = torch.tensor((low_vector, high_vector), dtype=torch.float64)
    matrix = low * torch.outer(vectors[0], vectors[0]) + high * torch.outer(vectors[1], vectors[1])
    diagonal = matrix.diagonal().clone()
    along_axes = float(matrix[0, 1]) == 0.0

    def gradient(w: Tensor) -> Tensor:
        if along_axes:
            return w * diagonal
        return (matrix @ w.mT).mT if w.ndim == 2 and w.stride(-1) != 1 else w @ matrix

    def loss(w: Tensor) -> Tensor:
        return 0.5 * (w * gradient(w)).sum(-1)

    def hessian(w: Tensor) -> Tensor:
        return matrix.expand(*w.shape, 2)

    bounds = ((-2.5, 2.5), (-2.5, 2.5))
    return Landscape(name, formula, loss, bounds, start, ((0.0, 0.0),) if low > 0 else (), settings, gradient, hessian,
                     spectrum=spectrum, **others)


_AXES: tuple[Point, Point] = ((1.0, 0.0), (0.0, 1.0))


def _quadratic(condition_number: float) -> Landscape:
    return _quadratic_of(
        "quadratic", "½(w₁² + κ w₂²)", ((1.0, condition_number), _AXES),
        {"condition_number": condition_number}, (-2.0, 1.0),
    )


def _rotated_quadratic(condition_number: float, angle: float) -> Landscape:
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # the start turns with the axes, so that only rules that look at single weights notice the rotation
    start = (-2.0 * cos - sin, -2.0 * sin + cos)
    return _quadratic_of(
        "rotated_quadratic", "½(u² + κ v²), (u, v) = the weights turned by the angle",
        ((1.0, condition_number), ((cos, sin), (-sin, cos))),
        {"condition_number": condition_number, "angle": angle}, start,
    )


def _saddle(falling_curvature: float) -> Landscape:
    return _quadratic_of(
        "saddle", "½(w₁² − c w₂²)", ((-falling_curvature, 1.0), ((0.0, 1.0), (1.0, 0.0))),
        {"falling_curvature": falling_curvature}, (-2.0, 0.01),
    )


def _noisy_bowl(condition_number: float, noise: float) -> Landscape:
    return _quadratic_of(
        "noisy_bowl", "½(w₁² + κ w₂²), normal noise on each gradient", ((1.0, condition_number), _AXES),
        {"condition_number": condition_number, "noise": noise}, (-2.0, 1.5), gradient_noise=noise,
    )


def _rosenbrock(steepness: float) -> Landscape:
    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return (1 - x) ** 2 + steepness * (y - x * x) ** 2

    one, minus_two = torch.tensor((1.0, -2.0), dtype=torch.float64).unbind()

    def gradient(w: Tensor) -> Tensor:
        gradient = torch.empty_like(w)
        (x, y), (along, across) = w.unbind(-1), gradient.unbind(-1)
        torch.addcmul(y, x, x, value=-1.0, out=across).mul_(2 * steepness)  # 2s(y − x²)
        torch.addcmul(minus_two, x, one - across, value=2.0, out=along)  # 2x(1 − across) − 2
        return gradient

    def hessian(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        xx = 2 + steepness * (12 * x * x - 4 * y)
        return _symmetric(xx, -4 * steepness * x, torch.full_like(x, 2 * steepness))

    return Landscape("rosenbrock", "(1 − w₁)² + s(w₂ − w₁²)²", loss, ((-2.0, 2.0), (-1.0, 3.0)), (-1.2, 1.0),
                     ((1.0, 1.0),), {"steepness": steepness}, gradient, hessian)


def _beale() -> Landscape:
    first, second, third = torch.tensor((1.5, 2.25, 2.625), dtype=torch.float64).unbind()

    def powers(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        square = y * y
        return y - 1, square - 1, square * y - 1

    def misfits(x: Tensor, p: Tensor, q: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.addcmul(first, x, p), torch.addcmul(second, x, q), torch.addcmul(third, x, r)

    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        a, b, c = misfits(x, *powers(y))
        return a * a + b * b + c * c

    def gradient(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        p, q, r = powers(y)
        a, b, c = misfits(x, p, q, r)
        along_x = (a * p).addcmul_(b, q).addcmul_(c, r)
        along_y = x * torch.addcmul(a, y, torch.add(2 * b, y * c, alpha=3.0))
        return _pair(w, along_x, along_y).mul_(2.0)

    def hessian(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        a, b, c = misfits(x, *powers(y))
        xx = (y - 1) ** 2 + (y**2 - 1) ** 2 + (y**3 - 1) ** 2
        xy = a + x * (y - 1) + 2 * y * (b + x * (y**2 - 1)) + 3 * y**2 * (c + x * (y**3 - 1))
        yy = x * (x + 4 * x * y**2 + 9 * x * y**4 + 2 * b + 6 * y * c)
        return 2 * _symmetric(xx, xy, yy)

    formula = "(1.5 − w₁ + w₁w₂)² + (2.25 − w₁ + w₁w₂²)² + (2.625 − w₁ + w₁w₂³)²"
    return Landscape("beale", formula, loss, ((-1.0, 4.5), (-2.0, 2.0)), (0.5, -1.5), ((3.0, 0.5),), {},
                     gradient, hessian)


def _himmelblau() -> Landscape:
    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2

    def gradient(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        a, b = x * x + y - 11, x + y * y - 7
        return _pair(w, 4 * x * a + 2 * b, 2 * a + 4 * y * b)

    def hessian(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return _symmetric(12 * x * x + 4 * y - 42, 4 * (x + y), 12 * y * y + 4 * x - 26)

    minima = (  # roots of the gradient, solved to 20 digits
        (3.0, 2.0), (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286169), (3.584428340330492, -1.8481265269644036),
    )
    return Landscape("himmelblau", "(w₁² + w₂ − 11)² + (w₁ + w₂² − 7)²", loss, ((-5.0, 5.0), (-5.0, 5.0)), (-0.5, -1.0),
                     minima, {}, gradient, hessian)


def _rastrigin(amplitude: float) -> Landscape:
    turn = 2 * math.pi

    def loss(w: Tensor) -> Tensor:
        return (w * w + amplitude * (1 - torch.cos(turn * w))).sum(-1)

    def gradient(w: Tensor) -> Tensor:
        return torch.add(2 * w, torch.sin(turn * w), alpha=turn * amplitude)

    def hessian(w: Tensor) -> Tensor:
        return torch.diag_embed(2 + turn**2 * amplitude * torch.cos(turn * w))

    return Landscape("rastrigin", "Σ wᵢ² + A(1 − cos 2πwᵢ)", loss, ((-5.12, 5.12), (-5.12, 5.12)), (-3.3, 2.2),
                     ((0.0, 0.0),), {"amplitude": amplitude}, gradient, hessian)


def _plateau(width: float) -> Landscape:
    def height(w: Tensor) -> Tensor:  # of the bell that is missing
        return torch.exp((w * w).sum(-1) * (-0.5 / width**2))

    def loss(w: Tensor) -> Tensor:
        return 1 - height(w)

    def gradient(w: Tensor) -> Tensor:
        return w * (height(w) / width**2).unsqueeze(-1)

    def hessian(w: Tensor) -> Tensor:
        scaled = w / width
        shape = torch.eye(2, dtype=w.dtype) - scaled.unsqueeze(-1) * scaled.unsqueeze(-2)
        return shape * (height(w) / width**2)[..., None, None]

    return Landscape("plateau", "1 − exp(−(w₁² + w₂²)/2s²)", loss, ((-5.0, 5.0), (-5.0, 5.0)), (-3.0, 2.0),
                     ((0.0, 0.0),), {"width": width}, gradient, hessian)


_PULL = 0.01  # makes (1, 1) the only minimum among all products w₂·w₁ⁿ = 1


def _cliff(depth: int) -> Landscape:
    def loss(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        return 0.5 * (y * x**depth - 1) ** 2 + 0.5 * _PULL * ((w - 1) ** 2).sum(-1)

    def gradient(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        rest = x ** (depth - 1)
        power = rest * x
        miss = y * power - 1
        return torch.add(_pair(w, depth * miss * y * rest, miss * power), w - 1, alpha=_PULL)

    def hessian(w: Tensor) -> Tensor:
        x, y = w.unbind(-1)
        slope, bend = depth * x ** (depth - 1), depth * (depth - 1) * x ** max(depth - 2, 0)
        miss = y * x**depth - 1
        xx = (y * slope) ** 2 + miss * y * bend + _PULL
        return _symmetric(xx, (y * x**depth + miss) * slope, x ** (2 * depth) + _PULL)

    formula = "½(w₂w₁ⁿ − 1)² + 0.005((w₁ − 1)² + (w₂ − 1)²)"
    return Landscape("cliff", formula, loss, ((0.0, 1.8), (0.0, 2.0)), (0.7, 1.6), ((1.0, 1.0),), {"depth": depth},
                     gradient, hessian)


@dataclass(frozen=True)
class LandscapeEntry:
    """A factory, its settings as name -> (default, low, high), a line on what there is to see, and its program.

    program: settings -> the body of a function of w (2,) that gives the loss; w1 and w2 stand for its two weights.
    """

    label: str
    factory: Callable[..., Landscape]
    settings: Mapping[str, Range]
    note: str
    program: Callable[[Mapping[str, float]], str]


def _bowl_lines(settings: Mapping[str, float]) -> str:
    return f"return 0.5 * (w1**2 + {times(settings['condition_number'], 'w2**2')})"


def _turned_bowl_lines(settings: Mapping[str, float]) -> str:
    return lines(
        f"angle = math.radians({literal(settings['angle'])})",
        "u = math.cos(angle) * w1 + math.sin(angle) * w2",
        "v = -math.sin(angle) * w1 + math.cos(angle) * w2",
        f"return 0.5 * (u**2 + {times(settings['condition_number'], 'v**2')})",
    )


_BEALE_LINES = """return (
    (1.5 - w1 + w1 * w2) ** 2
    + (2.25 - w1 + w1 * w2**2) ** 2
    + (2.625 - w1 + w1 * w2**3) ** 2
)"""


def _cliff_lines(settings: Mapping[str, float]) -> str:
    power = "w1" if settings["depth"] == 1 else f"w1**{settings['depth']}"
    return f"return 0.5 * (w2 * {power} - 1) ** 2 + 0.005 * ((w1 - 1) ** 2 + (w2 - 1) ** 2)"


_KAPPA: Range = (10.0, 1.0, 10_000.0)
LANDSCAPES: Mapping[str, LandscapeEntry] = MappingProxyType({
    "quadratic": LandscapeEntry(
        "Quadratic bowl", _quadratic, {"condition_number": _KAPPA},
        "λ = 1 along the first weight, κ along the second: the exact theory holds", _bowl_lines,
    ),
    "rotated_quadratic": LandscapeEntry(
        "Rotated bowl", _rotated_quadratic, {"condition_number": _KAPPA, "angle": (30.0, -180.0, 180.0)},
        "the same bowl turned by an angle in degrees: rules that scale each weight by itself notice",
        _turned_bowl_lines,
    ),
    "rosenbrock": LandscapeEntry(
        "Rosenbrock's valley", _rosenbrock, {"steepness": (100.0, 0.0, 1000.0)}, "a curved valley with a flat floor",
        lambda s: f"return (1 - w1) ** 2 + {times(s['steepness'], '(w2 - w1**2) ** 2')}",
    ),
    "beale": LandscapeEntry("Beale", _beale, {}, "flat in the middle, steep at the corners", lambda s: _BEALE_LINES),
    "himmelblau": LandscapeEntry(
        "Himmelblau", _himmelblau, {}, "four equal minima: the start decides",
        lambda s: "return (w1**2 + w2 - 11) ** 2 + (w1 + w2**2 - 7) ** 2",
    ),
    "saddle": LandscapeEntry(
        "Saddle", _saddle, {"falling_curvature": (0.1, 0.001, 10.0)},
        "down along the first weight, then slowly away along the second, for ever",
        lambda s: f"return 0.5 * (w1**2 - {times(s['falling_curvature'], 'w2**2')})",
    ),
    "rastrigin": LandscapeEntry(
        "Rastrigin", _rastrigin, {"amplitude": (10.0, 0.0, 20.0)}, "a bowl with many local minima",
        lambda s: f"return (w**2 + {times(s['amplitude'], '(1 - torch.cos(2 * math.pi * w))')}).sum()",
    ),
    "plateau": LandscapeEntry(
        "Plateau", _plateau, {"width": (1.0, 0.3, 5.0)}, "the gradient vanishes away from the minimum",
        lambda s: f"return 1 - torch.exp(-(w1**2 + w2**2) / (2 * {literal(s['width'])} ** 2))",
    ),
    "cliff": LandscapeEntry(
        "Cliff", _cliff, {"depth": (10, 1, 20)}, "a product of n + 1 weights: beyond w₁ = 1 the gradient explodes",
        _cliff_lines,
    ),
    "noisy_bowl": LandscapeEntry(
        "Noisy bowl", _noisy_bowl, {"condition_number": (3.0, 1.0, 10_000.0), "noise": (0.5, 0.0, 100.0)},
        "a quadratic whose gradients carry noise: a constant rate never comes to rest", _bowl_lines,
    ),
})


def landscape(name: str, **settings: float) -> Landscape:
    """`landscape("rotated_quadratic", condition_number=50, angle=20)`; what is left out takes its default.

    Raises ValueError or TypeError for an unknown name or setting and for a value out of its range.
    """
    entry = LANDSCAPES[choose("landscape", name, LANDSCAPES)]
    values = {key: default for key, (default, _, _) in entry.settings.items()}
    for key, value in settings.items():
        default, low, high = entry.settings[choose(f"setting of landscape {name}", key, values)]
        if isinstance(default, int):
            values[key] = whole_number(key, value, int(low), int(high))
        else:
            values[key] = number(key, value, low, high)
    return entry.factory(**values)


def landscape_from_function(
    function: Callable[..., Tensor],
    bounds: Bounds,
    start: Point | None = None,
    name: str = "yours",
    minima: tuple[Point, ...] = (),
) -> Landscape:
    """A landscape of your own: `landscape_from_function(lambda w1, w2: w1**2 + torch.sin(w2), ((-3, 3), (-3, 3)))`.

    function: of a tensor (..., 2) or of two weights, in torch operations; its derivatives are taken by autograd.
    start: inside the bounds; by default in their upper left part.
    Raises TypeError or ValueError when the function returns a wrong shape, is not finite at the start or has no
    gradient there.
    """
    bounds = checked_bounds(bounds)
    (x0, x1), (y0, y1) = bounds
    start = checked_start((x0 + 0.2 * (x1 - x0), y0 + 0.8 * (y1 - y0)) if start is None else start, bounds)
    return Landscape(name, getattr(function, "__name__", name), batched_loss(function, bounds, start), bounds, start,
                     tuple(minima), source=function)
