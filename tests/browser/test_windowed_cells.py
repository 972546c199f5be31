"""A panel out of sight: JupyterLab before 4.5, and later ones on demand, take such cells off the page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser_support import LabServer, NotebookPage, lab_browser
from conftest import need_chromium
from drill_support import Shown, open_cells

TRAINING = 5
LONG = "\n".join(f"# {line}" for line in range(60))
CELLS = (*[LONG] * 4, "training = TrainingPanel(steps=100_000)\ntraining")
SCROLL = "panel.content.scrollToItem(argument, 'start').then(() => true)"
LEAVE = "() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }"
IN_SIGHT = "Promise.resolve(panel.content.widgets[argument].node.checkVisibility())"


@pytest.fixture(scope="module")
def opened() -> Iterator[NotebookPage]:
    need_chromium()
    with lab_browser(LabServer(windowing="full")) as lab:
        page = open_cells(lab, "windowed.ipynb", *CELLS)
        page.run_all()
        yield page
        page.close()


def test_a_panel_that_was_scrolled_away_goes_on_where_its_run_is(opened: NotebookPage) -> None:
    opened.settle(SCROLL, TRAINING)
    shown = Shown(opened, TRAINING)
    shown.wait("stage.stats.frames > 0")
    shown.press("start")
    shown.wait("stage.table.rows > 20")
    before = shown.look("stage.table.rows")
    opened.page.evaluate(LEAVE)  # the active cell stays on the page
    opened.settle(SCROLL, 0)
    opened.page.wait_for_timeout(1500)
    assert not opened.settle(IN_SIGHT, TRAINING)
    opened.settle(SCROLL, TRAINING)
    shown.wait(f"stage.table.rows > {before} && stage.model.get('transport').state === 'running'")
    frames = shown.look("stage.stats.frames")
    shown.wait(f"stage.stats.frames > {frames} + 10")
    shown.press("stop")
    shown.wait_for_state("stopped")
    assert shown.node.is_visible() and opened.errors == [] and opened.cell_errors() == []
