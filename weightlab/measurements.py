"""What is read off a record: rates and shares, by measurement only, so that theory can disagree with it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from weightlab.landscapes import Landscape
from weightlab.records import DescentRecord


def tail_rate(distances: Tensor, floor: float = 1e-13) -> float | None:
    """The factor by which a distance shrinks (or grows) per step, fitted to the second half of what can be used.

    distances: (rows,) lengths, one a step. Rows from the first one that is not finite, or that is below `floor` times
    the largest, are left out: there rounding is what one would measure. Oscillation is handled by fitting the running
    maximum from the end, the envelope. Returns None where fewer than 6 rows are left.
    """
    values = distances.detach().to(torch.float64)
    usable = torch.isfinite(values) & (values > floor * torch.nan_to_num(values, nan=0.0, posinf=0.0).max())
    count = int(usable.to(torch.int64).cumprod(0).sum())
    if count < 6:
        return None
    tail = values[count // 2 : count]
    growing = bool(tail[-3:].max() > tail[:3].max())
    envelope = tail.cummax(0).values if growing else tail.flip(0).cummax(0).values.flip(0)
    steps = torch.arange(len(tail), dtype=torch.float64)
    logs = envelope.log()
    centred = steps - steps.mean()
    return math.exp(float((centred * (logs - logs.mean())).sum() / centred.square().sum()))


def distances_to_minimum(record: DescentRecord, landscape: Landscape, learner: int) -> Tensor:
    """Euclidean distance from the weights to the nearest known minimum, (steps + 1,)."""
    minima = torch.tensor(landscape.minima, dtype=torch.float64)
    gaps = record.weights[:, learner, None, :] - minima
    return torch.linalg.vector_norm(gaps, dim=-1).min(dim=-1).values


def loss_by_direction(record: DescentRecord, landscape: Landscape, learner: int) -> Tensor:
    """A quadratic's loss split over its eigendirections, ½·λ·c², (steps + 1, 2), smallest eigenvalue first.

    Raises ValueError for a landscape that is no quadratic: it has no fixed eigendirections.
    """
    eigenvalues, eigenvectors = landscape.eigenvalues, landscape.eigenvectors
    if eigenvalues is None or eigenvectors is None:
        raise ValueError(f"{landscape.name} is no quadratic, so its loss does not split; choose a quadratic landscape")
    minimum = torch.tensor(landscape.minima[0], dtype=torch.float64)
    coordinates = (record.weights[:, learner] - minimum) @ eigenvectors
    return 0.5 * torch.tensor(eigenvalues, dtype=torch.float64) * coordinates.square()
