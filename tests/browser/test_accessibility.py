"""Every panel in a real JupyterLab for those who use a keyboard, a screen reader, magnification or little motion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from all_panels import PANELS
from axe_support import grave_findings
from browser_support import LabBrowser, NotebookPage
from offline_pages import OfflineBrowser
from reach_support import FOCUSED, LOSSES, REACHABLE, ask, focus, panel, press, wait
from reliability import Record

from weightlab.toys.panel import DescentPanel

pytestmark = pytest.mark.long

NOTEBOOK = "accessible.ipynb"
ASKED = """from weightlab.stage.controls import Question
asked = [Question("Which η is the limit?", lambda panel: 0.2, explain="2/λ."),
         Question("Who is first?", lambda panel: "a", options=("a", "b"))]
"""
CELLS = {
    "DescentPanel": (
        f"{ASKED}DescentPanel('rotated_quadratic', ('gradient_descent', 'momentum'), steps=60, questions=asked)"
    ),
    "TrainingPanel": "TrainingPanel(controls='all', depth=2, width=16, steps=4000, pace=200)",
    "SignalPanel": "SignalPanel()",
    "TimeGradientsPanel": "TimeGradientsPanel()",
    "StepperPanel": "StepperPanel('line')",
    "SchedulePanel": "SchedulePanel('cosine')",
    "EpochsPanel": "EpochsPanel(epochs=10)",
    "ImbalancePanel": "ImbalancePanel(ratio=50)",
    "SurfacePanel": "SurfacePanel()",
    "SharpnessPanel": "SharpnessPanel(learning_rate=0.25, steps=50)",
    "EnsemblePanel": "EnsemblePanel(varies='start', learning_rate=0.1, seeds=2, steps=50)",
}
DESCENT, TRAINING = 0, 1


@pytest.fixture(scope="module")
def opened(lab: LabBrowser) -> Iterator[NotebookPage]:
    sources = [f"from {PANELS[name].__module__} import {name}\n{source}" for name, source in CELLS.items()]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    book = nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell("The end.")])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.server.folder / NOTEBOOK)
    page = lab.open(NOTEBOOK)
    page.run_all()
    count = f"() => document.querySelectorAll('.weightlab').length === {len(CELLS)}"
    page.page.wait_for_function(count, timeout=30_000)
    for index in range(len(CELLS)):
        panel(page, index)
        wait(page, index, "stage.stats.frames > 0 && stage.table.rows > 0 && !stage.sentAt.size")
    yield page
    assert page.errors == [] and page.cell_errors() == []
    page.close()


def test_the_notebook_has_every_panel_there_is() -> None:
    assert PANELS.keys() == CELLS.keys()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_grave_on_any_panel(
    opened: NotebookPage, theme: str, record_property: Record
) -> None:
    opened.theme(theme)
    opened.page.evaluate("() => document.querySelectorAll('.wl-home').forEach(box => { box.open = true; })")
    for index in range(len(CELLS)):
        wait(opened, index, "stage.home.text.value && !stage.sentAt.size")
    assert grave_findings(opened.page, ".weightlab") == []
    record_property("panels", len(CELLS))
    opened.page.evaluate("() => document.querySelectorAll('.wl-home').forEach(box => { box.open = false; })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_grave_on_a_replay(lab: LabBrowser, tmp_path: Path, scheme: Any) -> None:
    made = DescentPanel("quadratic", ("momentum", "adam"), steps=40)
    made.save_html(tmp_path / "replay.html", sliders=("learning_rate",))
    made.close()
    page = OfflineBrowser(lab.browser).open(tmp_path / "replay.html", scheme=scheme)
    page.wait("stage.stats.frames > 0")
    assert grave_findings(page.page) == [] and page.console == []
    page.page.context.close()


def test_every_label_names_the_control_beside_it_and_no_other_panels(opened: NotebookPage) -> None:
    labels = opened.page.evaluate(
        """() => [...document.querySelectorAll(".weightlab label")].map(label =>
            [label.textContent, Boolean(label.control) && label.parentElement.contains(label.control)])"""
    )
    assert len(labels) > 50 and [text for text, right in labels if not right] == []


def test_the_picture_says_what_is_to_be_seen(opened: NotebookPage) -> None:
    for index in range(len(CELLS)):
        role, label = ask(opened, index, "[stage.moving.getAttribute('role'), stage.moving.getAttribute('aria-label')]")
        titles = ask(opened, index, "stage.scene.views.map(view => view.title)")
        summary = ask(opened, index, "stage.model.get('summary')")
        assert role == "img" and summary
        assert all(title in label for title in titles) and label.endswith(summary)


def test_tab_goes_through_every_control_of_every_panel_and_out_again(
    opened: NotebookPage, record_property: Record
) -> None:
    for index, name in enumerate(CELLS):
        reachable = opened.page.evaluate(REACHABLE, index)
        panel(opened, index).focus()
        seen: list[dict[str, Any]] = []
        press(opened, "Shift")
        while (now := opened.page.evaluate(FOCUSED))["panel"] == index:
            seen.append(now)
            assert len(seen) <= reachable, f"{name}: Tab does not leave, last at {now['name']}"
            press(opened, "Tab")
        assert len(seen) == reachable, f"{name}: Tab stops at {[stop['name'] for stop in seen]}"
        record_property("stops", reachable)
        assert [stop["name"] for stop in seen if not stop["ring"]] == [], f"{name}: no ring around the focus"
        assert [stop["name"] for stop in seen if not stop["uncovered"]] == [], f"{name}: under the picture"
        panel(opened, index).locator(":is(button, input, select):not(:disabled):visible").first.focus()
        press(opened, "Shift+Tab")
        assert opened.page.evaluate(FOCUSED)["name"] == "panel"


def test_no_key_pressed_on_a_panel_is_taken_by_jupyterlab(opened: NotebookPage) -> None:
    cells = "() => window.jupyterapp.shell.currentWidget.content.widgets.length"
    before = opened.page.evaluate(cells)
    for selector in ("xpath=self::*", "button", "input[type=range]", "select", "input.wl-exact", "summary"):
        focus(opened, DESCENT, selector)
        press(opened, "a", "b", "x", "d", "d", "Shift+M")
        found = opened.page.evaluate(FOCUSED)
        assert found["panel"] == DESCENT, f"{selector} lost the focus to {found}"
    press(opened, "Escape")
    assert opened.page.evaluate(cells) == before
    assert opened.page.evaluate("() => window.jupyterapp.shell.currentWidget.content.mode") == "command"


def test_arrow_keys_move_sliders_and_typed_values_are_taken(opened: NotebookPage) -> None:
    value = "stage.model.get('values').learning_rate"
    before = ask(opened, DESCENT, value)
    focus(opened, DESCENT, "input[data-name=learning_rate]")
    press(opened, "ArrowRight", "ArrowRight", "PageUp")
    wait(opened, DESCENT, f"{value} > {before} && !stage.sentAt.size && !stage.fanShown")
    press(opened, "Tab")
    assert opened.page.evaluate(FOCUSED)["name"] == "exact learning_rate"
    press(opened, "Control+a")
    opened.page.keyboard.type("0.03")
    press(opened, "Enter")
    wait(opened, DESCENT, f"{value} === 0.03 && !stage.sentAt.size")
    press(opened, "Control+a")
    opened.page.keyboard.type("7")
    press(opened, "Escape")
    assert opened.page.evaluate(FOCUSED)["name"] == "panel"
    opened.page.wait_for_timeout(200)
    assert ask(opened, DESCENT, value) == 0.03


def test_space_plays_and_escape_leads_back_to_the_notebook(opened: NotebookPage) -> None:
    panel(opened, DESCENT).focus()
    press(opened, "Home")
    assert ask(opened, DESCENT, "stage.place") == 0
    press(opened, "ArrowRight")
    assert ask(opened, DESCENT, "stage.place") == 1
    press(opened, "Space")
    wait(opened, DESCENT, "stage.playing && stage.place > 2")
    press(opened, "Space")
    assert not ask(opened, DESCENT, "stage.playing")
    focus(opened, DESCENT, "[data-action=scrub]")
    press(opened, "End")
    wait(opened, DESCENT, "stage.scrub.getAttribute('aria-valuetext') === 'step 60'")
    press(opened, "Escape", "Escape")
    assert opened.page.evaluate(FOCUSED)["panel"] == -1
    at = "() => document.activeElement.closest('.jp-Cell').contains(document.querySelector('.weightlab'))"
    assert opened.page.evaluate(at)


def test_a_branch_and_what_is_taken_home_need_no_mouse(opened: NotebookPage) -> None:
    panel(opened, DESCENT).focus()
    press(opened, "Home", *["ArrowRight"] * 5)
    focus(opened, DESCENT, "[data-action=branch]")
    press(opened, "Enter")
    wait(opened, DESCENT, "stage.model.get('transport').branches === 1 && !stage.sentAt.size")
    assert opened.page.evaluate(FOCUSED)["name"] == "branch"
    press(opened, "Tab", "Space")
    wait(opened, DESCENT, "stage.model.get('transport').branches === 0 && !stage.sentAt.size")
    assert opened.page.evaluate(FOCUSED)["panel"] == DESCENT
    focus(opened, DESCENT, "summary")
    press(opened, "Enter")
    wait(opened, DESCENT, "stage.home.text.value && stage.program !== ''")
    text = ask(opened, DESCENT, "stage.home.text.value")
    press(opened, "Tab", "Tab", "Tab")
    opened.page.keyboard.type(text)
    press(opened, "Enter")
    wait(opened, DESCENT, "!stage.sentAt.size")
    assert ask(opened, DESCENT, "stage.model.get('notice').kind") != "error"
    focus(opened, DESCENT, "summary")
    press(opened, "Space")
    assert not ask(opened, DESCENT, "stage.home.node.open")


def test_enter_predicts_and_the_focus_goes_to_the_answer(opened: NotebookPage) -> None:
    focus(opened, DESCENT, ".wl-question input")
    opened.page.keyboard.type("0.3")
    press(opened, "Enter")
    opened.page.wait_for_function("() => document.activeElement.matches('.wl-answer')", timeout=10_000)
    assert "Measured: 0.2." in opened.page.evaluate("() => document.activeElement.textContent")
    press(opened, "Tab", "ArrowDown")
    labelled = "() => document.getElementById(document.activeElement.getAttribute('aria-labelledby')).textContent"
    assert opened.page.evaluate(labelled) == "Who is first?"
    press(opened, "Tab", "Enter")
    opened.page.wait_for_function("() => document.activeElement.textContent.startsWith('You said a.')", timeout=10_000)


def test_a_run_is_started_paused_and_stopped_by_keyboard_and_told_at_most_once_a_second(opened: NotebookPage) -> None:
    opened.page.evaluate(
        """index => {
            const stage = document.querySelectorAll(".weightlab")[index].weightlab;
            stage.told = [];
            const note = () => stage.told.push([performance.now(), stage.spoken.textContent]);
            new MutationObserver(note).observe(stage.spoken, { childList: true, characterData: true, subtree: true });
        }""",
        TRAINING,
    )
    focus(opened, TRAINING, "[data-action=start]")
    press(opened, "Enter")
    wait(opened, TRAINING, "stage.model.get('transport').state === 'running' && stage.table.rows > 3")
    assert opened.page.evaluate(FOCUSED)["name"] == "pause"
    wait(opened, TRAINING, "stage.told.length >= 3")
    press(opened, "Space")
    wait(opened, TRAINING, "stage.model.get('transport').state === 'paused'")
    press(opened, "Space")
    wait(opened, TRAINING, "stage.model.get('transport').state === 'running'")
    press(opened, "Tab")
    assert opened.page.evaluate(FOCUSED)["name"] == "stop"
    press(opened, "Enter")
    wait(opened, TRAINING, "stage.model.get('transport').state === 'stopped' && !stage.sentAt.size")
    assert opened.page.evaluate(FOCUSED)["name"] == "reset"
    wait(opened, TRAINING, "stage.spoken.textContent.startsWith('stopped. ')")
    told = ask(opened, TRAINING, "stage.told")
    assert min(after[0] - before[0] for before, after in zip(told, told[1:], strict=False)) > 900
    assert told[-1][1] == "stopped. " + ask(opened, TRAINING, "stage.model.get('summary')")
    live = "[stage.spoken.getAttribute('role'), stage.root.querySelectorAll('[aria-live], output').length]"
    assert ask(opened, TRAINING, live) == ["status", 1]  # besides it only what "Take it home" answers to a click
    press(opened, "Enter")
    wait(opened, TRAINING, "stage.model.get('transport').state === 'idle'")


def test_a_new_setting_is_told_too(opened: NotebookPage) -> None:
    before = ask(opened, DESCENT, "stage.spoken.textContent")
    focus(opened, DESCENT, "input[data-name=condition_number]")
    press(opened, *["ArrowLeft"] * 8)
    wait(opened, DESCENT, f"!stage.sentAt.size && !stage.fanShown && stage.spoken.textContent !== {before!r}")
    wait(opened, DESCENT, "stage.spoken.textContent === stage.model.get('summary')")


def test_what_a_live_panel_says_follows_its_steps(opened: NotebookPage) -> None:
    stepped = []
    for index, name in enumerate(CELLS):
        idle = "stage.model.get('transport').live && ['idle', 'paused'].includes(stage.model.get('transport').state)"
        if not ask(opened, index, idle):
            continue
        before = ask(opened, index, "stage.model.get('summary')")
        for _ in range(4):
            focus(opened, index, "[data-action=step]")
            press(opened, "Enter")
            wait(opened, index, "!stage.sentAt.size")
        wait(opened, index, f"stage.model.get('summary') !== {before!r}")
        wait(opened, index, "stage.spoken.textContent.endsWith(stage.model.get('summary'))")
        stepped.append(name)
    assert {"TrainingPanel", "StepperPanel", "SharpnessPanel", "EnsemblePanel"} <= set(stepped)


def test_nothing_moves_by_itself_and_little_when_less_motion_is_wanted(opened: NotebookPage) -> None:
    opened.page.emulate_media(reduced_motion="reduce")
    for index in range(len(CELLS)):
        assert not ask(opened, index, "stage.playing")
    focus(opened, TRAINING, "[data-action=start]")
    press(opened, "Enter")
    wait(opened, TRAINING, "stage.following && stage.table.rows > 20")
    # no easing: each frame shows the newest row
    lags = opened.page.evaluate(
        """async index => {
            const stage = document.querySelectorAll(".weightlab")[index].weightlab;
            const lags = [];
            for (let frame = 0; frame < 20; frame++) {
                await new Promise(requestAnimationFrame);
                const before = stage.table.rows;
                await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
                if (stage.following) lags.push(before - 1 - stage.place);
            }
            return lags;
        }""",
        TRAINING,
    )
    assert len(lags) > 10 and max(lags) <= 0
    panel(opened, TRAINING).locator("[data-action=stop]").click()
    wait(opened, TRAINING, "stage.model.get('transport').state === 'stopped'")
    panel(opened, DESCENT).focus()
    press(opened, "Home", "Space")
    wait(opened, DESCENT, "stage.playing && stage.place > 1")
    press(opened, "Space", "End")
    opened.page.emulate_media(reduced_motion="no-preference")


@pytest.mark.parametrize(("width", "height", "sidebar"), [(1280, 720, True), (640, 400, True), (640, 400, False)])
def test_nothing_is_lost_on_a_small_screen_or_at_twice_the_size(
    opened: NotebookPage, width: int, height: int, sidebar: bool
) -> None:
    """640 by 400 is what a screen of 1280 by 800 has to give at a zoom of 200 %."""
    opened.page.set_viewport_size({"width": width, "height": height})
    if not sidebar:
        opened.command("application:toggle-left-area")
    for index, name in enumerate(CELLS):
        panel(opened, index)
        wait(opened, index, "stage.board.clientWidth < innerWidth && !stage.dirty.still && stage.stats.frames > 0")
        opened.page.wait_for_timeout(150)
        assert opened.page.evaluate(LOSSES, index) == [], name
    if not sidebar:
        opened.command("application:toggle-left-area")
    opened.page.set_viewport_size({"width": 1280, "height": 800})


def test_the_picture_stays_in_sight_of_the_last_of_twenty_controls(opened: NotebookPage) -> None:
    opened.page.set_viewport_size({"width": 1280, "height": 720})
    slider = panel(opened, TRAINING).locator("input[data-name=label_noise]")
    focus(opened, TRAINING, "input[data-name=label_noise]")
    opened.page.wait_for_timeout(200)
    assert opened.page.evaluate(FOCUSED)["uncovered"]
    around = opened.page.locator(".jp-WindowedPanel-outer").bounding_box()
    board = panel(opened, TRAINING).locator(".wl-board").bounding_box()
    box = slider.bounding_box()
    assert around and board and box
    assert around["y"] <= board["y"] and board["y"] + board["height"] <= box["y"]
    assert box["y"] + box["height"] <= around["y"] + around["height"]
    opened.page.set_viewport_size({"width": 1280, "height": 800})


def test_a_lab_needs_no_mouse(opened: NotebookPage) -> None:
    """Lab 00 by keyboard alone: run its cells, come to its panel, predict, move a slider, play, and go on below it."""
    page = opened.open_next("00_start_here.ipynb")
    press(page, "Escape")
    for _ in range(40):
        press(page, "Shift+Enter")
        if page.page.locator(".weightlab").count():
            break
        page.wait_until_idle()
    page.page.wait_for_function("() => document.querySelector('.weightlab')", timeout=20_000)
    page.wait_until_idle()
    stops = 0
    while page.page.evaluate(FOCUSED)["name"] != "panel":
        press(page, "Shift+Tab")
        stops += 1
        assert stops < 60, "the panel is not reached from the cell below it"
    wait(page, 0, "stage.stats.frames > 0 && !stage.sentAt.size")
    press(page, "Home", "Space")
    wait(page, 0, "stage.place > 1")
    while page.page.evaluate(FOCUSED)["name"] != "learning_rate":
        press(page, "Tab")
    before = ask(page, 0, "stage.model.get('values').learning_rate")
    press(page, "ArrowRight")
    wait(page, 0, f"stage.model.get('values').learning_rate > {before} && !stage.sentAt.size")
    while not page.page.evaluate("() => document.activeElement.matches('.wl-question select')"):
        press(page, "Tab")
    press(page, "ArrowDown", "Tab", "Enter")
    page.page.wait_for_function("() => document.activeElement.matches('.wl-answer')", timeout=10_000)
    press(page, "Escape", "Escape", "Shift+Enter")
    page.wait_until_idle()
    assert page.page.evaluate(FOCUSED)["panel"] == -1
    assert page.errors == [] and page.cell_errors() == []
