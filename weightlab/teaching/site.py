"""All labs as a static site: pages for any static host, their panels as replays, nothing fetched from elsewhere.

    .venv/bin/python -m pip install -c binder/constraints.txt -e ".[site]"
    .venv/bin/python -m weightlab.teaching.site --labs labs --output _site

Each lab is executed once, in a kernel of its own; formulas become MathML. Open `_site/index.html` from disk, or put the
folder on a host. Names of notebooks after the options: only those.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert as mathml
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

import weightlab
from weightlab.stage.replay import HEAD, digest
from weightlab.teaching.nbgrader_copies import repository

_CSS = Path(__file__).parent / "site.css"
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_KERNEL = "python3"
_BEFORE = """from weightlab.teaching.replay_outputs import ReplayOutputs as __Outputs
__outputs = __Outputs({folder!r}, {stem!r})
del __Outputs"""
_AFTER = "_ = __outputs.finish()"
CODE_STYLES = ("xcode", "lightbulb")  # light, dark: every colour of theirs stands out from the ground of code
_SCRIPT = """addEventListener("message", (event) => {
  const height = Number(event.data && event.data.weightlabHeight);
  if (!(height > 0 && height < 20000)) return;
  for (const frame of document.querySelectorAll("iframe.weightlab-replay")) {
    if (frame.contentWindow === event.source) frame.style.height = `${Math.ceil(height) + 2}px`;
  }
});
// What is wider than the page and scrolls is scrolled by keyboard, too.
const reach = () => document.querySelectorAll("pre, table, math").forEach((box) => {
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; else box.removeAttribute("tabindex");
});
addEventListener("load", reach);
addEventListener("resize", reach);
"""
_PAGE = HEAD + """{top}
<main>
{body}
</main>
{bottom}
<script>{script}</script>
</body>
</html>
"""


class LabPage(NamedTuple):
    """A lab's page: its file name, title and what it promises to its reader."""

    name: str
    title: str
    does: str


class _Renderer(IPythonRenderer):
    """Formulas as MathML, which browsers draw without a script."""

    def block_math(self, body: str) -> str:
        return f"<p>{mathml(body.strip(), display='block')}</p>\n"

    def inline_math(self, body: str) -> str:
        return str(mathml(body))


class _Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        return str(MarkdownWithMath(renderer=_Renderer(escape=False)).render(source))


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs, run from top to bottom in `path`'s folder; its replays are written to `folder`."""
    book = nbformat.read(path, as_version=4)
    before = _BEFORE.format(folder=str(folder.resolve()), stem=path.stem)
    book.cells = [nbformat.v4.new_code_cell(before), *book.cells, nbformat.v4.new_code_cell(_AFTER)]
    NotebookClient(
        book,
        kernel_name=_KERNEL,
        timeout=600,
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    book.cells = book.cells[1:-1]
    for cell in book.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(_WIDGET_VIEW, None)
    return book


def lab_page(path: Path, folder: Path, others: Sequence[Path]) -> LabPage:
    """Execute a lab and write its page; `others` are all labs, in order, for the links to and fro."""
    exporter = _Exporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(execute(path, folder))
    page = _described(path)
    place = others.index(path)
    around = [*([] if place == 0 else [others[place - 1]]), *others[place + 1 : place + 2]]
    links = " ".join(f'<a href="{quote(one.stem)}.html">{html.escape(_described(one).title)}</a>' for one in around)
    top = (
        '<header><a href="index.html">All labs</a><p>This page shows a lab as it ran. Its panels play here; its code '
        "cells and exercises need the lab itself.</p></header>"
    )
    bottom = f'<nav aria-label="neighbouring labs">{links}</nav>{_footer()}'
    (folder / page.name).write_text(
        _page(page.title, page.does, top, _linked(body), bottom), encoding="utf-8", newline="\n"
    )
    return page


def index_page(pages: Sequence[LabPage], folder: Path) -> Path:
    """Write the start page with a link to each lab; its path."""
    entries = "".join(
        f'<li value="{int(page.name[:2])}"><a href="{quote(page.name)}">{html.escape(page.title)}</a>'
        f"<p>{html.escape(page.does)}</p></li>"
        for page in pages
    )
    title = "weightlab: how a neural network's weights are updated"
    intro = (
        "<p>Short labs on how weights are updated: predict a number, run it, compare it with theory. These pages show "
        f'them as they ran; to run and change them, get <a href="{repository()}">weightlab</a>.</p>'
    )
    body = f"<h1>{html.escape(title)}</h1>{intro}<ol class='labs'>{entries}</ol>"
    path = folder / "index.html"
    path.write_text(
        _page(title, "The labs of weightlab as pages.", "", body, _footer()), encoding="utf-8", newline="\n"
    )
    return path


def build(labs: Path, folder: Path, names: Sequence[str] = ()) -> Path:
    """Write the pages of all labs of a folder, or of those named, and the index; the index's path."""
    paths = sorted(labs.glob("[0-9][0-9]_*.ipynb"))
    chosen = [path for path in paths if not names or path.name in names or path.stem in names]
    if not chosen or len(chosen) < len(names):
        there = ", ".join(path.name for path in paths) or f"none in {labs}"
        raise ValueError(f"labs must be among {there}; got {', '.join(names) or 'no name'}")
    folder.mkdir(parents=True, exist_ok=True)
    pages = []
    for path in chosen:
        start = time.monotonic()
        pages.append(lab_page(path, folder, chosen))
        size = sum(file.stat().st_size for file in folder.glob(f"{path.stem}*.html"))
        print(f"{path.name}: {time.monotonic() - start:.0f} s, {size / 1000:.0f} kB", flush=True)
    return index_page(pages, folder)


def _described(path: Path) -> LabPage:
    """What the first cell says of the lab."""
    text = nbformat.read(path, as_version=4).cells[0].source
    title = re.search(r"^# (.+)$", text, flags=re.MULTILINE)
    does = re.search(r"\*\*You'll do:\*\*(.+?)(?:\n\s*\n|$)", text, flags=re.DOTALL)
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(does[1].split()) if does else "").replace("`", "")
    return LabPage(f"{path.stem}.html", title[1].strip() if title else path.stem, plain[:1].upper() + plain[1:])


def _linked(body: str) -> str:
    """Links between notebooks lead to their pages, links into the repository to where it lives."""
    body = re.sub(r'href="(\d\d_\w+)\.ipynb', r'href="\1.html', body)
    return body.replace('href="../', f'href="{repository()}/blob/HEAD/')


def _page(title: str, description: str, top: str, body: str, bottom: str) -> str:
    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in CODE_STYLES)
    code = f"@media (prefers-color-scheme: light) {{ {light} }}\n@media (prefers-color-scheme: dark) {{ {dark} }}"
    return _PAGE.format(
        # markdown's tables align by style attributes; a page opened from disk is no 'self' to its frames
        policy=f"default-src 'none'; script-src {digest(_SCRIPT)}; style-src 'unsafe-inline'; img-src data:; "
        "frame-src 'self' file:; base-uri 'none'; form-action 'none'",
        title=html.escape(title),
        summary=html.escape(description),
        css=f"{_CSS.read_text(encoding='utf-8')}\n{code}",
        top=top,
        body=body,
        bottom=bottom,
        script=_SCRIPT,
    )


def _footer() -> str:
    return f"<footer>Made with weightlab {weightlab.__version__}. Prose and figures: CC BY 4.0; code: MIT.</footer>"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m weightlab.teaching.site", description="Make pages of all labs.")
    parser.add_argument("--labs", type=Path, default=Path("labs"), help="folder with the notebooks")
    parser.add_argument("--output", type=Path, default=Path("_site"), help="folder to write to")
    parser.add_argument("names", nargs="*", help="only these notebooks")
    chosen = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"  # as in the tests: sums over several threads round differently
    if sys.platform == "win32":
        # the kernel's sockets need an event loop with add_reader
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    start = time.monotonic()
    index = build(chosen.labs, chosen.output, chosen.names)
    print(f"{index}: all in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
