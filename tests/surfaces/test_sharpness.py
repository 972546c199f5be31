"""Sharpness against exact Hessians, its limit against theory, and the edge of stability against both."""

from __future__ import annotations

import pytest
import torch
from refusals import refusals
from training_support import small_and_exact as small

from weightlab.networks.architectures import flat_weights
from weightlab.rules.update_rules import optimizer
from weightlab.surfaces.planes import loss_function
from weightlab.surfaces.sharpness import (
    SharpnessMeter,
    SharpnessWatch,
    edge_experiment,
    noisy_digits,
    sharpness,
    sharpness_limit,
    watch_sharpness,
)
from weightlab.training.run import Training


@pytest.mark.parametrize("steps", [0, 5, 200])
def test_sharpness_is_the_hessians_largest_eigenvalue(steps: int) -> None:
    experiment = small()
    training = Training(experiment.replace(steps=max(steps, 1)))
    for _ in range(steps):
        training.step()
    loss = loss_function(training.network, experiment)
    weights = flat_weights(training.network)
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, weights))
    meter = SharpnessMeter(loss, tolerance=1e-6)
    assert meter.measure(weights) == pytest.approx(float(values[-1]), rel=1e-9)
    assert meter.direction is not None and float(meter.direction.norm()) == pytest.approx(1.0)
    curvature = float(meter.direction @ torch.autograd.functional.hvp(loss, weights, meter.direction)[1])
    assert curvature == pytest.approx(float(values[-1]), rel=1e-9)


@pytest.mark.parametrize("curvatures", [[1.0, 3.0, 7.0], [-9.0, 3.0, 7.0], [-9.0, -7.0], [7.0, 7.0, 7.0], [0.0, 0.0]])
def test_sharpness_of_a_quadratic_is_its_largest_curvature(curvatures: list[float]) -> None:
    bends = torch.tensor(curvatures, dtype=torch.float64)
    point = torch.zeros(len(curvatures), dtype=torch.float64)
    found = sharpness(lambda w: 0.5 * (bends * w.square()).sum(), point, tolerance=1e-10)
    assert found == pytest.approx(max(curvatures), abs=1e-9)


@pytest.mark.parametrize(
    ("rule", "momentum", "limit"),
    [("gradient_descent", 0.0, 5.0), ("momentum", 0.0, 5.0), ("momentum", 0.9, 9.5), ("nesterov", 0.9, 9.5 / 2.8)],
)
def test_the_limit_is_that_of_a_bowl_turned_round(rule: str, momentum: float, limit: float) -> None:
    assert sharpness_limit(rule, 0.4, momentum) == pytest.approx(limit)


def test_a_run_without_learning_rate_is_refused_a_limit() -> None:
    with pytest.raises(ValueError, match="stands still has no limit"):
        sharpness_limit("momentum", 0.0)


def test_watching_changes_nothing_of_the_run() -> None:
    experiment = small(steps=20)
    record = watch_sharpness(experiment, every=5)
    assert record.steps.tolist() == [0, 5, 10, 15, 20]
    plain = Training(experiment)
    for _ in plain:
        pass
    assert torch.equal(flat_weights(plain.network), record.path[-1])
    # the training loss of step t is the full batch's loss at the weights after t steps
    assert torch.allclose(record.losses[:-1], plain.record().losses[::5].double(), rtol=1e-12)
    assert record.limits.tolist() == pytest.approx([2 / 0.3] * 5)
    assert record.status.kind == "finished"


def test_a_change_midway_moves_the_limit_from_then_on() -> None:
    watch = SharpnessWatch(small(optimizer=optimizer("momentum", learning_rate=0.3, momentum=0.5)), every=10)
    for step in watch:
        if step == 25:
            watch.change(learning_rate=0.1, momentum=0.0)
    limits = watch.record().limits.tolist()
    assert limits == pytest.approx([10.0] * 3 + [20.0] * 4)


def test_a_rule_without_a_closed_form_has_no_limit() -> None:
    record = watch_sharpness(small(optimizer=optimizer("adam"), steps=10), every=5)
    assert torch.isnan(record.limits).all() and record.reached is None


@pytest.mark.parametrize(("learning_rate", "momentum"), [(0.25, 0.0), (0.4, 0.0), (0.4, 0.9)])
def test_sharpness_rises_to_its_limit_and_hovers_there(learning_rate: float, momentum: float) -> None:
    rule = optimizer("momentum", learning_rate=learning_rate, momentum=momentum)
    record = watch_sharpness(edge_experiment(noisy_digits(), rule, steps=500), every=10)
    assert record.ratios[0] < 0.25
    assert record.reached is not None and 50 < record.reached < 320
    assert 0.8 < record.hovers_at(320) < 1.35
    assert record.losses[-1] < record.losses[0] - 0.5  # beyond the limit, and yet it learns
    edge = record.swings[record.steps > 350]
    assert edge.abs().mean() > 5 * record.swings[1:5].abs().mean()


test_bad_settings_of_a_measurement_are_refused = refusals({
    "tolerance": lambda: SharpnessMeter(lambda w: w.sum(), tolerance=0.0),
    "every": lambda: SharpnessWatch(small(), every=0),
    "label_noise": lambda: noisy_digits(1.5),
})
