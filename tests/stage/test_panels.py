"""Panels without a browser: what the page would send goes in as messages, what it would show is read off the traits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from panel_support import say, table, wait_for
from refusals import refusals

from weightlab.descent.landscapes import LANDSCAPES, landscape_from_function
from weightlab.playground.panel import TrainingPanel
from weightlab.signals.panel import SignalPanel
from weightlab.stage.controls import Question, linear
from weightlab.stage.panel import Panel
from weightlab.toys.panel import SIDE_VIEWS, DescentPanel
from weightlab.training.run import train

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

SMALL: dict[str, Any] = {"depth": 2, "width": 8, "batch_size": 32, "pace": 1000.0}


# ---- descent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LANDSCAPES)
def test_every_landscape_can_be_chosen_on_the_panel(name: str) -> None:
    panel = DescentPanel("quadratic", ("gradient_descent", "momentum"), choose_landscape=True, steps=20)
    say(panel, type="set", values={"landscape": name}, seq=1)
    assert panel.values["landscape"] == name and not panel.notice
    assert panel.experiment.landscape.name == name
    assert panel.experiment.start == panel.experiment.landscape.start
    assert LANDSCAPES[name].label in panel.summary


@pytest.mark.parametrize("view", SIDE_VIEWS)
def test_every_side_view_is_drawn(view: str) -> None:
    panel = DescentPanel(
        "rotated_quadratic", ("gradient_descent", "momentum"), right=(view, "loss" if view != "loss" else "gradient")
    )
    assert view in [shown["name"] for shown in panel.scene["views"]]
    assert any(series["view"] == view for series in panel.picture["series"])
    assert panel.still().png.startswith(b"\x89PNG")


test_bad_arguments_name_the_nearest_right_ones = refusals(DescentPanel, {
    "did you mean 'momentum'": {"rules": ("momentun",)},
    "did you mean 'rosenbrock'": {"landscape": "rosenbrok"},
    "did you mean 'loss'": {"right": ("los", "gradient")},
    "at least one update rule": {"rules": ()},
    "needs a rule with two settings": {"settings_map": True},
    "unknown setting 'momentun'": {"momentun": 0.3},
})


def test_a_learners_own_landscape_is_shown() -> None:
    own = landscape_from_function(lambda x, y: (x - 1) ** 2 + 3 * y**2, ((-2, 3), (-2, 2)), name="mine")
    panel = DescentPanel(own, ("gradient_descent",), learning_rate=0.1)
    assert panel.scene["views"][0]["title"] == "mine"
    assert torch.allclose(panel.record.weights[-1, 0], torch.tensor([1.0, 0.0], dtype=torch.float64), atol=1e-3)


def test_divergence_is_explained_with_its_limit() -> None:
    panel = DescentPanel("quadratic", learning_rate=0.21, condition_number=10, steps=300)
    assert panel.record.status(0).kind == "diverged"
    assert "0.2" in panel.reading[-1]["verdict"] and "diverged" in panel.reading[-1]["verdict"].lower()


def test_the_settings_map_is_a_pad_measured_under_theory() -> None:
    panel = DescentPanel("quadratic", ("momentum",), settings_map=True, condition_number=10)
    assert panel.scene["views"][0]["pad"] == ["learning_rate", "momentum"]
    measured = panel._map.measured  # type: ignore[union-attr]
    assert measured is not None
    row, column = 50, 20
    rate, momentum = float(measured.learning_rates[column]), float(measured.momenta[row])
    from weightlab.theory.quadratic import heavy_ball_rate

    assert float(measured.rates[row, column]) == pytest.approx(
        float(heavy_ball_rate(rate, momentum, (1.0, 10.0))), rel=0.02
    )
    assert torch.isinf(measured.rates[0, -1])  # far beyond 2/λ


@pytest.mark.parametrize(
    ("land", "rule", "second"),
    [("rosenbrock", "momentum", "momentum"), ("beale", "adam", "beta1"), ("quadratic", "rmsprop", "alpha"),
     ("noisy_bowl", "nesterov", "momentum")],
)  # fmt: skip
def test_any_landscape_and_rule_has_a_map_of_how_low_its_runs_end(land: str, rule: str, second: str) -> None:
    panel = DescentPanel(land, (rule,), settings_map=True, steps=60)
    view = panel.scene["views"][0]
    assert view["pad"] == ["learning_rate", second] and view["x"]["scale"] == "log" and "60 steps" in view["title"]
    panel.set(learning_rate=0.01, **{second: 0.5})
    assert panel.record.weights.shape == (61, 1, 2)
    assert panel.experiment.optimizers[0].settings[second] == 0.5
    before = panel.scene["views"][0]["png"]
    panel.set(learning_rate=0.02)
    assert panel.scene["views"][0]["png"] == before
    panel.set(start_x=panel.values["start_x"] + 0.3)
    assert panel.scene["views"][0]["png"] != before
    assert panel._fan("start_y") is None and panel._fan("learning_rate") is not None


def test_the_map_of_heights_is_what_single_runs_reach() -> None:
    from weightlab.descent.measurements import height_map
    from weightlab.descent.run import descend

    panel = DescentPanel("rosenbrock", ("momentum",), steps=80)
    rates, momenta = torch.tensor([1e-4, 1e-3, 0.3]), torch.tensor([0.0, 0.9])
    found = height_map(panel.experiment, "momentum", rates, "momentum", momenta)
    assert found.shape == (2, 3) and torch.isnan(found[:, 2]).all()
    for row, column in ((0, 0), (1, 1)):
        panel.set(learning_rate=float(rates[column]), momentum=float(momenta[row]))
        assert float(found[row, column]) == pytest.approx(float(descend(panel.experiment).losses[-1, 0]), rel=1e-9)


# ---- predictions -------------------------------------------------------------------------------------------------


def test_a_prediction_is_kept_and_shown_beside_the_measurement() -> None:
    asked = [
        Question("largest η?", lambda panel: 0.2, explain="2/λ"),
        Question("who?", lambda panel: "a", options=("a", "b")),
    ]
    panel = DescentPanel("quadratic", questions=asked)
    assert panel.questions[0]["prediction"] is None and panel.questions[0]["measured"] is None
    say(panel, type="predict", id=0, value="0,4", seq=1)
    assert panel.questions[0]["prediction"] == "0.4" and panel.questions[0]["measured"] == "0.2"
    assert panel.questions[0]["verdict"] == "Off by a factor of 2. 2/λ"
    say(panel, type="predict", id=1, value="a", seq=2)
    assert panel.predictions[1].verdict == "As predicted."


def test_a_prediction_that_is_no_number_is_refused_in_words() -> None:
    panel = DescentPanel("quadratic", questions=[Question("η?", lambda panel: 0.2)])
    say(panel, type="predict", id=0, value="much", seq=1)
    assert "a prediction here is a number, got 'much'" in panel.questions[0]["problem"]
    assert panel.predictions[0].prediction is None
    with pytest.raises(ValueError, match="question 2 does not exist"):
        panel.predict(2, 1.0)


def test_a_measurement_that_must_wait_is_made_when_the_settings_allow_it() -> None:
    def ending(panel: DescentPanel) -> str | None:
        return panel.record.status(0).kind if panel.values["learning_rate"] > 0.1 else None

    asked = Question("how does it end beyond 0.1?", ending, options=("diverged", "converged"))
    panel = DescentPanel("quadratic", questions=[asked], learning_rate=0.05)
    panel.predict(1, "diverged")
    assert panel.questions[0]["measured"] is None
    panel.set(learning_rate=0.3)
    assert panel.questions[0]["measured"] == "diverged"


# ---- signals -----------------------------------------------------------------------------------------------------


def test_the_signal_panel_shows_theory_beside_measurement() -> None:
    panel = SignalPanel(activation="sigmoid", initializer="xavier_normal", width=256)
    theory, measured = (float(panel.reading[1][side]) for side in ("theory", "measured"))
    assert measured == pytest.approx(theory, abs=0.02) and theory == pytest.approx(0.236, abs=0.002)
    assert "Vanishing" in panel.reading[-1]["verdict"]


def test_zeros_are_recognized_as_one_unit() -> None:
    panel = SignalPanel(initializer="zeros")
    assert "exactly what its neighbours do" in panel.reading[-1]["verdict"]


# ---- training ----------------------------------------------------------------------------------------------------


def test_a_synchronous_run_equals_the_plain_run_of_the_same_experiment() -> None:
    panel = TrainingPanel(steps=40, **SMALL)
    record = panel.run()
    plain = train(panel.experiment)
    assert torch.equal(record.losses, plain.losses) and torch.equal(record.weight_paths, plain.weight_paths)
    shown = table(panel)
    np.testing.assert_allclose(shown[:, 0], plain.losses.numpy(), rtol=1e-6)
    layers = len(record.layers)
    np.testing.assert_allclose(shown[:, 2 : 2 + layers], plain.gradient_norms.numpy(), rtol=1e-6)


def test_a_setting_acts_on_the_run_that_is_going_on() -> None:
    panel = TrainingPanel(steps=100_000, **SMALL)
    panel._receive(panel, {"type": "command", "name": "start", "seq": 1}, [])
    wait_for(lambda: panel._training.steps_done > 5)
    panel._receive(panel, {"type": "set", "values": {"learning_rate": 0.001}, "seq": 2}, [])
    wait_for(lambda: panel._training.changes)
    say(panel, type="command", name="stop", seq=3)
    step, name, value = panel.record.changes[0]
    assert (name, value) == ("learning_rate", 0.001)
    assert panel.record.learning_rates[step] == pytest.approx(0.001)
    assert panel.record.learning_rates[step - 1] == pytest.approx(0.05)


def test_clipping_and_penalties_act_midway_and_can_be_switched_off() -> None:
    panel = TrainingPanel(steps=100, controls=("clip_norm", "l2", "learning_rate"), **SMALL)
    say(panel, type="command", name="step", seq=1)
    say(panel, type="set", values={"clip_norm": 0.1, "l2": 0.01}, seq=2)
    say(panel, type="command", name="step", seq=3)
    say(panel, type="set", values={"clip_norm": 0.0}, seq=4)
    changes = panel._training.changes
    assert sorted(changes[:2]) == [(1, "clip_norm", 0.1), (1, "l2", 0.01)]
    assert changes[2] == (2, "clip_norm", None)


def test_steps_by_hand_keep_the_words_current_and_the_last_of_them_ends_the_run() -> None:
    asked = Question("How many updates?", lambda panel: float(panel.record.steps))
    panel = TrainingPanel(steps=3, questions=[asked], **SMALL)
    panel.predict(1, 3)
    for done in (1, 2, 3):
        say(panel, type="command", name="step", seq=done)
        # a row is measured in the pass before its update: the newest has the weights before this step
        assert panel.summary.startswith(f"After {done - 1} updates: ")
        assert panel.reading[-1]["verdict"] == (f"{done} updates so far" if done < 3 else panel.record.status.message)
    assert panel.transport["state"] == "finished" and panel.predictions[0].measured == 3


def test_a_diverging_run_names_the_layer_and_the_remedy() -> None:
    panel = TrainingPanel(steps=200, learning_rate=1e6, activation="relu", initializer="he_normal", depth=3, width=16)
    record = panel.run()
    assert record.status.kind == "diverged" and panel.transport["state"] == "diverged"
    assert "layer" in panel.reading[-1]["verdict"] and "learning rate" in panel.reading[-1]["verdict"]


def test_a_setting_after_the_end_waits_for_reset_and_loses_nothing() -> None:
    panel = TrainingPanel(steps=5, **SMALL)
    record = panel.run()
    say(panel, type="set", values={"learning_rate": 0.01}, seq=2)
    assert panel.record is record and "Reset" in panel.notice["text"]
    say(panel, type="command", name="reset", seq=3)
    assert panel.experiment.optimizer.learning_rate == 0.01


def test_live_messages_are_small_and_rows_arrive_in_order() -> None:
    panel = TrainingPanel(steps=400, depth=8, width=16, pace=1000.0)
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    panel.send = lambda content, buffers=None: sent.append((content, buffers or []))
    say(panel, seconds=60, type="command", name="start", seq=1)
    rows = [(content, buffers) for content, buffers in sent if content["type"] == "rows"]
    assert len(rows) > 3
    assert max(sum(map(len, buffers)) for _, buffers in rows) <= 1000
    expected = 1
    for content, buffers in rows:
        assert content["from"] == expected
        expected += len(buffers[1]) // 4
    assert panel._film.rows == expected


# ---- all panels --------------------------------------------------------------------------------------------------


def test_two_panels_of_one_cell_live_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    import weightlab.stage.panel as module

    monkeypatch.setattr(module, "_cell_and_execution", lambda: ("cell", "1"))
    first, second = SignalPanel(), SignalPanel()
    assert first.comm is not None and second in Panel._open and first in Panel._open


def test_sliders_stop_where_a_lab_says() -> None:
    panel = DescentPanel("quadratic", learning_rate=0.1, positions={"learning_rate": linear(0.05, 0.2, 4)})
    (slider,) = [control for control in panel.controls if control["name"] == "learning_rate"]
    assert slider["positions"] == [0.05, 0.1, 0.15, 0.2] and panel.values["learning_rate"] == 0.1
    with pytest.raises(ValueError, match="unknown setting 'momentum'"):
        DescentPanel("quadratic", positions={"momentum": linear(0.0, 0.9, 4)})


# ---- arrows and regions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", ["momentum", "classical_momentum", "averaged_momentum", "nesterov", "sutskever_nesterov"]
)
def test_the_gradients_part_and_the_carried_part_add_up_to_the_step(rule: str) -> None:
    panel = DescentPanel("rotated_quadratic", (rule,), arrows=True, steps=30, learning_rate=0.03)
    columns = {s["name"]: s["columns"] for s in panel.picture["series"] if s["kind"] == "arrow"}
    shown = table(panel)
    parts = {name: shown[:-1, where[2:]] for name, where in columns.items()}
    np.testing.assert_allclose(
        parts["gradient step −ηg"] + parts["carried velocity"], parts["step"], rtol=1e-4, atol=1e-6
    )
    # what is carried over is a share of the step before: μ times it, for every convention on a constant rate
    if rule not in {"nesterov", "averaged_momentum"}:
        np.testing.assert_allclose(parts["carried velocity"][1:], 0.9 * parts["step"][:-1], rtol=1e-3, atol=1e-6)
    assert np.allclose(parts["carried velocity"][0], 0.0, atol=1e-6)


def test_the_regions_of_a_trained_network_hold_its_examples() -> None:
    panel = TrainingPanel(dataset="moons", depth=2, width=16, learning_rate=0.3, steps=300, batch_size=32)
    panel.run()
    (raster,) = panel.picture["rasters"]
    cells = raster["rows"] * raster["columns"]
    classes = np.frombuffer(raster["data"], np.uint8)[:cells].reshape(raster["rows"], raster["columns"])
    view = next(v for v in panel.scene["views"] if v["name"] == "regions")
    data = panel.experiment.dataset
    (x0, x1), (y0, y1) = view["x"]["limits"], view["y"]["limits"]
    across = ((data.x_train[:, 0] - x0) / (x1 - x0) * (raster["columns"] - 1)).round().long()
    up = ((data.x_train[:, 1] - y0) / (y1 - y0) * (raster["rows"] - 1)).round().long()
    right = classes[up, across] == data.y_train.numpy()
    assert right.mean() > 0.9
    assert np.frombuffer(raster["data"], np.uint8)[cells:].max() > 200
