"""How the panels feel in JupyterLab in Chromium, on this machine and through slow links.

    .venv/bin/python tests/benchmarks/browser_feel.py              direct, 80 ms and 10 Mbit/s, 200 ms and 1 Mbit/s
    .venv/bin/python tests/benchmarks/browser_feel.py 0x1000 80x10 these links: round trip in ms x Mbit/s

Prints a Markdown table. Times are in milliseconds from the event in the page to the answer drawn in the page; they
depend on the machine and on what else it does. The page itself is loaded at full speed, then the link slows down.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "support")]

from benchmarks.slow_link import SlowLink  # noqa: E402
from browser_support import NotebookPage, lab_browser  # noqa: E402

DIRECT = (0.0, 1000.0)
LINKS = (DIRECT, (80.0, 10.0), (200.0, 1.0))
CELLS = (
    "from weightlab.toys.panel import DescentPanel\n"
    "from weightlab.signals.panel import SignalPanel\n"
    "from weightlab.playground.panel import TrainingPanel",
    "DescentPanel('rotated_quadratic', ('gradient_descent', 'momentum', 'nesterov'), steps=300)",
    "DescentPanel('quadratic', ('momentum',), settings_map=True, steps=300)",
    "SignalPanel()",
    "training = TrainingPanel(depth=8, width=32, steps=100_000)\ntraining",
)
TOY, PAD, SIGNAL, TRAINING = range(4)

FAN = """async ([index, name]) => {
    const stage = document.querySelectorAll('.weightlab')[index].weightlab;
    const slider = stage.root.querySelector(`input[data-name=${name}]`);
    stage.fans.kept.clear();
    const begun = performance.now();
    slider.dispatchEvent(new Event('pointerdown'));
    let first = null;
    for (;;) {
        const fan = stage.fans.current(name);
        const passed = performance.now() - begun;
        if (fan && fan.pictures.size && first === null) first = passed;
        if (fan && fan.tried.size > Number(slider.max)) return {first, whole: passed, pictures: fan.pictures.size};
        if (passed > 60000) return {first, whole: null, pictures: fan ? fan.pictures.size : 0};
        await new Promise(done => setTimeout(done, 1));
    }
}"""
DRAG = """async ([index, name, from, to, pause]) => {
    const stage = document.querySelectorAll('.weightlab')[index].weightlab;
    const slider = stage.root.querySelector(`input[data-name=${name}]`);
    stage.stats.latencies.length = 0;
    const [pictures, seq] = [stage.stats.pictures, stage.seq];
    const begun = performance.now();
    for (let position = from; position < to; position++) {
        slider.value = position;
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        await new Promise(done => setTimeout(done, pause));
    }
    const seconds = (performance.now() - begun) / 1000;
    const [drawn, asked] = [stage.stats.pictures - pictures, stage.seq - seq];
    while (stage.local.size && performance.now() - begun < 20000) await new Promise(done => setTimeout(done, 5));
    return {latencies: stage.stats.latencies.slice(0, to - from), rate: drawn / seconds, asked};
}"""
PAD_DRAG = """async index => {
    const stage = document.querySelectorAll('.weightlab')[index].weightlab;
    const plot = stage.plots.find(one => one.view.name === 'settings');
    const board = stage.board.getBoundingClientRect();
    const at = share => ({
        clientX: board.left + plot.area.x + plot.area.w * (0.1 + 0.6 * share),
        clientY: board.top + plot.area.y + plot.area.h * (0.9 - 0.6 * share), pointerId: 1, bubbles: true,
    });
    stage.moving.setPointerCapture = () => {};
    stage.moving.dispatchEvent(new PointerEvent('pointerdown', at(0)));
    const [pictures, begun] = [stage.stats.pictures, performance.now()];
    for (let i = 1; i <= 180; i++) {
        stage.moving.dispatchEvent(new PointerEvent('pointermove', at(i / 180)));
        await new Promise(requestAnimationFrame);
    }
    const rate = (stage.stats.pictures - pictures) / ((performance.now() - begun) / 1000);
    stage.moving.dispatchEvent(new PointerEvent('pointerup', at(1)));
    return rate;
}"""
BURST = """async ([index, name]) => {
    const stage = document.querySelectorAll('.weightlab')[index].weightlab;
    const slider = stage.root.querySelector(`input[data-name=${name}]`);
    for (let i = 0; i < 1000; i++) {
        slider.value = 5 + i % 51;
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        if (i % 10 === 9) await new Promise(done => setTimeout(done, 1));
    }
    slider.dispatchEvent(new Event('change', {bubbles: true}));
    const begun = performance.now();
    const fan = Boolean(stage.fanShown);
    await new Promise(requestAnimationFrame);
    const drawn = performance.now() - begun;
    while (stage.local.size && performance.now() - begun < 20000) await new Promise(requestAnimationFrame);
    return {page: fan ? drawn : null, kernel: performance.now() - begun};
}"""


def spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{statistics.median(values):.1f} / {p95:.1f} ({len(values)})"


def live(opened: NotebookPage, seconds: float) -> tuple[float, float]:
    """(pictures drawn, messages arrived) a second while the training panel runs."""
    stats = f"document.querySelectorAll('.weightlab')[{TRAINING}].weightlab.stats"
    read = f"() => [{stats}.frames, {stats}.messages]"
    before, begun = opened.page.evaluate(read), time.perf_counter()
    time.sleep(seconds)
    after, passed = opened.page.evaluate(read), time.perf_counter() - begun
    return (after[0] - before[0]) / passed, (after[1] - before[1]) / passed


def stops(opened: NotebookPage, count: int = 10) -> list[float]:
    """Milliseconds from the press of Stop to the kernel's answer; leaves the run reset."""
    panel = opened.page.locator(".weightlab").nth(TRAINING)
    stage = f"document.querySelectorAll('.weightlab')[{TRAINING}].weightlab"
    found = []
    for _ in range(count):
        panel.locator("[data-action=start]").evaluate("node => { node.click(); }")
        opened.page.wait_for_function(f"() => {stage}.table.rows > 2 && !{stage}.sentAt.size", timeout=30_000)
        opened.page.evaluate(f"() => {{ {stage}.stats.latencies.length = 0; }}")
        panel.locator("[data-action=stop]").evaluate("node => { node.click(); }")
        opened.page.wait_for_function(f"() => !{stage}.sentAt.size && {stage}.stats.latencies.length", timeout=30_000)
        found.append(float(opened.page.evaluate(f"() => {stage}.stats.latencies.at(-1)")))
        panel.locator("[data-action=reset]").evaluate("node => { node.click(); }")
        opened.page.wait_for_function(f"() => !{stage}.sentAt.size", timeout=30_000)
    return found


def measure(opened: NotebookPage) -> dict[str, str]:
    panels = opened.page.locator(".weightlab")
    rows: dict[str, str] = {}

    def look(index: int) -> None:
        """Bring a panel into sight once nothing is under way any more."""
        panels.nth(index).scroll_into_view_if_needed()
        idle = "() => [...document.querySelectorAll('.weightlab')].every(one => !one.weightlab.sentAt.size)"
        opened.page.wait_for_function(idle, timeout=60_000)
        opened.page.wait_for_timeout(1000)

    look(TOY)
    fans: list[dict[str, Any]] = []
    for _ in range(3):
        fans.append(opened.page.evaluate(FAN, [TOY, "learning_rate"]))
        opened.page.wait_for_timeout(500)
    rows["fan of 101 positions × 300 steps × 3 rules: grabbed to first, ms"] = spread([f["first"] for f in fans])
    rows["the same: grabbed to all pictures, ms"] = spread([f["whole"] for f in fans if f["whole"]])
    drag = opened.page.evaluate(DRAG, [TOY, "learning_rate", 5, 95, 16])
    rows["slider dragged over its fan: event to picture, median / p95 ms"] = spread(drag["latencies"])
    rows["messages to the kernel during that drag"] = str(drag["asked"])
    burst = opened.page.evaluate(BURST, [TOY, "learning_rate"])
    rows["1,000 events: last one to its picture from the fan / from the kernel, ms"] = (
        f"{burst['page'] or float('nan'):.1f} / {burst['kernel']:.1f}"
    )
    look(PAD)
    rows["point dragged on the (η, μ) plane: pictures a second, from the kernel"] = (
        f"{opened.page.evaluate(PAD_DRAG, PAD):.1f}"
    )
    look(SIGNAL)
    drag = opened.page.evaluate(DRAG, [SIGNAL, "depth", 2, 45, 16])
    rows["depth of a network dragged: pictures a second, from the kernel"] = f"{drag['rate']:.1f}"
    look(TRAINING)
    panels.nth(TRAINING).locator("[data-action=start]").click()
    time.sleep(1.5)
    drawn, arrived = live(opened, 5)
    rows["training: pictures drawn / messages a second"] = f"{drawn:.1f} / {arrived:.1f}"
    drag = opened.page.evaluate(DRAG, [TRAINING, "learning_rate", 40, 60, 150])
    rows["training: learning rate moved to in force, median / p95 ms"] = spread(drag["latencies"])
    panels.nth(TRAINING).locator("[data-action=reset]").evaluate("node => { node.click(); }")
    rows["training: Stop pressed to stopped, median / p95 ms"] = spread(stops(opened))
    return rows


def main(links: Sequence[tuple[float, float]]) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    columns: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(book, Path(folder) / "feel.ipynb")
        with lab_browser(Path(folder)) as lab, SlowLink(lab.server.port, *DIRECT) as link:
            own = lab.server.port
            lab.server.port = link.port
            opened = lab.open("feel.ipynb", height=1000)
            lab.server.port = own
            opened.run_all()
            opened.page.wait_for_function("() => document.querySelectorAll('.weightlab').length === 4", timeout=30_000)
            time.sleep(1)
            for round_trip, megabits in links:
                link.slow_down(round_trip, megabits)
                columns.append(measure(opened))
            link.slow_down(*DIRECT)
            opened.close()
    names = ["direct" if link == DIRECT else f"{link[0]:g} ms, {link[1]:g} Mbit/s" for link in links]
    print(f"| what | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    for row in columns[0]:
        print(f"| {row} | {' | '.join(column[row] for column in columns)} |")


if __name__ == "__main__":
    chosen = [tuple(float(part) for part in word.split("x")) for word in sys.argv[1:]]
    main([(link[0], link[1]) for link in chosen] or LINKS)
