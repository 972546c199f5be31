"""Which cells a panel needs, and that no later cell takes away what its predictions use."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from browser_support import LABS
from lab_slices import panel_cells, rebound

NOTEBOOKS = sorted(LABS.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_later_cell_rebinds_what_a_prediction_measures_with(path: Path) -> None:
    lab = nbformat.read(path, as_version=4)
    cells = panel_cells(lab)
    assert cells, "no output of this lab shows a panel: run .ci/refresh_labs.py"
    found = {cell: rebound(lab, cell) for cell in cells}
    assert not any(found.values()), f"a prediction that is given late finds other values: {found}"
