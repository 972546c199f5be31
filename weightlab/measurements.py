"""What is read off runs on a landscape: by measurement only, so that theory can disagree with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.descent import measured_rate, sweep
from weightlab.landscapes import Landscape
from weightlab.records import DescentRecord


def loss_by_direction(record: DescentRecord, landscape: Landscape, learner: int) -> Tensor:
    """A quadratic's loss split over its eigendirections, ½·λ·c², (steps + 1, 2), smallest eigenvalue first.

    Raises ValueError for a landscape that is no quadratic: it has no fixed eigendirections.
    """
    eigenvalues, eigenvectors = landscape.eigenvalues, landscape.eigenvectors
    if eigenvalues is None or eigenvectors is None:
        raise ValueError(f"{landscape.name} is no quadratic, so its loss does not split; choose a quadratic landscape")
    coordinates = record.weights[:, learner] @ eigenvectors  # our quadratics have their minimum at the origin
    return 0.5 * torch.tensor(eigenvalues, dtype=torch.float64) * coordinates.square()


def largest_curvature(record: DescentRecord, landscape: Landscape, learner: int) -> Tensor:
    """The largest eigenvalue of the Hessian wherever a learner stood, (steps + 1,); NaN after its divergence."""
    here = record.weights[:, learner]
    sound = torch.isfinite(here).all(-1)
    curvature = torch.full_like(here[:, 0], torch.nan)
    curvature[sound] = torch.linalg.eigvalsh(landscape.hessian(here[sound]))[:, -1]
    return curvature


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
