"""Rules that see matrices: the same weights as torch.optim's class, one by one or in batches, whatever the shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_support import MATRICES, drawn_settings, some_gradients

from weightlab.rules.matrix_rules import orthogonalized, rate_factor
from weightlab.rules.update_rules import UPDATE_RULES, optimizer

SHAPES = ((12, 64), (64, 12), (8, 8), (1, 2), (1, 7), (10, 1), (1, 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rule", MATRICES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_matrix_moves_as_torchs_class_moves_it_to_the_bit(
    rule: str, shape: tuple[int, int], dtype: torch.dtype, data: st.DataObject
) -> None:
    chosen = data.draw(drawn_settings(rule))
    w = some_gradients(1, *shape, seed=1)[0].to(dtype)
    name, arguments = UPDATE_RULES[rule].torch_equivalent(chosen.settings) or ("", {})
    parameter = torch.nn.Parameter(w.clone())
    theirs, state = getattr(torch.optim, name)([parameter], **arguments), UPDATE_RULES[rule].init(w)
    for gradient in some_gradients(20, *shape).to(dtype):
        w, state = UPDATE_RULES[rule].step(w, gradient, state, chosen.settings)
        parameter.grad = gradient.clone()
        theirs.step()
    assert torch.equal(w, parameter.detach())


@pytest.mark.parametrize("lead", [(3,), (3, 2)])
@pytest.mark.parametrize("shape", [(1, 2), (5, 3), (3, 5)])
@pytest.mark.parametrize("rule", MATRICES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_a_batch_with_settings_of_its_own_equals_learners_run_alone(
    rule: str, shape: tuple[int, int], lead: tuple[int, ...], data: st.DataObject
) -> None:
    chosen = [data.draw(drawn_settings(rule)) for _ in range(3)]
    sides = (-1, *(1,) * (len(lead) + 1))
    stacked = {
        name: torch.tensor([one.settings[name] for one in chosen], dtype=torch.float64).view(sides)
        for name in chosen[0].settings
    }
    entry, source = UPDATE_RULES[rule], torch.Generator().manual_seed(0)
    w, *gradients = torch.randn(4, *lead, *shape, dtype=torch.float64, generator=source)
    state = entry.init(w)
    for gradient in gradients:
        new_w, new_state = entry.step(w, gradient, state, stacked)
        for learner, one in enumerate(chosen):
            own = {name: value[learner] for name, value in state.items()}
            alone, _ = entry.step(w[learner], gradient[learner], own, dict(one.settings))
            # products are rounded to bfloat16, of which the learning rate makes a step
            rate = one.learning_rate * float(rate_factor(*shape, one.match_rms_adamw))
            assert float((new_w[learner] - alone).abs().amax()) <= 0.05 * rate + 1e-12 * float(alone.abs().amax())
        w, state = new_w, new_state


@pytest.mark.parametrize("shape", SHAPES)
def test_newton_schulz_brings_all_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = some_gradients(1, *shape)[0]
    found = torch.linalg.svdvals(orthogonalized(matrix, 5, 1e-7).double())
    assert float(found.min()) > 0.6 and float(found.max()) < 1.25
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    direction = orthogonalized(matrix, 5, 1e-7).double()
    assert float((direction * (left @ right)).sum() / direction.norm() / (left @ right).norm()) > 0.95


def test_a_gradient_of_zero_leaves_the_weights_to_their_decay() -> None:
    chosen = optimizer("muon", learning_rate=0.1, weight_decay=0.5)
    w = torch.ones(2, 3, dtype=torch.float64)
    new, _ = UPDATE_RULES["muon"].step(w, torch.zeros_like(w), UPDATE_RULES["muon"].init(w), chosen.settings)
    torch.testing.assert_close(new, 0.95 * w, rtol=0, atol=1e-15)


def test_on_a_landscape_muon_takes_steps_of_about_its_rate_whatever_the_slope() -> None:
    values = optimizer("muon", learning_rate=0.1, weight_decay=0.0, momentum=0.0).settings
    w = torch.zeros(4, 1, 2, dtype=torch.float64)  # (learner, 1, 2)
    slopes = torch.tensor([1e-3, 1.0, 1e3, 1e6], dtype=torch.float64).view(4, 1, 1) * torch.ones(1, 2)
    new, _ = UPDATE_RULES["muon"].step(w, slopes, UPDATE_RULES["muon"].init(w), values)
    lengths = new.norm(dim=(1, 2)) / 0.1
    assert bool(((lengths > 0.6) & (lengths < 1.25)).all())
