"""Landscapes: derivatives against autograd, minima that are minima, and a learner's own function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refusals
from torch import Tensor

from weightlab.descent.landscapes import LANDSCAPES, Landscape, landscape, landscape_from_function
from weightlab.descent.own_function import autograd_gradient, autograd_hessian

SQUARE = ((-2.0, 2.0), (-2.0, 2.0))


@st.composite
def any_landscape(draw: st.DrawFn, name: str) -> Landscape:
    """With its settings anywhere in their ranges, the ends included."""
    values: dict[str, Any] = {}
    for setting, (default, low, high) in LANDSCAPES[name].settings.items():
        if isinstance(default, int):
            values[setting] = draw(st.integers(int(low), int(high)))
        else:
            values[setting] = draw(st.sampled_from([low, default, high]) | st.floats(low, high))
    return landscape(name, **values)


def random_points(where: Landscape, *shape: int) -> Tensor:
    low, high = (torch.tensor(ends, dtype=torch.float64) for ends in zip(*where.bounds, strict=True))
    return low + (high - low) * torch.rand(*shape, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", LANDSCAPES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_derivatives_equal_autograds(name: str, data: st.DataObject) -> None:
    where = data.draw(any_landscape(name))
    w = random_points(where, 50)
    for ours, theirs in (
        (where.gradient(w), autograd_gradient(where.loss, w)),
        (where.hessian(w), autograd_hessian(where.loss, w)),
    ):
        assert float((ours - theirs).abs().amax()) <= 1e-12 * max(1.0, float(theirs.abs().amax()))


@pytest.mark.parametrize("name", LANDSCAPES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_known_minima_are_flat_curve_upwards_and_lie_lower_than_other_points(name: str, data: st.DataObject) -> None:
    where = data.draw(any_landscape(name))
    assert bool(where.minima) == (name != "saddle")
    losses = where.loss(random_points(where, 500))
    for minimum in where.minima:
        w = torch.tensor(minimum, dtype=torch.float64)
        assert float(where.gradient(w).norm()) <= 1e-13 * float(where.hessian(w).norm())
        assert float(torch.linalg.eigvalsh(where.hessian(w))[0]) > -1e-9
        assert float(where.loss(w)) <= float(losses.amin())
        assert float(where.loss(w)) == pytest.approx(where.minimum_loss, abs=1e-12)


@pytest.mark.parametrize("name", LANDSCAPES)
def test_start_lies_inside_the_bounds_and_is_no_rest_point(name: str) -> None:
    where = landscape(name)
    for value, (low, high) in zip(where.start, where.bounds, strict=True):
        assert low < value < high
    assert float(where.gradient(torch.tensor(where.start, dtype=torch.float64)).norm()) > 1e-4


@settings(max_examples=25, deadline=None)
@given(kappa=st.floats(1.0, 10_000.0), angle=st.floats(-180.0, 180.0))
def test_quadratic_knows_its_eigenvalues_and_directions(kappa: float, angle: float) -> None:
    where = landscape("rotated_quadratic", condition_number=kappa, angle=angle)
    values, vectors = where.eigenvalues, where.eigenvectors
    assert values == (1.0, kappa)
    assert vectors is not None
    hessian = where.hessian(torch.zeros(2, dtype=torch.float64))
    assert torch.allclose(hessian @ vectors, vectors * torch.tensor(values, dtype=torch.float64), atol=1e-9)
    assert float(vectors[0, 0]) == pytest.approx(math.cos(math.radians(angle)))


test_bad_input_is_refused_with_value_range_and_remedy = refusals(lambda name, values: landscape(name, **values), {
    "unknown landscape 'rosenbrok': did you mean 'rosenbrock'": ("rosenbrok", {}),
    "unknown setting of landscape quadratic 'condition': did you mean": ("quadratic", {"condition": 2.0}),
    r"condition_number must be in \[1, 10000\], got 0.5": ("quadratic", {"condition_number": 0.5}),
    r"condition_number must be in .*, got nan; use a finite number": ("quadratic", {"condition_number": math.nan}),
    r"noise must be in \[0, 100\], got -1": ("noisy_bowl", {"noise": -1.0}),
    "angle must be in .*, got inf": ("rotated_quadratic", {"angle": math.inf}),
    "depth must be a whole number": ("cliff", {"depth": 2.5}),
})


def bowl(w1: Tensor, w2: Tensor) -> Tensor:
    return w1**2 + 3 * torch.sin(w2) ** 2


OWN_FORMS: dict[str, Callable[..., Tensor]] = {
    "of two weights": bowl,
    "of points": lambda w: w[..., 0] ** 2 + 3 * torch.sin(w[..., 1]) ** 2,
    "of a list of points": lambda w: w[:, 0] ** 2 + 3 * torch.sin(w[:, 1]) ** 2,
    "of one point": lambda w: w[0] ** 2 + 3 * torch.sin(w[1]) ** 2,
    "of one point by a dot product": lambda w: torch.stack((w[0], torch.sin(w[1]))).square() @ torch.tensor(
        [1.0, 3.0], dtype=torch.float64
    ),
}


@pytest.mark.parametrize("form", OWN_FORMS)
def test_own_function_works_in_every_form_it_may_be_written(form: str) -> None:
    where = landscape_from_function(OWN_FORMS[form], SQUARE, start=(1.0, 1.0), minima=((0.0, 0.0),))
    w = random_points(where, 3, 7)
    x, y = w.unbind(-1)
    assert torch.allclose(where.loss(w), bowl(x, y), rtol=1e-13)
    assert torch.allclose(where.gradient(w), torch.stack((2 * x, 3 * torch.sin(2 * y)), -1), rtol=1e-12)
    curvature = torch.diag_embed(torch.stack((torch.full_like(x, 2.0), 6 * torch.cos(2 * y)), -1))
    assert torch.allclose(where.hessian(w), curvature, atol=1e-12)
    assert (where.start, where.name, where.minimum_loss) == ((1.0, 1.0), "yours", 0.0)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda w: w**2, ValueError, r"returns shape \(2,\) for one point, it must return one number, shape \(\)"),
        (lambda w1, w2, w3: w1, TypeError, r"must take one tensor of shape \(..., 2\) or two weights, it takes 3"),
        (lambda: torch.zeros(()), TypeError, "two weights, it takes 0 arguments"),
        (lambda w1, w2: 3.0, TypeError, r"returns float 3.0, not a tensor; use torch operations"),
        (lambda w1, w2: math.sin(w1) + w2, TypeError, r"works on one point but not on many at once .*torch.where"),
        (lambda w1, w2: w1 if w1 > 0 else w2, TypeError, r"works on one point but not on many at once .*torch.where"),
        (lambda w1, w2: w1.detach() ** 2 + w2.item(), TypeError, r"no gradient|not on many at once"),
        (lambda w1, w2: (w1 * w2).detach(), TypeError, "has no gradient: its result does not depend on the weights"),
        (lambda w1, w2: torch.zeros_like(w1), TypeError, "has no gradient: its result does not depend on the weights"),
        (lambda w1, w2: np.square(w1.numpy()), TypeError, "raises RuntimeError: Can't call numpy"),
        (lambda w1, w2: torch.round(3 * w1) + torch.round(3 * w2), ValueError, "gradient is zero everywhere"),
        (lambda w1, w2: torch.log(w1) + w2, ValueError, r"is nan at the start \(-1.2, 1.2"),
        (lambda w1, w2: 1 / (w1 + 1.2) + w2 * 0, ValueError, r"is -?inf at the start \(-1.2, 1.2"),
        (lambda w1, w2: torch.sqrt(w1 + 1.2) + w2, ValueError, r"gradient at the start .* is \((nan|inf)"),
        (lambda w1, w2: (w1 > w2).long(), TypeError, "returns torch.int64 numbers, which have no gradient"),
        (lambda w1, w2: w1.banana(), TypeError, "raises AttributeError: .*banana"),
        ("w1**2", TypeError, "function must be callable, got 'w1\\*\\*2'"),
    ],
)
def test_own_function_is_refused_with_what_to_change(function: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        landscape_from_function(function, SQUARE, start=(-1.2, 1.2))


test_bad_bounds_and_starts_are_refused = refusals(lambda bounds, start: landscape_from_function(bowl, bounds, start), {
    r"bounds must be \(\(low, high\), \(low, high\)\), got \(-1, 1\)": ((-1, 1), None),
    "high bound of the second weight must be in .*got 1; the high bound must lie above": (((-1, 1), (1, 1)), None),
    "high bound of the first weight must be in .*got inf": (((-1, math.inf), (0, 1)), None),
    r"start of the second weight must be in \[-1, 1\], got 3; start inside": (((-1, 1), (-1, 1)), (0, 3)),
    r"start must be two numbers \(w1, w2\), got \(0,\)": (((-1, 1), (-1, 1)), (0,)),
    "start of the second weight must be in .*got nan": (((-1, 1), (-1, 1)), (0, math.nan)),
})
