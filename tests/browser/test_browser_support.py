"""The way from a click in JupyterLab to the kernel and back, with the smallest widget there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from browser_support import LabBrowser, NotebookPage

WIDGET = '''\
import anywidget, traitlets

class Counter(anywidget.AnyWidget):
    _esm = """
    export default {
      render({ model, el }) {
        const button = document.createElement("button");
        const show = () => { button.textContent = `counted ${model.get("count")}`; };
        button.className = "counter";
        button.onclick = () => {
          button.dataset.asked = performance.now();
          model.send({ kind: "click" });
        };
        model.on("change:count", () => {
          button.dataset.took = performance.now() - Number(button.dataset.asked);
          show();
        });
        show();
        el.append(button);
      },
    };
    """
    count = traitlets.Int(0).tag(sync=True)

    def __init__(self):
        super().__init__()
        self.on_msg(lambda widget, content, buffers: setattr(self, "count", self.count + 1))

counter = Counter()
counter'''


@pytest.fixture(scope="module")
def counter_page(lab: LabBrowser) -> Iterator[NotebookPage]:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WIDGET), nbformat.v4.new_code_cell("1 / 0")])
    # Without a kernel's name JupyterLab asks for one and the page waits for an answer.
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.server.folder / "counter.ipynb")
    page = lab.open("counter.ipynb")
    page.run_cell(0)
    yield page
    page.close()
    assert lab.server.kernels() == []


def test_a_click_reaches_the_kernel_and_comes_back(counter_page: NotebookPage) -> None:
    button = counter_page.page.locator("button.counter")
    button.wait_for()
    assert button.text_content() == "counted 0"
    for count in range(1, 4):
        button.click()
        counter_page.page.get_by_text(f"counted {count}", exact=True).wait_for(timeout=10_000)
    assert counter_page.ask_kernel("counter.count") == 3
    assert counter_page.errors == []


def test_values_come_from_the_kernel_as_they_are(counter_page: NotebookPage) -> None:
    assert counter_page.ask_kernel("""{"text": "it's a \\\\ and a \\"quote\\"", "numbers": [1, 2.5]}""") == {
        "text": 'it\'s a \\ and a "quote"',
        "numbers": [1, 2.5],
    }


def test_a_cell_that_fails_is_reported(counter_page: NotebookPage) -> None:
    assert counter_page.cell_errors() == []
    counter_page.run_cell(1)
    assert counter_page.cell_errors() == ["cell 1: ZeroDivisionError: division by zero"]


def test_errors_on_the_console_are_kept(counter_page: NotebookPage) -> None:
    counter_page.page.evaluate("() => console.error('the stage broke')")
    counter_page.page.wait_for_timeout(100)
    assert [text for text in counter_page.errors if "the stage broke" in text]


def test_the_theme_changes_the_page_and_its_picture(counter_page: NotebookPage, tmp_path: Path) -> None:
    pictures = {}
    for kind in ("light", "dark"):
        counter_page.theme(kind)
        pictures[kind] = counter_page.screenshot(tmp_path / f"{kind}.png").read_bytes()
        assert pictures[kind].startswith(b"\x89PNG")
    assert pictures["light"] != pictures["dark"]
    assert counter_page.screenshot(tmp_path / "button.png", "button.counter").stat().st_size > 200
