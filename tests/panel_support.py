"""What the tests of panels without a browser share: messages as the page sends them, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from weightlab.widgets.panel import Panel


def say(panel: Panel, seconds: float = 60.0, **message: Any) -> None:
    """What the page sends, and wait until the worker has handled it and the run has ended."""
    panel._receive(panel, message, [])
    assert panel._worker.drain(seconds)


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Until the condition holds; fails if that takes longer."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.005)
