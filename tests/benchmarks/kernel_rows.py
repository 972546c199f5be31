"""What weightlab costs the kernel besides the runs: imports, and each message of a live run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.side_by_side import Row, in_turn, spread
from benchmarks.training_rows import NETWORKS, LiveTraining, experiment_with

IMPORTS = {
    "torch": "import torch",
    "import weightlab and its runs": "import weightlab, weightlab.descent.run, weightlab.training.run",
    "all that a lab imports": "import weightlab.toys.panel, weightlab.playground.panel",
}


def importing(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def rows(quick: bool = False) -> Iterator[Row]:
    yield from _imports(1 if quick else 9)
    yield from _messages(quick)


def _imports(repetitions: int) -> Iterator[Row]:
    times = in_turn({name: lambda code=code: importing(code) for name, code in IMPORTS.items()}, repetitions)  # type: ignore[misc]
    theirs = times["torch"]
    for name in list(IMPORTS)[1:]:
        more = [own - other for own, other in zip(times[name], theirs, strict=True)]
        shown = [f"{spread(values)} s" for values in (times[name], theirs, more)]
        wanted = "≤ 0.3 s more" if "panel" not in IMPORTS[name] else ""
        yield Row(f"{name}, a fresh process", shown[0], "import torch", shown[1], f"{shown[2]} more", wanted)


def _messages(quick: bool) -> Iterator[Row]:
    frames, between = (3, 2) if quick else (90, 12)
    for name, network in NETWORKS.items():
        live = LiveTraining(experiment_with(network, steps=frames * between))
        sent: list[int] = []

        def count(content: dict[str, Any], buffers: list[bytes], sent: list[int] = sent) -> None:
            sent.append(len(json.dumps(content)) + sum(len(part) for part in buffers))

        live.stage.send = count
        busy = []
        for _ in range(frames):
            for _ in range(between):
                live.training.step()
            begun = time.process_time()
            live.send()
            busy.append((time.process_time() - begun) * 1e3)
        live.stage.close()
        yield Row(f"{name}: a live message, processor time", f"{spread(busy)} ms", "–", wanted="≤ 1 ms")
        shown = f"{statistics.median(sent):,.0f}, at most {max(sent):,}"
        yield Row(f"{name}: a live message, bytes", shown, "–", wanted="≤ 1,000")
