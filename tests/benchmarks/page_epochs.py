"""Epochs a second as a learner sees them: our training panel in JupyterLab beside the playground's own page.

    WEIGHTLAB_PLAYGROUND_PAGE=<folder> .venv/bin/python tests/benchmarks/page_epochs.py

The folder is a checkout of the branch gh-pages of https://github.com/tensorflow/playground, whose code is no part of
this repository. Both pages run in the same Chromium, one after the other, three times in turn: 250 training examples of
two circles, batches of 10, learning rate 0.03, tanh, on the network that its page opens with and on its largest. Ours
draws and records the gradient of every layer meanwhile.
"""

from __future__ import annotations

import functools
import http.server
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import nbformat

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "support")]

from browser_support import LabBrowser, lab_browser  # noqa: E402

VARIABLE = "WEIGHTLAB_PLAYGROUND_PAGE"
NETWORKS = (("2-4-2-1, as its page opens", "4,2", 2, 4), ("2-8-8-8-8-8-8-1, its largest", "8,8,8,8,8,8", 6, 8))
ROUNDS, SECONDS, WARM = 3, 5.0, 2.0
BATCHES = 25  # of 10 among 250
SETTINGS = "#activation=tanh&batchSize=10&dataset=circle&learningRate=0.03&noise=0&percTrainData=50&seed=0.1"
OURS = """from weightlab.networks.datasets import dataset, dataset_from_tensors
from weightlab.playground.panel import TrainingPanel
made = dataset("circles", validation_fraction=0)
data = dataset_from_tensors(made.x_train[:250], made.y_train[:250], name="two circles", validation_fraction=0)
TrainingPanel(dataset=data, model="mlp", depth={depth}, width={width}, activation="tanh", learning_rate=0.03,
              batch_size=10, pace=1e5, steps=100_000, validate_every=100_000)"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Nothing: the table is what is printed."""


def theirs(lab: LabBrowser, port: int, shape: str) -> float:
    """Epochs a second on the playground's page."""
    page = lab.browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"http://127.0.0.1:{port}/index.html{SETTINGS}&networkShape={shape}", wait_until="domcontentloaded")
    page.locator("#play-pause-button").click()
    count = "() => Number(document.querySelector('#iter-number').textContent.replace(/[^0-9]/g, ''))"
    page.wait_for_timeout(WARM * 1000)
    before, begun = page.evaluate(count), time.perf_counter()
    page.wait_for_timeout(SECONDS * 1000)
    rate = (page.evaluate(count) - before) / (time.perf_counter() - begun)
    page.close()
    return float(rate)


def ours(lab: LabBrowser, depth: int, width: int) -> tuple[float, float]:
    """(epochs, pictures) a second on our panel's page."""
    name = f"epochs_{depth}.ipynb"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(OURS.format(depth=depth, width=width))])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.server.folder / name)
    opened = lab.open(name, height=900)
    opened.run_all()
    panel = opened.page.locator(".weightlab").first
    panel.scroll_into_view_if_needed()
    panel.locator("[data-action=start]").click()
    stage = "document.querySelector('.weightlab').weightlab"
    count = f"() => [{stage}.table.steps[{stage}.table.rows - 1], {stage}.stats.frames]"
    opened.page.wait_for_timeout(WARM * 1000)
    before, begun = opened.page.evaluate(count), time.perf_counter()
    opened.page.wait_for_timeout(SECONDS * 1000)
    after, passed = opened.page.evaluate(count), time.perf_counter() - begun
    assert opened.cell_errors() == []
    opened.close()
    return (after[0] - before[0]) / BATCHES / passed, (after[1] - before[1]) / passed


def main() -> None:
    folder = os.environ.get(VARIABLE, "")
    if not (Path(folder) / "bundle.js").is_file():
        sys.exit(f"{VARIABLE} must name a folder with the playground's built page (bundle.js), got {folder!r}")
    handler = functools.partial(_Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("| network | ours, epochs/s | its page, epochs/s | ratio, each round | our pictures/s |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as labs, lab_browser(Path(labs)) as lab:
        for label, shape, depth, width in NETWORKS:
            mine, other, drawn = [], [], []
            for _ in range(ROUNDS):
                rate, pictures = ours(lab, depth, width)
                mine.append(rate)
                drawn.append(pictures)
                other.append(theirs(lab, server.server_port, shape))
            ratios = ", ".join(f"{a / b:.2f}" for a, b in zip(mine, other, strict=True))
            numbers = f"{statistics.median(mine):.1f} | {statistics.median(other):.1f}"
            print(f"| {label} | {numbers} | {ratios} | {statistics.median(drawn):.0f} |")
    server.shutdown()


if __name__ == "__main__":
    main()
