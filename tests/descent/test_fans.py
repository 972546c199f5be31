"""Fans: what a drag shows is what the run itself would have shown, to the last bit or to rounding."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from panel_support import unpacked_floats
from refusals import refusals

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import LANDSCAPES, landscape, landscape_from_function
from weightlab.descent.record import DescentRecord
from weightlab.descent.run import descend, descend_all
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.scheduling.panel import SchedulePanel
from weightlab.signals.panel import SignalPanel
from weightlab.stage.controls import Slider
from weightlab.stage.packed import rounded
from weightlab.stage.panel import Panel
from weightlab.toys.panel import DescentPanel

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")
PARTS = ("weights", "losses", "gradients", "gradient_points", "learning_rates")
RULES = tuple(UPDATE_RULES)


def rule(name: str, learning_rate: float, momentum: float = 0.9) -> Any:
    own = {"momentum": momentum} if "momentum" in UPDATE_RULES[name].defaults else {}
    return optimizer(name, learning_rate=learning_rate, **own)


def assert_same_runs(found: DescentRecord, wanted: DescentRecord, relative: float = 0.0) -> None:
    for part in PARTS:
        pair = getattr(found, part), getattr(wanted, part)
        torch.testing.assert_close(*pair, rtol=relative, atol=1e-300, equal_nan=True)
    assert torch.equal(found.diverged_at, wanted.diverged_at) and torch.equal(found.converged_at, wanted.converged_at)
    assert found.labels == wanted.labels


@given(
    name=st.sampled_from(sorted(LANDSCAPES)),
    rates=st.lists(st.floats(1e-4, 3.0), min_size=2, max_size=4),
    momentum=st.floats(0.1, 0.95),
    scale=st.sampled_from((1.0, 0.1, 30.0)),
)
@settings(max_examples=25, deadline=None)
def test_each_part_is_its_own_run_to_the_last_bit(name: str, rates: list[float], momentum: float, scale: float) -> None:
    experiments = [
        DescentExperiment(
            landscape(name), tuple(rule(one, rate, momentum) for one in RULES), steps=40, loss_scale=scale
        )
        for rate in rates
    ]
    fan = descend_all(experiments)
    assert len(fan) == len(rates) and fan.steps == 40
    for position, experiment in enumerate(experiments):
        found, wanted = fan.record(position), descend(experiment)
        # without a difference in settings a rule takes its number as it is; with one, as a tensor: the same operations
        assert_same_runs(found, wanted, relative=1e-12)
        assert [status.message for status in found.statuses] == [status.message for status in wanted.statuses]


def test_a_shortened_fan_is_the_fan_of_shorter_runs() -> None:
    experiment = DescentExperiment(
        landscape("quadratic", condition_number=10), (rule("gradient_descent", 0.1), rule("momentum", 0.5)), steps=400
    )
    fan = descend_all([experiment, experiment.replace(loss_scale=0.5)])
    for steps in (1, 30, 350):
        for position in (0, 1):
            wanted = descend(fan.experiments[position].replace(steps=steps))
            found = fan.shortened(steps).record(position)
            assert_same_runs(found, wanted, relative=1e-12)
            assert [one.message for one in found.statuses] == [one.message for one in wanted.statuses]


BOWL, MOMENTUM = landscape("quadratic"), (optimizer("momentum"),)
PLAIN = DescentExperiment(BOWL, MOMENTUM, steps=5)
VALLEYS = [PLAIN.replace(landscape=landscape("rosenbrock", steepness=value)) for value in (10.0, 100.0)]

test_what_cannot_go_in_one_pass_is_refused_in_words = refusals(descend_all, {
    "at least one": ([],),
    "share rules, labels, steps and bounds": ([PLAIN, PLAIN.replace(steps=6)],),
    "share rules": ([PLAIN, PLAIN.replace(optimizers=(optimizer("adam"),))],),
    "bounds": ([PLAIN, PLAIN.replace(landscape=landscape("rosenbrock"))],),
    "must see the losses": ([PLAIN, PLAIN.replace(schedule=schedule("plateau"))],),
    "one learner at a time": ([PLAIN.replace(optimizers=(optimizer(torch.optim.SGD, learning_rate=0.1),))],),
    "only quadratic landscapes may differ": (VALLEYS,),
})


# ---- on the panel ------------------------------------------------------------------------------------------------


def steep(w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    return w1**2 + 3 * w2**4


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "bowl": ("rotated_quadratic", {"rules": ("gradient_descent", "momentum", "nesterov")}),
    "all rules": ("rosenbrock", {"rules": RULES, "arrows": True, "loss_scale": 1.0}),
    "phase": ("quadratic", {"rules": ("averaged_momentum",), "right": ("phase", "directions"), "arrows": True}),
    "own rates": ("noisy_bowl", {"rules": ("rmsprop", "adam"), "own_rates": True}),
    "map": ("quadratic", {"rules": ("momentum",), "settings_map": True}),
    "saddle": ("saddle", {"rules": ("sutskever_nesterov",), "arrows": True}),
    "yours": (landscape_from_function(steep, ((-2, 2), (-2, 2))), {"rules": ("adam", "nesterov")}),
}


@pytest.mark.parametrize("case", CASES)
def test_at_every_slider_the_fan_shows_what_the_panel_would(case: str) -> None:
    land, arguments = CASES[case]
    panel, other = (DescentPanel(land, steps=60, **arguments) for _ in range(2))
    sliders = [control for control in panel._controls.values() if isinstance(control, Slider)]
    fanned = 0
    for slider in sliders:
        fan = panel._fan(slider.name)
        if fan is None:  # where titles, maps or images change too; a shorter run's last step has no arrow
            assert slider.name in panel.experiment.landscape.settings or slider.name == "steps"
            assert slider.name != "steps" or panel.values["arrows"]
            continue
        fanned += 1
        places = sorted({0, len(fan.positions) // 3, 2 * len(fan.positions) // 3, len(fan.positions) - 1})
        for place in places:
            other.set(**{**panel.values, slider.name: fan.positions[place]})
            shown = other._shown
            assert shown is not None
            table = fan.tables[0 if len(fan.tables) == 1 else place][: fan.rows[place]]
            np.testing.assert_allclose(table, shown.table, rtol=2e-6, atol=1e-37)
            np.testing.assert_array_equal(fan.steps[: fan.rows[place]], shown.steps)
            if fan.bowls is not None:
                wanted = shown.views[0].backdrop.numbers  # type: ignore[union-attr]
                np.testing.assert_allclose(fan.bowls[place], wanted, rtol=1e-6)
            for name, value in (fan.along[place] if fan.along else {}).items():
                assert other.values[name] == value
            assert fan.words(place) == (other.reading, other.summary)
            other.set(**panel.values)
    assert fanned >= 4


def asked(panel: Panel, monkeypatch: pytest.MonkeyPatch, **mail: Any) -> list[tuple[dict[str, Any], Any]]:
    sent: list[tuple[dict[str, Any], Any]] = []
    monkeypatch.setattr(panel, "send", lambda content, buffers=None: sent.append((content, buffers)))
    panel._receive(panel, {"type": "fan", "words": False, **mail}, [])
    assert panel._worker.drain(20)
    return sent


def test_the_page_gets_the_positions_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = DescentPanel("quadratic", ("gradient_descent", "momentum"), steps=50)
    slider = panel._controls["momentum"]
    assert isinstance(slider, Slider)
    wanted = [slider.positions[3], slider.positions[9], 0.123456]  # the last is no position
    ((message, buffers),) = asked(panel, monkeypatch, name="momentum", positions=wanted)
    assert message["positions"] == wanted[:2] and message["rows"] == [51, 51]
    assert message["values"] == {name: value for name, value in panel.values.items() if name != "momentum"}
    assert message["packed"]["shape"] == [2, 51, message["columns"]]
    tables = unpacked_floats(zlib.decompress(buffers[0]), message["packed"])
    panel.set(momentum=wanted[1])
    assert panel._shown is not None
    np.testing.assert_array_equal(tables[1], rounded(panel._shown.table))
    ((words, _),) = asked(panel, monkeypatch, name="momentum", positions=wanted[:1], words=True)
    assert words["type"] == "fan_words" and words["readings"][0][1]["label"] == "Momentum: error"
    assert "50 steps. Gradient descent: loss − minimum from" in words["summaries"][0]


@pytest.mark.parametrize(
    ("panel", "name", "positions"),
    [
        (SignalPanel, "depth", [3, 8, 20]),
        (SignalPanel, "gain", [0.5, 1.0]),
        (SchedulePanel, "learning_rate", [0.01, 0.1]),
        (SchedulePanel, "condition_number", [2.0, 5.0]),
    ],
)
def test_whole_pictures_are_gathered_where_more_than_numbers_change(
    panel: type[Panel], name: str, positions: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, other = panel(), panel()
    ((message, buffers),) = asked(made, monkeypatch, name=name, positions=positions)
    assert message["positions"] == message["tried"] == positions and len(buffers) == 3 * len(positions)
    for place, position in enumerate(positions):
        other.set(**{name: position})
        whole = message["whole"][place]
        assert buffers[3 * place] == other.picture["table"]
        assert buffers[3 * place + 2] == other.picture["reference_points"]
        assert whole["series"] == other.picture["series"] and whole["reading"] == other.reading
        shown = [{part: value for part, value in view.items() if part != "png"} for view in other.scene["views"]]
        assert whole["views"] == shown and whole["summary"] == other.summary
