"""What goes wrong on a page of JupyterLab does not pass unnoticed: a cell that fails, an error on the console."""

from __future__ import annotations

import nbformat
from browser_support import LabBrowser


def test_a_cell_that_fails_and_an_error_on_the_console_are_kept(lab: LabBrowser) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    # Without a kernel's name JupyterLab asks for one and the page waits for an answer.
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.server.folder / "fails.ipynb")
    page = lab.open("fails.ipynb")
    assert page.cell_errors() == [] and page.errors == []
    page.run_cell(0)
    page.page.evaluate("() => console.error('the stage broke')")
    page.page.wait_for_timeout(100)
    assert page.cell_errors() == ["cell 0: ZeroDivisionError: division by zero"]
    assert [text for text in page.errors if "the stage broke" in text]
    page.close()
    assert lab.server.kernels() == []
