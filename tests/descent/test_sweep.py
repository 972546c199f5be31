"""Sweeps of many learners: equal to descend, and their measured rates and limits against theory's on grids."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from refusals import refusals

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape, landscape_from_function
from weightlab.descent.run import FAR, descend
from weightlab.descent.sweep import measured_rate, sweep
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.theory.quadratic import best_gradient_descent, best_heavy_ball


@pytest.mark.parametrize("rule", UPDATE_RULES)
@pytest.mark.parametrize("name", ["rotated_quadratic", "noisy_bowl", "cliff"])
def test_sweep_equals_descend(name: str, rule: str) -> None:
    where = landscape(name)
    rates = torch.tensor([0.001, 0.01, 0.05, 5.0], dtype=torch.float64)
    swept = sweep(where, rule, {"learning_rate": rates}, steps=50, seed=2, keep_paths=True)
    alone = tuple(optimizer(rule, learning_rate=rate) for rate in rates.tolist())
    few = descend(DescentExperiment(where, alone, steps=50, seed=2))
    assert swept.kept_steps.tolist() == list(range(51))
    assert torch.equal(swept.diverged_at, few.diverged_at)
    for learner, end in enumerate(few.diverged_at.tolist()):
        before = slice(None, end if end >= 0 else None)  # a sweep drops the step of the divergence too
        assert torch.allclose(swept.weights[before, learner], few.weights[before, learner], rtol=1e-9, atol=1e-12)
        assert bool(swept.weights[end:, learner].isnan().all()) or end < 0
        assert swept.status(learner).kind == ("diverged" if end >= 0 else "finished")
    sparse = sweep(where, rule, {"learning_rate": rates}, steps=50, seed=2)
    assert sparse.kept_steps.tolist()[0] == 0
    assert sparse.kept_steps.tolist()[-1] == sparse.steps == 50
    assert torch.equal(sparse.weights.nan_to_num(7.0), swept.weights[sparse.kept_steps].nan_to_num(7.0))
    assert torch.equal(sparse.losses.nan_to_num(7.0), where.loss(sparse.weights).nan_to_num(7.0))


@pytest.mark.parametrize("kappa", [4.0, 10.0, 100.0, 1000.0])
def test_measured_rate_at_the_best_settings_is_the_best_rate_in_spite_of_the_double_root(kappa: float) -> None:
    where = landscape("quadratic", condition_number=kappa)
    rate, expected = best_gradient_descent(1.0, kappa)
    measured = measured_rate(sweep(where, "gradient_descent", {"learning_rate": rate}, steps=1500))
    assert float(measured) == pytest.approx(expected, rel=0.01)
    rate, momentum, expected = best_heavy_ball(1.0, kappa)
    record = sweep(where, "momentum", {"learning_rate": rate, "momentum": momentum}, steps=1500, keep_paths=True)
    assert float(measured_rate(record)) == pytest.approx(expected, rel=0.01)


def kept(rule: str, values: dict[str, Any]) -> object:
    return sweep(landscape("quadratic"), rule, values, keep_paths=True)


test_bad_sweeps_are_refused = refusals(kept, {
    "unknown update rule 'momentums': did you mean 'momentum'": ("momentums", {}),
    "unknown setting of momentum 'rate'": ("momentum", {"rate": 0.1}),
    r"must be in \[0, 1e\+20\], got nan": ("momentum", {"learning_rate": torch.tensor([0.1, math.nan])}),
    r"learning_rate must be in \[0, 1e\+20\], got -0.2": ("momentum", {"learning_rate": torch.tensor([0.1, -0.2])}),
    r"momentum must be in \[0, 1\), got 1": ("momentum", {"momentum": torch.tensor([0.1, 1.0])}),
    r"a tensor \(learner,\), got shape \(2, 2\)": ("momentum", {"momentum": torch.zeros(2, 2)}),
    "must have one length, got": ("momentum", {"momentum": torch.zeros(2), "learning_rate": torch.zeros(3)}),
    "more than 2 GiB; leave keep_paths off": ("momentum", {"learning_rate": torch.zeros(2_000_000)}),
})


@pytest.mark.parametrize("steps", [1, 31, 32, 33, 64, 65, 200])
def test_the_step_of_a_divergence_is_found_wherever_it_falls(steps: int) -> None:
    """A sweep looks for divergence every 32 steps only, and must still name the step."""
    rates = torch.linspace(0.21, 3.0, 40, dtype=torch.float64)
    record = sweep(landscape("quadratic"), "gradient_descent", {"learning_rate": rates}, steps=steps, pairs=0)
    steepest = (1 - 10 * rates).abs()  # by which the second weight grows in a step, from 1
    expected = ((math.log(FAR * landscape("quadratic").size)) / steepest.log()).ceil().long()
    assert record.diverged_at.tolist() == torch.where(expected <= steps, expected, -1).tolist()
    assert record.kept_steps.tolist() == [0, steps]
    assert torch.equal(record.losses[-1].isnan(), record.diverged_at >= 0)


def test_a_learner_that_leaves_and_comes_back_has_diverged() -> None:
    """One leap out of 1e8 landscapes' size, one leap home: the looks at every 32nd step see neither."""
    kick = torch.tensor(-1e10, dtype=torch.float64)
    where = landscape_from_function(
        lambda x, y: torch.where((x - 0.5).abs() < 0.01, kick * x, torch.where(x > 1e9, 0.5 * x**2, 1e-3 * x)) + y**2,
        ((-1.0, 1.0), (-1.0, 1.0)),
        start=(0.5, 0.0),
    )  # fmt: skip
    record = sweep(where, "gradient_descent", {"learning_rate": torch.tensor([1.0])}, steps=20, pairs=0)
    assert record.diverged_at.tolist() == [1]
