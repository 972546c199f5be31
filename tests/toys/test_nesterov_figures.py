"""Nesterov's figures show what the runs did: look-ahead points in their place, theory's limits on the maps' edges."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.quiver import Quiver

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.descent.run import descend
from weightlab.rules.update_rules import optimizer
from weightlab.toys.figures import look_ahead_figure
from weightlab.toys.panel import DescentPanel

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
    panel.close()
