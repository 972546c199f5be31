"""Many noisy runs under a schedule: the same runs as `descend` makes, a minimum that moves, and clear refusals."""

from __future__ import annotations

import math

import pytest
import torch
from refusals import refusals

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.descent.run import descend
from weightlab.rules.schedules import SCHEDULES, schedule
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.scheduling.run import Move, scheduled_runs, steps_until
from weightlab.theory.noise import distance_left

BOWL = landscape("noisy_bowl", condition_number=3.0, noise=0.5)
PLAIN = optimizer("gradient_descent", learning_rate=0.2)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_run_is_descends_with_that_seed_bit_for_bit(name: str) -> None:
    runs = scheduled_runs(BOWL, PLAIN, schedule(name), steps=150, seeds=(3, 11))
    for column, seed in enumerate((3, 11)):
        alone = descend(DescentExperiment(BOWL, (PLAIN,), steps=150, seed=seed, schedule=schedule(name)))
        assert torch.equal(runs.weights[:, column], alone.weights[:, 0])
        assert torch.equal(runs.losses[:, column], alone.losses[:, 0])
        assert torch.equal(runs.learning_rates[:, column], alone.learning_rates[:, 0])


@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_every_rule_runs_as_descend_runs_it(rule: str) -> None:
    chosen = optimizer(rule, learning_rate=0.05, **({"momentum": 0.9} if "nesterov" in rule else {}))
    cosine = schedule("cosine", half_cycle=60)
    runs = scheduled_runs(BOWL, chosen, cosine, steps=60, seeds=[5])
    alone = descend(DescentExperiment(BOWL, (chosen,), steps=60, seed=5, schedule=cosine))
    torch.testing.assert_close(runs.weights[:, 0], alone.weights[:, 0], rtol=1e-12, atol=1e-14)


def test_a_move_shifts_the_minimum_and_the_gradient_follows_it() -> None:
    still = landscape("noisy_bowl", condition_number=3.0, noise=0.0)
    runs = scheduled_runs(still, PLAIN, steps=100, seeds=[0], move=Move(50, (1.0, -0.5)))
    assert runs.minima[49].tolist() == [0.0, 0.0] and runs.minima[50].tolist() == [1.0, -0.5]
    assert float(runs.losses[50]) == pytest.approx(0.5 + 1.5 * 0.25, rel=1e-3)  # judged by the minimum that holds then
    left = (runs.mean_errors[50:, 0] / runs.mean_errors[50, 0])[:20]
    torch.testing.assert_close(left, distance_left(runs.learning_rates[50:, 0], 1.0)[:20])


def test_a_run_that_leaves_is_nan_from_there_on_and_the_others_go_on() -> None:
    runs = scheduled_runs(BOWL, optimizer("gradient_descent", learning_rate=3.0), steps=60, seeds=range(4))
    gone = torch.isnan(runs.losses)
    assert bool(gone[-1].all()) and not bool(gone[0].any())
    assert bool((gone[1:] >= gone[:-1]).all()) and not bool(torch.isinf(runs.losses).any())
    assert math.isnan(runs.settled(5)[0])


def test_a_plateau_schedule_rescues_a_rate_beyond_the_limit() -> None:
    fast = optimizer("gradient_descent", learning_rate=1.5)
    assert float(scheduled_runs(BOWL, fast, schedule("plateau"), seeds=range(20)).mean_losses[-1]) < 0.1
    assert math.isnan(float(scheduled_runs(BOWL, fast, seeds=range(20)).mean_losses[-1]))


def test_steps_until_counts_to_the_row_from_which_the_loss_stays_low() -> None:
    losses = torch.tensor([[3.0, 3.0], [0.5, 2.0], [2.0, 2.0], [0.5, 2.0], [0.4, math.nan]])
    assert steps_until(losses, 1.0).tolist() == [3, -1]
    assert int(steps_until(losses[:, 0], 5.0)) == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": []}, "seeds must hold at least one number"),
        ({"steps": 0}, "steps must be in"),
        ({"steps": 100_000, "seeds": range(1000)}, "1000 runs of 100000 steps are too many to keep"),
        ({"start": (math.nan, 0.0)}, "start w1 must be in"),
        ({"optimizer": optimizer(torch.optim.SGD, learning_rate=0.1)}, "need a rule of this package, got SGD"),
        ({"landscape": landscape("saddle")}, "has no known minimum"),
    ],
)
def test_bad_input_is_refused_in_words(change: dict[str, object], words: str) -> None:
    good: dict[str, object] = {"landscape": BOWL, "optimizer": PLAIN, "seeds": [0]}
    with pytest.raises(ValueError, match=words):
        scheduled_runs(**{**good, **change})  # type: ignore[arg-type]


test_a_move_refuses_what_is_no_place_or_no_step = refusals({
    "step of the move must be a whole number": lambda: Move(1.5, (0.0, 0.0)),  # type: ignore[arg-type]
    "move to w2 must be in": lambda: Move(3, (0.0, math.inf)),
    "two weights": lambda: Move(3, (0.0,)),  # type: ignore[arg-type]
})
