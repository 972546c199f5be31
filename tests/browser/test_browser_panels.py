"""Two panels in a real JupyterLab in Chromium: drag, type, branch, take home.

All panels and controls: test_browser_labs.py. By keyboard: test_accessibility.py. What a class does to them:
test_drills.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from browser_support import LabBrowser, NotebookPage
from drill_support import open_cells
from reach_support import panel, wait

CELLS = (
    "from weightlab.signals.panel import SignalPanel\n"
    "descent = DescentPanel('rotated_quadratic', ('gradient_descent', 'momentum', 'nesterov'), steps=300)\ndescent",
    "signal = SignalPanel()\nsignal",
)
DESCENT, SIGNAL = 0, 1

STATE = """index => {
    const stage = document.querySelectorAll('.weightlab')[index].weightlab;
    return {...stage.stats, rows: stage.table.rows,
            last: Array.from(stage.table.data.slice((stage.table.rows - 1) * stage.table.columns).slice(0, 4))};
}"""


@pytest.fixture(scope="module")
def opened(lab: LabBrowser) -> Iterator[NotebookPage]:
    page = open_cells(lab, "panels.ipynb", *CELLS)
    page.run_all()
    page.page.wait_for_function("() => document.querySelectorAll('.weightlab').length === 2", timeout=30_000)
    yield page
    assert page.cell_errors() == [] and page.errors == []
    page.close()


def state(opened: NotebookPage, index: int) -> dict[str, Any]:
    found: dict[str, Any] = opened.page.evaluate(STATE, index)
    return found


def drag(opened: NotebookPage, index: int, name: str, positions: list[int]) -> None:
    """Move a slider through positions as a hand does: one input event an animation frame."""
    opened.page.evaluate(
        """async ([index, name, positions]) => {
            const slider = document.querySelectorAll('.weightlab')[index].querySelector(`input[data-name=${name}]`);
            for (const position of positions) {
                slider.value = position;
                slider.dispatchEvent(new Event('input', {bubbles: true}));
                await new Promise(requestAnimationFrame);
            }
        }""",
        [index, name, positions],
    )
    wait(opened, index, "!stage.sentAt.size && !Object.keys(stage.pending).length")


def test_dragging_a_slider_redraws_and_ends_on_the_last_value(opened: NotebookPage) -> None:
    panel(opened, DESCENT)
    before = state(opened, DESCENT)
    drag(opened, DESCENT, "learning_rate", list(range(20, 60)))
    after = state(opened, DESCENT)
    shown = opened.page.evaluate(
        "() => document.querySelectorAll('.weightlab')[0].weightlab.model.get('values').learning_rate"
    )
    positions = opened.ask_kernel("[c['positions'] for c in descent.controls if c['name'] == 'learning_rate'][0]")
    assert shown == positions[59] == opened.ask_kernel("descent.values['learning_rate']")
    assert after["pictures"] > before["pictures"] + 3 and after["last"] != before["last"]


def fan_of(opened: NotebookPage, name: str) -> None:
    """Put the hand over a slider and wait until the page has its whole fan, words included."""
    wait(opened, DESCENT, "!stage.local.size")
    slider = f".weightlab input[data-name={name}]"
    opened.page.evaluate(f"() => document.querySelector('{slider}').dispatchEvent(new Event('pointerenter'))")
    whole = f"stage.fans.current('{name}') && [...stage.fans.current('{name}').pictures.values()]"
    wait(opened, DESCENT, f"{whole} && {whole}.length > 40 && {whole}.every(picture => picture.told)")


SHOWN = """() => {
    const stage = document.querySelector('.weightlab').weightlab;
    const size = stage.table.rows * stage.table.columns;
    return {table: Array.from(stage.table.data.subarray(0, size), v => Number.isNaN(v) ? null : v), seq: stage.seq,
            fan: Boolean(stage.fanShown), reading: stage.readingBox.innerText, pending: Object.keys(stage.pending)};
}"""


@pytest.mark.parametrize("name", ["learning_rate", "momentum", "condition_number", "angle", "steps", "start_x"])
def test_a_drag_is_answered_by_the_page_alone_with_what_the_kernel_would_show(opened: NotebookPage, name: str) -> None:
    panel(opened, DESCENT)
    fan_of(opened, name)
    seq = state(opened, DESCENT)["seqShown"]
    before = opened.page.evaluate(SHOWN)
    moved = opened.page.evaluate(
        """async name => {
            const stage = document.querySelector('.weightlab').weightlab;
            const slider = document.querySelector(`.weightlab input[data-name=${name}]`);
            const [seq, fans] = [stage.seq, stage.stats.fans];
            for (let position = 4; position < 30; position++) {
                slider.value = position;
                slider.dispatchEvent(new Event('input', {bubbles: true}));
                await new Promise(requestAnimationFrame);
            }
            return {asked: stage.seq - seq, fans: stage.stats.fans - fans};
        }""",
        name,
    )
    assert moved == {"asked": 0, "fans": 26}
    dragged = opened.page.evaluate(SHOWN)
    assert dragged["fan"] and dragged["table"] != before["table"] and dragged["reading"]
    wait(opened, DESCENT, f"stage.stats.seqShown > {seq} && !stage.fanShown && !stage.local.size")
    rested = opened.page.evaluate(SHOWN)
    assert rested["reading"] == dragged["reading"] and rested["pending"] == []
    assert len(rested["table"]) == len(dragged["table"])
    for fanned, answered in zip(dragged["table"], rested["table"], strict=True):
        assert (fanned is None) == (answered is None)
        assert fanned is None or fanned == pytest.approx(answered, rel=2**-13.9, abs=1e-30)  # as packed.py rounds
    values = "document.querySelector('.weightlab').weightlab.model.get('values')"
    assert opened.page.evaluate(f"() => {values}.{name}") == opened.ask_kernel(f"descent.values['{name}']")


def test_a_drag_over_whole_pictures_asks_nobody_either(opened: NotebookPage) -> None:
    panel(opened, SIGNAL)
    stage = "document.querySelectorAll('.weightlab')[1].weightlab"
    opened.page.evaluate(f"() => {stage}.root.querySelector('[data-name=depth]').dispatchEvent(new Event('focus'))")
    wait(opened, SIGNAL, "stage.fans.current('depth') && stage.fans.current('depth').pictures.size > 30")
    moved = opened.page.evaluate(
        """async () => {
            const stage = document.querySelectorAll('.weightlab')[1].weightlab;
            const slider = stage.root.querySelector('[data-name=depth]');
            const [seq, here, bars] = [stage.seq, Number(slider.value), []];
            for (const by of [3, 2, 1, -1, -2, -4]) {
                slider.value = here + by;
                slider.dispatchEvent(new Event('input', {bubbles: true}));
                await new Promise(requestAnimationFrame);
                bars.push([stage.settings().depth, stage.plots[0].series[0].columns.length]);
            }
            return {asked: stage.seq - seq, bars};
        }"""
    )
    assert moved["asked"] == 0
    assert all(depth == bars for depth, bars in moved["bars"])
    wait(opened, SIGNAL, "!stage.local.size && !stage.fanShown")
    assert opened.ask_kernel("signal.values['depth']") == moved["bars"][-1][0]


def test_a_number_can_be_typed_and_a_bad_one_is_explained(opened: NotebookPage) -> None:
    box = panel(opened, DESCENT).locator("input[data-exact=learning_rate]")
    rows = state(opened, DESCENT)["rows"]
    bad = {"-1": "learning_rate must be in", "quick": "must be a number, got 'quick'", "nan": "finite"}
    for text, words in bad.items():
        box.fill(text)
        box.press("Enter")
        panel(opened, DESCENT).locator(".wl-notice.wl-error").wait_for(timeout=10_000)
        assert words in panel(opened, DESCENT).locator(".wl-notice").first.inner_text()
        assert state(opened, DESCENT)["rows"] == rows
    box.fill("0.05")
    box.press("Enter")
    wait(opened, DESCENT, "stage.model.get('values').learning_rate === 0.05 && !stage.model.get('notice').text")


def test_theory_waits_for_the_prediction_and_what_is_typed_elsewhere_stays(lab: LabBrowser) -> None:
    source = """from weightlab.stage.controls import Question
asked = [Question("η?", lambda panel: 0.2, explain="2/λ."), Question("who?", lambda panel: "a", options=("a", "b"))]
panel = DescentPanel("quadratic", questions=asked)
panel"""
    opened = open_cells(lab, "questions.ipynb", source)
    opened.run_all()
    found = panel(opened, 0)
    found.get_by_text("appear here after your predictions").wait_for(timeout=10_000)
    assert found.locator(".wl-reading").count() == 0
    number = found.locator(".wl-question input")
    number.fill("0.3")
    found.locator(".wl-question select").select_option("b")
    found.locator(".wl-question").nth(1).get_by_role("button").click()
    found.get_by_text("You said b.").wait_for(timeout=10_000)
    assert number.input_value() == "0.3"
    number.press("Enter")
    found.get_by_text("Measured: 0.2.").wait_for(timeout=10_000)
    assert "Off by a factor of 1.5. 2/λ." in found.locator(".wl-question").first.inner_text()
    found.locator(".wl-reading").wait_for(timeout=10_000)
    assert opened.errors == []
    opened.close()


def test_a_branch_starts_where_the_hand_has_scrubbed_to_and_one_line_comes_back(opened: NotebookPage) -> None:
    shown = panel(opened, DESCENT)
    wait(opened, DESCENT, "!stage.local.size && !stage.fanShown")
    opened.page.evaluate("() => document.querySelector('.weightlab').weightlab.jump(30)")
    lines = len(opened.page.evaluate("() => document.querySelector('.weightlab').weightlab.picture.series"))
    shown.locator("[data-action=branch]").click()
    wait(opened, DESCENT, "stage.model.get('transport').branches === 1 && !stage.sentAt.size")
    assert opened.ask_kernel("descent.experiment.changes[0][0]") == 30
    slider = shown.locator("input[data-name=learning_rate]")
    slider.focus()
    for _ in range(3):
        opened.page.keyboard.press("ArrowLeft")
    wait(opened, DESCENT, f"stage.picture.series.length > {lines} && !stage.local.size")
    legend = shown.locator(".wl-legend").inner_text()
    assert ", from step 30 η = " in legend
    shown.locator("[data-action=join]").click()
    wait(opened, DESCENT, f"stage.picture.series.length === {lines} && !stage.model.get('transport').branches")
    assert opened.ask_kernel("len(descent.experiment.changes)") == 0


def test_settings_travel_as_a_text_and_the_changed_line_of_the_program_is_marked(opened: NotebookPage) -> None:
    shown = panel(opened, DESCENT)
    wait(opened, DESCENT, "!stage.local.size && !stage.fanShown")
    home = shown.locator("details.wl-home")
    home.locator("summary").click()
    wait(opened, DESCENT, "stage.home.text.value.startsWith('weightlab1/descent/') && stage.home.program")
    before = home.locator("input").first.input_value()
    program = home.locator(".wl-code").inner_text()
    assert "import torch" in program and "weightlab." not in program
    exact = shown.locator("input[data-exact=learning_rate]")
    exact.fill("0.0123")
    exact.press("Enter")
    wait(opened, DESCENT, "stage.home.program.includes('0.0123')")
    marked = home.locator(".wl-changed").all_inner_texts()
    assert marked and all("0.0123" in line for line in marked), marked
    assert opened.ask_kernel("descent.text") == home.locator("input").first.input_value() != before
    home.locator("input").nth(1).fill(before)
    home.get_by_role("button", name="Load").click()
    wait(opened, DESCENT, f"stage.home.text.value === {before!r}")
    assert opened.ask_kernel("descent.text") == before
    home.locator("input").nth(1).fill("weightlab1/descent/nowhere")
    home.get_by_role("button", name="Load").click()
    wait(opened, DESCENT, "!stage.notice.hidden")
    assert opened.ask_kernel("descent.text") == before
    with opened.page.expect_download() as saved:
        home.get_by_role("button", name="Save as a page").click()
    assert saved.value.suggested_filename == "descent.html"
    text = saved.value.path().read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>") and "wl-replay-data" in text
    with opened.page.expect_download() as saved:
        home.get_by_role("button", name="Save code").click()
    assert saved.value.suggested_filename == "descent_program.py"  # signal.py would stand in for Python's own module
    assert saved.value.path().read_text(encoding="utf-8") == opened.ask_kernel("descent.program")
    home.locator("summary").click()
