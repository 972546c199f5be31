"""Replay pages in Chromium, opened from disk with the network shut off: play, drag, type, keys, themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from offline_pages import OfflineBrowser, OfflinePage

from weightlab.descent.landscapes import landscape_from_function
from weightlab.playground.panel import TrainingPanel
from weightlab.stage.packed import rounded
from weightlab.stage.panel import Panel
from weightlab.toys.panel import DescentPanel

RULES = ("gradient_descent", "momentum", "adam")
DRAG = """async ([name, positions]) => {
    const slider = document.querySelector(`.weightlab input[data-name=${name}]`);
    slider.dispatchEvent(new Event('pointerenter'));
    for (const position of positions) {
        slider.value = position;
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        await new Promise(requestAnimationFrame);
    }
}"""
TABLE = """Array.from(stage.table.data.subarray(0, stage.table.rows * stage.table.columns),
    value => Number.isFinite(value) ? value : null)"""
SETTLED = "!stage.sentAt.size && !stage.fanShown && !Object.keys(stage.pending).length && !stage.local.size"


@pytest.fixture(scope="module")
def toy() -> Iterator[DescentPanel]:
    panel = DescentPanel("rotated_quadratic", RULES, steps=120)
    yield panel
    panel.close()


@pytest.fixture(scope="module")
def toy_file(toy: DescentPanel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "toy.html"
    toy.save_html(path, sliders=("learning_rate", "momentum"))
    return path


def shown(page: OfflinePage) -> np.ndarray:
    """The table on the stage, gaps as NaN."""
    return np.array([np.nan if value is None else value for value in page.ask(TABLE)], dtype=np.float32)


def expected(panel: Panel) -> np.ndarray:
    assert panel._shown is not None
    table = rounded(panel._shown.table).ravel()
    return np.where(np.isfinite(table), table, np.float32(np.nan))


def drag(page: OfflinePage, name: str, positions: list[int]) -> None:
    page.page.evaluate(DRAG, [name, positions])


def nothing_went_wrong(page: OfflinePage) -> bool:
    """No console error, and nothing asked for but the file itself."""
    assert page.console == []
    assert [url for url in page.requests if not url.startswith(("data:", "blob:"))] == page.requests[:1]
    return page.requests[0].startswith("file:")


def test_the_page_opens_plays_and_asks_for_nothing(offline: OfflineBrowser, toy: DescentPanel, toy_file: Path) -> None:
    page = offline.open(toy_file)
    page.wait("stage.stats.frames > 0")
    np.testing.assert_array_equal(shown(page), expected(toy))
    assert page.page.title() == toy.title and page.page.locator("#wl-still-page").count() == 0
    page.page.get_by_role("button", name="Play or pause the animation").click()
    page.wait("stage.playing && stage.place > 3 && stage.place < 100")
    page.page.locator(".wl-scrub").fill("40")
    page.wait("!stage.playing && stage.place === 40")
    page.page.locator(".wl-step").get_by_text("step 40", exact=True).wait_for(timeout=10_000)  # with the next picture
    assert nothing_went_wrong(page)


def test_a_drag_shows_what_the_kernel_would(offline: OfflineBrowser, toy: DescentPanel, toy_file: Path) -> None:
    page = offline.open(toy_file)
    page.wait("stage.stats.frames > 0")
    saved, positions = dict(toy.values), page.ask("stage.model.get('controls')[0].positions")
    drag(page, "learning_rate", list(range(40, 71)))
    page.wait(SETTLED)
    assert page.ask("stage.stats.fans") > 20
    toy.set(learning_rate=positions[70])
    np.testing.assert_array_equal(shown(page), expected(toy))
    assert np.isnan(shown(page)).any()  # one of the runs diverged, and its gap is there
    assert page.page.locator(".wl-summary").inner_text() == toy.summary
    page.wait(f"stage.readingBox.innerText.includes({toy.reading[0]['theory']!r})")
    toy.set(**saved)
    assert nothing_went_wrong(page)


def test_moving_one_slider_puts_the_other_back_and_says_so(
    offline: OfflineBrowser, toy: DescentPanel, toy_file: Path
) -> None:
    page = offline.open(toy_file)
    page.wait("stage.stats.frames > 0")
    saved = dict(toy.values)
    drag(page, "learning_rate", [60])
    page.wait(SETTLED)
    assert page.page.locator(".wl-notice:visible").count() == 0
    drag(page, "momentum", [10])
    page.wait(SETTLED)
    notice = page.page.locator(".wl-notice:visible").inner_text()
    assert "Learning rate η is back at 0.02" in notice and "one slider at a time" in notice
    positions = page.ask("stage.model.get('controls').find(c => c.name === 'momentum').positions")
    toy.set(momentum=positions[10])
    np.testing.assert_array_equal(shown(page), expected(toy))
    toy.set(**saved)
    drag(page, "momentum", [11, 12, 13])
    assert page.ask("Boolean(stage.fanShown)")  # its own fan holds again
    page.wait(SETTLED)
    assert nothing_went_wrong(page)


def test_a_value_that_the_page_does_not_hold_is_refused(
    offline: OfflineBrowser, toy: DescentPanel, toy_file: Path
) -> None:
    page = offline.open(toy_file)
    page.wait("stage.stats.frames > 0")
    exact = page.page.get_by_label("Learning rate η, exact value")
    for typed, said in (("0.0213", "and not 0.0213; the nearest is 0.02"), ("fast", "and not fast")):
        exact.fill(typed)
        exact.press("Enter")
        page.wait(f"{SETTLED} && !stage.notice.hidden && stage.notice.textContent.includes({said!r})")
        np.testing.assert_array_equal(shown(page), expected(toy))
    exact.fill(str(toy.controls[0]["positions"][30]))
    exact.press("Enter")
    page.wait(f"{SETTLED} && stage.notice.hidden && stage.model.get('values').learning_rate < 0.02")
    exact.fill("0.02")
    exact.press("Enter")
    page.wait(f"{SETTLED} && stage.model.get('values').learning_rate === 0.02")
    np.testing.assert_array_equal(shown(page), expected(toy))
    assert nothing_went_wrong(page)


def test_names_that_look_like_markup_stay_text(offline: OfflineBrowser, tmp_path: Path) -> None:
    bad = "</script><img src=x onerror=window.broken=1>"
    land = landscape_from_function(lambda a, b: a**2 + b**2, ((-2, 2), (-2, 2)), name=bad)
    panel = DescentPanel(land, steps=5, title=bad)
    panel.save_html(tmp_path / "bad.html")
    panel.close()
    page = offline.open(tmp_path / "bad.html")
    page.wait("stage.stats.frames > 0")
    assert page.page.title() == bad and page.page.get_by_role("heading", level=1).inner_text() == bad
    assert bad in page.page.locator(".wl-summary").inner_text()
    assert page.page.evaluate("() => [window.broken, document.images.length]") == [None, 0]
    assert nothing_went_wrong(page)


def test_the_policy_lets_no_other_script_run(offline: OfflineBrowser, toy_file: Path, tmp_path: Path) -> None:
    text = toy_file.read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    changed.write_text(
        text.replace("<main>", "<main><script>window.broken = 1</script>"), encoding="utf-8", newline="\n"
    )
    page = offline.open(changed)
    page.wait("stage.stats.frames > 0")
    assert page.page.evaluate("() => window.broken") is None
    assert len(page.console) == 1 and "Content Security Policy" in page.console[0]


def test_without_scripts_the_picture_and_its_words_stand_there(
    offline: OfflineBrowser, toy: DescentPanel, toy_file: Path
) -> None:
    page = offline.open(toy_file, scripts=False).page
    picture = page.locator("figure img")
    assert picture.get_attribute("alt") == toy.still().alt
    box = picture.bounding_box()
    assert box is not None and box["width"] > 300 and box["height"] > 100
    words = page.locator("main").inner_text()
    assert toy.summary in words and toy.reading[0]["theory"] in words and "Momentum μ" in words


def test_a_browser_that_is_too_old_keeps_the_picture_and_is_told_why(offline: OfflineBrowser, toy_file: Path) -> None:
    page = offline.open(toy_file, init="delete window.DecompressionStream").page
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "newer" in alert.inner_text() and page.locator("figure img").is_visible()


def test_a_training_run_plays_with_its_regions(offline: OfflineBrowser, tmp_path: Path) -> None:
    panel = TrainingPanel(depth=2, width=8, steps=40, dataset="moons", learning_rate=0.1)
    panel.run()
    panel.save_html(tmp_path / "run.html")
    page = offline.open(tmp_path / "run.html")
    page.wait("stage.stats.frames > 0 && stage.rasters.get('regions').painted")
    np.testing.assert_array_equal(shown(page), expected(panel))
    panel.close()
    page.page.keyboard.press("Home")
    page.page.keyboard.press("Space")
    page.wait("stage.playing && stage.place > 2")
    page.wait("!stage.playing && stage.place === stage.table.rows - 1")
    assert page.page.get_by_role("button", name="Start training").count() == 0
    assert page.page.locator(".wl-fixed-value[data-name=dataset]").inner_text() != "moons"  # its label, as in the menu
    assert nothing_went_wrong(page)
