"""The panels of real loss surfaces without a browser: planes and their path, sharpness live, limits kept hidden."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from panel_support import columns, say, wait_for

from weightlab.rules.update_rules import optimizer
from weightlab.stage.controls import Question
from weightlab.stage.panel import Panel
from weightlab.surfaces.figures import edge_figure
from weightlab.surfaces.panel import GRID, SurfacePanel
from weightlab.surfaces.sharpness import edge_experiment, noisy_digits, watch_seeds, watch_sharpness
from weightlab.surfaces.sharpness_panel import EVERY, SharpnessPanel
from weightlab.surfaces.weight_paths import look

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

QUICK: dict[str, Any] = {"steps": 20, "pace": 1000.0, "width": 4}
PLANE: dict[str, Any] = {"steps": 60, "width": 4}


def names(panel: Panel, view: str) -> list[str]:
    return [s["name"] for s in panel.picture["series"] if s["view"] == view]


# ---- the plane ---------------------------------------------------------------------------------------------------


def test_the_plane_panel_shows_what_look_measures() -> None:
    panel = SurfacePanel(**PLANE)
    view = look(panel.record.path, points=GRID)
    places = columns(panel, "plane", "the run as the plane shows it")
    np.testing.assert_allclose(places, view.places.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(columns(panel, "loss", "the run")[:, 0], panel.record.path.losses.numpy(), rtol=1e-6)
    seen = columns(panel, "loss", "the run as the plane shows it")[:, 0]
    np.testing.assert_allclose(seen, view.plane_losses.numpy(), rtol=1e-4)
    (plane,) = [one for one in panel.scene["views"] if one["name"] == "plane"]
    assert plane["png"].startswith(b"\x89PNG")
    # the same plane found twice: its components agree to rounding, which depends on the number of threads
    assert plane["x"]["limits"] == pytest.approx((float(view.across[0]), float(view.across[-1])), rel=1e-5)
    assert f"{view.share:.2%}" in panel.reading[0]["measured"]


def test_another_plane_and_zoom_train_nothing() -> None:
    panel = SurfacePanel(**PLANE)
    path = panel.record.path
    for values in ({"plane": "random"}, {"plane_seed": 3}, {"zoom": 5.0}, {"plane": "path"}):
        say(panel, type="set", values=values, seq=1)
        assert not panel.notice and panel.record.path is path
    assert panel.trained == 1
    say(panel, type="set", values={"learning_rate": 0.3}, seq=2)
    assert panel.trained == 2
    say(panel, type="set", values={"learning_rate": 0.1}, seq=3)  # its run is kept
    assert panel.trained == 2 and panel.record.path is path


def test_on_a_random_plane_theory_says_what_it_holds_on_average() -> None:
    panel = SurfacePanel(plane="random", **PLANE)
    assert "on average" in panel.reading[0]["theory"] and "plane_seed" not in panel.unused
    assert "stand still" in panel.reading[-1]["verdict"]
    panel.set(plane="path")
    assert panel.reading[0]["theory"] == "–" and panel.unused == ["plane_seed"]
    assert any("90.1%" in line["theory"] for line in panel.reading)


# ---- sharpness ---------------------------------------------------------------------------------------------------


def test_the_sharpness_panel_shows_the_plain_run() -> None:
    panel = SharpnessPanel(learning_rate=0.3, momentum=0.5, **QUICK)
    assert panel.transport["state"] == "idle" and len(panel.record.steps) == 1
    record = panel.run()
    rule = optimizer("momentum", learning_rate=0.3, momentum=0.5)
    expected = watch_sharpness(edge_experiment(noisy_digits(), rule, width=4, steps=20), EVERY)
    assert torch.equal(record.sharpnesses, expected.sharpnesses) and torch.equal(record.losses, expected.losses)
    np.testing.assert_allclose(columns(panel, "sharpness", "sharpness")[:, 0], expected.sharpnesses, rtol=1e-6)
    np.testing.assert_allclose(columns(panel, "sharpness", "theory: limit")[:, 0], 3 / 0.3, rtol=1e-6)
    assert panel.transport["state"] == "finished"


def test_the_limit_stays_hidden_until_all_questions_are_answered() -> None:
    asked = [Question("where?", lambda panel: panel.settled(since=10)), Question("how?", lambda panel: 1.0)]
    panel = SharpnessPanel(questions=asked, **QUICK)
    panel.run()
    assert names(panel, "sharpness") == ["sharpness"]
    assert "limit" not in panel.summary  # the page itself keeps the reading back
    panel.predict(1, 5)
    assert names(panel, "sharpness") == ["sharpness"]
    say(panel, type="predict", id=1, value="nonsense", seq=4)
    assert panel.questions[1]["problem"] and names(panel, "sharpness") == ["sharpness"]
    say(panel, type="predict", id=1, value="1", seq=5)
    assert names(panel, "sharpness") == ["sharpness", "theory: limit"] and "limit 5" in panel.summary
    assert panel.predictions[0].measured == pytest.approx(panel.settled(since=10))


def test_the_limit_also_appears_when_the_learner_would_rather_see_it_now() -> None:
    panel = SharpnessPanel(questions=[Question("where?", lambda panel: 5.0)], **QUICK)
    panel.run()
    assert names(panel, "sharpness") == ["sharpness"]
    say(panel, type="reveal", seq=2)
    assert names(panel, "sharpness") == ["sharpness", "theory: limit"]
    assert panel.questions[0]["prediction"] is None  # and the question may still be answered


def test_learning_rate_and_momentum_act_on_the_run_that_goes_on() -> None:
    panel = SharpnessPanel(**{**QUICK, "steps": 400, "pace": 20.0})
    panel._receive(panel, {"type": "command", "name": "start", "seq": 1}, [])
    wait_for(lambda: len(panel.record.steps) > 1)
    say(panel, type="command", name="pause", seq=2)
    watch, done = panel._watch, len(panel.record.steps)
    say(panel, type="set", values={"learning_rate": 0.8, "momentum": 0.5, "pace": 1000.0}, seq=3)
    assert panel._watch is watch and watch is not None and len(watch.training.changes) == 2
    record = panel.run()
    limits = record.limits
    assert limits[done - 1] == pytest.approx(5.0) and limits[-1] == pytest.approx(3 / 0.8)
    say(panel, type="set", values={"learning_rate": 0.4}, seq=4)  # the run has ended: a new one
    assert panel._watch is not watch and len(panel.record.steps) == 1


def test_batches_and_nesterov_are_said_in_the_reading() -> None:
    panel = SharpnessPanel(batch_size=32, **QUICK)
    panel.run()
    assert "with batches it need not hold" in panel.reading[-1]["verdict"] and panel.unused == ["rule"]
    panel.set(batch_size=0, rule="nesterov", momentum=0.9)
    assert panel.reading[0]["theory"] == f"{3.8 / 2.8 / 0.4:.3g}" and panel.unused == []


# ---- figures -----------------------------------------------------------------------------------------------------


def test_the_edge_is_drawn_at_theorys_limit() -> None:
    records = watch_seeds(edge_experiment(noisy_digits(), width=4, steps=20), range(2))
    axes = edge_figure({"η = 0.4": records}, since=10).axes[0]
    assert len(axes.lines) == 3 and np.asarray(axes.lines[-1].get_ydata())[0] == pytest.approx(5.0)
    assert "limit 5" in axes.texts[0].get_text()
