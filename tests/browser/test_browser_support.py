"""What goes wrong on a page of JupyterLab does not pass unnoticed: a cell that fails, an error on the console."""

from __future__ import annotations

from browser_support import LabBrowser
from drill_support import open_cells


def test_a_cell_that_fails_and_an_error_on_the_console_are_kept(lab: LabBrowser) -> None:
    page = open_cells(lab, "fails.ipynb", "1 / 0")
    assert page.cell_errors() == [] and page.errors == []
    page.run_cell(1)
    page.page.evaluate("() => console.error('the stage broke')")
    page.page.wait_for_timeout(100)
    assert page.cell_errors() == ["cell 1: ZeroDivisionError: division by zero"]
    assert [text for text in page.errors if "the stage broke" in text]
    page.close()
    assert lab.server.kernels() == []
