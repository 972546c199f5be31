"""Every lab in a real JupyterLab in Chromium: each panel shows, and everything on it can be moved and has an effect.

By default only the cells that panels need are run, since the notebook tests run all of them; `--whole-labs` runs all.
A lab joins by standing in labs/. tests/support/panel_driver.js moves what a hand would move.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser_support import LABS, LabBrowser, NotebookPage
from lab_slices import keep_what_panels_need, panel_cells
from reliability import Record

pytestmark = pytest.mark.long

DRIVER = (Path(__file__).parents[1] / "support" / "panel_driver.js").read_text(encoding="utf-8")
NOTEBOOKS = sorted(LABS.glob("*.ipynb"))
SECONDS_TO_SHOW = 10
STEPS = 14  # two passes of the update loop and two lines; enough for momentum to matter in a training
HOW_FAST = {"pace"}  # changes how fast a run goes, not what it does
# The beginning of each cell in sight whose code is wider than it, beside the file browser and in a window 1280 px wide.
CUT_CODE = """() => [...document.querySelectorAll(".jp-CodeCell .cm-scroller")]
    .filter(code => code.scrollWidth > code.clientWidth).map(code => code.innerText.slice(0, 80))"""


class LabPage:
    """A lab that has run, and its panels by the number of their cell."""

    def __init__(self, notebook: NotebookPage, panels: list[int]) -> None:
        self.notebook, self.panels = notebook, panels

    def drive(self, action: str, *arguments: Any) -> Any:
        """Result of window.drive[action], which waits for the kernel's answer."""
        script = "([action, ...rest]) => window.drive[action](...rest)"
        return self.notebook.page.evaluate(script, [action, *arguments])

    def wait(self, cell: int, condition: str) -> None:
        """Wait until `condition`, JavaScript over `stage`, holds."""
        script = f"cell => {{ const stage = window.drive.stageOf(cell); return {condition}; }}"
        self.notebook.page.wait_for_function(script, arg=cell, timeout=20_000)

    def faults(self) -> list[str]:
        """Whatever the page, the cells and the panels complain of."""
        found = self.notebook.cell_errors() + self.notebook.errors
        for cell in self.panels:
            state = self.drive("state", cell)
            found += [f"panel of cell {cell}: {text}" for text in (state["failure"], state["shownFailure"]) if text]
        return found


@pytest.fixture(scope="module")
def pages(lab: LabBrowser) -> Iterator[list[NotebookPage]]:
    """The notebook that is open, if any: all labs are opened in one JupyterLab, one after the other."""
    opened: list[NotebookPage] = []
    yield opened
    for page in opened:
        page.close()


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def opened(request: pytest.FixtureRequest, lab: LabBrowser, pages: list[NotebookPage]) -> LabPage:
    path = lab.server.folder / request.param.name
    if not request.config.getoption("--whole-labs", default=False):
        keep_what_panels_need(path)
    page = pages.pop().open_next(path.name) if pages else lab.open(path.name, height=1000)
    pages.append(page)
    page.page.evaluate(DRIVER)
    page.run_all()
    return LabPage(page, panel_cells(nbformat.read(path, as_version=4)))


def test_every_panel_shows_its_picture_and_nothing_fails(
    opened: LabPage, request: pytest.FixtureRequest, record_property: Record
) -> None:
    assert opened.notebook.cell_errors() + opened.notebook.errors == []
    assert opened.drive("shown") == opened.panels and opened.panels
    for cell in opened.panels:
        begun = time.perf_counter()
        views = opened.drive("showPanel", cell, SECONDS_TO_SHOW)
        record_property("seconds", time.perf_counter() - begun)
        record_property("panels", 1)
        assert views and not [view for view in views if view["empty"]]
        assert opened.notebook.page.evaluate(CUT_CODE) == [], "lines of code run over the right edge"
    if folder := request.config.getoption("--screenshots", default=None):
        keep_pictures(opened, folder)
    assert opened.faults() == []


def keep_pictures(opened: LabPage, folder: Path) -> None:
    """A picture of every panel in both themes, for people to look at, in a window in which the whole panel fits."""
    folder.mkdir(parents=True, exist_ok=True)
    page, usual = opened.notebook.page, opened.notebook.page.viewport_size
    assert usual is not None
    page.set_viewport_size({"width": 1280, "height": 2000})
    for theme in ("dark", "light"):
        opened.notebook.theme(theme)
        page.locator("#jupyterlab-splash").wait_for(state="hidden", timeout=20_000)
        for cell in opened.panels:
            opened.drive("showPanel", cell, SECONDS_TO_SHOW)
            panel = page.locator(".jp-Cell").nth(cell).locator(".weightlab")
            panel.screenshot(path=folder / f"{Path(opened.notebook.name).stem}_cell_{cell:02d}_{theme}.png")
    page.set_viewport_size(usual)


def test_every_prediction_is_taken_and_the_reading_then_shows(opened: LabPage) -> None:
    for cell in opened.panels:
        asked = opened.drive("state", cell)["questions"]
        boxes = opened.notebook.page.locator(".jp-Cell").nth(cell).locator(".wl-question")
        for number, question in enumerate(asked):
            assert question["prediction"] is None
            box = boxes.nth(number)
            if question["options"]:
                box.locator("select").select_option(question["options"][0])
            else:
                box.locator("input").fill("0.3")
            box.get_by_role("button", name="Predict").click()
            box.get_by_text("You said").wait_for(timeout=20_000)
        reading = opened.notebook.page.locator(".jp-Cell").nth(cell).locator(".wl-reading")
        assert reading.is_visible() == (opened.drive("state", cell)["reading"] > 0)
    assert opened.faults() == []


def candidates(control: dict[str, Any], value: Any) -> list[Any]:
    """Values to move a control to, best first: one of them must have an effect."""
    if control["kind"] == "toggle":
        return [not value]
    if control["kind"] == "choice":
        return [option for option, _ in control["options"] if option != value]
    positions = control["positions"]
    last = len(positions) - 1
    here = min(range(len(positions)), key=lambda i: abs(positions[i] - value))
    places = dict.fromkeys((here // 2, (here + last) // 2, 1, 0, last))
    return [positions[i] for i in places if positions[i] != value]


def refused(state: dict[str, Any], value: str) -> bool:
    """Whether the panel said why this choice does not go with the others, instead of failing."""
    said = state["shownFailure"]
    named = repr(value) in said or "has no parameter in this network" in said  # a group, of which the value is a part
    return named and "The last picture stays" not in said


class Hand:
    """Moves the controls of one panel, each from the same state, and looks whether anything changes."""

    def __init__(self, lab: LabPage, cell: int) -> None:
        self.lab, self.cell = lab, cell
        state = lab.drive("state", cell)
        self.opened_with = state["values"]
        self.controls = {control["name"]: control for control in state["controls"]}
        self.revealing: dict[str, dict[str, Any]] = {}  # a control that is unused at first -> a state where it is not
        self.refusals: list[tuple[str, Any]] = []  # (control, value) that the panel said do not go with the others
        self.start = {"visible": state["visible"]}
        if state["transport"]["state"] in {"finished", "stopped", "diverged"}:
            lab.drive("press", cell, "reset")
            state = lab.drive("settle", cell)
        self.start = self.honest(self.rested(state))
        if "pace" in self.controls:  # nobody watches
            self.start = self.move("pace", self.controls["pace"]["positions"][-1], self.opened_with)
        self.replayed: int | None = None

    def rested(self, state: dict[str, Any]) -> dict[str, Any]:
        """A run that has not begun shows nothing of its settings: some steps first."""
        idle = state["transport"]["live"] and state["transport"]["state"] == "idle"
        return self.lab.drive("step", self.cell, STEPS) if idle else state

    def move(self, name: str, value: Any, context: dict[str, Any]) -> dict[str, Any]:
        """The state with this control at `value` and the others as in `context`."""
        state = self.lab.drive("move", self.cell, name, value, context)
        if self.controls[name]["kind"] == "choice" and refused(state, value):
            self.refusals.append((name, value))
            return self.put(context)
        state = self.honest(self.rested(state))
        assert state["values"][name] == value, f"{name} moved to {value} is {state['values'][name]}"
        return state

    def honest(self, state: dict[str, Any]) -> dict[str, Any]:
        """The same state; hidden are just the controls that the panel says are unused, and no move failed."""
        assert not state["failure"] and not state["shownFailure"], f"{state['failure']} with {state['values']}"
        assert sorted(state["hidden"]) == sorted(set(state["unused"]) & set(self.controls))
        for name in set(state["visible"]) - set(self.start["visible"]):
            self.revealing.setdefault(name, state)
        return state

    def replay(self, values: dict[str, Any]) -> int:
        """The picture of a new run with these values: what a setting that acts at once does to a run."""
        self.lab.drive("press", self.cell, "reset")
        state = self.rested(self.lab.drive("settle", self.cell))
        assert state["values"] == values
        return int(state["print"])

    def check(self, name: str, before: dict[str, Any]) -> None:
        """Fail unless some value of the control changes what is shown, or each is refused in words."""
        tried = candidates(self.controls[name], before["values"][name])
        for value in tried:
            state = self.move(name, value, before["values"])
            if name in HOW_FAST or state["print"] != before["print"]:
                return
            if set(state["visible"]) > set(before["visible"]):  # a group of parameters: its rate comes into view
                return
            if state["transport"]["live"] and self.replay(state["values"]) != self.replay_of(before):
                return
        if all((name, value) in self.refusals for value in tried):
            return
        raise AssertionError(f"{name} has no effect at {tried}, and the panel does not say so ({before['values']})")

    def replay_of(self, before: dict[str, Any]) -> int:
        """The picture of a new run with the values of `before`."""
        if self.replayed is None:
            self.replayed = self.replay(self.put(before["values"])["values"])
        return self.replayed

    def put(self, values: dict[str, Any]) -> dict[str, Any]:
        """The state with all controls at these values."""
        return self.honest(self.rested(self.lab.drive("put", self.cell, values)))

    def check_all(self) -> None:
        """Every control; those that are unused at first where another one brings them out."""
        for name in self.start["visible"]:
            self.check(name, self.start)
        left = [name for name in self.controls if name not in self.start["visible"]]
        for name in self.start["visible"]:
            for value in candidates(self.controls[name], self.start["values"][name]):
                if all(other in self.revealing for other in left) or self.controls[name]["kind"] == "slider":
                    break
                self.move(name, value, self.start["values"])
        for name in left:
            assert name in self.revealing, f"nothing on this panel brings out {name}"
            self.check(name, self.revealing[name])
        self.put(self.opened_with)


def test_every_control_has_an_effect_or_is_marked_unused(opened: LabPage, record_property: Record) -> None:
    for cell in opened.panels:
        opened.drive("showPanel", cell, SECONDS_TO_SHOW)
        hand = Hand(opened, cell)
        hand.check_all()
        record_property("controls", len(hand.controls))
    assert opened.faults() == []


def test_a_drag_on_the_picture_sets_both_of_its_values(opened: LabPage) -> None:
    mouse = opened.notebook.page.mouse
    for cell in opened.panels:
        opened.drive("showPanel", cell, SECONDS_TO_SHOW)
        for view in opened.drive("state", cell)["pads"]:
            before = opened.drive("state", cell)
            away, there = opened.drive("spot", cell, view, 0.6, 0.5), opened.drive("spot", cell, view, 0.3, 0.7)
            mouse.move(away["x"], away["y"])
            mouse.down()
            mouse.move(there["x"], there["y"], steps=4)
            mouse.up()
            opened.drive("settle", cell)
            after = opened.drive("state", cell)
            assert [after["values"][name] for name in there["names"]] == pytest.approx(there["values"], rel=0.02)
            assert after["print"] != before["print"]
    assert opened.faults() == []


def test_the_picture_plays_steps_and_scrubs(opened: LabPage) -> None:
    for cell in opened.panels:
        opened.drive("showPanel", cell, SECONDS_TO_SHOW)
        state = opened.drive("settle", cell)  # a run that ends meanwhile would show its end
        assert state["replay"] == (state["rows"] > 1 or state["transport"]["live"])
        if state["rows"] < 2:
            continue
        end = opened.drive("scrub", cell, state["rows"] - 1)
        start = opened.drive("scrub", cell, 0)
        assert start["ink"] != end["ink"]
        assert (start["text"], end["text"]) == (f"step {start['step']}", f"step {end['step']}")
        assert opened.drive("press", cell, "forward")["place"] == 1
        assert opened.drive("press", cell, "back")["place"] == 0
        assert opened.drive("speed", cell, "0.25") == 0.25
        opened.drive("press", cell, "play")
        opened.wait(cell, "stage.playing && stage.place > 0")
        assert not opened.drive("press", cell, "play")["playing"]
        assert opened.drive("speed", cell, "4") == 4
        opened.drive("scrub", cell, 0.8 * (state["rows"] - 1))
        opened.drive("press", cell, "play")
        opened.wait(cell, "!stage.playing && stage.place === stage.table.rows - 1")
    assert opened.faults() == []


def test_a_live_run_starts_obeys_pauses_stops_and_begins_again(opened: LabPage) -> None:
    for cell in opened.panels:
        opened.drive("showPanel", cell, SECONDS_TO_SHOW)
        if opened.drive("state", cell)["transport"]["live"]:
            run_live(opened, cell)
    assert opened.faults() == []


def run_live(opened: LabPage, cell: int) -> None:
    """Start, change midway, Pause, Step, Continue, Stop, Reset, New seed; slowly, so that the run does not end."""
    opened.drive("slowly", cell)
    fresh = opened.drive("press", cell, "reset")
    sliders = [control["name"] for control in fresh["controls"] if control["kind"] == "slider"]
    slider = next(name for name in sliders if name in fresh["visible"] and name not in HOW_FAST)

    def go_on() -> None:
        if opened.drive("state", cell)["transport"]["state"] != "running":
            opened.drive("press", cell, "start")
        opened.wait(cell, "stage.model.get('transport').state === 'running'")
        rows = opened.drive("state", cell)["rows"]
        opened.wait(cell, f"stage.table.rows > {rows}")

    go_on()
    changed = opened.drive("nudge", cell, slider)
    assert changed["transport"]["state"] in {"running", "idle"} and not changed["failure"]
    go_on()
    paused = opened.drive("press", cell, "pause")
    assert paused["transport"]["state"] == "paused"
    stepped = opened.drive("press", cell, "step")
    assert stepped["transport"]["state"] == "paused" and stepped["lastStep"] > paused["lastStep"]
    go_on()
    stopped = opened.drive("press", cell, "stop")
    assert stopped["transport"]["state"] == "stopped"
    assert opened.drive("nudge", cell, "pace")["rows"] == stopped["rows"]
    again = opened.drive("press", cell, "reset")
    assert again["transport"]["state"] in {"idle", "running"} and again["lastStep"] < stopped["lastStep"]
    assert opened.drive("press", cell, "reset")["firstRow"] == again["firstRow"]
    assert again["buttons"]["new_seed"] == again["transport"].get("seeds", True)
    if again["buttons"]["new_seed"]:
        assert opened.drive("press", cell, "new_seed")["firstRow"] != again["firstRow"]
    if opened.drive("state", cell)["transport"]["state"] == "running":
        opened.drive("press", cell, "stop")


DEAD_SEED = """from dataclasses import replace
from weightlab.signals.panel import SignalPanel
class Deaf(SignalPanel):
    def _drawn(self, asked, every):
        return super()._drawn(replace(asked, seed=0), every)
Deaf()"""


def test_a_control_without_effect_is_found(lab: LabBrowser, pages: list[NotebookPage]) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(DEAD_SEED)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, lab.server.folder / "deaf.ipynb")
    page = pages.pop().open_next("deaf.ipynb") if pages else lab.open("deaf.ipynb", height=1000)
    pages.append(page)
    page.page.evaluate(DRIVER)
    page.run_all()
    deaf = LabPage(page, [0])
    deaf.drive("showPanel", 0, SECONDS_TO_SHOW)
    with pytest.raises(AssertionError, match="seed has no effect at .* and the panel does not say so"):
        Hand(deaf, 0).check_all()
