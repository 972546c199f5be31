"""In a notebook that is made into a page: each panel that a cell shows becomes a replay in a file of its own."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from IPython import get_ipython

from weightlab.loop.panel import StepperPanel
from weightlab.stage.panel import Panel

LINES = 60  # of an update loop that waits for Step: ten passes
BESIDES = 330  # pixels that a replay usually takes besides its picture, until the page has heard its height
WAITS = "In the notebook this run waits for Start; here it has"


class ReplayOutputs:
    """From its making on, what the kernel sends for a panel holds a frame around the panel's replay.

    folder, stem: the replays are `folder/stem_panel_1.html` and so on, in the order in which cells show them.
    `saved` lists them. A live run that nobody has started waits until `finish`.
    """

    def __init__(self, folder: str | Path, stem: str) -> None:
        self._folder, self._stem = Path(folder), stem
        self._waiting: list[tuple[Any, Path]] = []
        self.saved: list[Path] = []
        shell = get_ipython()
        if shell is None:
            raise RuntimeError("replays stand in for a notebook's outputs; no IPython runs here, use panel.save_html")
        shell.display_formatter.formatters["text/html"].for_type(Panel, self.frame)

    def frame(self, panel: Panel) -> str:
        """Write the panel's replay; the frame's HTML."""
        path = self._folder / f"{self._stem}_panel_{len(self.saved) + 1}.html"
        panel.save_html(path)
        self.saved.append(path)
        if panel.transport["live"] and panel._shown is not None and len(panel._shown.steps) < 2:
            self._waiting.append((panel, path))
        title, height = f"{html.escape(panel.title)}: replay", panel.scene["height"] + BESIDES
        return (
            f'<iframe class="weightlab-replay" src="{html.escape(path.name)}" title="{title}" loading="lazy" '
            f'sandbox="allow-scripts" width="100%" height="{height}"></iframe>'
        )

    def finish(self) -> Sequence[Path]:
        """Run the live panels that the notebook left waiting, and write their replays again; all replays."""
        for panel, path in self._waiting:
            if panel._shown is not None:  # not closed since
                line_by_line = isinstance(panel, StepperPanel)
                panel.run(LINES) if line_by_line else panel.run()
                panel.save_html(path, note=f"{WAITS} {f'run {LINES} lines' if line_by_line else 'gone to its end'}.")
        self._waiting.clear()
        return self.saved
