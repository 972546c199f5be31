"""Many networks at once on a panel: what the page would send goes in as messages, what it would show is read off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from panel_support import columns, say, wait_for
from refusals import refusals

from weightlab.ensembles.choices import RATES, first_gradient, start_choices
from weightlab.ensembles.panel import EnsemblePanel
from weightlab.ensembles.run import train_together

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

SMALL: dict[str, Any] = {"depth": 2, "width": 4, "batch_size": 16, "seeds": 2, "steps": 12}


def post(panel: EnsemblePanel, **message: Any) -> None:
    panel._receive(panel, message, [])


def done(panel: EnsemblePanel) -> int:
    assert panel._ensemble is not None
    return panel._ensemble.steps_done


# ---- what is run and what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize("varies", ["learning_rate", "start"])
def test_a_run_in_a_cell_equals_the_plain_call_to_the_bit_and_repeats(varies: str) -> None:
    panel = EnsemblePanel(varies=varies, **SMALL)
    record = panel.run()
    again = panel.run()
    plain = train_together(panel.experiment)
    for one in (again, plain):
        assert torch.equal(record.losses, one.losses)
        assert torch.equal(record.validation_accuracies, one.validation_accuracies)
    assert panel.transport["state"] == "finished"
    assert panel.transport["text"] == f"finished: 12 of 12 updates, {len(panel.experiment)} networks"


@pytest.mark.parametrize("varies", ["learning_rate", "start"])
def test_the_stage_has_the_median_over_the_seeds_of_every_choice(varies: str) -> None:
    panel = EnsemblePanel(varies=varies, **{**SMALL, "seeds": 3})
    record = panel.run()
    np.testing.assert_array_equal(columns(panel, "curves"), columns(panel, "now"))
    median = record.losses.unflatten(1, (-1, 3)).median(dim=-1).values.numpy()
    np.testing.assert_allclose(columns(panel, "curves"), median, rtol=1e-6)
    right = record.validation_accuracies.unflatten(0, (-1, 3)).median(dim=-1).values
    np.testing.assert_allclose(columns(panel, "share")[-1], right.numpy(), rtol=1e-6)
    assert panel.share_right() == pytest.approx(
        dict(zip(panel.picture["groups"], map(float, right), strict=True)), rel=1e-6
    )
    names = [view for view in panel.scene["views"] if view["name"] == "now"][0]["x"]["ticks"]
    assert len(names) == len(set(names)) == columns(panel, "now").shape[1] and all(len(name) <= 7 for name in names)


def test_theory_stands_beside_the_first_gradients_of_every_pair() -> None:
    panel = EnsemblePanel(varies="start", **{**SMALL, "depth": 8, "width": 32, "batch_size": 64, "seeds": 5})
    (mark,) = [one for one in panel.picture["references"] if one["name"] == "gradient at the start in theory"]
    points = np.frombuffer(panel.picture["reference_points"], np.float32).reshape(-1, 2)
    theory = points[mark["offset"] : mark["offset"] + mark["count"], 1]
    measured = columns(panel, "gradient")[0]
    assert list(theory) == sorted(theory) and theory[0] < 1e-5 and theory[-1] > 1
    assert np.abs(np.log(measured / theory)).max() < math.log(2.5)  # over six powers of ten
    assert panel.picture["groups"][0] == "sigmoid + nn.Linear default"
    assert panel.reading[0]["theory"] == f"{theory[0]:.1g}"


def test_a_network_that_diverges_is_named_and_leaves_no_number_that_is_none() -> None:
    panel = EnsemblePanel(activation="linear", initializer="he_normal", depth=3, width=16, batch_size=16, seeds=2)
    record = panel.run()
    gone = (record.diverged_at >= 0).unflatten(0, (-1, 2))
    assert gone[-1].all() and not gone[0].any()
    words = panel.reading[-1]["verdict"]
    first = int(gone.all(dim=1).int().argmax())
    assert f"all 2 from η = {RATES[first]:g} on" in words
    texts = [panel.summary, *(text for line in panel.reading for text in line.values())]
    assert not any("nan" in text.lower() or "inf" in text.lower() for text in texts)
    assert np.isnan(columns(panel, "now")[-1, -1])  # a gap, drawn as ×
    assert columns(panel, "share")[-1, -1] == 0


def test_the_run_ends_when_nobody_is_left() -> None:
    panel = EnsemblePanel(varies="start", learning_rate=1e9, **{**SMALL, "steps": 2000})
    record = panel.run()
    assert panel.transport["state"] == "diverged" and done(panel) < 2000
    say(panel, type="command", name="reset", seq=1)
    say(panel, type="command", name="start", seq=2)
    assert torch.equal(panel.record.diverged_at, record.diverged_at) and len(panel.record.losses) == len(record.losses)
    assert "All 18 networks have diverged" in panel.reading[-1]["verdict"]


def test_linear_layers_pass_on_what_their_variances_say() -> None:
    choices = start_choices(EnsemblePanel(**SMALL).experiment[0], range(1))
    base = choices.experiments[0]
    square = float(base.dataset.x_train.square().mean())
    linear = base.replace(model=base.model.replace(activation="linear"))
    variance = linear.initialization.initializer.variance
    gain, given = linear.initialization.gain_for(linear.model.hidden_activation), dict(linear.initialization.settings)
    biases = linear.initialization.initializer.bias_variance
    below = 64 * variance(64, 4, gain, given) * square + biases(64)
    above = 4 * variance(4, 4, gain, given)
    expected = math.sqrt(64 * 4 * square * above / (4 * 4 * below))
    assert first_gradient(linear) == pytest.approx(expected, rel=1e-6)


# ---- Start, Pause, Stop, Reset -----------------------------------------------------------------------------------


def test_a_setting_changed_during_the_run_begins_a_new_one_and_says_so() -> None:
    panel = EnsemblePanel(**{**SMALL, "steps": 2000})
    post(panel, type="command", name="start", seq=1)
    wait_for(lambda: done(panel) > 2)
    say(panel, type="set", values={"depth": 3}, seq=2)
    assert panel.transport["state"] == "idle" and "starts again" in panel.notice["text"] and done(panel) == 0
    assert len(panel._ensemble.layers) == 4


test_bad_arguments_are_refused = refusals(EnsemblePanel, {
    "what differs": {"varies": "rates"},
    "did you mean 'depth'": {"dept": 3},
    "device": {"device": "gpu9"},
})
