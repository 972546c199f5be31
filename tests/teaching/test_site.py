"""The labs as a static site: one real lab and one made for the test, built and opened from disk without a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from axe_support import grave_findings
from browser_support import LABS
from offline_pages import OfflineBrowser, OfflinePage

from weightlab.teaching.site import build, main

# With --whole-labs all labs are built, which takes minutes.
pytestmark = pytest.mark.timeout(1500)

REAL = "00_start_here"
MADE = "99_try_the_page"
FIRST = """# Try the page

**You'll do:** read a formula, as in [lab 00](00_start_here.ipynb), and
see `two` panels.

**You'll learn:** nothing.

Its code: [theory.py](../weightlab/theory/quadratic.py)."""
FORMULAS = (
    "## Formulas\n\n$$\\eta < \\frac{2}{\\lambda_{max}}$$\n\nHere $x^2$ costs \\$5.\n\n| a | b |\n|---|--:|\n| 1 | 2 |"
)
FOLDED = "<details><summary>Solution</summary>\n\n```python\nanswer = 2\n```\n\n</details>"
CODE = """from IPython.display import display
from weightlab.loop.panel import StepperPanel
from weightlab.playground.panel import TrainingPanel
run = TrainingPanel(depth=1, width=4, steps=20, title="A run <that> waits")
display(run)
StepperPanel()"""
LATER = "print('updates so far:', run.record)"
PROBLEMS = """() => {
    const found = [];
    const say = (problem, node) => found.push(`${problem}: ${node.outerHTML.slice(0, 120)}`);
    if (!document.documentElement.lang) found.push("no language");
    if (!document.title.trim()) found.push("no title");
    let last = 0;
    for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
        if (!heading.checkVisibility()) continue;
        const level = Number(heading.tagName[1]);
        if (level > last + 1) say("heading skips a level", heading);
        last = level;
    }
    if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
    for (const image of document.images) if (!(image.alt || "").trim()) say("no alt", image);
    for (const frame of document.querySelectorAll("iframe")) if (!frame.title) say("no title", frame);
    for (const link of document.links) if (!link.textContent.trim()) say("empty link", link);
    for (const control of document.querySelectorAll("input, select, button")) {
        const name = control.getAttribute("aria-label") || (control.labels && control.labels[0] || control).textContent;
        if (!name.trim()) say("no name", control);
    }
    return found;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path_factory.mktemp("site")
    labs = folder / "labs"
    labs.mkdir()
    for lab in LABS.glob("*.ipynb" if request.config.getoption("--whole-labs") else f"{REAL}.ipynb"):
        shutil.copy(lab, labs)
    cell = nbformat.v4.new_code_cell
    text = nbformat.v4.new_markdown_cell
    cells = [text(FIRST), text(FORMULAS), cell(CODE), cell(LATER), text(FOLDED)]
    book = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(book, labs / f"{MADE}.ipynb")
    main(["--labs", str(labs), "--output", str(folder / "_site")])
    return folder / "_site"


def settle(page: OfflinePage, frames: int) -> None:
    """Wait until all replays on the page have said how high they are."""
    for frame in range(frames):
        page.page.locator("iframe").nth(frame).scroll_into_view_if_needed()
        page.page.wait_for_function("i => document.querySelectorAll('iframe')[i].style.height", arg=frame)


def clean(page: OfflinePage) -> bool:
    """No console error, nothing asked for but files, and nothing that a screen reader stumbles over, in frames too."""
    assert page.console == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    problems: dict[str, Any] = {frame.url: frame.evaluate(PROBLEMS) for frame in page.page.frames}
    assert {url: found for url, found in problems.items() if found} == {}
    assert [found for frame in page.page.frames for found in grave_findings(frame)] == []
    return True


def test_each_lab_has_a_page_and_the_index_leads_to_it(offline: OfflineBrowser, site: Path) -> None:
    page = offline.open(site / "index.html")
    first, last = page.page.locator(".labs li").first, page.page.locator(".labs li").last
    assert first.inner_text().startswith("Start here: see what you have, drive a panel\n")
    assert last.get_attribute("value") == "99"
    assert " ".join(last.inner_text().split()) == "Try the page Read a formula, as in lab 00, and see two panels."
    assert clean(page)
    page.page.get_by_role("link", name="Try the page").click()
    page.page.wait_for_url("**/99_try_the_page.html")
    settle(page, 2)
    page.page.get_by_role("navigation").get_by_role("link").press("Enter")
    page.page.wait_for_url(lambda url: not url.endswith("99_try_the_page.html"))
    assert page.page.locator("h1").count() == 1 and page.console == []


def test_every_page_is_clean(offline: OfflineBrowser, site: Path) -> None:
    labs = sorted(path for path in site.glob("[0-9]*.html") if "_panel_" not in path.stem)
    assert len(labs) >= 2
    for lab in labs:
        page = offline.open(lab, width=1000)
        settle(page, page.page.locator("iframe").count())
        assert clean(page)
        for frame in page.page.frames[1:]:
            assert frame.evaluate("document.querySelector('.weightlab').weightlab.table.rows") > 0
        page.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_labs_panel_plays_on_its_page(offline: OfflineBrowser, site: Path, scheme: Any) -> None:
    page = offline.open(site / f"{REAL}.html", scheme=scheme)
    settle(page, 1)
    frame = page.page.frames[1]
    stage = "document.querySelector('.weightlab').weightlab"
    assert frame.evaluate(f"{stage}.theme.dark") == (scheme == "dark")
    # all of the replay is seen without a scroll bar of its own, once the page has heard how high it is
    frame.wait_for_function("() => document.documentElement.scrollHeight <= innerHeight", timeout=5000)
    frame.get_by_role("button", name="Play or pause the animation").click()
    frame.wait_for_function(f"() => {stage}.playing && {stage}.place > 1")
    slider = frame.get_by_label("Learning rate η", exact=True)
    before = frame.evaluate(f"{stage}.model.get('values').learning_rate")
    slider.focus()
    slider.press("ArrowRight")
    frame.wait_for_function(f"() => {stage}.model.get('values').learning_rate > {before}")
    frame.locator(".weightlab").focus()
    page.page.keyboard.press("Home")
    frame.wait_for_function(f"() => {stage}.place === 0")
    assert clean(page)


def test_a_live_run_that_nobody_started_has_gone_to_its_end(offline: OfflineBrowser, site: Path) -> None:
    page = offline.open(site / f"{MADE}.html")
    settle(page, 2)
    run, lines = page.page.frames[1:]
    rows = "document.querySelector('.weightlab').weightlab.table.rows"
    assert run.evaluate(rows) == 20 and lines.evaluate(rows) == 61
    assert "gone to its end" in run.locator(".wl-note").inner_text()
    assert "run 60 lines" in lines.locator(".wl-note").inner_text()
    # what the notebook printed is what it would have printed, whatever the replays did later
    assert "updates so far: None" in page.page.locator("main").inner_text()
    assert page.page.locator("iframe").first.get_attribute("title") == "A run <that> waits: replay"
    assert clean(page)


def test_formulas_links_and_folded_solutions_are_as_in_the_lab(offline: OfflineBrowser, site: Path) -> None:
    opened = offline.open(site / f"{MADE}.html")
    settle(opened, 2)  # a replay above that still grows would move what is clicked
    page = opened.page
    assert page.locator("math[display=block] mfrac").count() == 1 and page.locator("p math msup").count() == 1
    assert "costs $5." in page.locator("main").inner_text()
    box = page.locator("math[display=block]").bounding_box()
    assert box is not None and box["height"] > 25  # a fraction, drawn as one
    links = page.evaluate("() => [...document.querySelectorAll('main p a')].map(a => a.getAttribute('href'))")
    assert links[0] == "00_start_here.html" and links[1].endswith("/blob/HEAD/weightlab/theory/quadratic.py")
    assert links[1].startswith("https://")
    solution = page.locator("details pre")
    assert not solution.is_visible()
    # by key: in a page that has just been scrolled, a click by machine lands where a frame was before
    page.locator("details summary").press("Enter")
    solution.wait_for()
    assert "answer = 2" in solution.inner_text()


def test_a_lab_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="labs must be among 00_start_here.ipynb, .*; got 77_nothing"):
        build(LABS, tmp_path, ["77_nothing"])
