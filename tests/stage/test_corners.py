"""Every control of every panel at its ends and beyond, one after another, said as a page says it.

The default run tries the same few sequences every time. For a long one with new sequences:

    WEIGHTLAB_CORNERS=40 .venv/bin/pytest tests/stage/test_corners.py

tries 40 sequences on each panel.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

import pytest
from corner_support import PANELS, Page
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from reliability import Record

from weightlab.networks.models import model
from weightlab.training.sizes import size_of

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

LONG = int(os.environ.get("WEIGHTLAB_CORNERS", "0"))
SECONDS = 30.0  # for one answer, on a machine that does other work too
TYPED = (
    0, -1, 1, 0.5, 1.5, 2.5, 7, 0.999, 1e6, -1e6, 1e-12, 1e-300, 5e-324, 1e12, 1e20, 1e300, 10**15, 10**20, 4096,
    "inf", "-inf", "nan", "1e999", "-1e999", "abc", "", "x" * 5000, "1_0", "<img src=x onerror=alert(1)>", "\0",
)  # fmt: skip
ANSWERS = ("0.5", "0,5", "−1", "up", "down", "sideways", "", "nan", "1e999", "x" * 5000)
COMMANDS = ("start", "pause", "step", "stop", "reset", "new_seed", "nonsense")


def _values(spec: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a learner can give to a control, more often than not something that it takes."""
    if spec["kind"] == "toggle":
        return st.booleans()
    if spec["kind"] == "choice":
        return st.sampled_from([*(value for value, _ in spec["options"]), "nonsense", ""])
    low, high = spec["positions"][0], spec["positions"][-1]
    beyond = (low / 2, high * 2, high * 10, low - 1, high + 1)
    return st.sampled_from(spec["positions"]) | st.sampled_from((low, high)) | st.sampled_from((*beyond, *TYPED))


class Learner(RuleBasedStateMachine):
    """Whatever a learner can do on a page, in any order."""

    panel_name = ""
    record: Record

    def __init__(self) -> None:
        super().__init__()
        self.page = Page(PANELS[self.panel_name]())
        self.panel = self.page.panel

    @property
    def specs(self) -> dict[str, dict[str, Any]]:
        return {spec["name"]: spec for spec in self.panel.controls}

    def _say(self, **message: Any) -> bool:
        """Whether the panel took it. What is refused changes nothing, and says what would be taken."""
        panel, was_live = self.panel, self.page.is_live
        before = dict(panel.values), panel._shown, panel.record, panel.experiment
        answer = self.page.say(SECONDS, **message)
        self.page.check(message)
        if answer.refusal is None:
            return True
        assert panel.notice["kind"] == "error" and panel.notice["text"] == str(answer.refusal), message
        assert panel.values == before[0], message
        if not was_live:
            assert (panel._shown, panel.record, panel.experiment) == before[1:], message
        return False

    @rule(data=st.data())
    def set(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([name for name in self.specs if name not in self.panel.unused]))
        if not self._say(type="set", values={name: data.draw(_values(self.specs[name]))}):
            assert re.search("got |unknown |does not fit", self.panel.notice["text"])

    @rule(data=st.data())
    def set_several(self, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from(list(self.specs)), min_size=2, max_size=4))
        self._say(type="set", values={name: data.draw(_values(self.specs[name])) for name in names})

    @rule(name=st.sampled_from(COMMANDS))
    def command(self, name: str) -> None:
        self._say(type="command", name=name)

    @rule()
    @precondition(lambda self: self.page.is_live)
    def watch(self) -> None:
        time.sleep(0.05)

    @rule(step=st.sampled_from((0, 1, 2, 5, 19, 20, 99, 100, -1, 10**6, 10**8, None)))
    def branch(self, step: int | None) -> None:
        self._say(type="branch", step=step)

    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        """The panel's own text with one of its numbers another, or cut."""
        text = self.panel.text
        numbers = list(re.finditer(r"(?<==)[0-9][^,/]*", text))
        whole = data.draw(st.booleans())
        if numbers and whole:
            found = data.draw(st.sampled_from(numbers))
            other = data.draw(st.sampled_from([str(value) for value in TYPED]))
            text = text[: found.start()] + other + text[found.end() :]
        else:
            text = text[: data.draw(st.integers(0, len(text)))]
        self._say(type="load", text=text)

    @rule(number=st.sampled_from((0, 1)), answer=st.sampled_from(ANSWERS))
    @precondition(lambda self: self.panel.questions)
    def predict(self, number: int, answer: str) -> None:
        self._say(type="predict", id=number, value=answer)

    @rule(data=st.data(), words=st.booleans())
    def fan(self, data: st.DataObject, words: bool) -> None:
        name = data.draw(st.sampled_from([name for name, spec in self.specs.items() if spec["kind"] == "slider"]))
        places = st.sampled_from(self.specs[name]["positions"])
        positions = data.draw(st.lists(places, min_size=1, max_size=4, unique=True))
        self._say(type="fan", name=name, positions=positions, words=words)

    @rule(kind=st.sampled_from(("reveal", "hello", "join", "home")), is_open=st.booleans())
    def look(self, kind: str, is_open: bool) -> None:
        self._say(type=kind, open=is_open)

    def teardown(self) -> None:
        """Whatever has been said: the settings load back from their text, and a good setting is taken."""
        try:
            self._say(type="command", name="stop")
            text = self.panel.text
            if self._say(type="load", text=text):
                assert self.panel.text == text
            answer = self.page.say(SECONDS, type="set", values=self.page.home)
            assert answer.refusal is None, answer.refusal
            self.page.check({"type": "home"})
            self.record("messages", self.page.said)
        finally:
            self.panel.close()


# What was found to go wrong at some time, each in the fewest messages.
FOUND: tuple[tuple[str, tuple[dict[str, Any], ...], str], ...] = (
    ("signal", ({"depth": "inf"},), "finite number"),
    ("signal", ({"depth": 2.5},), "whole number"),
    ("signal", ({"gain": "nan"},), "finite number"),  # has no effect at first: the page could not be told of NaN
    ("schedule", ({"power": "1e999"},), "finite number"),
    ("descent", ({"steps": "-inf"},), "finite number"),
    ("descent", ({"steps": 100_000},), "weightlab.descent.run.descend"),
    ("descent", ({"start_x": 1e300},), ""),
    ("descent", ({"steps": "x" * 5000},), "…"),
    ("descent, own rates", ({"loss_scale": 5e-324},), ""),
    ("descent, own rates", ({"loss_scale": 1e300},), ""),
    ("epochs", ({"learning_rate": 1e300},), "got 1e"),
    ("epochs", ({"epochs": 2000},), "learning_curves"),
    ("schedule", ({"learning_rate": 1e12},), ""),
    ("sharpness", ({"learning_rate": 5e-324},), "nothing moves"),
    ("imbalance", ({"threshold": 0.999},), ""),
    ("sharpness", ({"learning_rate": 10**20},), ""),  # a page sends it as a whole number, which no text can hold
    ("epochs", ({"learning_rate": 1e20},), ""),
    ("training, digits", ({"pace": 0},), "updates a second"),
    ("training, digits", ({"clip_value": 1e300},), "got 1e"),
    ("training, digits", ({"width": 2048}, {"depth": 100}), "memory"),
    ("training, digits", ({"depth": 16, "width": 200, "model": "lstm", "reading": "pixels"},), "multiplications"),
    ("ensemble", ({"width": 1024, "depth": 100},), "memory"),
    ("surface", ({"width": 512},), "follow"),
    ("surface", ({"learning_rate": 1e-300, "plane": "random"},), "larger learning rate"),
    ("surface", ({"learning_rate": 1e20},), "smaller learning rate"),
    ("sharpness", ({"width": 4096},), "SharpnessWatch"),
    ("time gradients", ({"width": 4096},), "measure_time_gradients"),
    ("signal", ({"width": 4096, "initializer": "orthogonal"},), "measure_signals"),
)


@pytest.mark.parametrize(("name", "settings", "refused_for"), FOUND)
def test_what_once_went_wrong_is_shown_or_refused_in_words(
    name: str, settings: tuple[dict[str, Any], ...], refused_for: str
) -> None:
    page = Page(PANELS[name]())
    *before, last = settings
    for values in before:
        assert page.say(SECONDS, type="set", values=values).refusal is None
    shown = page.panel._shown, page.panel.values
    refusal = page.say(SECONDS, type="set", values=last).refusal
    page.check(last)
    assert refused_for in str(refusal) if refused_for else refusal is None
    assert refusal is None or (page.panel._shown, page.panel.values) == shown
    assert page.say(SECONDS, type="set", values=page.home).refusal is None
    page.panel.close()


def test_a_branch_at_the_last_step_of_a_run_made_shorter_leaves_nothing_to_measure() -> None:
    page = Page(PANELS["descent"]())
    for message in ({"type": "set", "values": {"steps": 200}}, {"type": "branch", "step": 100}):
        assert page.say(SECONDS, **message).refusal is None
    assert page.say(SECONDS, type="set", values={"steps": 100}).refusal is None
    assert page.say(SECONDS, type="branch", step=None).refusal is not None
    page.check({})
    page.panel.close()


def test_a_rule_without_momentum_can_follow_a_text_that_changes_the_momentum_midway() -> None:
    page = Page(PANELS["training, digits"]())
    text = "weightlab1/training/mlp,width=8/digits/momentum,lr=0.01/steps=20/from=10,momentum=0.5"
    assert page.say(SECONDS, type="load", text=text).refusal is None
    assert page.panel.experiment.changes == ((10, "momentum", 0.5),)
    assert page.say(SECONDS, type="set", values={"rule": "gradient_descent"}).refusal is None
    assert page.panel.experiment.changes == ()
    page.panel.close()


def test_the_size_of_a_network_is_known_without_making_it() -> None:
    for name, chosen in (("mlp", {"batch_norm": True}), ("cnn", {}), ("rnn", {}), ("lstm", {}), ("gru", {"depth": 2})):
        settings = model(name, **{"depth": 3, "width": 5} | chosen)
        network = settings.build((1, 8, 8), 10)
        size = size_of(settings, (1, 8, 8), 10)
        assert size.weights == sum(p.numel() for _, layer in network.layers for p in layer.parameters())


@pytest.mark.timeout(0 if LONG else 300)
@pytest.mark.parametrize("name", PANELS)
def test_whatever_is_set_a_panel_shows_it_or_says_what_it_would_take(name: str, record_property: Record) -> None:
    machine = type("LearnerOnOne", (Learner,), {"panel_name": name, "record": staticmethod(record_property)})
    quick = settings(max_examples=2, stateful_step_count=20, derandomize=True, database=None, phases=[Phase.generate])
    many = settings(max_examples=max(1, LONG), stateful_step_count=30, print_blob=True)
    chosen = settings(many if LONG else quick, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=chosen)
