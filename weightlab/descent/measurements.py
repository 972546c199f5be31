"""What is read off runs on a landscape: by measurement only, so that theory can disagree with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import Landscape
from weightlab.descent.record import DescentRecord
from weightlab.descent.sweep import measured_rate, sweep


def loss_by_direction(weights: Tensor, landscape: Landscape) -> Tensor:
    """A quadratic's loss at `weights` (..., 2), split over its eigendirections, ½·λ·c², smallest eigenvalue first.

    Raises ValueError for a landscape that is no quadratic: it has no fixed eigendirections.
    """
    eigenvalues, eigenvectors = landscape.eigenvalues, landscape.eigenvectors
    if eigenvalues is None or eigenvectors is None:
        raise ValueError(f"{landscape.name} is no quadratic, so its loss does not split; choose a quadratic landscape")
    coordinates = weights @ eigenvectors  # our quadratics have their minimum at the origin
    return 0.5 * torch.tensor(eigenvalues, dtype=torch.float64) * coordinates.square()


def largest_curvature(record: DescentRecord, landscape: Landscape, learner: int) -> Tensor:
    """The largest eigenvalue of the Hessian wherever a learner stood, (steps + 1,); NaN after its divergence."""
    here = record.weights[:, learner]
    sound = torch.isfinite(here).all(-1)
    curvature = torch.full_like(here[:, 0], torch.nan)
    curvature[sound] = torch.linalg.eigvalsh(landscape.hessian(here[sound]))[:, -1]
    return curvature

PATHS_AT_ONCE = 500  # whole paths are kept only for so many learners at a time: 8 MB for 1,000 steps


@dataclass(frozen=True, eq=False)
class RateMap:
    """The (learning rate, momentum) plane, measured: one learner for each point.

    rates: (momentum, learning_rate) factor by which the distance to the minimum changed per step; infinite where the
    learner diverged, NaN where it could not be measured.
    """

    rule: str
    learning_rates: Tensor
    momenta: Tensor
    rates: Tensor


def rate_map(landscape: Landscape, rule: str, learning_rates: Tensor, momenta: Tensor, steps: int = 200) -> RateMap:
    """Run `rule` on a quadratic for every pair of settings, in one batched pass.

    learning_rates: (m,), momenta: (n,). Raises ValueError for a landscape without a known minimum.
    """
    if not landscape.minima:
        raise ValueError(f"{landscape.name} has no known minimum to measure a distance to; choose one that has")
    pairs = torch.cartesian_prod(momenta.double(), learning_rates.double())
    record = sweep(landscape, rule, {"momentum": pairs[:, 0], "learning_rate": pairs[:, 1]}, steps=steps)
    rates = measured_rate(record, landscape.minima[0])
    rates = torch.where(record.diverged_at >= 0, torch.inf, rates)
    return RateMap(rule, learning_rates, momenta, rates.reshape(len(momenta), len(learning_rates)))


def height_map(
    experiment: DescentExperiment, rule: str, learning_rates: Tensor, setting: str, values: Tensor
) -> Tensor:
    """How far above the minimum every pair of settings of `rule` ends, (value, learning_rate), in one batched pass.

    The landscape, start, steps and seed are the experiment's. Where no minimum is known the loss itself; NaN where a
    learner diverged. learning_rates: (m,), values of `setting`: (n,).
    """
    pairs = torch.cartesian_prod(values.double(), learning_rates.double())
    settings: dict[str, float | Tensor] = {setting: pairs[:, 0], "learning_rate": pairs[:, 1]}
    land = experiment.landscape
    record = sweep(land, rule, settings, experiment.start, experiment.steps, experiment.seed, pairs=0)
    heights = torch.where(record.diverged_at >= 0, torch.nan, record.losses[-1]) - (land.minimum_loss or 0.0)
    return heights.reshape(len(values), len(learning_rates))


def measured_regimes(
    landscape: Landscape, rule: str, learning_rates: Tensor, momenta: Tensor, steps: int = 1000
) -> Tensor:
    """What runs did for every pair of settings, (momentum, learning_rate), as indices into theory.REGIMES.

    2 where the loss ended no lower than it began, else 1 where a weight crossed its minimum, else 0. Meant for a
    quadratic along the axes: on a rotated one rounding carries the signs of one direction into the other.
    """
    pairs = torch.cartesian_prod(momenta.double(), learning_rates.double())
    found = []
    for part in pairs.split(PATHS_AT_ONCE):
        settings: dict[str, float | Tensor] = {"momentum": part[:, 0], "learning_rate": part[:, 1]}
        record = sweep(landscape, rule, settings, steps=steps, keep_paths=True)
        crossed = _crossed(record.weights).any(-1)
        fell = record.losses[-1] < record.losses[0]  # NaN, as after a divergence, is not lower
        found.append(torch.where(fell, crossed.long(), 2))
    return torch.cat(found).reshape(len(momenta), len(learning_rates))


def stability_bracket(
    landscape: Landscape, rule: str, learning_rates: Tensor, steps: int = 1500, **settings: float
) -> tuple[float, float]:
    """The last learning rate below the first failure, and that failure: the loss ended no lower than it began.

    learning_rates: (m,), increasing. Raises ValueError where all of them are stable, or none is.
    """
    record = sweep(landscape, rule, {"learning_rate": learning_rates, **settings}, steps=steps)
    return _bracket("learning_rates", learning_rates, ~(record.losses[-1] < record.losses[0]))


def overshoot_bracket(
    landscape: Landscape, rule: str, momenta: Tensor, steps: int = 1500, **settings: float
) -> tuple[float, float]:
    """The last momentum below the first that carries w₁ past its minimum at zero, and that one.

    momenta: (m,), increasing. Raises ValueError where all of them overshoot, or none does.
    """
    record = sweep(landscape, rule, {"momentum": momenta, **settings}, steps=steps, keep_paths=True)
    return _bracket("momenta", momenta, _crossed(record.weights)[:, 0])


def _crossed(weights: Tensor) -> Tensor:
    """Which weights (kept, learner, 2) ever had the other sign than at the start, (learner, 2)."""
    start = weights[0]
    return ((weights > 0).any(0) & (start < 0)) | ((weights < 0).any(0) & (start > 0))


def _bracket(name: str, values: Tensor, failed: Tensor) -> tuple[float, float]:
    first = int(failed.byte().argmax())
    if first == 0:
        found = "the first one fails already" if bool(failed.any()) else "none fails"
        low, high = float(values[0]), float(values[-1])
        raise ValueError(f"{name} from {low:.4g} to {high:.4g} do not bracket the limit: {found}; widen the range")
    return float(values[first - 1]), float(values[first])


def measured_recurrence(errors: Tensor) -> tuple[float, float]:
    """(sum, product) of the roots behind four errors in a row, from e[t+1] = sum·e[t] - product·e[t-1] taken twice.

    errors: (4,) signed distances along one eigendirection, not all of one geometric series.
    """
    total, product = torch.linalg.solve(torch.stack([errors[1:3], -errors[0:2]], dim=1), errors[2:4]).tolist()
    return total, product


def steps_to_reach(
    landscape: Landscape, rule: str, settings: Mapping[str, float | Tensor], share: float = 1e-6, steps: int = 1000
) -> Tensor:
    """Steps after which the distance to the minimum stays within `share` of the first one, (learner,); -1 for never."""
    record = sweep(landscape, rule, settings, steps=steps, keep_paths=True)
    minimum = torch.tensor(landscape.minima[0], dtype=torch.float64)
    distances = torch.linalg.vector_norm(record.weights - minimum, dim=-1)
    far = ~(distances <= share * distances[0])
    last = torch.where(far, torch.arange(steps + 1).unsqueeze(-1), -1).amax(0)
    return torch.where(last < steps, last + 1, -1)
