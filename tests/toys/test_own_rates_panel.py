"""The descent panel with a learning rate for each rule and a scale on the loss."""

from __future__ import annotations

import pytest
from panel_support import say
from refusals import refusals

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
