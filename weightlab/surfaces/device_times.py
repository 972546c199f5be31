"""What a training step costs on the devices of this computer, over the network's size; and when a GPU would pay.

A step is some tens of operations. Each costs its arithmetic, and a fixed time for being started. A small network's step
is all fixed time, a large one's all arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.benchmark import Timer

from weightlab.devices import available_devices, find_device, settle_threads
from weightlab.validate import number, whole_number

INPUTS, CLASSES, DEPTH, RATE = 64, 10, 2, 0.01


@dataclass(frozen=True)
class StepTimes:
    """Seconds for one update by device and width, (width,) for each device; `batch` examples an update.

    work: floating-point operations of one update at each width, (width,), by step_work.
    """

    widths: tuple[int, ...]
    batch: int
    seconds: Mapping[str, tuple[float, ...]]
    work: tuple[int, ...]

    @property
    def has_gpu(self) -> bool:
        return any(name != "cpu" for name in self.seconds)

    def rates(self, device: str) -> tuple[float, ...]:
        """Floating-point operations a second at each width."""
        return tuple(work / second for work, second in zip(self.work, self.seconds[device], strict=True))


def step_work(width: int, batch: int) -> int:
    """Floating-point operations of one update of the network that is timed, matrix products alone.

    A product of (batch, m) and (m, n) takes 2·batch·m·n. Backward takes two of that size for each forward, one for the
    weights and one for what goes further back, which the first layer does without.
    """
    first, middle, last = INPUTS * width, (DEPTH - 1) * width * width, width * CLASSES
    return 2 * batch * (2 * first + 3 * middle + 3 * last)


def step_operations() -> int:
    """How many operations one update starts, of any width: PyTorch's calls that compute, views left out.

    Forward a product with bias for each layer, a tanh between them, log-softmax and its mean. Backward the loss's two
    derivatives after a first 1, for each layer two products (the first does with one), a sum for the bias, and tanh's
    derivative. Then a subtraction for each weight matrix and each bias.
    """
    layers = DEPTH + 1
    forward = layers + DEPTH + 2
    backward = 3 + (2 * layers - 1) + layers + DEPTH
    return forward + backward + 2 * layers


def least_gpu_seconds(times: StepTimes, operations: int, start_seconds: float) -> float:
    """About the least time for an update on a GPU, whatever its size: what Python and PyTorch need, and the starts.

    The host walks through the same `operations` for either device. What that takes is read off the smallest network's
    update on the CPU, whose arithmetic is next to nothing. On a GPU each operation has to be started besides, which
    takes `start_seconds`; its arithmetic is left out, so no GPU is faster.
    """
    count = whole_number("operations", operations, 1, 10**9)
    return min(times.seconds["cpu"]) + count * number("start_seconds", start_seconds, 0, open_low=True)


def time_steps(
    widths: Sequence[int] = (8, 32, 128, 512, 1024),
    batch: int = 64,
    *,
    devices: Sequence[str] | None = None,
    seconds: float = 0.15,
) -> StepTimes:
    """Time whole updates (forward, backward, step) of an MLP on every device that is there, or on `devices`.

    Each figure is the shortest of several rounds that together take about `seconds`, as torch.utils.benchmark takes
    them: whatever else the computer does only ever adds. Raises ValueError for a device that is absent.
    """
    settle_threads()
    widths = tuple(whole_number("width", width, 1, 16_384) for width in widths)
    batch = whole_number("batch", batch, 1, 65_536)
    number("seconds", seconds, 0, open_low=True)
    names = tuple(available_devices() if devices is None else devices)
    found = {name: tuple(_time(width, batch, find_device(name), seconds) for width in widths) for name in names}
    return StepTimes(widths, batch, found, tuple(step_work(width, batch) for width in widths))


def _time(width: int, batch: int, device: torch.device, seconds: float) -> float:
    timer = Timer("update()", globals={"update": _Update(width, batch, device)}, num_threads=torch.get_num_threads())
    return float(min(timer.blocked_autorange(min_run_time=seconds).times))


class _Update:
    """One update of gradient descent on one batch of numbers drawn once."""

    def __init__(self, width: int, batch: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        sizes = [INPUTS, *[width] * DEPTH, CLASSES]
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
        self.network = nn.Sequential(*layers[:-1]).to(device)
        self.parameters = list(self.network.parameters())
        self.x = torch.randn(batch, INPUTS, generator=generator).to(device)
        self.y = torch.randint(CLASSES, (batch,), generator=generator).to(device)

    def __call__(self) -> None:
        loss = nn.functional.cross_entropy(self.network(self.x), self.y)
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=RATE)
