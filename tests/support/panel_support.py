"""What the tests of panels without a browser share: messages as the page sends them, and waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weightlab.networks.datasets import dataset
from weightlab.playground.settings import training_settings
from weightlab.stage.lenses import Setting
from weightlab.stage.own import NOTHING, Own
from weightlab.stage.packed import EXACT
from weightlab.stage.panel import Panel


def settings_of_training(own: Own = NOTHING) -> dict[str, Setting]:
    """Every setting of a training panel by its name."""
    read = training_settings(own, lambda name, noise: dataset(name, label_noise=noise), None)
    return {setting.name: setting for setting in read}


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


def ends(control: dict[str, Any]) -> list[Any]:
    """Both ends of a slider, both states of a tick box, every entry of a menu; `control` as the page gets it."""
    if control["kind"] == "slider":
        return [control["positions"][0], control["positions"][-1]]
    return [value for value, _ in control["options"]] if control["kind"] == "choice" else [True, False]


def table(panel: Panel) -> NDArray[np.float32]:
    """The numbers that the page has got, (row, column)."""
    picture = panel.picture
    return np.frombuffer(picture["table"], np.float32).reshape(-1, picture["columns"])


def columns(panel: Panel, view: str, name: str | None = None) -> NDArray[np.float32]:
    """Those of one series of a view: its only one, or the one of this name."""
    found = [one for one in panel.picture["series"] if one["view"] == view and name in (None, one["name"])]
    (series,) = found
    return table(panel)[:, series["columns"]]


def unpacked_floats(planes: bytes, place: dict[str, Any]) -> NDArray[np.float32]:
    """Tables again, by running sums modulo 2³²; the inverse of packed.py, written from its description."""
    count, rows, columns = place["shape"]
    parts = np.frombuffer(planes, np.uint8).reshape(4, -1).astype(np.uint32)
    folded = parts[0] | parts[1] << 8 | parts[2] << 16 | parts[3] << 24
    differences = (folded >> 1) ^ (np.uint32(0) - (folded & 1))
    places = differences.reshape(count, columns, rows).view(np.int32)
    for _ in range(2):
        places = np.add.accumulate(places, axis=-1, dtype=np.int32)
    raw = np.abs(places).view(np.uint32) << (EXACT - place["bits"]) | np.where(places < 0, 1 << 31, 0).astype(np.uint32)
    return raw.view(np.float32).transpose(0, 2, 1)
