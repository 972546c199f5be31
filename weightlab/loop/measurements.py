"""What the update loop's habits cost or save: mistakes, losses, resuming, evaluating, predicting."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from weightlab.devices import settle_threads
from weightlab.loop.experiment import UPDATE, USUAL_ORDER, LoopExperiment, LoopRecord
from weightlab.loop.problems import PROBLEMS, digits_batches, digits_data, digits_network, mixed_order, share_right
from weightlab.loop.run import run_loop, run_updates
from weightlab.networks.architectures import flat_weights
from weightlab.theory.loop import line_gradient
from weightlab.validate import whole_number


def spread(values: Iterable[float]) -> str:
    """Mean ± standard deviation, two decimals each."""
    found = torch.tensor(list(values), dtype=torch.float64)
    return f"{found.mean():.2f} ± {found.std():.2f}"


def steps_under_a_constant_gradient(order: tuple[int, ...], updates: int) -> float:
    """How many steps of size η the weight has moved down a constant slope of 1 after `updates` updates."""
    experiment = LoopExperiment("constant_slope", order=order)
    return (0.0 - run_updates(experiment, updates).moved) / experiment.learning_rate


def gradient_of_a_mistake(loss: str, logit: float) -> float:
    """w.grad after `backward()` for one example of class 1 with this logit; loss: one of "confident_mistake"'s."""
    return float(run_loop(LoopExperiment("confident_mistake", loss, start=logit), 5).watched[-1, 0, 1])


def updates_until_right(loss: str, learning_rate: float = 1.0, most: int = 400) -> int:
    """Updates from the confident mistake, z = -6, until p > 1/2; ValueError if `most` are not enough."""
    record = run_updates(LoopExperiment("confident_mistake", loss, learning_rate), most)
    right = record.updates[record.weights[:, 0] > 0]
    if not len(right):
        raise ValueError(f"{most} updates with learning_rate {learning_rate:g} are not enough; give it more of either")
    return int(right[0])


def digits_runs(updates: int, seeds: int = 5, **settings: Any) -> list[LoopRecord]:
    """`updates` updates of the digits network from each of `seeds` seeds, validated at the end."""
    return [
        run_updates(LoopExperiment("digits", seed=seed, validate_every=updates, **settings), updates)
        for seed in range(seeds)
    ]


def order_difference(order: tuple[int, ...], updates: int = 5) -> float:
    """How far another order of the six lines ends from the usual one on the four points.

    ValueError for the usual order itself, for one that is not made of the six lines, and for one that raises.
    """
    if tuple(order) == USUAL_ORDER:
        raise ValueError(f"{USUAL_ORDER} is the usual order; give another one")
    if sorted(order) != list(USUAL_ORDER):
        raise ValueError(f"order must hold each of {USUAL_ORDER} once, got {order}")
    found = run_updates(LoopExperiment("line", order=order), updates)
    if found.error:
        raise ValueError(found.error)
    return abs(found.moved - run_updates(LoopExperiment("line"), updates).moved)


def accumulated_difference(learning_rate: float, of_full_batch: float = 0.1) -> float:
    """How far a step by the sum of both batches' gradients ends from one on all four points with η = `of_full_batch`.

    The second is computed from the closed form of the gradient.
    """
    (x1, y1), (x2, y2) = PROBLEMS["line"].points
    order = (4, *USUAL_ORDER[:3], 5, *USUAL_ORDER[:3], 5, UPDATE)
    summed = run_updates(LoopExperiment("line", learning_rate=learning_rate, order=order), 1)
    return abs(summed.moved + of_full_batch * line_gradient(0.0, x1 + x2, y1 + y2))


def train_updates(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[tuple[Tensor, Tensor]], updates: int
) -> None:
    """The six lines, `updates` times, with cross-entropy."""
    for x, y in islice(batches, updates):
        prediction = model(x)
        loss = functional.cross_entropy(prediction, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def weights_by_sgd(updates: int, learning_rate: float = 0.1, seed: int = 0) -> Tensor:
    """All weights of the digits network, (weight,), after `updates` updates of torch.optim.SGD."""
    settle_threads()
    network, optimizer = _made(seed, learning_rate, 0.0)
    train_updates(network, optimizer, digits_batches(seed), updates)
    return flat_weights(network)


def weights_by_hand(update: Callable[[Tensor], object], updates: int, seed: int = 0) -> Tensor:
    """The same, where line 6 is `update(w)` under `no_grad()` for every tensor of weights; it changes w in place."""
    settle_threads()
    network = digits_network(seed)
    for x, y in islice(digits_batches(seed), updates):
        prediction = network(x)
        loss = functional.cross_entropy(prediction, y)
        network.zero_grad()
        loss.backward()
        with torch.no_grad():
            for w in network.parameters():
                update(w)
    return flat_weights(network)


@dataclass(frozen=True)
class Resumed:
    """How a resumed run ends beside the one that was never interrupted.

    identical: every weight and buffer is equal to the last bit. off: distance of the two ends as a share of the way
    that the uninterrupted run went since the save.
    """

    identical: bool
    off: float

    def __repr__(self) -> str:
        if self.identical:
            return "identical to the last bit"
        return f"different: off by {self.off:.0%} of the way gone since the save"


def resume(
    *, with_optimizer: bool, momentum: float = 0.9, learning_rate: float = 0.05, updates: int = 30, seed: int = 0
) -> Resumed:
    """Train `updates` updates, save, load into new objects and train as many again, beside a run without a break.

    with_optimizer: the file also holds the optimizer's state. The batches go on where they were.
    """
    settle_threads()
    count = whole_number("updates", updates, 1, 10_000)
    network, optimizer = _made(seed, learning_rate, momentum)
    batches = digits_batches(seed)
    train_updates(network, optimizer, batches, count)
    at_save = flat_weights(network)
    file = io.BytesIO()
    torch.save({"model": network.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train_updates(network, optimizer, batches, count)

    again, new_optimizer = _made(seed + 1, learning_rate, momentum)  # other weights: everything must come from the file
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again.load_state_dict(saved["model"])
    if with_optimizer:
        new_optimizer.load_state_dict(saved["optimizer"])
    train_updates(again, new_optimizer, islice(digits_batches(seed), count, None), count)
    states = zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    same = all(torch.equal(a, b) for a, b in states)
    end = flat_weights(network)
    off = float((flat_weights(again) - end).norm() / (end - at_save).norm())
    return Resumed(same, off)


def _made(seed: int, learning_rate: float, momentum: float) -> tuple[nn.Module, torch.optim.Optimizer]:
    network = digits_network(seed)
    return network, torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=momentum)


@dataclass(frozen=True)
class Evaluated:
    """Shares of validation digits right: in eval mode and in train mode, mixed batches and batches of one class.

    damaged: in eval mode, right after an evaluation in train mode, sorted by class, has moved the running statistics.
    """

    eval_mixed: float
    eval_sorted: float
    train_mixed: float
    train_sorted: float
    damaged: float


def evaluate_both_ways(seed: int = 0, updates: int = 105, learning_rate: float = 0.2) -> Evaluated:
    """Train a digits network with batch normalization, then evaluate it in both modes and in both orders."""
    settle_threads()
    network, optimizer = _made(seed, learning_rate, 0.0)
    train_updates(network, optimizer, digits_batches(seed), updates)
    data = digits_data()
    x, y = data.x_validation.double(), data.y_validation
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def share(order: Tensor, train_mode: bool) -> float:
        network.load_state_dict(before)
        return share_right(network, x[order], y[order], train_mode=train_mode)

    mixed, by_class = mixed_order(y), y.argsort()
    return Evaluated(
        eval_mixed=share(mixed, False),
        eval_sorted=share(by_class, False),
        train_mixed=share(mixed, True),
        train_sorted=share(by_class, True),
        damaged=share_right(network, x, y),  # with the statistics that the call above has left
    )


@dataclass(frozen=True)
class InferenceCost:
    """A forward pass as in training beside one in eval mode under `inference_mode()`.

    same_outputs: equal to the last bit, both in eval mode. bytes_for_backward: what the graph keeps, in training and
    in inference. time_ratio: time of the pass with a graph over that without one, both in eval mode.
    """

    same_outputs: bool
    bytes_for_backward: tuple[int, int]
    time_ratio: float

    @property
    def verdict(self) -> str:
        """The time in words: a ratio is of its machine and its moment."""
        if self.time_ratio > 1.02:
            return "quicker without the graph"
        return "no difference" if self.time_ratio > 0.98 else "slower without the graph"


def inference_cost(seed: int = 0, examples: int = 8, repeats: int = 300) -> InferenceCost:
    """Measure what `inference_mode()` saves on the digits network; times are the best of `repeats`, taken in turns."""
    settle_threads()
    network = digits_network(seed).eval()
    x = digits_data().x_validation[:examples].double().clone()  # a storage of its own, which is counted
    with_graph = network(x)
    with torch.inference_mode():
        without = network(x)
    same = torch.equal(with_graph.detach(), without)
    kept = _bytes_kept(network, x, torch.enable_grad()), _bytes_kept(network, x, torch.inference_mode())
    best = [float("inf")] * 2
    for _ in range(repeats):
        for number, context in enumerate((torch.enable_grad(), torch.inference_mode())):
            with context:
                start = time.perf_counter()
                network(x)
                best[number] = min(best[number], time.perf_counter() - start)
    return InferenceCost(same, kept, best[0] / best[1])


def _bytes_kept(network: nn.Module, x: Tensor, context: Any) -> int:
    """Bytes of the tensors that the graph of a forward pass keeps, without the weights, which are there anyway."""
    kept: dict[int, int] = {}
    own = {tensor.untyped_storage().data_ptr() for tensor in [*network.parameters(), *network.buffers()]}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with context, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = network(x)  # held until counted, or a freed tensor's place is taken by the next
    del outputs
    return sum(kept.values())
