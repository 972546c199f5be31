"""Which cells a panel needs, and that no later cell takes away what its predictions use."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from browser_support import LABS
from lab_slices import names, needed_cells, panel_cells, rebound

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


def test_names_tells_what_a_cell_binds_and_what_it_takes_from_others() -> None:
    assert names("a = [b + c for c in range(d)]\nfor e in a: print(e)") == ({"a", "e"}, {"b", "d"})
    assert names("a = {c: {e for e in b} for c in d}") == ({"a"}, {"b", "d"})
    assert names("def f(x):\n    return lambda y: x + y + z") == ({"f"}, {"z"})
    assert names("from a import b as c\nimport d.e\nclass F(G): pass") == ({"c", "d", "F"}, {"G"})


def test_a_panel_needs_the_cells_that_bind_what_it_uses_and_no_others() -> None:
    assert needed_cells(book(*CELLS), [4]) == [0, 1, 2, 4]
    assert needed_cells(book(*CELLS), [3]) == [0, 1, 3]
    assert needed_cells(book("a = 1", "b = a", "a = b + a", "a"), [3]) == [0, 1, 2, 3]


def test_a_name_that_a_later_cell_rebinds_is_found() -> None:
    assert rebound(book(*CELLS), 4) == set()
    late = book("names = ('a', 'b')", "def pick(): return names", "Panel(lambda panel: pick())", "names = 3")
    assert rebound(late, 2) == {"names"}
    assert rebound(book("names = ('a', 'b')", "Panel(names)", "names = 3"), 1) == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_later_cell_rebinds_what_a_prediction_measures_with(path: Path) -> None:
    lab = nbformat.read(path, as_version=4)
    cells = panel_cells(lab)
    assert cells, "no output of this lab shows a panel: run .ci/refresh_labs.py"
    found = {cell: rebound(lab, cell) for cell in cells}
    assert not any(found.values()), f"a prediction that is given late finds other values: {found}"
