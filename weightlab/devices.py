"""Where a run takes place: the CPU or an accelerator that is really there, and on how many threads."""

from __future__ import annotations

import os
import re

import torch

from weightlab.validate import whole_number

DEVICE_FORM = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def available_devices() -> tuple[str, ...]:
    """Names of the devices of this computer, the fastest first, e.g. ("cuda:0", "cpu")."""
    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append("mps")
    return (*found, "cpu")


def check_device_name(name: object) -> str:
    """`name` if it is "auto", "cpu", "mps", "cuda" or "cuda:<number>", there or not; otherwise ValueError."""
    if isinstance(name, str) and DEVICE_FORM.fullmatch(name):
        return name
    raise ValueError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps', got {name!r}; choose one of them")


def find_device(name: str) -> torch.device:
    """The device called `name`; "auto" is the fastest there is.

    Raises ValueError that says which devices there are where the asked one is absent.
    """
    check_device_name(name)
    there = available_devices()
    if name == "auto":
        return torch.device(there[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted in there:
        return torch.device(wanted)
    built_for = "; this PyTorch was built without CUDA" if "cuda" in name and torch.version.cuda is None else ""
    raise ValueError(
        f"device {name!r} is not there: this computer has {', '.join(map(repr, there))}{built_for}; "
        "choose one of them or 'auto'"
    )


THREADS_VARIABLE = "WEIGHTLAB_THREADS"


def settle_threads() -> int:
    """Give torch one thread for each operation, or as many as the environment variable WEIGHTLAB_THREADS says.

    Small networks are slower on several (they wait for each other), and sums over several round differently. Called
    when a run starts; returns the number. Raises ValueError for a variable that is no whole number from 1 to 1024.
    """
    text = os.environ.get(THREADS_VARIABLE, "1")
    try:
        threads = whole_number(THREADS_VARIABLE, float(text), 1, 1024)
    except ValueError:
        message = f"{THREADS_VARIABLE} must be a whole number in [1, 1024], got {text!r}; unset it for 1"
        raise ValueError(message) from None
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return threads
