"""Every update rule against torch.optim, against its own repeat, and against what theory says of its steps."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reliability import Record
from rule_support import ELEMENTS, drawn_settings, some_gradients
from torch import Tensor

from weightlab.descent.landscapes import LANDSCAPES, Landscape, landscape
from weightlab.rules.update_rules import SETTING_LIMITS, UPDATE_RULES, OptimizerSettings, optimizer

SAME_WEIGHTS = ("gradient_descent", "momentum", "nesterov", "rmsprop", "adam", "adamw", "muon")
RELATED = ("classical_momentum", "averaged_momentum", "sutskever_momentum", "sutskever_nesterov")
LINEAR_GRADIENT = ("quadratic", "rotated_quadratic", "saddle", "noisy_bowl")
FAR_AWAY = 1e6


def largest_difference(chosen: OptimizerSettings, where: Landscape, shared_gradients: bool, steps: int = 300) -> float:
    """Largest distance of our gradient points from torch.optim's weights, relative to how far out the path has been.

    Both sides see the same noise. The comparison ends where the path has left for FAR_AWAY.
    """
    assert isinstance(chosen.rule, str)
    rule = UPDATE_RULES[chosen.rule]
    equivalent = rule.torch_equivalent(chosen.settings)
    assert equivalent is not None
    w = torch.tensor([where.start], dtype=torch.float64)
    state = rule.init(w)
    parameter = torch.nn.Parameter(w.clone())
    theirs = getattr(torch.optim, equivalent[0])([parameter], **equivalent[1])
    noise = torch.randn(steps, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    worst, scale = 0.0, float(w.norm())
    for step in range(steps):
        kick = where.gradient_noise * noise[step]
        ours = where.gradient(rule.gradient_point(w, state, chosen.settings)) + kick
        parameter.grad = ours.clone() if shared_gradients else where.gradient(parameter.detach()) + kick
        w, state = rule.step(w, ours, state, chosen.settings)
        theirs.step()
        expected = parameter.detach()
        if not float(expected.norm()) < FAR_AWAY:
            break
        scale = max(scale, float(expected.norm()))
        point = rule.gradient_point(w, state, chosen.settings)
        worst = max(worst, float((point - expected).norm()) / scale)
    return worst


@pytest.mark.parametrize("name", LANDSCAPES)
@pytest.mark.parametrize("rule", SAME_WEIGHTS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rule_walks_the_path_of_its_torch_counterpart(
    rule: str, name: str, data: st.DataObject, record_property: Record
) -> None:
    # Each side takes the gradient at its own weights. The operations are torch.optim's own in the same order, so this
    # holds even where the landscape is chaotic and one rounding would grow beyond all bounds.
    gap = largest_difference(data.draw(drawn_settings(rule)), landscape(name), shared_gradients=False)
    record_property("difference", gap)
    assert gap <= 1e-12


@pytest.mark.parametrize("name", LANDSCAPES)
@pytest.mark.parametrize("rule", RELATED)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_other_conventions_walk_the_path_that_their_relation_to_torch_states(
    rule: str, name: str, data: st.DataObject, record_property: Record
) -> None:
    # These round differently from torch, and a chaotic landscape (Rastrigin, or any at a large learning rate) makes
    # much of that rounding. Both sides are therefore fed the same gradients: what is compared is the rule. Where the
    # gradient is linear, rounding grows no faster than the path itself, and each side takes its own.
    chosen = data.draw(drawn_settings(rule))
    gap = largest_difference(chosen, landscape(name), shared_gradients=True)
    if name in LINEAR_GRADIENT:
        gap = max(gap, largest_difference(chosen, landscape(name), shared_gradients=False))
    record_property("difference", gap)
    assert gap <= 1e-12


def walk(rule: str, values: dict[str, Any], gradients: Tensor, rates: list[Any] | None = None) -> Tensor:
    """Weights (steps + 1, learner, n) after the given gradients (steps, learner, n), from zero."""
    w = torch.zeros_like(gradients[0])
    state = UPDATE_RULES[rule].init(w)
    path = [w]
    for step, gradient in enumerate(gradients):
        if rates is not None:
            values = {**values, "learning_rate": rates[step]}
        w, state = UPDATE_RULES[rule].step(w, gradient, state, values)
        path.append(w)
    return torch.stack(path)


@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_rule_repeats_to_the_bit(rule: str) -> None:
    gradients = some_gradients(100, 3, 5)
    values = dict(optimizer(rule).settings)
    assert torch.equal(walk(rule, values, gradients), walk(rule, values, gradients))


@pytest.mark.parametrize("rule", ELEMENTS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_batch_with_settings_of_its_own_equals_learners_run_alone(rule: str, data: st.DataObject) -> None:
    chosen = [data.draw(drawn_settings(rule)) for _ in range(3)]
    gradients = some_gradients(60, 3, 2)
    stacked = {
        name: torch.tensor([[one.settings[name]] for one in chosen], dtype=torch.float64) for name in chosen[0].settings
    }
    entry, w = UPDATE_RULES[rule], torch.zeros(3, 2, dtype=torch.float64)
    state = entry.init(w)
    for gradient in gradients:
        # both step from the same state: over many steps a tiny squared gradient below would amplify rounding
        new_w, new_state = entry.step(w, gradient, state, stacked)
        for learner, one in enumerate(chosen):
            here = slice(learner, learner + 1)
            own = {name: value if value.dim() == 0 else value[here] for name, value in state.items()}
            alone, _ = entry.step(w[here], gradient[here], own, dict(one.settings))
            scale = float(torch.maximum(alone.abs(), (alone - w[here]).abs()).amax()) or 1.0
            assert float((new_w[here] - alone).abs().amax()) <= 1e-12 * scale
        w, state = new_w, new_state


@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_step_changes_none_of_its_arguments_and_keeps_no_gradient(rule: str) -> None:
    values = {**optimizer(rule).settings, "weight_decay": 0.0}
    w, entry = torch.ones(2, 3, dtype=torch.float64), UPDATE_RULES[rule]
    state = entry.init(w)
    for gradient in some_gradients(3, 2, 3):
        before = copy.deepcopy((w, gradient, state))
        new_w, new_state = entry.step(w, gradient, state, values)
        assert torch.equal(w, before[0])
        assert torch.equal(gradient, before[1])
        assert state.keys() == before[2].keys()
        assert all(torch.equal(state[key], before[2][key]) for key in state)
        kept = {tensor.data_ptr() for tensor in (new_w, *new_state.values())}
        assert gradient.data_ptr() not in kept
        assert w.data_ptr() not in kept
        w, state = new_w, new_state


def test_momentum_conventions_part_when_the_learning_rate_changes() -> None:
    gradients, rates = torch.ones(2, 1, 1, dtype=torch.float64), [0.1, 0.01]
    values = {"momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0}
    pytorch = walk("momentum", values, gradients, rates).flatten().diff()
    assert pytorch.tolist() == pytest.approx([-0.1, -0.019], rel=1e-12)
    for rule in ("classical_momentum", "sutskever_momentum"):
        path = walk(rule, values, gradients, rates).flatten()
        assert path.diff().tolist() == pytest.approx([-0.1, -0.1], rel=1e-12)
        assert float(path[-1]) == pytest.approx(-0.2, rel=1e-12)
    assert float(pytorch.sum()) == pytest.approx(-0.119, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(1e-4, 1.0), momentum=st.floats(0.0, 0.99))
def test_averaged_momentum_at_rate_over_one_minus_momentum_is_the_classical_path(rate: float, momentum: float) -> None:
    gradients = some_gradients(100, 1, 2)
    values = {"learning_rate": rate, "momentum": momentum, "weight_decay": 0.0}
    classical = walk("classical_momentum", values, gradients)
    averaged = walk("averaged_momentum", {**values, "learning_rate": rate / (1 - momentum)}, gradients)
    assert float((classical - averaged).abs().amax()) <= 1e-12 * float(classical.abs().amax())


@settings(max_examples=25, deadline=None)
@given(size=st.floats(1e-6, 1e6), rate=st.floats(1e-4, 10.0))
def test_first_adaptive_step_hardly_depends_on_the_size_of_the_gradient(size: float, rate: float) -> None:
    gradient = torch.tensor([[[size, -3 * size]]], dtype=torch.float64)
    for rule, corrected, expected in (
        ("adam", {}, rate),
        ("adam", {"bias_correction": False}, rate * 0.1 / math.sqrt(0.001)),
        ("rmsprop", {}, rate / math.sqrt(0.01)),
    ):
        values = dict(optimizer(rule, learning_rate=rate, eps=1e-15, **corrected).settings)
        step = walk(rule, values, gradient)[1, 0]
        assert step.tolist() == pytest.approx([-expected, expected], rel=1e-6)


def final_distance(chosen: OptimizerSettings, curvature: float, steps: int, decaying: bool = False) -> float:
    """|w| after `steps` on ½·curvature·w², from 1; infinite where it overflowed."""
    assert isinstance(chosen.rule, str)
    rule, w = UPDATE_RULES[chosen.rule], torch.ones(1, 1, dtype=torch.float64)
    state = rule.init(w)
    for step in range(steps):
        values = dict(chosen.settings)
        if decaying:
            values["learning_rate"] *= 0.97**step
        w, state = rule.step(w, curvature * rule.gradient_point(w, state, values), state, values)
    return abs(float(w)) if math.isfinite(float(w)) else math.inf


@pytest.mark.parametrize("momentum", [0.3, 0.9])
@pytest.mark.parametrize("curvature", [0.5, 4.0])
@pytest.mark.parametrize("rule", ["gradient_descent", "momentum", "nesterov", *RELATED])
def test_rule_converges_below_its_limit_and_diverges_just_beyond(rule: str, curvature: float, momentum: float) -> None:
    limit = {
        "gradient_descent": 2.0,
        "averaged_momentum": (2 + 2 * momentum) / (1 - momentum),
        "nesterov": (2 + 2 * momentum) / (1 + 2 * momentum),
        "sutskever_nesterov": (2 + 2 * momentum) / (1 + 2 * momentum),
    }.get(rule, 2 + 2 * momentum) / curvature
    carried = {} if rule == "gradient_descent" else {"momentum": momentum}
    assert final_distance(optimizer(rule, learning_rate=0.99 * limit, **carried), curvature, 5000) < 1e-8
    assert final_distance(optimizer(rule, learning_rate=1.01 * limit, **carried), curvature, 5000) > 1e8


@pytest.mark.parametrize("rule", ["rmsprop", "adam", "adamw"])
def test_adaptive_rule_comes_to_rest_in_a_bowl_when_its_rate_decays(rule: str) -> None:
    chosen = optimizer(rule, learning_rate=0.1, weight_decay=0.0)
    assert final_distance(chosen, 4.0, 600, decaying=True) < 1e-2
    assert final_distance(chosen, 4.0, 600) < 0.2  # at a constant rate it stays within about a step of the minimum


def test_adaptive_steps_stay_within_their_bound_whatever_the_gradients() -> None:
    # |g|/√s <= 1/√(1−α) for RMSprop; for Adam |m|/√s by Cauchy and Schwarz over the two averages' weights
    alpha, beta1, beta2 = 0.99, 0.9, 0.999
    adam_bound = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    spikes = torch.zeros(400, 1, 1, dtype=torch.float64)
    spikes[::40] = 1e6 ** torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(10, 1, 1)
    for rule, bound in (("rmsprop", 1 / math.sqrt(1 - alpha)), ("adam", adam_bound), ("adamw", adam_bound)):
        values = dict(optimizer(rule, learning_rate=1.0, weight_decay=0.0).settings)
        assert 0.1 * bound < float(walk(rule, values, spikes).diff(dim=0).abs().amax()) <= bound * (1 + 1e-9)


def test_adamw_diverges_when_its_weight_decay_overshoots() -> None:
    # the decay alone multiplies the weight by 1 − η·decay, beyond −1 for η·decay > 2; Adam's own steps stay bounded
    assert final_distance(optimizer("adamw", learning_rate=1.0, weight_decay=2.1), 1.0, 600) > 1e8
    assert final_distance(optimizer("adamw", learning_rate=1.0, weight_decay=1.9), 1.0, 600) < 1e2


@pytest.mark.parametrize("rule", ["momentum", "nesterov"])
@pytest.mark.parametrize("as_tensors", [(), ("momentum",), SETTING_LIMITS], ids=["floats", "momentum", "tensors"])
def test_settings_changed_midway_change_the_path_as_torchs(rule: str, as_tensors: Collection[str]) -> None:
    changes = [{"momentum": 0.9}, {"momentum": 0.4, "weight_decay": 0.1}, {"learning_rate": 0.2, "momentum": 0.8}]
    if rule == "momentum":
        changes += [{"momentum": 0.0}, {"momentum": 0.7, "dampening": 0.3}]
    w, parameter = torch.ones(1, 2, dtype=torch.float64), torch.nn.Parameter(torch.ones(1, 2, dtype=torch.float64))
    theirs = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, nesterov=rule == "nesterov")
    state, values = UPDATE_RULES[rule].init(w), dict(optimizer(rule, learning_rate=0.1).settings)
    for change in changes:
        values.update(change)
        theirs.param_groups[0].update({name.replace("learning_rate", "lr"): each for name, each in change.items()})
        # a tensor for whole batches has no special case for 0: there torch's velocity, which waits, decays
        given_as = {
            name: torch.full((1, 1), value, dtype=torch.float64) if name in as_tensors and values["momentum"] else value
            for name, value in values.items()
        }
        for gradient in some_gradients(5, 1, 2):
            w, state = UPDATE_RULES[rule].step(w, gradient, state, given_as)
            parameter.grad = gradient.clone()
            theirs.step()
            torch.testing.assert_close(w, parameter.detach(), rtol=1e-13, atol=1e-13)


def test_a_momentum_without_dampening_is_undamped() -> None:
    gradients = some_gradients(10, 2, 3)
    plain = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0}
    for rule in ("momentum", "nesterov"):
        assert torch.equal(walk(rule, plain, gradients), walk(rule, {**plain, "dampening": 0.0}, gradients))


@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_state_starts_as_zeros_beside_the_weights(rule: str) -> None:
    w = torch.ones(2, 3, dtype=torch.float32)
    state = dict(UPDATE_RULES[rule].init(w))
    counter = state.pop("step", torch.zeros((), dtype=torch.float64))
    assert counter.dtype == torch.float64 and counter.shape == () and counter == 0
    for held in state.values():
        assert held.dtype == w.dtype and held.shape == w.shape and not held.any()
    new_w, _ = UPDATE_RULES[rule].step(w, torch.ones_like(w), UPDATE_RULES[rule].init(w), optimizer(rule).settings)
    assert new_w.dtype == w.dtype


def test_adams_counter_stays_on_the_cpu_whatever_the_device() -> None:
    with torch.device("meta"):
        state = UPDATE_RULES["adam"].init(torch.ones(2, 3))
    devices = {name: held.device.type for name, held in state.items()}
    assert devices == {"step": "cpu", "mean": "meta", "squares": "meta"}
