"""How sharply the loss of a real network bends, and what a whole run makes of it: the edge of stability.

The sharpness is the Hessian's largest eigenvalue. A step of the size η along its direction overshoots further than it
was away once the sharpness is above 2/η. Source: Cohen, Kaur, Li, Kolter, Talwalkar 2021, "Gradient descent on neural
networks typically occurs at the edge of stability".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weightlab.networks.architectures import flat_weights
from weightlab.networks.datasets import Dataset, dataset
from weightlab.networks.initializers import initialization
from weightlab.networks.models import model
from weightlab.rules.status import RunStatus
from weightlab.rules.update_rules import OptimizerSettings, optimizer
from weightlab.surfaces.planes import LossOf, loss_function
from weightlab.theory import quadratic as theory
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training
from weightlab.validate import number, whole_number

FRESH = 0.1  # of a random direction in the start of every measurement but the first


class SharpnessMeter:
    """The Hessian's largest eigenvalue at one point after another, from Hessian-vector products alone.

    Power iteration that keeps the vectors on its way and takes their best combination (Lanczos 1950), which needs fewer
    products where eigenvalues lie close together, as at the edge. Each measurement begins with the direction in which
    the last one ended and a little of a random one. It stops when |Hv − λv| is below `tolerance`·|λ|; an eigenvalue is
    then no farther away than that. No Hessian is ever stored.

    direction: unit vector (weight,) of the last measurement. products: Hessian-vector products taken so far.
    """

    def __init__(self, loss: LossOf, *, iterations: int = 60, tolerance: float = 0.01, seed: int = 0) -> None:
        self._loss = loss
        self._iterations = whole_number("iterations", iterations, 1, 10_000)
        self._tolerance = number("tolerance", tolerance, 0, open_low=True)
        self._generator = torch.Generator().manual_seed(seed)
        self.direction: Tensor | None = None
        self.products = 0

    def measure(self, weights: Tensor) -> float:
        """The largest eigenvalue at `weights` (weight,); NaN where loss or curvature are not finite."""
        point = weights.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self._loss(point), point, create_graph=True)
        drawn = torch.randn(len(point), generator=self._generator, dtype=torch.float64)
        start = (drawn / drawn.norm()).to(weights)
        if self.direction is not None:
            start = self.direction + FRESH * start
        vectors, diagonal, beside = [start / start.norm()], [], []
        for _ in range(min(self._iterations, len(point))):
            (product,) = torch.autograd.grad(gradient, point, vectors[-1], retain_graph=True)
            self.products += 1
            diagonal.append(float(vectors[-1] @ product))
            for _ in range(2):  # once is not enough in float32
                basis = torch.stack(vectors)
                product = product - basis.T @ (basis @ product)
            beside.append(float(product.norm()))
            if not math.isfinite(diagonal[-1] + beside[-1]):
                return math.nan
            value, combination = _largest(diagonal, beside)
            if beside[-1] * abs(float(combination[-1])) <= self._tolerance * abs(value):
                break
            vectors.append(product / beside[-1])
        found = torch.stack(vectors[: len(diagonal)]).T @ combination.to(weights)
        self.direction = found / found.norm()
        return value


def _largest(diagonal: list[float], beside: list[float]) -> tuple[float, Tensor]:
    """Largest eigenvalue and its vector of the Hessian between the vectors so far, which is tridiagonal."""
    between = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if len(diagonal) > 1:
        off = torch.tensor(beside[: len(diagonal) - 1], dtype=torch.float64)
        between = between + torch.diag(off, 1) + torch.diag(off, -1)
    values, combinations = torch.linalg.eigh(between)
    best = combinations[:, -1]
    return float(values[-1]), best if best[0] >= 0 else -best  # forwards along the direction that it began with


def sharpness(loss: LossOf, weights: Tensor, *, iterations: int = 200, tolerance: float = 1e-3, seed: int = 0) -> float:
    """The Hessian's largest eigenvalue at `weights` (weight,), see SharpnessMeter."""
    return SharpnessMeter(loss, iterations=iterations, tolerance=tolerance, seed=seed).measure(weights)


def exact_sharpness(loss: LossOf, weights: Tensor) -> float:
    """The same from the whole Hessian (weight, weight): for small networks, to check the others by."""
    hessian = torch.autograd.functional.hessian(loss, weights.detach())
    return float(torch.linalg.eigvalsh(hessian)[-1])


def sharpness_limit(rule: str, learning_rate: float, momentum: float = 0.0) -> float:
    """The sharpness at which `rule` stops being stable: 2/η, (2+2μ)/η with momentum, over 1+2μ with Nesterov's.

    The limit of a quadratic (theory.learning_rate_limit), turned round: η·λ is all that counts. Cohen et al. 2021,
    section 2 and appendix B.
    """
    rate = number("learning_rate", learning_rate, 0, open_low=True, why="a run that stands still has no limit")
    return float(theory.learning_rate_limit(rule, momentum, 1.0)) / rate


@dataclass(frozen=True, eq=False)
class SharpnessRecord:
    """A run with its sharpness. All but the last two fields are (measured,).

    steps: updates done. losses, sharpnesses: over all training examples. limits: theory's for the settings then in
    force, NaN for rules without one. swings: the last update's part along the sharpest direction, NaN at first.
    path: (measured, weight). status: how the run ended, or "stopped" where it goes on.
    """

    steps: Tensor
    losses: Tensor
    sharpnesses: Tensor
    limits: Tensor
    swings: Tensor
    path: Tensor
    status: RunStatus

    @property
    def ratios(self) -> Tensor:
        """Sharpness over its limit, (measured,)."""
        return self.sharpnesses / self.limits

    @property
    def reached(self) -> int | None:
        """The first measured step at which the sharpness is at its limit or above; None if it never is."""
        above = (self.ratios >= 1).nonzero()
        return int(self.steps[above[0, 0]]) if len(above) else None

    def hovers_at(self, since: int, until: int | None = None) -> float:
        """Mean of sharpness over limit at the steps from `since` on, to `until`."""
        return float(self.ratios[self._rows(since, until)].mean())

    def swing_size(self, since: int, until: int | None = None) -> float:
        """Mean size of the swings measured from step `since` on, to `until`."""
        return float(self.swings[self._rows(since, until)].abs().nanmean())

    def turns(self, since: int, until: int | None = None) -> float:
        """Share of these swings that go the other way than the one measured before."""
        some = self.swings[self._rows(since, until)]
        return float((some[1:] * some[:-1] < 0).double().mean())

    def _rows(self, since: int, until: int | None) -> Tensor:
        return (self.steps >= since) & (self.steps <= (self.steps[-1] if until is None else until))


class SharpnessWatch:
    """A run that measures its own loss and sharpness over all training examples every `every` steps.

    Best with batch_size=None: theory's limits are statements about the full batch. Odd numbers of steps show how the
    weights swing: at the edge the swing changes its sign in every step.
    """

    def __init__(self, experiment: TrainingExperiment, every: int = 5) -> None:
        self.every = whole_number("every", every, 1, 100_000)
        self.training = Training(experiment)
        self.loss = loss_function(self.training.network, experiment)
        self.meter = SharpnessMeter(self.loss)
        self._before = flat_weights(self.training.network)
        self._rows: list[tuple[float, ...]] = []
        self._path: list[Tensor] = []
        self._measure(math.nan)

    def step(self) -> bool:
        """Take one step and measure if it is time; False, and nothing done, once the run has ended."""
        due = (self.training.steps_done + 1) % self.every == 0
        if due:
            self._before = flat_weights(self.training.network)
        if not self.training.step():
            return False
        if due and (self.training.status is None or self.training.status.kind == "finished"):
            direction = self.meter.direction
            moved = flat_weights(self.training.network) - self._before
            self._measure(math.nan if direction is None else float(moved @ direction))
        return True

    def __iter__(self) -> Iterator[int]:
        while self.step():
            yield self.training.steps_done

    def change(self, **settings: Any) -> None:
        """As Training.change; the limit goes with the settings."""
        self.training.change(**settings)

    @property
    def limit(self) -> float:
        """Theory's limit for the settings now in force; NaN for rules without one."""
        form, now = self.training.experiment.optimizer.theory, self.training.settings
        if form is None or now["learning_rate"] == 0:
            return math.nan
        return sharpness_limit(form, now["learning_rate"], now.get("momentum", 0.0))

    def _measure(self, swing: float) -> None:
        weights = flat_weights(self.training.network)
        with torch.no_grad():
            loss = float(self.loss(weights))
        self._rows.append((self.training.steps_done, loss, self.meter.measure(weights), self.limit, swing))
        self._path.append(weights)

    def record(self) -> SharpnessRecord:
        """All that has been measured so far; the run can go on afterwards."""
        steps, losses, sharpnesses, limits, swings = torch.tensor(self._rows, dtype=torch.float64).T
        done = self.training.steps_done
        status = self.training.status or RunStatus("stopped", done, f"stopped after {done} steps")
        return SharpnessRecord(steps.long(), losses, sharpnesses, limits, swings, torch.stack(self._path), status)


def watch_sharpness(experiment: TrainingExperiment, every: int = 10) -> SharpnessRecord:
    """Train to the end and measure loss and sharpness every `every` steps, see SharpnessWatch."""
    watch = SharpnessWatch(experiment, every)
    for _ in watch:
        pass
    return watch.record()


def watch_seeds(experiment: TrainingExperiment, seeds: Iterable[int], every: int = 10) -> list[SharpnessRecord]:
    """The same for several seeds of the experiment."""
    return [watch_sharpness(experiment.replace(seed=seed), every) for seed in seeds]


def at_the_edge(records: Sequence[SharpnessRecord], since: int, within: float = 0.35) -> str:
    """In words that repeat on every computer: when runs reached their limit, and whether they stayed near it.

    At the edge a run is chaotic: rounding decides its digits, not what it does.
    """
    reached = [record.reached for record in records if record.reached is not None]
    close = sum(abs(record.hovers_at(since) - 1) < within for record in records)
    when = f"after {min(reached)} to {max(reached)} updates" if reached else "never"
    return (
        f"limit {float(records[0].limits[-1]):.1f} reached {when} in {len(reached)} of {len(records)} runs, "
        f"from {since} on within {within:.0%} in {close}"
    )


def noisy_digits(label_noise: float = 0.5, seed: int = 0) -> Dataset:
    """Half of the digits, 899 real pictures, for training; a share of their labels is wrong on purpose."""
    return dataset("digits", seed=seed, validation_fraction=0.5, label_noise=label_noise)


def edge_experiment(
    data: Dataset,
    rule: OptimizerSettings | None = None,
    *,
    width: int = 12,
    batch_size: int | None = None,
    steps: int = 600,
    seed: int = 0,
) -> TrainingExperiment:
    """Two hidden layers of `width` tanh units and the full batch, with which sharpness is watched here.

    So small a network cannot learn many wrong labels by heart: it goes on learning, and the edge stays in sight. The
    first weights are those of nn.Linear, where the loss is flat.
    """
    return TrainingExperiment(
        model=model("mlp", depth=2, width=width, activation="tanh"),
        dataset=data,
        optimizer=rule or optimizer("gradient_descent", learning_rate=0.4),
        initialization=initialization("pytorch_default"),
        batch_size=batch_size,
        steps=steps,
        seed=seed,
        weights_kept=1,
        validate_every=100_000,
    )
