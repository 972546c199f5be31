"""How the panels feel in JupyterLab in Chromium: pictures a second, and how long a hand waits.

    .venv/bin/python tests/benchmarks/browser_feel.py

Prints a table. Times are in milliseconds from the event in the page to the answer drawn in the page, kernel included;
they depend on the machine and on what else it does.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from browser_support import NotebookPage, lab_browser  # noqa: E402

CELLS = (
    "from weightlab.widgets.descent_panel import DescentPanel\n"
    "from weightlab.widgets.signal_panel import SignalPanel\n"
    "from weightlab.widgets.training_panel import TrainingPanel",
    "DescentPanel('rotated_quadratic', ('gradient_descent', 'momentum', 'nesterov'), steps=300)",
    "SignalPanel()",
    "training = TrainingPanel(depth=8, width=32, steps=100_000)\ntraining",
)
DRAG = """async ([index, name, from, to, pause]) => {
    const root = document.querySelectorAll('.weightlab')[index];
    const stage = root.weightlab;
    const slider = root.querySelector(`input[data-name=${name}]`);
    stage.stats.latencies.length = 0;
    const pictures = stage.stats.pictures;
    const begun = performance.now();
    for (let position = from; position < to; position++) {
        slider.value = position;
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        await new Promise(done => setTimeout(done, pause));
    }
    const seconds = (performance.now() - begun) / 1000;
    await new Promise(done => setTimeout(done, 600));
    return {latencies: [...stage.stats.latencies], rate: (stage.stats.pictures - pictures) / seconds};
}"""


def row(name: str, values: list[float]) -> None:
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"{name:58s} median {statistics.median(values):6.1f}  p95 {p95:6.1f}  (n = {len(values)})")


def frames_a_second(opened: NotebookPage, seconds: float) -> tuple[float, float]:
    """(pictures drawn, rows arrived) a second while the training panel runs."""
    read = "() => { const s = document.querySelectorAll('.weightlab')[2].weightlab.stats; return [s.frames, s.rows]; }"
    before, begun = opened.page.evaluate(read), time.perf_counter()
    time.sleep(seconds)
    after, passed = opened.page.evaluate(read), time.perf_counter() - begun
    return (after[0] - before[0]) / passed, (after[1] - before[1]) / passed


def measure(opened: NotebookPage) -> None:
    panels = opened.page.locator(".weightlab")
    for index, name, label in ((0, "learning_rate", "toy: slider to complete picture (3 rules × 300 steps)"),
                               (1, "depth", "signals: slider to complete picture")):  # fmt: skip
        panels.nth(index).scroll_into_view_if_needed()
        slow = opened.page.evaluate(DRAG, [index, name, 2, 40, 150])
        row(f"{label}, ms", slow["latencies"])
        fast = opened.page.evaluate(DRAG, [index, name, 2, 45, 16])
        print(f"{'  the same slider dragged: pictures a second':58s} {fast['rate']:6.1f}")
    panels.nth(2).scroll_into_view_if_needed()
    panels.nth(2).locator("[data-action=start]").click()
    time.sleep(1.5)
    drawn, rows = frames_a_second(opened, 5)
    print(f"{'training: pictures a second drawn / rows a second':58s} {drawn:6.1f} / {rows:.1f}")
    row(
        "training: learning rate set to in force, ms",
        opened.page.evaluate(DRAG, [2, "learning_rate", 40, 70, 150])["latencies"],
    )
    stops = []
    for _ in range(10):
        panels.nth(2).locator("[data-action=stop]").evaluate("node => { node.click(); }")
        waiting = "() => !document.querySelectorAll('.weightlab')[2].weightlab.sentAt.size"
        opened.page.wait_for_function(waiting, timeout=10_000)
        opened.page.wait_for_timeout(200)
        stops.append(
            opened.page.evaluate("() => document.querySelectorAll('.weightlab')[2].weightlab.stats.latencies.at(-1)")
        )
        for action in ("reset", "start"):
            panels.nth(2).locator(f"[data-action={action}]").evaluate("node => { node.click(); }")
            opened.page.wait_for_timeout(500)
    row("training: Stop pressed to stopped, ms", stops)


def main() -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(book, Path(folder) / "feel.ipynb")
        with lab_browser(Path(folder)) as lab:
            opened = lab.open("feel.ipynb", height=1000)
            opened.run_all()
            opened.page.wait_for_function("() => document.querySelectorAll('.weightlab').length === 3", timeout=30_000)
            time.sleep(1)
            measure(opened)
            opened.close()


if __name__ == "__main__":
    main()
