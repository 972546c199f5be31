"""What the drills need: a notebook of panels made on the spot, a hold on each panel, and the kernel's own counts."""

from __future__ import annotations

import time
from typing import Any

import nbformat
from browser_support import LabBrowser, NotebookPage

# Everything that a panel could leave behind in its kernel. Memory in MB, after a collection, so that it does not depend
# on when Python last looked for cycles.
GAUGE = """import gc
import os
import threading

import comm
import psutil
from ipywidgets.widgets.widget import _instances
from matplotlib.figure import Figure


def gauge():
    gc.collect()
    threads = sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("weightlab"))
    figures = sum(isinstance(found, Figure) for found in gc.get_objects())
    counts = [threading.active_count(), len(_instances), len(comm.get_comm_manager().comms), figures]
    return {"threads": threads, "counts": counts, "memory": psutil.Process().memory_info().rss / 1e6}"""
IMPORTS = f"""{GAUGE}


from weightlab.toys.panel import DescentPanel
from weightlab.playground.panel import TrainingPanel"""

STAGE = """const cell = window.jupyterapp.shell.currentWidget.content.widgets[index];
           const root = cell && cell.node.querySelector('.weightlab');
           const stage = root && root.weightlab;"""

# Sends a command in the moment in which the page gets the first rows, or those of the last step.
STOP_AT_MESSAGE = """new Promise((resolve, refuse) => {
    const take = stage.takeMessage.bind(stage);
    stage.takeMessage = (message, buffers) => {
        take(message, buffers);
        if (message.type !== 'rows' || !(LAST ? stage.table.step(stage.table.rows - 1) >= LAST : true)) return;
        delete stage.takeMessage;
        stage.command('stop');
        resolve(stage.table.rows);
    };
    setTimeout(() => refuse(new Error('no such message in 20 s')), 20000);
    stage.command('start');
})"""

# A thousand events, the last at a place of its own; then what controls and kernel show until both have been still.
BURST = """(async () => {
    const found = {};
    for (const slider of root.querySelectorAll('input[type=range][data-name]')) {
        if (!slider.offsetParent) continue;
        const { name } = slider.dataset;
        const published = [];
        const note = () => published.push(stage.model.get('values')[name]);
        stage.model.on('change:values', note);
        const span = Number(slider.max) - Number(slider.min) + 1;
        const home = stage.settings()[name];
        const last = Math.floor(span / 3) + (Number(slider.value) === Math.floor(span / 3) ? 1 : 0);
        for (let i = 1; i <= 1000; i++) {
            slider.value = i === 1000 ? last : Number(slider.min) + (i * 7) % span;
            slider.dispatchEvent(new Event('input', {bubbles: true}));
            if (i % 50 === 0) await new Promise(requestAnimationFrame);
        }
        const wanted = stage.settings()[name];
        const shown = [];
        let still = performance.now();
        const end = still + 20000;
        while (performance.now() - still < 250 && performance.now() < end) {
            await new Promise(requestAnimationFrame);
            shown.push(stage.settings()[name]);
            if (stage.sentAt.size || stage.local.size || Object.keys(stage.pending).length) still = performance.now();
        }
        const value = stage.model.get('values')[name];
        found[name] = {wanted, value, late: performance.now() >= end, fan: Boolean(stage.fanShown), published,
            position: Number(slider.value) === last, other: shown.filter(one => one !== wanted),
            home, notice: stage.notice.hidden ? '' : stage.notice.textContent};
        stage.model.off('change:values', note);
        stage.set(name, home);
        const still_sent = () => stage.sentAt.size || stage.local.size;
        while (still_sent() && performance.now() < end) await new Promise(requestAnimationFrame);
    }
    return found;
})()"""

HIDE = """() => {
    const real = window.requestAnimationFrame.bind(window);
    const waiting = [];
    const set = hidden => {
        const say = (name, value) => Object.defineProperty(document, name, {configurable: true, get: () => value});
        say('hidden', hidden);
        say('visibilityState', hidden ? 'hidden' : 'visible');
        document.dispatchEvent(new Event('visibilitychange'));
    };
    window.requestAnimationFrame = callback => waiting.push(callback);
    set(true);
    window.showAgain = () => {
        window.requestAnimationFrame = real;
        waiting.forEach(real);
        set(false);
    };
}"""


def open_cells(lab: LabBrowser, name: str, *cells: str) -> NotebookPage:
    """A new notebook with these cells after the imports, opened and not yet run."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (IMPORTS, *cells)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.server.folder / name)
    return lab.open(name, height=1000)


class Shown:
    """The panel under the cell at `index`, as the page has it."""

    def __init__(self, notebook: NotebookPage, index: int) -> None:
        self.notebook, self.index = notebook, index
        self.node = notebook.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".weightlab")

    def look(self, expression: str) -> Any:
        """Value of JavaScript over `stage`."""
        return self.notebook.page.evaluate(f"async index => {{ {STAGE} return {expression}; }}", self.index)

    def wait(self, condition: str, seconds: float = 20.0) -> float:
        """Wait until `condition`, JavaScript over `stage`, holds; returns how many seconds that took."""
        begun = time.perf_counter()
        script = f"index => {{ {STAGE} return Boolean(stage && ({condition})); }}"
        self.notebook.page.wait_for_function(script, arg=self.index, timeout=seconds * 1000)
        return time.perf_counter() - begun

    def run_again(self) -> None:
        """Run the panel's cell and wait until the new panel is drawn in place of the one before."""
        self.look("stage && (stage.before = true)")
        self.notebook.run_cell(self.index)
        self.wait("!stage.before && stage.stats.frames > 0")

    def press(self, action: str) -> None:
        """Click a button of the panel."""
        self.node.locator(f"[data-action={action}]").click()

    def wait_for_state(self, state: str) -> None:
        """Wait until the run is in this state, and the page says so beside its buttons."""
        self.wait(f"stage.model.get('transport').state === '{state}' && !stage.sentAt.size")
        words = {"running": "training", "idle": "ready"}.get(state, state)
        self.wait(f"root.querySelector('.wl-state').textContent === '{words}'")

    def wait_for_rows(self, more: int = 5) -> None:
        """Wait until the run has gone on by this many rows."""
        self.wait(f"stage.table.rows > {self.look('stage.table.rows') + more}")

    def rests(self, seconds: float = 0.3) -> bool:
        """Whether no row comes for a while."""
        rows = self.look("stage.table.rows")
        time.sleep(seconds)
        return bool(self.look("stage.table.rows") == rows)

    def says(self) -> str:
        """What is shown in the line about the connection; empty if it is hidden."""
        return str(self.look("stage.silence.hidden ? '' : stage.silence.textContent"))
