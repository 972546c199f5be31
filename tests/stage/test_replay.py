"""Replay pages without a browser: what the numbers lose, what the page holds, what it refuses."""

from __future__ import annotations

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from panel_support import unpacked_floats
from reliability import Record

from weightlab.playground.panel import TrainingPanel
from weightlab.scheduling.panel import SchedulePanel
from weightlab.stage.controls import Question
from weightlab.stage.packed import BITS, EXACT, rounded
from weightlab.stage.replay import replay_html
from weightlab.stopping.panel import EpochsPanel
from weightlab.toys.panel import DescentPanel

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

BIT_PATTERNS = arrays(np.uint32, st.tuples(st.integers(1, 3), st.integers(0, 6), st.integers(1, 3)))
SMALLEST_NORMAL = 2.0**-126


def read(text: str) -> tuple[dict[str, Any], bytes]:
    """A packed text's message and blocks, as replay.js reads them."""
    whole = zlib.decompress(base64.b64decode(text))
    head = int.from_bytes(whole[:4], "little")
    return json.loads(whole[4 : 4 + head]), whole[4 + head :]


def unpacked(place: dict[str, Any], blocks: bytes) -> NDArray[np.float32]:
    """The tables that stand at a place among the blocks."""
    start, size = place["packed"]
    return unpacked_floats(blocks[start : start + size], place)


def page_data(text: str) -> tuple[dict[str, Any], bytes]:
    found = re.search(r'id="wl-replay-data">([A-Za-z0-9+/=]+)</script>', text)
    assert found is not None
    return read(found[1])


# ---- numbers ----------------------------------------------------------------------------------------------------


@given(BIT_PATTERNS)
@settings(deadline=None, max_examples=200)
def test_rounding_moves_no_number_by_more_than_it_says(patterns: NDArray[np.uint32]) -> None:
    values = patterns.view(np.float32)
    finite = np.isfinite(values)
    exact, off = values[finite].astype(np.float64), rounded(values)[finite].astype(np.float64)
    bound = np.maximum(np.abs(exact) * 2.0**-BITS, SMALLEST_NORMAL * 2.0 ** (-BITS - 1))
    assert (np.abs(off - exact) <= bound).all()
    np.testing.assert_array_equal(rounded(values)[~finite], values[~finite])
    np.testing.assert_array_equal(rounded(values, EXACT), values)


# ---- what a page holds ------------------------------------------------------------------------------------------


def test_a_toy_with_a_fan_of_a_hundred_positions_stays_under_a_megabyte(
    tmp_path: Path, record_property: Record
) -> None:
    panel = DescentPanel("rotated_quadratic", ("gradient_descent", "momentum", "adam"), steps=300)
    path = panel.save_html(tmp_path / "toy.html")
    assert isinstance(path, Path) and path.stat().st_size < 1_000_000
    record_property("megabytes", path.stat().st_size / 1e6)
    message, blocks = page_data(path.read_text(encoding="utf-8"))
    fan = panel._fan("learning_rate")
    assert fan is not None and list(message["fans"]) == ["learning_rate"]
    sent = message["fans"]["learning_rate"]
    assert sent["message"]["positions"] == [c["positions"] for c in panel.controls if c["name"] == "learning_rate"][0]
    np.testing.assert_array_equal(unpacked(sent["buffers"][0], blocks), rounded(fan.tables))
    assert np.isnan(fan.tables).any()  # runs that diverged are among them


def test_only_sliders_whose_pictures_are_there_can_be_moved() -> None:
    panel = DescentPanel("rotated_quadratic", ("momentum",), steps=20)
    for wanted in ((), ("momentum",), ("steps", "learning_rate")):
        message, _ = page_data(replay_html(panel, sliders=wanted))
        kinds = {control["name"]: control["kind"] for control in message["traits"]["controls"]}
        assert {name for name, kind in kinds.items() if kind != "fixed"} == set(message["fans"]) == set(wanted)


def test_a_slider_that_needs_the_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="'width', which needs the kernel"):
        replay_html(EpochsPanel(epochs=2), sliders=("width",))
    with pytest.raises(ValueError, match="unknown slider .speed.*learning_rate"):
        replay_html(DescentPanel(steps=5), sliders=("speed",))


def test_a_slider_with_whole_pictures_brings_them_all() -> None:
    panel = SchedulePanel("step", steps=40)
    message, blocks = page_data(replay_html(panel, sliders=("noise",)))
    fan = message["fans"]["noise"]["message"]
    assert len(fan["whole"]) == len(fan["positions"]) == len(fan["tried"]) > 20
    panel.set(noise=fan["positions"][-1])
    assert panel._shown is not None
    last = unpacked(message["fans"]["noise"]["buffers"][-3], blocks)[0]
    np.testing.assert_array_equal(last, rounded(panel._shown.table))
    assert fan["whole"][-1]["summary"] == panel.summary


def test_a_training_run_is_there_to_its_last_row_without_its_buttons() -> None:
    panel = TrainingPanel(depth=1, width=4, steps=30, dataset="moons", learning_rate=0.1)
    panel.run(12)
    message, blocks = page_data(replay_html(panel))
    traits = message["traits"]
    assert panel._shown is not None and len(panel._shown.steps) == 12
    np.testing.assert_array_equal(unpacked(traits["picture"]["table"], blocks)[0], rounded(panel._shown.table))
    np.testing.assert_array_equal(unpacked(traits["picture"]["steps"], blocks)[0, :, 0], panel._shown.steps)
    assert traits["transport"]["live"] is False and message["fans"] == {}
    start, size = traits["picture"]["rasters"][0]["data"]["packed"]
    assert blocks[start : start + size] == panel.picture["rasters"][0]["data"]


def test_answered_questions_stay_and_open_ones_do_not() -> None:
    asked = [Question("How many?", lambda panel: 3.0), Question("How far?", lambda panel: 4.0)]
    panel = DescentPanel(steps=5, questions=asked)
    panel.predict(2, 4.0)
    message, _ = page_data(replay_html(panel))
    assert [question["text"] for question in message["traits"]["questions"]] == ["How far?"]


# ---- the page ---------------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Tags with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_asks_for_nothing_and_says_what_it_shows() -> None:
    panel = DescentPanel("rotated_quadratic", ("momentum",), steps=20, title="A <bowl> & more")
    text = replay_html(panel)
    tags = Outline(text).tags
    sources = [
        value for _, given in tags for name, value in given.items() if name in {"src", "href", "action"} and value
    ]
    assert all(source.startswith("data:") for source in sources)
    assert "default-src 'none'" in text and "unsafe" not in text.split("</head>")[0].split("<style>")[0]
    assert "<title>A &lt;bowl&gt; &amp; more</title>" in text and ("html", {"lang": "en"}) in tags
    (image,) = [given for tag, given in tags if tag == "img"]
    assert image["alt"] == panel.still().alt
    assert "eval(" not in text and text.count("</script>") == 2


def test_the_page_says_its_settings_as_a_text_that_a_panel_loads(tmp_path: Path) -> None:
    panel = DescentPanel("rotated_quadratic", ("momentum",), learning_rate=0.03)
    page = panel.save_html(tmp_path / "bowl.html", sliders=()).read_text(encoding="utf-8")
    said = re.search(r"<footer>.*<code>(.*)</code></footer>", page)
    assert said is not None and said[1] == panel.text
