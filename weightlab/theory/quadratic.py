"""Closed forms: what a run should do, computed without running it, so that it can disagree.

On the quadratic ½ λ w² every rule below turns the error e (distance from the minimum) into the recurrence
e[t+1] = sum·e[t] - product·e[t-1]; the roots of x² - sum·x + product decide everything. With several eigenvalues λ
each eigendirection obeys its own. All functions take floats or tensors that broadcast (a map over the plane of
learning rate and momentum is one call) and give floats back for floats. Magnitudes per layer: see signal_theory.

Notation: η learning rate, μ momentum, λ eigenvalue of the Hessian, κ = λmax/λmin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, cast

import torch
from torch import Tensor

from weightlab.validate import choose, number, whole_number

Real = float | Tensor
Eigenvalues = float | Iterable[float] | Tensor
Regime = Literal["monotone", "oscillating", "diverging"]
REGIMES: tuple[Regime, ...] = ("monotone", "oscillating", "diverging")


@dataclass(frozen=True)
class Recurrence:
    """A rule's recurrence: its kind, its limit as one writes it, and whether it averages gradients, (1-μ)g for g."""

    kind: Literal["gradient_descent", "heavy_ball", "nesterov"]
    limit: str
    averages: bool = False


# The rules that have a closed form. PyTorch's, the classical and Sutskever's momentum are one path at a constant
# learning rate, so one form speaks of them; so does one of both Nesterovs.
RECURRENCES: Mapping[str, Recurrence] = MappingProxyType(
    {
        "gradient_descent": Recurrence("gradient_descent", "2/λ"),
        "momentum": Recurrence("heavy_ball", "(2 + 2μ)/λ"),
        "averaged_momentum": Recurrence("heavy_ball", "(2 + 2μ)/λ/(1 − μ)", averages=True),
        "nesterov": Recurrence("nesterov", "(2 + 2μ)/((1 + 2μ)λ)"),
    }
)


# ---------------------------------------------------------------- checks and conversions


def _checked(name: str, value: Real, low: float, high: float = math.inf, why: str = "", **edges: bool) -> Tensor:
    """`value` as float64, every entry finite and in range."""
    if not isinstance(value, Tensor):
        return torch.tensor(number(name, value, low, high, why=why, **edges), dtype=torch.float64)
    result = value.double()
    for extreme in (result.min(), result.max()) if result.numel() else ():
        number(name, extreme.item(), low, high, why=why, **edges)  # NaN wins both min and max, so none slips through
    return result


def _learning_rate(value: Real) -> Tensor:
    return _checked("learning_rate", value, 0, why="a negative one climbs the loss; use a small positive number")


def _momentum(value: Real) -> Tensor:
    return _checked("momentum", value, 0, 1, open_high=True, why="at 1 or more the velocity never decays")


def _curvature(name: str, value: Real) -> Tensor:
    return _checked(name, value, 0, open_low=True, why="a limit exists only where the loss curves upwards")


def _eigenvalue(value: Real) -> Tensor:
    return _checked("eigenvalue", value, -math.inf)


def _eigenvalue_list(eigenvalues: Eigenvalues) -> list[float]:
    if isinstance(eigenvalues, Tensor):
        eigenvalues = cast(list[float], eigenvalues.flatten().tolist())
    values = [eigenvalues] if isinstance(eigenvalues, int | float) else list(eigenvalues)
    if not values:
        raise ValueError("eigenvalues must hold at least one number, got none; pass the Hessian's, e.g. (1.0, 10.0)")
    return [number("eigenvalue", value) for value in values]


def _condition(smallest: float, largest: float) -> tuple[float, float]:
    smallest = number("smallest eigenvalue", smallest, 0, open_low=True, why="a best rate needs upward curvature")
    return smallest, number("largest eigenvalue", largest, smallest, why="give the smallest eigenvalue first")


def _like(result: Tensor, *inputs: Real) -> Real:
    return result if any(isinstance(value, Tensor) for value in inputs) else float(result)


# ---------------------------------------------------------------- gradient descent


def gradient_descent_factor(learning_rate: Real, eigenvalue: Real) -> Real:
    """|1 - ηλ|: what each step of plain descent multiplies the error in one eigendirection by.

    Source: Polyak 1964; Goh 2017 (Distill), "First Steps: Gradient Descent".
    """
    factor = (1 - _learning_rate(learning_rate) * _eigenvalue(eigenvalue)).abs()
    return _like(factor, learning_rate, eigenvalue)


def gradient_descent_limit(largest_eigenvalue: Real) -> Real:
    """2/λmax: the learning rate beyond which plain descent diverges (Goh 2017, Distill)."""
    return _like(2 / _curvature("largest eigenvalue", largest_eigenvalue), largest_eigenvalue)


def best_gradient_descent(smallest_eigenvalue: float, largest_eigenvalue: float) -> tuple[float, float]:
    """(η, rate) of the fastest constant learning rate: 2/(λ₁ + λₙ) and (κ - 1)/(κ + 1) (Polyak 1964; Goh 2017)."""
    low, high = _condition(smallest_eigenvalue, largest_eigenvalue)
    return 2 / (low + high), (high - low) / (high + low)


# ---------------------------------------------------------------- the recurrence of each rule


def _recurrence(kind: str, learning_rate: Tensor, momentum: Tensor, eigenvalue: Tensor) -> tuple[Tensor, Tensor]:
    """(sum, product) of the roots."""
    scaled = learning_rate * eigenvalue
    if kind == "gradient_descent":
        return 1 - scaled + 0 * momentum, torch.zeros_like(scaled + momentum)
    if kind == "heavy_ball":
        return 1 + momentum - scaled, momentum + 0 * scaled
    return (1 + momentum) * (1 - scaled), momentum * (1 - scaled)


def _discriminant(kind: str, learning_rate: Tensor, momentum: Tensor, eigenvalue: Tensor) -> Tensor:
    """sum² - 4·product, in factors: near a double root the difference itself would be rounding noise."""
    scaled = learning_rate * eigenvalue
    if kind == "gradient_descent":
        return (1 - scaled).square() + 0 * momentum
    root = momentum.sqrt()
    if kind == "heavy_ball":
        return (scaled - (1 + root).square()) * (scaled - (1 - root).square())
    return (1 - scaled) * ((1 - momentum).square() - scaled * (1 + momentum).square())


def _roots(kind: str, learning_rate: Tensor, momentum: Tensor, eigenvalue: Tensor) -> tuple[Tensor, Tensor]:
    """The complex roots, the one of larger modulus first; real ones without cancellation."""
    total, product = _recurrence(kind, learning_rate, momentum, eigenvalue)
    spread = torch.sqrt(_discriminant(kind, learning_rate, momentum, eigenvalue).to(torch.complex128))
    larger = (total + torch.where(total < 0, -spread, spread)) / 2
    smaller = torch.where(larger == 0, torch.zeros_like(larger), product / larger)
    return larger, smaller


def _prepared(rule: str, learning_rate: Real, momentum: Real) -> tuple[str, Tensor, Tensor]:
    form = _form(rule)
    speed, carry = _learning_rate(learning_rate), _momentum(momentum)
    # m = μm + (1-μ)g weighs each gradient (1-μ) times what the heavy ball does
    return form.kind, speed * (1 - carry) if form.averages else speed, carry


def _form(rule: str) -> Recurrence:
    return RECURRENCES[choose("rule with a closed form", rule, RECURRENCES)]


def roots(
    rule: str, learning_rate: Real, momentum: Real, eigenvalue: Real
) -> tuple[complex, complex] | tuple[Tensor, Tensor]:
    """The two roots that the error of `rule` grows or shrinks by, larger modulus first; complex numbers or tensors.

    rule: a key of RECURRENCES. Heavy ball: x² - (1+μ-ηλ)x + μ, whose complex roots have modulus √μ whatever η
    (Polyak 1964; Goh 2017). Nesterov: x² - (1+μ)(1-ηλ)x + μ(1-ηλ) (Nesterov 1983; Lessard, Recht & Packard 2016).
    Gradient descent: 1-ηλ and 0.
    """
    kind, speed, carry = _prepared(rule, learning_rate, momentum)
    pair = _roots(kind, speed, carry, _eigenvalue(eigenvalue))
    if any(isinstance(value, Tensor) for value in (learning_rate, momentum, eigenvalue)):
        return pair
    return complex(pair[0].item()), complex(pair[1].item())


def convergence_rate(rule: str, learning_rate: Real, momentum: Real, eigenvalues: Eigenvalues) -> Real:
    """What the error shrinks by per step in the long run: the largest modulus of a root over all eigenvalues.

    learning_rate and momentum broadcast against each other; eigenvalues is one number or several (a tensor counts as a
    list of them). 1 or more does not converge. Below it the loss, quadratic in the error, shrinks by rate². At a double
    root the error falls as t·rateᵗ.
    """
    kind, speed, carry = _prepared(rule, learning_rate, momentum)
    moduli = [_roots(kind, speed, carry, _eigenvalue(value))[0].abs() for value in _eigenvalue_list(eigenvalues)]
    return _like(torch.stack(moduli).amax(0), learning_rate, momentum)


def learning_rate_limit(rule: str, momentum: Real, largest_eigenvalue: Real) -> Real:
    """The learning rate beyond which `rule` diverges on a quadratic: the η at which a root reaches -1.

    Gradient descent 2/λmax, heavy ball (2+2μ)/λmax (Polyak 1964; Goh 2017), averaged form that over (1-μ), Nesterov
    (2+2μ)/((1+2μ)λmax) (from its polynomial at x = -1).
    """
    form = _form(rule)
    carry, curvature = _momentum(momentum), _curvature("largest eigenvalue", largest_eigenvalue)
    scaled = 2 + 0 * carry if form.kind == "gradient_descent" else 2 + 2 * carry
    if form.kind == "nesterov":
        scaled = scaled / (1 + 2 * carry)
    if form.averages:
        scaled = scaled / (1 - carry)
    return _like(scaled / curvature, momentum, largest_eigenvalue)


def regime_codes(rule: str, learning_rate: Real, momentum: Real, eigenvalues: Eigenvalues) -> Tensor:
    """Indices into REGIMES, broadcast over learning_rate and momentum, for drawing the regions of a map.

    0 monotone: the error of a learner that starts at rest never changes sign in any eigendirection; 1 oscillating: it
    does in at least one (complex roots, or a negative one); 2 diverging: some error does not shrink (modulus >= 1).
    """
    kind, speed, carry = _prepared(rule, learning_rate, momentum)
    oscillates = torch.zeros_like(speed + carry, dtype=torch.bool)
    diverges = oscillates.clone()
    for value in _eigenvalue_list(eigenvalues):
        leading = _roots(kind, speed, carry, _eigenvalue(value))[0]
        oscillates = oscillates | (leading.imag != 0) | (leading.real < 0)
        diverges = diverges | (leading.abs() >= 1)
    return torch.where(diverges, 2, oscillates.long())


def regime(rule: str, learning_rate: float, momentum: float, eigenvalues: Eigenvalues) -> Regime:
    """"monotone", "oscillating" or "diverging": see `regime_codes`."""
    return REGIMES[int(regime_codes(rule, float(learning_rate), float(momentum), eigenvalues))]


def error_path(rule: str, learning_rate: float, momentum: float, eigenvalue: float, steps: int) -> Tensor:
    """The error after 0, 1, ..., `steps` steps from error 1 at rest, (steps + 1,) float64, from powers of the roots.

    e[t] = e[1]·h[t-1] - product·h[t-2] with h[n] the sum of x^i·y^(n-i) over both roots x, y; at a double root r
    that is e[t] = r^t (1 + t(1 - μ/r)): a straight line times a power. Entries beyond 1e308 are not finite.
    """
    steps = whole_number("steps", steps, 0, 1_000_000)
    kind, speed, carry = _prepared(rule, learning_rate, momentum)
    curvature = _eigenvalue(eigenvalue)
    _, product = _recurrence(kind, speed, carry, curvature)
    # a learner at rest first moves by its gradient alone; PyTorch's Nesterov stores a look-ahead already η(1+μ) away
    first = 1 - speed * curvature * (1 + carry if kind == "nesterov" else 1)
    larger, smaller = _roots(kind, speed, carry, curvature)
    sums = _power_sums(larger, smaller, steps)  # h[-1], h[0], ..., h[steps - 1]
    path = first * sums[1:] - product * sums[:-1]
    return torch.cat([torch.ones(1, dtype=torch.float64), path])


def _power_sums(x: Tensor, y: Tensor, count: int) -> Tensor:
    """Real part of (x^n - y^n)/(x - y) for n = 0, ..., count, with its limit n·x^(n-1) at a double root."""
    if (x - y).abs() > 1e-6 * x.abs():
        return ((_powers(x, count) - _powers(y, count)) / (x - y)).real
    n = torch.arange(1, count + 1, dtype=torch.float64)
    sums = n * _powers((x + y) / 2, count)[:-1].real
    return torch.cat([torch.zeros(1, dtype=torch.float64), sums])


def _powers(x: Tensor, count: int) -> Tensor:
    # a running product: torch's complex power makes NaN of 0⁰ and gives real negative roots an imaginary part
    return torch.cat([torch.ones(1, dtype=x.dtype), x.expand(count)]).cumprod(0)


# ---------------------------------------------------------------- heavy ball (classical momentum)


def heavy_ball_rate(learning_rate: Real, momentum: Real, eigenvalues: Eigenvalues) -> Real:
    """Largest modulus of the heavy ball's roots over all eigenvalues (see `convergence_rate`)."""
    return convergence_rate("momentum", learning_rate, momentum, eigenvalues)


def heavy_ball_limit(momentum: Real, largest_eigenvalue: Real) -> Real:
    """(2+2μ)/λmax: the learning rate beyond which the heavy ball diverges (Polyak 1964; Goh 2017)."""
    return learning_rate_limit("momentum", momentum, largest_eigenvalue)


def critical_momentum(learning_rate: Real, eigenvalue: Real) -> Real:
    """(1 - √(ηλ))²: the heavy ball's μ with a double root. With less it is over-damped, with more under-damped.

    The rate in this direction is then |1 - √(ηλ)|, the fastest for this η (Goh 2017, "Critical Damping").
    """
    scaled = _learning_rate(learning_rate) * _checked("eigenvalue", eigenvalue, 0, why="no damping along a saddle")
    return _like((1 - scaled.sqrt()).square(), learning_rate, eigenvalue)


def best_heavy_ball(smallest_eigenvalue: float, largest_eigenvalue: float) -> tuple[float, float, float]:
    """(η, μ, rate) of the fastest heavy ball: (2/(√λ₁+√λₙ))², ((√κ-1)/(√κ+1))², (√κ-1)/(√κ+1) (Polyak 1964).

    Both extreme eigendirections then have a double root, so the error falls as t·rateᵗ.
    """
    low, high = (math.sqrt(value) for value in _condition(smallest_eigenvalue, largest_eigenvalue))
    rate = (high - low) / (high + low)
    return (2 / (low + high)) ** 2, rate**2, rate


# ---------------------------------------------------------------- Nesterov


def nesterov_limit(momentum: Real, largest_eigenvalue: Real) -> Real:
    """(2+2μ)/((1+2μ)λmax): smaller than the heavy ball's limit, for μ > 0 even than plain descent's 2/λmax."""
    return learning_rate_limit("nesterov", momentum, largest_eigenvalue)


def nesterov_critical_momentum(learning_rate: Real, eigenvalue: Real) -> Real:
    """(1-√(ηλ))/(1+√(ηλ)), ηλ <= 1: the μ with a double root; more oscillates (O'Donoghue & Candès 2015, sec. 3)."""
    scaled = _learning_rate(learning_rate) * _checked("eigenvalue", eigenvalue, 0, why="no damping along a saddle")
    root = _checked("learning_rate times eigenvalue", scaled, 0, 1, why="beyond it every μ oscillates").sqrt()
    return _like((1 - root) / (1 + root), learning_rate, eigenvalue)


def standard_nesterov(smallest_eigenvalue: float, largest_eigenvalue: float) -> tuple[float, float, float]:
    """(η, μ, rate) of the textbook choice: 1/λmax, (√κ-1)/(√κ+1), 1 - 1/√κ (Nesterov 2004, sec. 2.2.1).

    On a quadratic this is the rate itself (a double root along λmin); for a strongly convex loss in general Nesterov
    proves that the loss shrinks by 1 - 1/√κ a step, its error thus by the root of that.
    """
    low, high = _condition(smallest_eigenvalue, largest_eigenvalue)
    root = math.sqrt(high / low)
    return 1 / high, (root - 1) / (root + 1), 1 - 1 / root


def best_settings(rule: str, smallest_eigenvalue: float, largest_eigenvalue: float) -> tuple[float, float] | None:
    """(η, μ) of the fastest `rule` with momentum, `best_heavy_ball` or `best_nesterov`; None for the others."""
    form = _form(rule)
    if form.kind == "gradient_descent" or form.averages:
        return None
    best = best_heavy_ball if form.kind == "heavy_ball" else best_nesterov
    rate, momentum, _ = best(smallest_eigenvalue, largest_eigenvalue)
    return rate, momentum


def best_nesterov(smallest_eigenvalue: float, largest_eigenvalue: float) -> tuple[float, float, float]:
    """(η, μ, rate) of the fastest Nesterov on a quadratic: 4/(3λₙ+λ₁), (s-2)/(s+2), 1 - 2/s with s = √(3κ+1).

    Source: Lessard, Recht & Packard 2016, proposition 1. A little faster than `standard_nesterov`.
    """
    low, high = _condition(smallest_eigenvalue, largest_eigenvalue)
    s = math.sqrt(3 * high / low + 1)
    return 4 / (3 * high + low), (s - 2) / (s + 2), 1 - 2 / s


# ---------------------------------------------------------------- noise on the gradient


def noise_variance(learning_rate: Real, eigenvalue: Real, noise: Real, momentum: Real = 0.0) -> Real:
    """Where noisy descent at a constant rate comes to: the variance of the error in one eigendirection, E[e²].

    noise: standard deviation σ that each step's gradient carries in this direction, independent from step to step.
    Plain descent: e ← (1-ηλ)e - ηξ repeats its variance at ησ²/(λ(2-ηλ)). With momentum (PyTorch's form)
    ησ²/((1-μ)λ(2-ηλ/(1+μ))). Infinite at or beyond the limit (2+2μ)/λ. Source: Liu, Ziyin & Ueda 2021, "Noise and
    fluctuation of finite learning rate stochastic gradient descent", theorems 1 and 2; for ηλ ≪ 1 and μ = 0 it is
    ησ²/(2λ) (Mandt, Hoffman & Blei 2017).
    """
    rate, curvature, mu = _learning_rate(learning_rate), _curvature("eigenvalue", eigenvalue), _momentum(momentum)
    sigma = _checked("noise", noise, 0, why="a standard deviation; 0 for none")
    margin = 2 - rate * curvature / (1 + mu)
    variance = rate * sigma.square() / ((1 - mu) * curvature * margin)
    return _like(torch.where(margin > 0, variance, torch.inf), learning_rate, eigenvalue, noise, momentum)


def noise_floor(learning_rate: Real, eigenvalues: Eigenvalues, noise: Real, momentum: Real = 0.0) -> Real:
    """The mean loss that a constant learning rate cannot get below: Σ ½λ·`noise_variance` over the eigendirections.

    eigenvalues: one number or several (a tensor counts as a list of them); the other arguments broadcast.
    """
    floors = [
        0.5 * value * torch.as_tensor(noise_variance(learning_rate, value, noise, momentum), dtype=torch.float64)
        for value in _eigenvalue_list(eigenvalues)
    ]
    return _like(torch.stack(floors).sum(0), learning_rate, noise, momentum)


# ---------------------------------------------------------------- conventions, adaptive steps, filters


def convention_witness(
    learning_rates: tuple[float, float] = (0.1, 0.01), momentum: float = 0.9, gradient: float = 1.0
) -> dict[str, tuple[float, float]]:
    """The first two steps Δw under a constant gradient when the learning rate changes between them, by update rule.

    PyTorch's velocity holds gradients, so a new learning rate rescales all of it; the classical one holds steps, which
    keep the rate that they were made with (Sutskever et al. 2013; torch.optim.SGD's documentation, Note).
    """
    first, second = (float(_learning_rate(value)) for value in learning_rates)
    mu, g = float(_momentum(momentum)), number("gradient", gradient)
    pytorch = (-first * g, -second * (1 + mu) * g)
    classical = (-first * g, -second * g - mu * first * g)
    averaged = ((1 - mu) * pytorch[0], (1 - mu) * pytorch[1])
    return {
        "momentum": pytorch,
        "classical_momentum": classical,
        "sutskever_momentum": classical,
        "averaged_momentum": averaged,
    }


def adam_first_step(
    learning_rate: Real,
    gradient: Real,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    bias_correction: bool = True,
) -> Real:
    """Adam's first Δw: -ηg/(|g|+ε), of size η whatever the gradient's (Kingma & Ba 2015, algorithm 1).

    Without bias correction -η(1-β₁)g/(√(1-β₂)|g|+ε): 3.16 η at the default betas.
    """
    rate, g = _learning_rate(learning_rate), _checked("gradient", gradient, -math.inf)
    first, second = (float(_checked("beta", beta, 0, 1, open_high=True)) for beta in (beta1, beta2))
    eps = float(_checked("eps", eps, 0, open_low=True))
    top, bottom = (1.0, 1.0) if bias_correction else (1 - first, math.sqrt(1 - second))
    return _like(-rate * top * g / (bottom * g.abs() + eps), learning_rate, gradient)


def rmsprop_first_step(learning_rate: Real, gradient: Real, alpha: float = 0.99, eps: float = 1e-8) -> Real:
    """RMSprop's first Δw: -ηg/(√(1-α)|g|+ε), 10 η at α = 0.99 (Hinton 2012; torch.optim.RMSprop)."""
    decay = float(_checked("alpha", alpha, 0, 1, open_high=True))
    # its average starts at zero and is not corrected: Adam's step with β₁ = 0 and no bias correction
    return adam_first_step(learning_rate, gradient, 0.0, decay, eps, bias_correction=False)


def early_stopping_filter(learning_rate: Real, eigenvalue: Real, steps: int) -> Real:
    """1-(1-ηλ)ᵏ: the share of the minimum that k steps of descent from zero reach in one eigendirection.

    Source: Goodfellow, Bengio & Courville 2016, section 7.8.
    """
    count = whole_number("steps", steps, 0, 10**9)
    left = (1 - _learning_rate(learning_rate) * _checked("eigenvalue", eigenvalue, 0)) ** count
    return _like(1 - left, learning_rate, eigenvalue)


def weight_decay_filter(eigenvalue: Real, penalty: Real) -> Real:
    """λ/(λ+τ): the share of the minimum that an L2 penalty ½τ|w|² leaves (Goodfellow et al. 2016, section 7.1.1).

    It resembles `early_stopping_filter` most with τ = 1/(ηk).
    """
    curvature, tau = _checked("eigenvalue", eigenvalue, 0, open_low=True), _checked("penalty", penalty, 0)
    return _like(curvature / (curvature + tau), eigenvalue, penalty)
