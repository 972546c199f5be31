"""The loss of a real network on a plane through its weights.

Weights are flat vectors (weight,) in the order of `network.parameters()`. Source: Li, Xu, Taylor, Studer, Goldstein
2018, "Visualizing the loss landscape of neural nets" (filter-normalized directions, planes through a path).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from weightlab.networks.architectures import Network, flat_weights
from weightlab.networks.losses import LOSSES
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import number, whole_number

LossOf = Callable[[Tensor], Tensor]  # (weight,) -> ()
MOST_POINTS = 40_000


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane origin + a·across + b·up through the weights, each (weight,)."""

    origin: Tensor
    across: Tensor
    up: Tensor

    def points(self, a: Tensor, b: Tensor) -> Tensor:
        """Weights at coordinates a, b of one shape (...): (..., weight)."""
        return self.origin + a[..., None] * self.across + b[..., None] * self.up

    def coordinates(self, weights: Tensor) -> Tensor:
        """Coordinates (..., 2) of the point of the plane nearest to `weights` (..., weight)."""
        basis = torch.stack([self.across, self.up], dim=1)
        offsets = (weights - self.origin).reshape(-1, len(self.origin)).T
        return torch.linalg.lstsq(basis, offsets).solution.T.reshape(*weights.shape[:-1], 2)


def loss_function(network: Network, experiment: TrainingExperiment, *, validation: bool = False) -> LossOf:
    """The experiment's loss over all its training (or validation) examples, as a function of a flat weight vector.

    The network is used as it is in evaluation: batch normalization with its running statistics. Differentiable, and
    usable under `torch.func.vmap`. Raises ValueError where there are no validation examples.
    """
    data = experiment.dataset
    first = next(network.parameters())
    x, y = (data.x_validation, data.y_validation) if validation else (data.x_train, data.y_train)
    if not len(y):
        raise ValueError(f"dataset {data.name!r} has no validation examples; make it with validation_fraction above 0")
    x, y = x.to(first), y.to(first.device)
    shapes = [(name, parameter.shape) for name, parameter in network.named_parameters()]
    value = LOSSES[experiment.loss].value
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}

    def loss(weights: Tensor) -> Tensor:
        parts = weights.split([math.prod(shape) for _, shape in shapes])
        named = {name: part.view(shape) for (name, shape), part in zip(shapes, parts, strict=True)}
        training = network.training
        network.eval()
        try:
            return value(functional_call(network, {**named, **buffers}, (x,)), y, data.classes)
        finally:
            network.train(training)

    return loss


def filter_normalized(network: Network, generator: torch.Generator) -> Tensor:
    """A random direction (weight,), each filter as long as the network's own filter (Li et al. 2018, section 4).

    A filter is what makes one output of a layer: a row of a matrix, a kernel of a convolution. Biases and
    normalization, which are vectors, get no direction.
    """
    parts = []
    for parameter in network.parameters():
        own = parameter.detach()
        if own.dim() < 2:
            parts.append(torch.zeros_like(own).flatten())
            continue
        drawn = torch.randn(own.shape, generator=generator, dtype=torch.float64).to(own)
        lengths = drawn.flatten(1).norm(dim=1)
        scale = own.flatten(1).norm(dim=1) / lengths.clamp(min=1e-30)
        parts.append((drawn.flatten(1) * scale[:, None]).flatten())
    return torch.cat(parts)


def random_plane(network: Network, seed: int = 0, *, normalized: bool = True) -> Plane:
    """A plane through the network's weights along two random directions.

    normalized: filter by filter as long as the network's own; otherwise each weight's entry is drawn alike and the
    whole direction is as long as all weights, which lets the picture depend on how the network is written down.
    """
    generator = torch.Generator().manual_seed(whole_number("seed", seed, 0, 2**53 - 1))
    origin = flat_weights(network)
    if normalized:
        first, second = (filter_normalized(network, generator) for _ in range(2))
        return Plane(origin, first, second)
    drawn = torch.randn(2, len(origin), generator=generator, dtype=torch.float64).to(origin)
    first, second = drawn * (origin.norm() / drawn.norm(dim=1, keepdim=True))
    return Plane(origin, first, second)


def rescaled(network: Network, factor: float) -> Network:
    """A copy of a ReLU network whose first layer is `factor` times as large, the second's weights as much smaller.

    ReLU(c·x) = c·ReLU(x) for c > 0, so that it computes the same function with other weights.
    """
    scale = number("factor", factor, 0, open_low=True, why="ReLU keeps the sign")
    same = copy.deepcopy(network)
    (_, first), (_, second) = same.layers[:2]
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.mul_(scale)
        second.get_parameter("weight").div_(scale)
    return same


def path_plane(path: Tensor) -> Plane:
    """The plane through a path's end that holds most of the path: its first two principal components.

    path: (snapshots, weight), at least three snapshots that differ. Components are of w − w_end as in Li et al. 2018,
    section 7.2, directions of unit length, so that coordinates are distances. Raises ValueError for fewer snapshots.
    """
    if path.dim() != 2 or len(path) < 3:
        raise ValueError(f"a path must be (snapshots, weight) with at least 3 snapshots, got {tuple(path.shape)}")
    offsets = (path[:-1] - path[-1]).double()
    _, lengths, directions = torch.linalg.svd(offsets, full_matrices=False)
    if not bool(lengths.any()):
        raise ValueError("the path stays where it is, got the same weights throughout; raise the learning rate")
    across, up = directions[:2].to(path.dtype)
    return Plane(path[-1].clone(), across, up)


def loss_on_plane(loss: LossOf, plane: Plane, across: Tensor, up: Tensor, chunk: int = 8) -> Tensor:
    """The loss at every pair of coordinates, (up, across); `chunk` networks are evaluated at a time."""
    if len(across) * len(up) > MOST_POINTS:
        raise ValueError(
            f"{len(up)} × {len(across)} points are more than {MOST_POINTS:,}; take a coarser grid, such as 41 × 41"
        )
    b, a = torch.meshgrid(up.to(plane.origin), across.to(plane.origin), indexing="ij")
    many = vmap(loss)
    with torch.no_grad():
        pairs = zip(a.flatten().split(chunk), b.flatten().split(chunk), strict=True)
        losses = [many(plane.points(one, other)) for one, other in pairs]
    return torch.cat(losses).reshape(len(up), len(across))


def random_cut(
    network: Network, experiment: TrainingExperiment, *, normalized: bool, seed: int = 0, reach: float = 0.5
) -> Tensor:
    """The loss at the weights and `reach` times a random direction to both sides of them, (3,), see random_plane."""
    plane = random_plane(network, seed, normalized=normalized)
    ends = torch.tensor([-reach, 0.0, reach])
    return loss_on_plane(loss_function(network, experiment), plane, ends, torch.zeros(1))[0]
