"""The path of a real run through its weights, and what a plane shows of it.

Sources: Li et al. 2018, section 7 (why a random plane shows nothing of a path, and the path's own plane); Antognini &
Sohl-Dickstein 2018, "PCA of high dimensional random walks with comparison to neural network training".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.networks.architectures import Network, flat_weights
from weightlab.networks.datasets import Dataset
from weightlab.networks.initializers import initialization
from weightlab.networks.models import model
from weightlab.rules.status import RunStatus
from weightlab.rules.update_rules import optimizer
from weightlab.surfaces.planes import LossOf, Plane, loss_function, loss_on_plane, path_plane, random_plane
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training
from weightlab.validate import choose, number, whole_number

PLANES = {"path": "principal components of the path", "random": "random, filter-normalized"}
ROOM = 0.3  # around a path, as a share of its extent


@dataclass(frozen=True, eq=False)
class WeightPath:
    """Snapshots of a run: steps (snapshots,), weights (snapshots, weight), losses (snapshots,) over all examples.

    network: as it was at the end. loss: of a flat weight vector, over all training examples.
    """

    steps: Tensor
    weights: Tensor
    losses: Tensor
    network: Network
    loss: LossOf
    status: RunStatus

    @property
    def offsets(self) -> Tensor:
        """From the last weights to every snapshot, (snapshots, weight)."""
        return self.weights - self.weights[-1]


def path_experiment(
    data: Dataset,
    *,
    learning_rate: float = 0.1,
    momentum: float = 0.0,
    batch_size: int = 64,
    width: int = 16,
    steps: int = 300,
    seed: int = 0,
) -> TrainingExperiment:
    """The run whose path is looked at here: two hidden layers of `width` tanh units, plain batches."""
    number("learning_rate", learning_rate, 0, open_low=True, why="a path that stays has no plane")
    return TrainingExperiment(
        model=model("mlp", depth=2, width=width, activation="tanh"),
        dataset=data,
        optimizer=optimizer("momentum", learning_rate=learning_rate, momentum=momentum),
        initialization=initialization("xavier_normal"),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        weights_kept=1,
        validate_every=100_000,
    )


def follow(experiment: TrainingExperiment, every: int = 5) -> WeightPath:
    """Train and keep the weights after every `every` steps, and the loss over all training examples there.

    Raises ValueError where that leaves fewer than three snapshots. A run that diverged keeps what is finite.
    """
    every = whole_number("every", every, 1, 100_000)
    if experiment.steps < 2 * every:
        raise ValueError(f"steps must be at least {2 * every} for three snapshots, got {experiment.steps}; take more")
    training = Training(experiment)
    kept = [(0, flat_weights(training.network))]
    for step in training:
        if step % every == 0:
            kept.append((step, flat_weights(training.network)))
    status = training.status
    assert status is not None
    loss = loss_function(training.network, experiment)
    steps, weights = torch.tensor([step for step, _ in kept]), torch.stack([one for _, one in kept])
    with torch.no_grad():
        losses = torch.stack([loss(one) for one in weights])
    sound = torch.isfinite(losses) & torch.isfinite(weights).all(dim=1)
    if status.kind == "diverged":
        sound &= steps <= status.step
    return WeightPath(steps[sound], weights[sound], losses[sound], training.network, loss, status)


def component_shares(path: Tensor, count: int = 6) -> Tensor:
    """Share of a path's variance about its end that each of its first principal components holds, (count,)."""
    lengths = torch.linalg.svdvals((path[:-1] - path[-1]).double()).square()
    return torch.nn.functional.pad(lengths / lengths.sum(), (0, count))[:count]


def random_walk_shares(count: int = 6) -> Tensor:
    """The same shares for a long random walk in many dimensions: 8/(π²(2k − 1)²), (count,).

    Antognini & Sohl-Dickstein 2018 have (6/π²)/k² about the walk's mean; about its end the covariance min(s, t) has
    the eigenvalues 1/((k − ½)²π²) (those of Brownian motion), which sum to ½.
    """
    odd = 2 * torch.arange(1, count + 1, dtype=torch.float64) - 1
    return 8 / (math.pi * odd).square()


def random_walk(snapshots: int, weights: int, seed: int = 0) -> Tensor:
    """A path (snapshots, weights) of independent normal steps: a run that learns nothing."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(snapshots, weights, generator=generator, dtype=torch.float64).cumsum(dim=0)


def held_share(path: Tensor, plane: Plane) -> float:
    """Share of a path's variance about its end that a plane's two directions hold; path (snapshots, weight)."""
    offsets = (path - path[-1]).double()
    basis = torch.linalg.qr(torch.stack([plane.across, plane.up], dim=1).double()).Q
    return float((offsets @ basis).square().sum() / offsets.square().sum())


def expected_share(path: Tensor, network: Network) -> float:
    """What `held_share` is on average for a random filter-normalized plane; path (snapshots, weight).

    A filter of k weights gets a direction drawn evenly from the sphere as long as the filter, |w_f|, so the square of
    its product with the path's part o_f is |w_f|²·|o_f|²/k on average. Two directions hold twice as much (they are
    orthogonal but for a part of the order 1/weights). Where all filters are alike this is 2/weights.
    """
    offsets = (path - path[-1]).double()
    parts = offsets.split([parameter.numel() for parameter in network.parameters()], dim=1)
    caught, length = 0.0, 0.0
    for parameter, part in zip(network.parameters(), parts, strict=True):
        if parameter.dim() < 2:
            continue  # biases get no direction
        filters = parameter.detach().double().flatten(1)
        squares = filters.square().sum(dim=1)
        moved = part.reshape(len(path), len(filters), -1).square().sum(dim=(0, 2))
        caught += float((squares * moved).sum()) / filters.shape[1]
        length += float(squares.sum())
    return 2 * caught / (length * float(offsets.square().sum()))


@dataclass(frozen=True, eq=False)
class PlaneView:
    """What a plane shows of a path.

    across (columns,), up (rows,): the grid's coordinates; losses (rows, columns) there. places (snapshots, 2): the
    point of the plane nearest to each snapshot; plane_losses (snapshots,): the loss there, beside the path's own.
    lengths, seen_lengths (snapshots,): distance from the last weights, and how long it is in the plane. share: of the
    path's variance that the plane holds; expected: theory's value of it, None for the path's own plane.
    """

    kind: str
    plane: Plane
    across: Tensor
    up: Tensor
    losses: Tensor
    places: Tensor
    plane_losses: Tensor
    lengths: Tensor
    seen_lengths: Tensor
    share: float
    expected: float | None

    def drawn(self, between: int = 4) -> tuple[Tensor, Tensor, Tensor]:
        """across, up and losses with `between` times as many places, for smooth contours through what was measured.

        No lower than the lowest loss that was measured; where a loss is not finite nothing is put between.
        """
        if not torch.isfinite(self.losses).all():
            return self.across, self.up, self.losses
        rows, columns = (_between(count, between) for count in self.losses.shape)
        fine = (rows @ self.losses.double() @ columns.T).clamp(min=float(self.losses.min()))
        ends = ((self.across, len(columns)), (self.up, len(rows)))
        across, up = (torch.linspace(float(axis[0]), float(axis[-1]), count) for axis, count in ends)
        return across, up, fine


def _between(count: int, between: int) -> Tensor:
    """(fine, count) Catmull-Rom weights: curves through evenly spaced values, exact for parabolas but at the ends."""
    place = torch.arange(between * (count - 1) + 1, dtype=torch.float64) / between
    left = place.floor().clamp(max=count - 2)
    u = place - left
    taps = torch.stack([-u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3, u + 4 * u**2 - 3 * u**3, u**3 - u**2], dim=1) / 2
    weights = torch.zeros(len(place), count + 2, dtype=torch.float64)  # with a value beyond either end
    weights.scatter_(1, left.long()[:, None] + torch.arange(4), taps)
    inner = weights[:, 1:-1].clone()
    for end, first, second in ((weights[:, 0], 0, 1), (weights[:, -1], -1, -2)):  # which goes straight on
        inner[:, first] += 2 * end
        inner[:, second] -= end
    return inner


def make_plane(path: WeightPath, kind: str, seed: int = 0) -> Plane:
    """A plane through the last weights, by name in PLANES; `seed` draws a random one's directions."""
    if choose("plane", kind, PLANES) == "path":
        return path_plane(path.weights)
    return random_plane(path.network, seed)


def look(path: WeightPath, kind: str = "path", *, seed: int = 0, points: int = 21, zoom: float = 1.0) -> PlaneView:
    """Lay a plane through a path's end and measure the loss on it, at points × points places.

    The window of the path's own plane holds the path with some room; that of a random one goes from -1 to 1, one being
    as long as the network's filters. Both are divided by `zoom`.
    """
    if not bool(path.offsets.any()):
        remedy = f"train with a {'smaller' if path.status.kind == 'diverged' else 'larger'} learning rate"
        raise ValueError(f"the path stays where it is, got the same weights throughout; {remedy}")
    zoom = number("zoom", zoom, 0, open_low=True, why="1 shows the whole path")
    points = whole_number("points", points, 3, 200)
    plane = make_plane(path, kind, seed)
    places = plane.coordinates(path.weights)
    across, up = (torch.linspace(low, high, points) for low, high in _window(places, kind, zoom))
    nearest = plane.points(*places.unbind(-1))
    with torch.no_grad():
        plane_losses = torch.stack([path.loss(one) for one in nearest])
    return PlaneView(
        kind=kind,
        plane=plane,
        across=across,
        up=up,
        losses=loss_on_plane(path.loss, plane, across, up),
        places=places,
        plane_losses=plane_losses,
        lengths=path.offsets.norm(dim=1),
        seen_lengths=(nearest - path.weights[-1]).norm(dim=1),
        share=held_share(path.weights, plane),
        expected=expected_share(path.weights, path.network) if kind == "random" else None,
    )


def random_plane_shares(path: WeightPath, planes: int = 20) -> Tensor:
    """`held_share` of the random planes with the seeds 0, 1, 2, …, (planes,)."""
    return torch.tensor([held_share(path.weights, random_plane(path.network, seed)) for seed in range(planes)])


def left_out(path: WeightPath, view: PlaneView) -> float:
    """How much lower the plane's loss is than the true one where the run starts, as a share of the run's whole fall."""
    start, end = float(path.losses[0]), float(path.losses[-1])
    return (start - float(view.plane_losses[0])) / (start - end)


def _window(places: Tensor, kind: str, zoom: float) -> list[tuple[float, float]]:
    if kind == "random":
        return [(-1 / zoom, 1 / zoom)] * 2
    low, high = places.amin(dim=0), places.amax(dim=0)
    widest = float((high - low).max())
    room = ROOM * torch.clamp(high - low, min=0.15 * widest)
    low, high = low - room, high + room
    return [(float(a) / zoom, float(b) / zoom) for a, b in zip(low, high, strict=True)]  # about the end, at 0
