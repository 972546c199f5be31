"""No text becomes HTML in JupyterLab: a panel shows names, labels, answers and messages with their tags as they are.

The same for replays and the site: tests/stage/test_hostile_pages.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from browser_support import LabBrowser, NotebookPage
from drill_support import Shown, open_cells
from hostile_support import HOSTILE, TAGS, harmless
from reliability import Record

pytestmark = pytest.mark.long
DESCENT, TRAINING = 2, 3  # cells
SETUP = f"""import torch
from torch import nn
from weightlab.networks.datasets import dataset_from_tensors
from weightlab.descent.landscapes import landscape_from_function
from weightlab.networks.own_model import model_from_module
from weightlab.stage.controls import Question
bad = {HOSTILE!r}
def bowl(w1, w2):
    return w1**2 + w2**2 # <img src=x onerror="window.pwned=1">
bowl.__name__ = bad
def network():
    made = nn.Sequential()
    made.add_module(bad.replace(".", ""), nn.Linear(2, 3))
    made.add_module("last", nn.Linear(3, 2))
    return made
class Moody(torch.optim.SGD):
    def __init__(self, params, lr=0.01):
        if lr > 0.5:
            raise RuntimeError(bad)
        super().__init__(params, lr=lr)
asked = [Question(bad, lambda panel: bad, options=(bad, "no"), explain=bad),
         Question("How far?", lambda panel: 3.0, unit=bad)]
data = dataset_from_tensors(torch.randn(40, 2, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2,
                            name=bad, class_names=(bad, "b"))"""
CELLS = (
    SETUP,
    "walk = DescentPanel(landscape_from_function(bowl, ((-3, 3), (-3, 3)), name=bad), ('momentum', Moody), title=bad,\n"
    "                    questions=asked, steps=20)\nwalk",
    "run = TrainingPanel(controls='all', own=[data, model_from_module(network, name=bad), Moody], dataset=data,\n"
    "                    batch_size=8, depth=1, width=2, steps=30, title=bad)\nrun",
    "walk.still().described(bad)",
    "raise ValueError(bad)",
)


@pytest.fixture(scope="module")
def opened(lab: LabBrowser) -> Iterator[NotebookPage]:
    """The notebook, loaded once more while `requests` of the page are taken down, and run."""
    page = open_cells(lab, "hostile.ipynb", *CELLS)
    asked: list[str] = []
    page.page.on("request", lambda request: asked.append(request.url))
    page.page.on("websocket", lambda socket: asked.append(socket.url))
    page.page.reload()
    page.wait_until_ready()
    page.run_all()
    for index in (DESCENT, TRAINING):
        Shown(page, index).wait("stage.stats.frames > 0")
    page.asked = asked  # type: ignore[attr-defined]
    yield page
    page.close()


def says(shown: Shown, selector: str, seconds: float = 20.0) -> None:
    """Wait until one of the elements shows the hostile text, letter for letter."""
    end = time.monotonic() + seconds
    while True:
        found = shown.node.locator(selector).all_text_contents()
        if any(TAGS in text for text in found):
            break
        assert time.monotonic() < end, f"{selector} does not say it: {found}"
        time.sleep(0.05)
    assert harmless(shown.notebook.page)


def test_every_text_of_a_panel_is_shown_as_it_is(opened: NotebookPage) -> None:
    walk, run = Shown(opened, DESCENT), Shown(opened, TRAINING)
    for shown in (walk, run):
        assert HOSTILE in str(shown.look("root.getAttribute('aria-label')"))
    says(walk, ".wl-question-text")
    says(walk, ".wl-question option")
    says(walk, ".wl-summary, .wl-spoken")
    says(run, "select[data-name=dataset] option")
    says(run, "select[data-name=model] option")
    assert opened.page.locator(".jp-OutputArea img").count() == 1  # the picture with its alternative text
    assert opened.cell_errors() == [f"cell 5: ValueError: {HOSTILE}"]


def test_an_answer_is_shown_as_it_is(opened: NotebookPage) -> None:
    walk = Shown(opened, DESCENT)
    walk.node.locator(".wl-question input").fill(HOSTILE)
    walk.node.locator(".wl-question input").press("Enter")
    says(walk, ".wl-problem")
    walk.node.locator(".wl-question select").select_option(HOSTILE)
    walk.node.locator(".wl-question button").first.click()
    says(walk, ".wl-answer")


def test_a_value_a_state_text_and_an_exception_are_refused_as_they_are(opened: NotebookPage) -> None:
    walk = Shown(opened, DESCENT)
    exact = walk.node.locator("[data-exact=learning_rate]")
    for typed, good in ((HOSTILE, "0.2"), ("0.9", "0.3")):  # no number; one at which the learner's own class raises
        exact.fill(typed)
        exact.press("Enter")
        says(walk, ".wl-notice:not([hidden])")
        exact.fill(good)
        exact.press("Enter")
        walk.wait("stage.notice.hidden && !stage.sentAt.size")
    walk.node.locator(".wl-home summary").click()
    pasted = walk.node.get_by_label("settings as a text, to load")
    pasted.fill(f"weightlab1/panel/{HOSTILE}")
    pasted.press("Enter")
    walk.wait("!stage.notice.hidden")
    assert harmless(opened.page)
    walk.wait("root.querySelector('.wl-code').textContent.includes('def ')")
    assert harmless(opened.page)


def test_the_page_asks_its_own_server_and_nobody_else(
    opened: NotebookPage, lab: LabBrowser, record_property: Record
) -> None:
    asked: list[str] = opened.asked  # type: ignore[attr-defined]
    own = (f"{lab.server.url}/", f"{lab.server.url.replace('http', 'ws', 1)}/", "data:", f"blob:{lab.server.url}/")
    assert len(asked) > 20 and any("/channels" in url for url in asked)
    assert [url for url in asked if not url.startswith(own)] == []
    record_property("requests", len(asked))


def test_the_server_answers_nobody_without_its_token(lab: LabBrowser) -> None:
    server, token = lab.server, lab.server.token
    assert server._request("/api/contents")
    try:
        server.token = ""
        assert server._request("/api/contents") is None and server._request("/api/kernels") is None
    finally:
        server.token = token
