"""What is promised of every panel alike: each in a small size, as tests/support/corner_support.py makes it.

Any order of messages: test_corners.py. In a browser: tests/browser. The programs: tests/programs.
"""

from __future__ import annotations

import math
import re
import threading
from typing import Any

import all_panels
import pytest
import torch
from corner_support import PANELS, Page
from ipywidgets.widgets.widget import _instances
from panel_support import ends, say, wait_for

import weightlab.stage.panel as module
from weightlab.stage.live_runs import LivePanel
from weightlab.stage.panel import Panel

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

LIVE = ("training, digits", "stepper, digits", "imbalance", "sharpness", "ensemble")
UNBOUNDED = {"start_x", "start_y", "angle"}  # any number is a place, or a direction
NOT_BESIDE_THE_OTHERS = (
    "examples|reads pictures|does not fit|memory|requires a momentum|has no parameter in this|has no weight_decay"
)


@pytest.fixture(params=PANELS)
def panel(request: pytest.FixtureRequest) -> Panel:
    return PANELS[request.param]()


@pytest.fixture(params=LIVE)
def live(request: pytest.FixtureRequest) -> LivePanel:
    made = PANELS[request.param]()
    assert isinstance(made, LivePanel)
    return made


def moved(panel: Panel) -> dict[str, Any]:
    """A slider that has a part to play, somewhere else."""
    spec = next(one for one in panel.controls if one["kind"] == "slider" and one["name"] not in panel.unused)
    return {spec["name"]: next(place for place in spec["positions"][1:] if place != panel.values[spec["name"]])}


def shown(panel: Panel) -> tuple[Any, ...]:
    return panel.picture, panel.record, panel.experiment, dict(panel.values), panel.text


def test_each_panel_there_is_has_a_small_size() -> None:
    kinds = {name: type(make()).__name__ for name, make in PANELS.items()}
    assert set(kinds.values()) == set(all_panels.PANELS)
    live = {name for name, kind in all_panels.PANELS.items() if issubclass(kind, LivePanel)}
    assert {kinds[name] for name in LIVE} == live


def test_it_reads_as_one_line_and_carries_a_small_picture_with_alt_text(panel: Panel) -> None:
    data, metadata = panel._repr_mimebundle_()
    assert data["text/plain"] == repr(panel) and "\n" not in repr(panel) and " at 0x" not in repr(panel)
    assert len(data["image/png"]) < 90_000 and metadata["image/png"]["alt"] and panel.summary
    assert "application/vnd.jupyter.widget-view+json" in data


def test_every_control_takes_both_ends_and_is_run_there(panel: Panel) -> None:
    page = Page(panel)
    for control in panel.controls:
        name = control["name"]
        for value in ends(control):
            refusal = page.say(type="set", values={name: value}).refusal
            page.check({name: value})
            if refusal is not None:
                assert re.search(NOT_BESIDE_THE_OTHERS, str(refusal)), (name, refusal)
                continue
            assert panel.values[name] == value
            if isinstance(panel, LivePanel):
                panel.run(steps=2)
                page.check({name: value, "run": 2})
        assert page.say(type="set", values=page.home).refusal is None


def test_what_is_no_value_is_explained_and_the_last_good_picture_stays(panel: Panel) -> None:
    before = shown(panel)
    for control in [one for one in panel.controls if one["name"] not in panel.unused]:
        name = control["name"]
        far = () if name in UNBOUNDED else (-1e9,)
        for bad in {"slider": ("fast", math.nan, *far), "choice": ("nonsense",)}.get(control["kind"], ()):
            say(panel, type="set", values={name: bad})
            assert panel.notice.get("kind") == "error", (name, bad)
            text = panel.notice["text"]
            assert "nonsense" in text or "got " in text and ("must be in" in text or "; " in text), (name, bad, text)
            assert shown(panel) == before
    say(panel, type="set", values=moved(panel))
    assert not panel.notice


def test_a_misspelt_setting_names_the_nearest_and_leaves_no_panel(panel: Panel) -> None:
    (name,), widgets = moved(panel), set(_instances)
    misspelt: dict[str, Any] = {name[:-1]: 1}
    for call in (panel.set, type(panel)):
        with pytest.raises(ValueError, match=f"unknown setting '{name[:-1]}': did you mean"):
            call(**misspelt)
    assert set(_instances) == widgets


def test_its_text_brings_back_its_settings_and_a_damaged_one_changes_nothing(panel: Panel) -> None:
    before = shown(panel)
    text = panel.text
    assert text.startswith("weightlab1/") and " " not in text
    for damaged in ("", "hello", text[:-1] + "~", text.replace("weightlab1", "weightlab99"), f"{text}/nonsense=1"):
        say(panel, type="load", text=damaged)
        assert panel.notice["kind"] == "error" and shown(panel) == before, damaged
    panel.set(**moved(panel))
    assert panel.text != text
    panel.load(text)
    assert (panel.text, panel.values) == (text, before[3])


@pytest.mark.parametrize("name", PANELS)
def test_a_cell_run_again_closes_what_it_made_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for execution in range(3):
        monkeypatch.setattr(module, "_cell_and_execution", lambda execution=execution: ("cell", str(execution)))
        panel = PANELS[name]()
        say(panel, type="hello")
        counts.append((len(_instances), threading.active_count()))
    assert len(set(counts)) == 1


# ---- runs that go on while the learner watches -------------------------------------------------------------------


def press(panel: LivePanel, name: str) -> str:
    """The run's state after a button."""
    say(panel, type="command", name=name)
    return str(panel.transport["state"])


def test_a_run_starts_in_one_thread_pauses_steps_and_stops(live: LivePanel) -> None:
    live.set(pace=5.0)
    threads = threading.active_count()
    for name in ("reset", "start"):
        live._receive(live, {"type": "command", "name": name}, [])
    wait_for(lambda: live.transport["state"] == "running")
    assert threading.active_count() <= threads + 1
    assert press(live, "pause") == "paused"
    text = live.transport["text"]
    assert press(live, "step") == "paused"
    assert press(live, "stop") == "stopped" and live.transport["text"] != text
    text = live.transport["text"]
    assert press(live, "start") == "stopped" and live.transport["text"] == text  # over: Reset begins again
    with pytest.raises(ValueError, match="did you mean 'reset'"):
        live._command("rest")


def test_reset_repeats_the_run_to_the_bit_and_new_seed_makes_another(live: LivePanel) -> None:
    live.set(pace=1000.0)
    tables = []
    for button in ("reset", "reset", "new_seed"):
        press(live, button)
        live.run(steps=8)
        assert live._shown is not None
        tables.append(torch.as_tensor(live._shown.table.copy()).nan_to_num())
    assert torch.equal(tables[0], tables[1])
    assert tables[0].shape != tables[2].shape or not torch.equal(tables[0], tables[2])
