"""What an update costs: counted work against PyTorch's own counter, times by their order only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from weightlab.surfaces.device_times import (
    _Update,
    step_operations,
    step_work,
    time_steps,
)


@pytest.mark.parametrize(("width", "batch"), [(1, 1), (8, 64), (100, 7)])
def test_the_work_is_what_pytorch_counts(width: int, batch: int) -> None:
    update = _Update(width, batch, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        update()
    assert counter.get_total_flops() == step_work(width, batch)


class Counter(TorchDispatchMode):
    """Counts what PyTorch computes; views only say how numbers are read."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("width", "batch"), [(2, 1), (8, 64), (256, 64)])
def test_the_operations_are_those_that_pytorch_starts_whatever_the_size(width: int, batch: int) -> None:
    update = _Update(width, batch, torch.device("cpu"))
    with Counter() as counter:
        update()
    assert counter.count == step_operations()


def test_a_device_that_is_absent_is_named() -> None:
    with pytest.raises(ValueError, match="this computer has"):
        time_steps((8,), devices=("cuda:99",))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU; run on a computer that has one")
def test_a_gpu_gets_a_column_of_its_own() -> None:
    times = time_steps((8, 512), seconds=0.05)
    assert times.has_gpu and {"cpu", "cuda:0"} <= set(times.seconds)
