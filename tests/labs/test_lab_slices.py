"""Which cells a panel needs, and that no later cell takes away what its predictions use."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from browser_support import LABS
from lab_slices import needed_cells, panel_cells, rebound

NOTEBOOKS = sorted(LABS.glob("*.ipynb"))
CELLS = (
    "import math\nimport torch",
    "k = 3\nfor i in range(k): total = math.sqrt(i)",
    "def double(x):\n    return k * x",
    "unrelated = total",
    "panel = Panel(lambda panel: [double(total) for total in (1, 2)])\npanel",
    "total = 'after the panel'",
)


def book(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


def test_a_panel_needs_the_cells_that_bind_what_it_uses_and_no_others() -> None:
    assert needed_cells(book(*CELLS), [4]) == [0, 1, 2, 4]
    assert needed_cells(book(*CELLS), [3]) == [0, 1, 3]
    assert needed_cells(book("a = 1", "b = a", "a = b + a", "a"), [3]) == [0, 1, 2, 3]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_later_cell_rebinds_what_a_prediction_measures_with(path: Path) -> None:
    lab = nbformat.read(path, as_version=4)
    cells = panel_cells(lab)
    assert cells, "no output of this lab shows a panel: run .ci/refresh_labs.py"
    found = {cell: rebound(lab, cell) for cell in cells}
    assert not any(found.values()), f"a prediction that is given late finds other values: {found}"
