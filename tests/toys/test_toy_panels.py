"""The descent panel with a learning rate for each rule and a scale on the loss, and where it looks ahead."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver
from panel_support import say
from refusals import refusals

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.descent.run import descend
from weightlab.rules.update_rules import optimizer
from weightlab.toys.figures import look_ahead_figure
from weightlab.toys.panel import DescentPanel

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

RULES = ("gradient_descent", "momentum", "rmsprop", "adam")


def test_each_rule_has_a_rate_of_its_own() -> None:
    panel = DescentPanel("quadratic", RULES, own_rates=True, learning_rate_adam=0.3, learning_rate_rmsprop=0.01)
    assert "learning_rate" not in panel.values
    assert [one.learning_rate for one in panel.experiment.optimizers] == [0.02, 0.02, 0.01, 0.3]
    before = panel.record.weights
    say(panel, type="set", values={"learning_rate_adam": 0.1}, seq=1)
    moved = (panel.record.weights != before).any(-1).any(0)
    assert moved.tolist() == [False, False, False, True]


def test_the_momentum_slider_is_not_rmsprops() -> None:
    panel = DescentPanel("quadratic", RULES, momentum=0.5)
    assert [one.settings.get("momentum") for one in panel.experiment.optimizers] == [None, 0.5, 0.0, None]
    assert "momentum" not in DescentPanel("quadratic", ("rmsprop",)).values


def test_theory_reads_the_scaled_curvature() -> None:
    panel = DescentPanel("quadratic", ("gradient_descent",), loss_scale=10.0, learning_rate=0.01)
    line = panel.reading[0]
    assert "diverges beyond η = 0.02" in line["theory"] and "× 0.9000" in line["theory"]
    assert line["measured"].startswith("× 0.9000")


test_one_map_cannot_set_several_rates = refusals({
    "one learning rate for all rules": (
        lambda: DescentPanel("quadratic", ("momentum",), own_rates=True, settings_map=True)
    ),
    "needs a rule with two settings": lambda: DescentPanel("quadratic", ("gradient_descent",), settings_map=True),
    "measures the loss as it is": lambda: DescentPanel("quadratic", ("momentum",), settings_map=True, loss_scale=1.0),
    "did you mean": lambda: DescentPanel("quadratic", ("adam",), own_rates=True, learning_rate=0.1),
})


# ---- the look-ahead point ----------------------------------------------------------------------------------------


BOWL = landscape("quadratic", condition_number=10.0)


def test_every_step_is_drawn_as_kept_velocity_and_a_gradient_step_from_the_look_ahead_point() -> None:
    rule = optimizer("sutskever_nesterov", learning_rate=0.03, momentum=0.9)
    record = descend(DescentExperiment(BOWL, (rule,), steps=20))
    (axes,) = look_ahead_figure(record, 5).axes
    kept, step = (part for part in axes.get_children() if isinstance(part, Quiver))
    w, ahead = record.weights[:6, 0].numpy(), record.gradient_points[:5, 0].numpy()
    arrows = [np.column_stack([part.U, part.V]) for part in (kept, step)]
    np.testing.assert_allclose(np.asarray(kept.XY, np.float64), w[:5])
    np.testing.assert_allclose(np.asarray(step.XY, np.float64), ahead)
    np.testing.assert_allclose(w[:5] + arrows[0] + arrows[1], w[1:], atol=1e-15)
    np.testing.assert_allclose(arrows[1], -0.03 * BOWL.gradient(torch.from_numpy(ahead)).numpy(), atol=1e-15)


def test_a_panel_draws_the_look_ahead_point_in_its_place() -> None:
    panel = DescentPanel("quadratic", ("sutskever_nesterov",), arrows=True, steps=30, learning_rate=0.03)
    (columns,) = [s["columns"] for s in panel.picture["series"] if s["name"] == "look-ahead point"]
    table = np.frombuffer(panel.picture["table"], np.float32).reshape(-1, panel.picture["columns"])
    np.testing.assert_allclose(table[:, columns], panel.record.gradient_points[:, 0].numpy(), rtol=1e-6)
    panel.set(arrows=False)
    assert "look-ahead point" not in [s["name"] for s in panel.picture["series"]]
