"""Says in words how a learner's descent on a landscape ended, and for a divergence in which direction and why."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.descent.landscapes import Landscape
from weightlab.rules.status import RunStatus
from weightlab.rules.update_rules import OptimizerSettings
from weightlab.theory.quadratic import RECURRENCES, learning_rate_limit


@dataclass(frozen=True)
class Path:
    """One learner's part of a record: weights and gradients (steps + 1, 2), losses (steps + 1,), rates (steps,)."""

    landscape: Landscape
    optimizer: OptimizerSettings
    loss_scale: float
    weights: Tensor
    losses: Tensor
    gradients: Tensor
    learning_rates: Tensor

    def point(self, step: int) -> str:
        negligible = 1e-6 * self.landscape.size
        x, y = (value if abs(value) > negligible else 0.0 for value in self.weights[step].tolist())
        return f"({x:.3g}, {y:.3g})"


def verdict(path: Path, diverged_at: int, converged_at: int) -> RunStatus:
    """The status of one learner; -1 stands for never."""
    if diverged_at >= 0:
        return RunStatus("diverged", diverged_at, _explain_divergence(path, diverged_at))
    if converged_at >= 0:
        return RunStatus("converged", converged_at, _explain_rest(path, converged_at))
    return RunStatus("finished", len(path.learning_rates), _explain_end(path))


def _explain_rest(path: Path, step: int) -> str:
    label, end = path.optimizer.label, path.weights[-1]
    beginning = f"{label} came to rest after {step} steps"
    low, high = _curvatures(path.landscape, end)[0].tolist()
    if low < 0:
        kind = "saddle point" if high > 0 else "maximum"
        return f"{beginning}, but on a {kind} at {path.point(-1)}: along curvature {low:.3g} the loss still falls"
    nearest = _nearest_minimum(path.landscape, end)
    if nearest is not None and nearest < 1e-2 * path.landscape.size:
        return f"{beginning} in the minimum at {path.point(-1)}"
    lowest = path.landscape.minimum_loss
    if lowest is None:
        return f"{beginning} at {path.point(-1)}, with loss {float(path.losses[-1]):.3g}"
    excess = float(path.losses[-1]) - path.loss_scale * lowest
    return f"{beginning} at {path.point(-1)}, not in the global minimum: its loss is {excess:.3g} above"


def _explain_end(path: Path) -> str:
    steps = len(path.learning_rates)
    length = float(torch.linalg.vector_norm(path.gradients[-1]))
    figures = f"loss {float(path.losses[-1]):.3g}, gradient length {length:.3g}"
    moved = float((path.weights - path.weights[0]).abs().amax())
    if moved < 1e-3 * path.landscape.size:
        return f"{path.optimizer.label} has hardly moved in {steps} steps, {moved:.2g} in all: {figures}"
    return f"{path.optimizer.label} used up its {steps} steps: {figures}"


def _nearest_minimum(landscape: Landscape, w: Tensor) -> float | None:
    if not landscape.minima:
        return None
    return float((torch.tensor(landscape.minima, dtype=w.dtype) - w).norm(dim=-1).amin())


def _explain_divergence(path: Path, step: int) -> str:
    """Name the direction and the limit that was passed; on a curved landscape at the last point that was inside it."""
    landscape, optimizer = path.landscape, path.optimizer
    if step == 0:
        return f"{optimizer.label} starts where the loss or its gradient is not finite, or too far out; start nearer"
    last = _last_inside(landscape, path.weights[:step])
    if landscape.eigenvalues is not None:
        # by its last finite step the growing direction has taken over
        direction, curvature = _carrying_direction(landscape, path.weights[step - 1])
        where = f"along {_vector(direction)}"
    else:
        values, vectors = _curvatures(landscape, path.weights[last])
        strongest = -1 if float(values[-1]) > 0 else 0
        direction, curvature = vectors[:, strongest], float(values[strongest])
        where = f"from {path.point(last)}, where it stood at step {last}, along {_vector(direction)}"
    rate = float(path.learning_rates[:step].amax())
    beginning = f"{optimizer.label} diverged at step {step} {where}"
    if optimizer.theory is not None:
        effective = path.loss_scale * curvature + optimizer.weight_decay
        passed = _passed_limit(optimizer, rate, effective)
        if passed:
            return f"{beginning}, the direction of curvature λ = {effective:.4g}: {passed}"
        if effective < 0 and landscape.eigenvalues is not None:
            return (f"{beginning}: the curvature there is {effective:.4g}, so the loss falls without end and "
                    "no learning rate makes it stop; look at fewer steps")
    entry = optimizer.entry
    if entry is not None and entry.decoupled_decay and rate * optimizer.weight_decay > 2:
        decay = optimizer.weight_decay
        return (f"{beginning}: weight decay multiplies the weights by 1 − {decay:g}η = {1 - rate * decay:.3g} a step; "
                f"learning rate {rate:.4g} is beyond the limit 2/{decay:g} = {2 / decay:.4g}; take a smaller one")
    length = float(torch.linalg.vector_norm(path.gradients[last]))
    return (f"{beginning} (curvature {path.loss_scale * curvature:.3g}): at {path.point(last)} the gradient is "
            f"{length:.3g} long, and learning rate {rate:.4g} carried it off the landscape; take a smaller one")


def _curvatures(landscape: Landscape, w: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, ascending, and eigenvectors of the Hessian at one point; zeros where it is not finite."""
    values, vectors = torch.linalg.eigh(landscape.hessian(w).nan_to_num(0.0, 0.0, 0.0))
    return values, vectors


def _last_inside(landscape: Landscape, weights: Tensor) -> int:
    low, high = (torch.tensor(ends, dtype=weights.dtype) for ends in zip(*landscape.bounds, strict=True))
    inside = ((weights >= low) & (weights <= high)).all(-1)
    return int(inside.nonzero().amax()) if bool(inside.any()) else 0


def _carrying_direction(landscape: Landscape, w: Tensor) -> tuple[Tensor, float]:
    """The eigendirection in which the weights are farthest out, and its eigenvalue."""
    assert landscape.spectrum is not None and landscape.eigenvectors is not None
    vectors = landscape.eigenvectors
    farthest = int((vectors.T @ w).abs().argmax())
    return vectors[:, farthest], landscape.spectrum[0][farthest]


def _passed_limit(optimizer: OptimizerSettings, rate: float, curvature: float) -> str:
    """The limit in words if `rate` is beyond it, else nothing."""
    if curvature <= 0:
        return ""
    assert optimizer.theory is not None
    momentum = optimizer.settings.get("momentum", 0.0)
    share = 1.0 - (optimizer.settings.get("dampening", 0.0) if momentum > 0 else 0.0)  # of each gradient that counts
    limit = float(learning_rate_limit(optimizer.theory, momentum, curvature)) / share if share > 0 else torch.inf
    if not rate > limit:
        return ""
    formula = RECURRENCES[optimizer.theory].limit
    if share < 1:
        formula = f"{formula}/(1 − dampening)"
    return f"learning rate {rate:.4g} is beyond the limit {formula} = {limit:.4g}; take a smaller one"


def _vector(direction: Tensor) -> str:
    sign = 1.0 if float(direction[direction.abs().argmax()]) > 0 else -1.0
    x, y = (round(sign * value, 2) + 0.0 for value in direction.tolist())  # + 0.0 turns -0.0 into 0.0
    return f"({x:.2f}, {y:.2f})"
