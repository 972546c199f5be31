"""A learner's own function of two weights, checked and made to work on many points at once; autograd derivatives."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from weightlab.validate import number

Point = tuple[float, float]
Bounds = tuple[Point, Point]
Function = Callable[[Tensor], Tensor]

_REMEDY = "use torch operations on whole tensors (torch.sin, torch.where instead of if), no .item(), float() or numpy"


def autograd_gradient(loss: Function, w: Tensor) -> Tensor:
    """The gradient of a loss (..., 2) -> (...) at every point, (..., 2)."""
    with torch.enable_grad():
        w = w.detach().requires_grad_()
        return torch.autograd.grad(loss(w).sum(), w)[0]


def autograd_hessian(loss: Function, w: Tensor) -> Tensor:
    """The second derivatives of a loss (..., 2) -> (...) at every point, (..., 2, 2)."""
    with torch.enable_grad():
        w = w.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(w).sum(), w, create_graph=True)
        if not gradient.requires_grad:  # a linear loss
            return torch.zeros(*w.shape, 2, dtype=w.dtype)
        parts = (gradient[..., i].sum() for i in range(2))
        rows = [torch.autograd.grad(part, w, retain_graph=True, materialize_grads=True)[0] for part in parts]
        return torch.stack(rows, -2)


def checked_bounds(bounds: Bounds) -> Bounds:
    """The bounds as floats; ValueError unless they are ((low, high), (low, high)) with low < high."""
    try:
        (x0, x1), (y0, y1) = bounds
    except (TypeError, ValueError):
        raise ValueError(f"bounds must be ((low, high), (low, high)), got {bounds!r}; give one pair a weight") from None
    sides = []
    for name, low, high in (("first", x0, x1), ("second", y0, y1)):
        low = number(f"low bound of the {name} weight", low)
        remedy = "the high bound must lie above the low one"
        sides.append((low, number(f"high bound of the {name} weight", high, low, open_low=True, why=remedy)))
    return sides[0], sides[1]


def checked_start(start: object, bounds: Bounds) -> Point:
    """The start as two floats inside the bounds; ValueError otherwise."""
    if not isinstance(start, (tuple, list, Tensor)) or len(start) != 2:
        raise ValueError(f"start must be two numbers (w1, w2), got {start!r}")
    inside = (number(f"start of the {name} weight", value, *side, why="start inside the bounds")
              for name, value, side in zip(("first", "second"), start, bounds, strict=True))
    return next(inside), next(inside)


def batched_loss(function: Callable[..., Tensor], bounds: Bounds, start: Point) -> Function:
    """`function` as a loss (..., 2) -> (...), after trying it at the start and at points spread over the bounds.

    `function` takes one (..., 2) tensor or two weights (w1, w2). It may be written for many points or for one: then
    torch.func.vmap carries it over. Raises TypeError or ValueError when it cannot be evaluated, has the wrong shape,
    is not finite at the start, or has no gradient there.
    """
    if not callable(function):
        raise TypeError(f"function must be callable, got {function!r}; pass a function of two weights")
    of_points = _of_points(function)
    spread = torch.rand(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = (torch.tensor(ends, dtype=torch.float64) for ends in zip(*bounds, strict=True))
    probes = torch.cat((torch.tensor([start], dtype=torch.float64), low + (high - low) * spread))
    for candidate in (of_points, torch.func.vmap(of_points)):
        if _point_by_point(candidate, probes):
            _check_values(candidate, probes)
            return lambda w: candidate(w.reshape(-1, 2)).reshape(w.shape[:-1])
    raise _refusal(of_points, probes)


def _of_points(function: Callable[..., Tensor]) -> Function:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some built-in callables have no signature
        return function
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(parameter.default is parameter.empty for parameter in positional)
    if needed == 2:
        # unbound from the front, so that autograd puts the gradient together as a sweep lays out its weights
        return lambda w: function(*w.movedim(-1, 0).unbind())
    if needed == 1 or (needed == 0 and parameters):
        return function
    raise TypeError(f"function must take one tensor of shape (..., 2) or two weights, it takes {needed} arguments")


def _point_by_point(function: Function, probes: Tensor) -> bool:
    """Whether the function gives one number a point, the same whatever other points are in the batch."""
    try:
        together = function(probes)
        alone = [function(probe.unsqueeze(0)) for probe in probes]
    except Exception:  # the learner's code may raise anything; _refusal shows what
        return False
    if not isinstance(together, Tensor) or together.shape != probes.shape[:1] or not together.is_floating_point():
        return False
    if any(not isinstance(one, Tensor) or one.shape != (1,) for one in alone):
        return False
    return torch.allclose(together, torch.cat(alone).to(together.dtype), equal_nan=True)


def _refusal(function: Function, probes: Tensor) -> Exception:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a tensor turned into a number: the refusal says it better
            result = function(probes[0].clone().requires_grad_())
    except Exception as error:
        return TypeError(f"the function raises {type(error).__name__}: {error}; {_REMEDY}")
    if not isinstance(result, Tensor):
        return TypeError(f"the function returns {type(result).__name__} {result!r}, not a tensor; {_REMEDY}")
    if not result.is_floating_point():
        return TypeError(f"the function returns {result.dtype} numbers, which have no gradient; return floats")
    if result.shape != ():
        shape = tuple(result.shape)
        return ValueError(f"the function returns shape {shape} for one point, it must return one number, shape (); "
                          "sum over the weights")
    try:
        torch.func.vmap(function)(probes)
    except Exception as error:
        first_line = str(error).split("\n")[0]
        return TypeError(f"the function works on one point but not on many at once ({first_line}); {_REMEDY}")
    return ValueError(f"the function gives a point another value when other points come along; {_REMEDY}")


def _check_values(loss: Function, probes: Tensor) -> None:
    start = tuple(probes[0].tolist())
    at_probes = probes.clone().requires_grad_()
    try:
        losses = loss(at_probes)
    except RuntimeError as error:
        raise TypeError(f"the function has no gradient: {error}; {_REMEDY}") from error
    if not math.isfinite(losses[0].item()):
        raise ValueError(f"the function is {losses[0].item()} at the start {start}; choose a start where it is finite")
    if not losses.requires_grad:
        raise TypeError(f"the function has no gradient: its result does not depend on the weights; {_REMEDY}")
    gradients = torch.autograd.grad(losses.sum(), at_probes, materialize_grads=True)[0]
    if not bool(gradients[0].isfinite().all()):
        raise ValueError(f"the gradient at the start {start} is {tuple(gradients[0].tolist())}; choose another start")
    if not bool(gradients.any()) and bool((losses != losses[0]).any()):
        raise ValueError("the gradient is zero everywhere although the function varies, so it is made of steps; "
                         "use a function without rounding or comparisons")
