"""A notebook's kernel that dies is named at once; nbval alone waits out a cell's whole time and then calls it slow."""

from __future__ import annotations

import math
import time
from queue import Empty
from typing import Any

LOOK_EVERY_SECONDS = 1.0


def install() -> None:
    """Let nbval's wait for a kernel's message end when the kernel has ended, with an error that says so."""
    from nbval.kernel import RunningKernel

    wait = RunningKernel.get_message
    if wait.__module__ == __name__:
        return

    def get_message(kernel: Any, stream: str, timeout: float | None = None) -> Any:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return wait(kernel, stream, timeout=max(0.0, min(LOOK_EVERY_SECONDS, end - time.monotonic())))
            except Empty:
                if not kernel.is_alive():
                    raise RuntimeError(how_it_ended(kernel)) from None
                if time.monotonic() >= end:
                    raise

    RunningKernel.get_message = get_message


def how_it_ended(kernel: Any) -> str:
    """What there is to say of a kernel that has ended: its exit status, and what that often means."""
    status: Any = getattr(getattr(kernel.km.provisioner, "process", None), "returncode", None)
    told = {-9: " (killed from outside: often for want of memory)", -11: " (a crash in compiled code)"}.get(status, "")
    return f"the kernel died while this cell ran: exit status {status}{told}; the cells after it cannot run"
