"""No text becomes HTML: the sources have no place for it; replays and the site show tags as they are, and run none.

The same for panels in JupyterLab: tests/browser/test_hostile_text.py.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import torch
from browser_support import ROOT
from hostile_support import HOSTILE, TAGS, harmless
from offline_pages import OfflineBrowser, OfflinePage

from weightlab.descent.landscapes import Landscape, landscape_from_function
from weightlab.stage.controls import Question
from weightlab.teaching.site import build
from weightlab.toys.panel import DescentPanel

PACKAGE = ROOT / "weightlab"
SCRIPTS = sorted((PACKAGE / "stage" / "js").rglob("*.js"))

# ---- the sources -------------------------------------------------------------------------------------------------

SINKS = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|setHTML|DOMParser|srcdoc"
    r"|\beval\(|new Function|javascript:|setTimeout\(\s*[\"'`]|\bfetch\(|XMLHttpRequest|WebSocket|EventSource"
    r"|sendBeacon|importScripts|\bimport\b|https?://"
)
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, which no browser asks for
OWN_IMPORT = re.compile(r'^import \{ [\w, ]+ \} from "\./[\w/]+\.js";$', re.MULTILINE)  # joined before
TAG = r"</?(?:a|p|h1|li|ol|td|th|tr|table|img|iframe|header|footer|nav|i|code|span|div|script|style)[ >]"
# Pieces of HTML that Python puts in without escaping them there: they are made of escaped pieces, or are our own words.
MADE_OF_ESCAPED = {"body", "rest", "links", "entries", "intro", "title", "top", "bottom", "text",
                   "_reading_table(traits['reading'])", "_settings_table(traits)",
                   "mathml(body.strip(), display='block')"}  # fmt: skip
OWN_WORDS = {"_footer()", "repository()", "weightlab.__version__", "height", "int(page.name[:2])"}
# The arguments of a whole page that are no text of anybody's: digests, styles, scripts, base64.
OWN_PARTS = {"policy", "css", "script", "png", "data", "version"}


def html_pieces(source: str) -> Iterator[str]:
    """What f-strings that hold a tag put into it, as source text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            words = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
            if re.search(TAG, words):
                yield from (ast.unparse(part.value) for part in node.values if isinstance(part, ast.FormattedValue))


def escaped(piece: str) -> bool:
    return piece.startswith(("html.escape(", "quote("))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_pages_scripts_make_no_html_of_text_and_ask_for_nothing(path: Path) -> None:
    text = OWN_IMPORT.sub("", path.read_text(encoding="utf-8"))
    assert re.findall(SINKS, text.replace(NAMESPACE, "")) == []


def test_whatever_python_puts_into_html_is_escaped() -> None:
    found = {piece for path in PACKAGE.rglob("*.py") for piece in html_pieces(path.read_text(encoding="utf-8"))}
    assert "html.escape(page.title)" in found
    assert {piece for piece in found if not escaped(piece)} <= MADE_OF_ESCAPED | OWN_WORDS


def test_whole_pages_are_filled_with_escaped_texts() -> None:
    for name in ("teaching/site.py", "stage/replay.py"):
        tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        fills = [part for call in calls if ast.unparse(call.func) == "_PAGE.format" for part in call.keywords]
        parts = {str(part.arg): ast.unparse(part.value) for part in fills}
        assert len(parts) > 5
        left = {value for arg, value in parts.items() if arg not in OWN_PARTS and not escaped(value)}
        assert left <= MADE_OF_ESCAPED


def test_nothing_shows_itself_as_html_but_a_replays_frame() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    shows = r"_repr_(?:html|javascript|latex|svg)_|formatters\[|import .*\b(?:HTML|HTMLMath|Javascript)\b"
    assert [name for name, text in sources.items() if re.search(shows, text)] == ["replay_outputs.py"]


# ---- pages without a kernel --------------------------------------------------------------------------------------


def hostile_bowl() -> Landscape:
    def bowl(w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
        return w1**2 + w2**2

    bowl.__name__ = HOSTILE
    return landscape_from_function(bowl, ((-3, 3), (-3, 3)), name=HOSTILE)


def hold(page: OfflinePage) -> bool:
    """Harmless, in frames too; and nothing was even tried: the policy would say so on the console."""
    assert all(harmless(frame) for frame in page.page.frames)
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.console == []
    return True


@pytest.mark.parametrize("scripts", [True, False], ids=["played", "without scripts"])
def test_a_replay_shows_texts_as_they_are(offline: OfflineBrowser, tmp_path: Path, scripts: bool) -> None:
    question = Question(HOSTILE, lambda panel: HOSTILE, options=(HOSTILE, "no"), explain=HOSTILE)
    panel = DescentPanel(hostile_bowl(), ("momentum",), steps=20, title=HOSTILE, questions=[question])
    panel.predict(1, HOSTILE)
    path = panel.save_html(tmp_path / "page.html", note=HOSTILE)
    panel.close()
    assert isinstance(path, Path)
    page = offline.open(path, scripts=scripts)
    if scripts:
        page.wait("stage.stats.frames > 0")
        assert hold(page)
    words = page.page.locator("main").inner_text()
    assert words.count("<img src=x onerror=") >= (5 if scripts else 2)
    assert page.page.locator("main img[src=x], main script").count() == 0


def test_the_site_shows_titles_and_panels_as_they_are(offline: OfflineBrowser, tmp_path: Path) -> None:
    labs = tmp_path / "labs"
    labs.mkdir()
    name = "98_a'b&c"
    title = HOSTILE.replace("</script></script>", "</script>")
    first = f"# `{title}`\n\n**You'll do:** `{title}`.\n"
    code = f"""from weightlab.pictures.still import new_figure, to_still
from weightlab.toys.panel import DescentPanel
print({HOSTILE!r})
DescentPanel(steps=5, title={HOSTILE!r})"""
    picture = f"to_still(new_figure(), {HOSTILE!r})"
    cells = [nbformat.v4.new_markdown_cell(first), *map(nbformat.v4.new_code_cell, (code, picture))]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), labs / f"{name}.ipynb")
    index = offline.open(build(labs, tmp_path / "site"))
    assert "<img src=x onerror=" in index.page.locator(".labs").inner_text() and hold(index)
    index.page.locator(".labs a").click()
    index.page.wait_for_url("**/98_*")
    index.page.locator("iframe").scroll_into_view_if_needed()
    index.page.wait_for_function("() => document.querySelector('iframe').style.height")
    index.page.frames[1].wait_for_function("() => document.querySelector('.weightlab').weightlab.stats.frames > 0")
    assert index.page.locator("main").inner_text().count("<img src=x onerror=") >= 3
    assert index.page.locator("main > * img, main img").last.get_attribute("alt") == HOSTILE
    assert hold(index)


def test_a_notebooks_own_html_runs_nothing_on_the_site(offline: OfflineBrowser, tmp_path: Path) -> None:
    """Markdown may hold HTML; a page's policy lets none of it run."""
    labs = tmp_path / "labs"
    labs.mkdir()
    first = f"# Raw {TAGS}\n\n<a href=\"javascript:window.pwned=1\" onclick=\"window.pwned=1\">here</a>\n"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(first)]), labs / "97_raw.ipynb")
    build(labs, tmp_path / "site")
    page = offline.open(tmp_path / "site" / "97_raw.html")
    page.page.get_by_role("link", name="here").click()
    assert page.page.evaluate("typeof window.pwned") == "undefined"
    assert any("Content Security Policy" in text for text in page.console)  # it was tried, and refused


def test_a_picture_is_drawn_whatever_signs_its_title_holds() -> None:
    """A $ would begin a formula in matplotlib, and a broken formula an exception in place of a panel."""
    panel = DescentPanel(hostile_bowl(), ("momentum",), steps=5)
    data, metadata = panel._repr_mimebundle_()
    assert data["image/png"] and HOSTILE in metadata["image/png"]["alt"]
    panel.close()
