"""Runs down a landscape: repeatable, right against torch and theory, and explained wherever they end."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import LANDSCAPES, Landscape, landscape, landscape_from_function
from weightlab.descent.record import DescentRecord
from weightlab.descent.run import descend
from weightlab.rules.schedules import SCHEDULES, schedule
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.theory.quadratic import learning_rate_limit

RULES = UPDATE_RULES
ALL_RULES = tuple(optimizer(rule, learning_rate=0.01) for rule in RULES)
SGD_FAMILY = ("gradient_descent", "momentum", "classical_momentum", "averaged_momentum", "sutskever_momentum",
              "nesterov", "sutskever_nesterov")


def run(where: str | Landscape, *optimizers: OptimizerSettings, **changes: Any) -> DescentRecord:
    place = landscape(where) if isinstance(where, str) else where
    return descend(DescentExperiment(place, optimizers, **changes))


def same_tensors(first: DescentRecord, second: DescentRecord) -> bool:
    pairs = ((getattr(first, field.name), getattr(second, field.name)) for field in dataclasses.fields(first))
    return all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) if isinstance(a, Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("rate", [0.0, 0.003, 0.3, 1e3])
@pytest.mark.parametrize("name", LANDSCAPES)
def test_every_rule_on_every_landscape_stays_finite_or_says_why_not(name: str, rate: float) -> None:
    record = run(name, *(one.replace(learning_rate=rate) for one in ALL_RULES), steps=200)
    assert record.weights.shape == record.gradients.shape == record.gradient_points.shape == (201, len(ALL_RULES), 2)
    assert record.losses.shape == record.gradient_norms.shape == (201, len(ALL_RULES))
    assert record.steps_taken.shape == (200, len(ALL_RULES), 2)
    for learner, (one, status) in enumerate(zip(ALL_RULES, record.statuses, strict=True)):
        last = status.step if status.kind == "diverged" else 200
        assert int(record.diverged_at[learner]) == (status.step if status.kind == "diverged" else -1)
        for part in (record.weights, record.losses, record.gradients):
            assert not bool(part[:, learner].isinf().any())
            assert bool(part[:last, learner].isfinite().all())
            assert bool(part[last + 1 :, learner].isnan().all())
        assert status.message.startswith(one.label)
        if status.kind == "diverged":
            assert f"at step {status.step}" in status.message
            assert "along (" in status.message
            assert any(word in status.message for word in ("beyond the limit", "without end", "carried it off"))


def test_equal_experiments_repeat_to_the_bit() -> None:
    for name in ("rastrigin", "noisy_bowl", "cliff"):
        assert same_tensors(run(name, *ALL_RULES), run(name, *ALL_RULES))


@pytest.mark.parametrize("name", LANDSCAPES)
def test_record_holds_the_steps_that_the_rules_make(name: str) -> None:
    where, chosen = landscape(name), tuple(one.replace(learning_rate=1e-3) for one in ALL_RULES)
    record = run(where, *chosen, steps=40, loss_scale=2.0, seed=3)
    noise = record.gradients - 2 * where.gradient(record.gradient_points)  # the same for everybody
    for learner, one in enumerate(chosen):
        assert isinstance(one.rule, str)
        rule, w = UPDATE_RULES[one.rule], torch.tensor([where.start], dtype=torch.float64)
        state = rule.init(w)
        for step in range(41):
            point = rule.gradient_point(w, state, one.settings)
            assert torch.allclose(record.weights[step, learner], w[0], rtol=1e-9, atol=1e-9)
            assert torch.allclose(record.gradient_points[step, learner], point[0], rtol=1e-9, atol=1e-9)
            w, state = rule.step(w, 2 * where.gradient(point) + noise[step, learner], state, one.settings)
    assert torch.allclose(record.losses, 2 * where.loss(record.weights), rtol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("kappa", [1.0, 10.0, 100.0])
@pytest.mark.parametrize("rule", SGD_FAMILY)
def test_rule_comes_to_rest_below_its_limit_and_beyond_it_names_direction_and_limit(
    rule: str, kappa: float, momentum: float
) -> None:
    if rule == "nesterov" and momentum == 0:
        momentum = 0.2
    carried = {} if rule == "gradient_descent" else {"momentum": momentum}
    where = landscape("rotated_quadratic", condition_number=kappa, angle=90)  # the steep direction is the first axis
    limit = float(learning_rate_limit(UPDATE_RULES[rule].theory or "", momentum, kappa))
    pair = tuple(optimizer(rule, learning_rate=share * limit, **carried) for share in (0.98, 1.02))
    below, beyond = run(where, *pair, start=(1.0, 1.0), steps=2500).statuses
    assert below.kind == "converged"
    assert "came to rest" in below.message
    assert "in the minimum at (0, 0)" in below.message
    assert beyond.kind == "diverged"
    if kappa > 1:
        assert "along (1.00, 0.00)" in beyond.message
    assert f"curvature λ = {kappa:.4g}: learning rate {1.02 * limit:.4g} is beyond the limit" in beyond.message
    assert f"= {limit:.4g}; take a smaller one" in beyond.message


def test_limit_in_the_message_counts_loss_scale_weight_decay_and_dampening() -> None:
    scaled = run("quadratic", optimizer("gradient_descent", learning_rate=0.01), loss_scale=100.0)
    assert "λ = 1000: learning rate 0.01 is beyond the limit 2/λ = 0.002" in scaled.statuses[0].message
    decayed = run("quadratic", optimizer("gradient_descent", learning_rate=0.19, weight_decay=1.0), steps=3000)
    assert "λ = 11: learning rate 0.19 is beyond the limit 2/λ = 0.1818" in decayed.statuses[0].message
    damped = [optimizer("momentum", learning_rate=rate, momentum=0.5, dampening=0.5) for rate in (0.59, 0.61)]
    below, beyond = run("quadratic", *damped, steps=3000).statuses
    assert below.kind == "converged"
    assert "beyond the limit (2 + 2μ)/λ/(1 − dampening) = 0.6;" in beyond.message


def test_divergence_on_a_curved_landscape_names_the_curvature_at_the_last_point_inside() -> None:
    where = landscape("rosenbrock")
    record = run(where, optimizer("gradient_descent", learning_rate=0.01))
    status = record.statuses[0]
    inside = [step for step in range(status.step) if all(
        low <= value <= high
        for value, (low, high) in zip(record.weights[step, 0].tolist(), where.bounds, strict=True)
    )]
    curvature = float(torch.linalg.eigvalsh(where.hessian(record.weights[inside[-1], 0]))[-1])
    assert f"where it stood at step {inside[-1]}" in status.message
    assert f"curvature λ = {curvature:.4g}: learning rate 0.01 is beyond the limit 2/λ" in status.message


@pytest.mark.parametrize(
    ("where", "chosen", "changes", "kind", "words"),
    [
        ("saddle", optimizer("momentum", learning_rate=0.1), {"steps": 2000}, "diverged", "the loss falls without end"),
        ("saddle", optimizer("gradient_descent", learning_rate=0.1), {"start": (-2.0, 0.0)}, "converged",
         "on a saddle point at (0, 0)"),
        ("rastrigin", optimizer("gradient_descent", learning_rate=1e-3), {}, "converged",
         "not in the global minimum: its loss is 12.9 above"),
        ("plateau", optimizer("gradient_descent", learning_rate=1e-3), {}, "finished", "hardly moved in 300 steps"),
        ("rosenbrock", optimizer("momentum"), {}, "finished", "used up its 300 steps: loss 0.0119"),
        ("quadratic", optimizer("rmsprop", learning_rate=1e12), {}, "diverged", "carried it off the landscape"),
        ("quadratic", optimizer("adamw", learning_rate=1.0, weight_decay=3.0), {}, "diverged", "beyond the limit 2/3"),
        ("himmelblau", optimizer("momentum"), {"start": (1e200, 0.0)}, "diverged", "starts where the loss"),
        ("quadratic", optimizer("momentum"), {"start": (0.0, 0.0)}, "converged", "after 0 steps in the minimum"),
    ],
)
def test_ends_are_told_in_words(
    where: str, chosen: OptimizerSettings, changes: dict[str, Any], kind: str, words: str
) -> None:
    status = run(where, chosen, **changes).statuses[0]
    assert status.kind == kind
    assert words in status.message


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_scales_every_learning_rate(name: str) -> None:
    chosen = schedule(name)
    pair = (optimizer("gradient_descent", learning_rate=0.01), optimizer("gradient_descent", learning_rate=0.02))
    record = run("rotated_quadratic", *pair, schedule=chosen, steps=80)
    base = torch.tensor([0.01, 0.02], dtype=torch.float64)
    if not chosen.needs_losses:
        assert torch.equal(record.learning_rates, base * chosen.factors(80).unsqueeze(-1))
    expected = -record.learning_rates.unsqueeze(-1) * record.gradients[:-1]
    assert torch.allclose(record.steps_taken, expected, rtol=1e-9, atol=1e-12)


def test_noise_is_shared_repeats_with_its_seed_and_does_not_depend_on_the_number_of_steps() -> None:
    where = landscape("noisy_bowl")
    kwargs: dict[str, Any] = {"seed": 5, "steps": 100}
    record = run(where, optimizer("momentum"), optimizer("adam"), **kwargs)
    noise = record.gradients - where.gradient(record.weights)
    assert torch.allclose(noise[:, 0], noise[:, 1], atol=1e-12)
    assert float(noise.std()) == pytest.approx(where.gradient_noise, rel=0.2)
    longer = run(where, optimizer("momentum"), optimizer("adam"), seed=5, steps=333)
    assert torch.equal(longer.weights[:101], record.weights)
    assert not torch.equal(run(where, optimizer("momentum"), seed=6, steps=100).weights[:, 0], record.weights[:, 0])
    assert record.statuses[0].kind == "finished"


def test_scaling_the_loss_leaves_adams_path_and_ruins_descents() -> None:
    pair = (optimizer("adam", learning_rate=0.05, eps=1e-12), optimizer("gradient_descent", learning_rate=1e-3))
    plain, scaled = run("rosenbrock", *pair), run("rosenbrock", *pair, loss_scale=1000.0)
    assert torch.allclose(plain.weights[:, 0], scaled.weights[:, 0], rtol=1e-8, atol=1e-8)
    assert (plain.statuses[1].kind, scaled.statuses[1].kind) == ("finished", "diverged")


@pytest.mark.parametrize(
    ("rule", "rate", "name"),
    [
        (torch.optim.Adagrad, 0.5, "rosenbrock"),
        (torch.optim.Adagrad, 0.5, "noisy_bowl"),
        (torch.optim.NAdam, 0.05, "rosenbrock"),
        (torch.optim.Rprop, 0.05, "noisy_bowl"),
        (torch.optim.LBFGS, 0.5, "rosenbrock"),
    ],
)
def test_any_torch_optimizer_runs_as_it_does_alone(
    rule: type[torch.optim.Optimizer], rate: float, name: str
) -> None:
    where, steps = landscape(name), 60
    chosen = (optimizer("adam"), optimizer(rule, learning_rate=rate))
    record = run(where, *chosen, steps=steps, schedule=schedule("exponential"))
    noise = record.gradients[:, 0] - where.gradient(record.weights[:, 0])
    parameter = torch.nn.Parameter(torch.tensor(where.start, dtype=torch.float64))
    theirs = rule([parameter], lr=rate)  # type: ignore[call-arg]
    for step in range(steps):
        assert torch.allclose(record.weights[step, 1], parameter.detach(), rtol=1e-6, atol=1e-9)
        theirs.param_groups[0]["lr"] = rate * 0.99**step

        def closure(step: int = step) -> Tensor:
            theirs.zero_grad()
            loss = where.loss(parameter)
            loss.backward()
            assert parameter.grad is not None
            parameter.grad += noise[step]
            return loss

        theirs.step(closure)  # type: ignore[arg-type]
    assert record.labels == ("Adam", rule.__name__)


def test_torch_optimizer_that_cannot_step_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match="torch.optim.SparseAdam cannot take a step here: .*dense gradients"):
        run("quadratic", optimizer(torch.optim.SparseAdam))


def test_own_function_runs_like_a_built_in_landscape() -> None:
    built_in = landscape("rosenbrock")
    own = landscape_from_function(lambda x, y: (1 - x) ** 2 + 100 * (y - x * x) ** 2, built_in.bounds, built_in.start)
    chosen = (optimizer("momentum"), optimizer("adam", learning_rate=0.05))
    assert torch.allclose(run(own, *chosen, steps=100).weights, run(built_in, *chosen, steps=100).weights, rtol=1e-9)
    edge = landscape_from_function(lambda x, y: torch.log(x) + y * y, ((0.1, 3.0), (-1.0, 1.0)))
    status = run(edge, optimizer("gradient_descent", learning_rate=0.3)).statuses[0]
    assert status.kind == "diverged"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"landscape": "quadratic"}, TypeError, r"landscape must be a Landscape, got 'quadratic'; make one with"),
        ({"optimizers": ()}, ValueError, "must hold at least one, got none"),
        ({"optimizers": ("adam",)}, TypeError, "must be a tuple of OptimizerSettings"),
        ({"schedule": "cosine"}, TypeError, "schedule must be ScheduleSettings"),
        ({"start": (1.0,)}, ValueError, r"start must be two numbers"),
        ({"start": (1.0, math.nan)}, ValueError, r"start w2 must be in .*got nan; use a finite number"),
        ({"steps": 0}, ValueError, r"steps must be in \[1, 100000\], got 0"),
        ({"steps": 1.5}, ValueError, "steps must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be in .*, got -1"),
        ({"loss_scale": 0}, ValueError, r"loss_scale must be in \(0, inf\), got 0; scale by a positive number"),
        ({"loss_scale": math.inf}, ValueError, "loss_scale must be in .*got inf"),
    ],
)
def test_bad_experiments_are_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    experiment = DescentExperiment(landscape("quadratic"), (optimizer("momentum"),))
    with pytest.raises(error, match=message):
        experiment.replace(**changes)


def test_labels_tell_learners_of_one_rule_apart() -> None:
    twins = (optimizer("momentum", momentum=0.5), optimizer("momentum"), optimizer("adam"))
    labels = DescentExperiment(landscape("quadratic"), twins).labels
    assert labels == ("Momentum (μ = 0.5)", "Momentum (μ = 0.9)", "Adam")


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(LANDSCAPES)),
    rate=st.sampled_from([0.0, 1e-300, 1e20]) | st.floats(0, 1e6),
    momentum=st.sampled_from([1e-12, 1 - 1e-12]) | st.floats(1e-6, 0.999999),
    start=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
    scale=st.floats(1e-6, 1e6),
)
def test_no_corner_of_the_controls_breaks_a_run(
    name: str, rate: float, momentum: float, start: tuple[float, float], scale: float
) -> None:
    chosen = [
        optimizer(name, learning_rate=rate, **({"momentum": momentum} if "momentum" in rule.defaults else {}))
        for name, rule in RULES.items()
    ]
    record = run(name, *chosen, start=start, loss_scale=scale, steps=20)
    assert len(record.statuses) == len(chosen)
    assert all(status.message for status in record.statuses)
    assert not bool(record.weights.isinf().any())
