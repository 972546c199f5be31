"""What the loop's habits cost or save: each measurement tells apart what it is there to tell apart."""

from __future__ import annotations

import pytest
import torch

from weightlab.loop.experiment import USUAL_ORDER
from weightlab.loop.measurements import (
    gradient_of_a_mistake,
    inference_cost,
    order_difference,
    resume,
    updates_until_right,
    weights_by_hand,
    weights_by_sgd,
)
from weightlab.theory.loop import logit_gradient


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_run_resumed_with_model_and_optimizer_is_identical_to_the_last_bit(momentum: float) -> None:
    found = resume(with_optimizer=True, momentum=momentum, updates=8)
    assert found.identical and found.off == 0 and "identical" in repr(found)


def test_without_the_momentum_buffer_the_resumed_run_goes_elsewhere() -> None:
    for seed in range(3):
        found = resume(with_optimizer=False, updates=8, seed=seed)
        assert not found.identical and found.off > 0.1 and "off by" in repr(found)


def test_writing_the_update_by_hand_equals_sgd_to_the_last_bit() -> None:
    sgd = weights_by_sgd(20, learning_rate=0.1)
    assert torch.equal(weights_by_hand(lambda w: w.sub_(w.grad, alpha=0.1), 20), sgd)  # type: ignore[arg-type]
    rounded_twice = weights_by_hand(lambda w: w.sub_(0.1 * w.grad), 20)  # type: ignore[operator]
    torch.testing.assert_close(rounded_twice, sgd, rtol=1e-14, atol=1e-15)
    assert not torch.equal(weights_by_hand(lambda w: w.sub_(w.grad, alpha=0.2), 20), sgd)  # type: ignore[arg-type]


def test_inference_mode_keeps_nothing_and_gives_the_same_outputs() -> None:
    for examples in (1, 64):
        found = inference_cost(examples=examples, repeats=2)
        assert found.same_outputs and found.bytes_for_backward == (examples * 1024, 0)


def test_squared_error_is_slow_where_it_is_most_wrong() -> None:
    assert gradient_of_a_mistake("mse", -6.0) == pytest.approx(logit_gradient("mse", -6.0, 1.0))
    assert gradient_of_a_mistake("bce_with_logits", -6.0) / gradient_of_a_mistake("mse", -6.0) > 100
    assert updates_until_right("bce_with_logits") * 20 < updates_until_right("mse")
    with pytest.raises(ValueError, match="10 updates with learning_rate 1 are not enough"):
        updates_until_right("mse", most=10)


def test_zero_grad_may_stand_anywhere_between_step_and_backward() -> None:
    for place in range(5):
        order = tuple(line for line in USUAL_ORDER if line != 4)
        order = (*order[:place], 4, *order[place:])
        if order != USUAL_ORDER and place != 4:
            assert order_difference(order) == 0
    assert order_difference((1, 2, 3, 5, 6, 4)) == 0
    assert order_difference((1, 2, 3, 5, 4, 6)) > 0.1
    with pytest.raises(ValueError, match="is the usual order"):
        order_difference(USUAL_ORDER)
    with pytest.raises(ValueError, match="each of"):
        order_difference((1, 2, 3, 5, 6))
    with pytest.raises(ValueError, match="NameError"):
        order_difference((6, 5, 4, 3, 2, 1))
