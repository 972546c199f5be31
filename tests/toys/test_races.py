"""Races are fair: one grid, one budget, the same starts, and scores on seeds that took no part in the tuning."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from weightlab.descent.landscapes import landscape
from weightlab.networks.datasets import dataset_from_tensors
from weightlab.rules.update_rules import OptimizerSettings, optimizer
from weightlab.theory import quadratic as theory
from weightlab.toys.races import GRID, RaceRecord, digits_task, race, race_on_data, race_on_landscape
from weightlab.training.run import train

RATES = (0.01, 0.1, 1.0)


def flat(rule: OptimizerSettings, rates: Tensor, seed: int) -> Tensor:
    """A score that knows where each rule is best, and shifts a little with the seed."""
    target = {"momentum": 0.1, "adam": 0.01}[str(rule.rule)]
    return (rates.log10() - math.log10(target)).abs() + 0.01 * seed


def test_each_rule_races_at_the_rate_that_was_best_in_its_own_tuning() -> None:
    record = race(flat, ("momentum", "adam"), RATES, tuning_seeds=3, race_seeds=2)
    assert record.labels == ("Momentum", "Adam")
    assert record.best_rates.tolist() == [0.1, 0.01]
    assert record.tuning.shape == (2, 3, 3) and record.finals.shape == (2, 2)


def test_the_race_is_run_on_seeds_that_took_no_part_in_the_tuning() -> None:
    seen: list[tuple[int, int]] = []

    def score(rule: OptimizerSettings, rates: Tensor, seed: int) -> Tensor:
        seen.append((len(rates), seed))
        return flat(rule, rates, seed)

    race(score, ("adam",), RATES, tuning_seeds=2, race_seeds=3)
    assert seen == [(3, 0), (3, 1), (1, 2), (1, 3), (1, 4)]


def test_a_divergence_never_wins() -> None:
    def score(rule: OptimizerSettings, rates: Tensor, seed: int) -> Tensor:
        return torch.where(rates < 0.5, rates, torch.nan)

    record = race(score, ("adam",), RATES)
    assert record.best_rates.tolist() == [0.01] and torch.isinf(record.tuning[0, :, 2]).all()


def scores(*finals: list[float]) -> RaceRecord:
    curves = torch.tensor([[9.0, 0.5, 0.2, 3.0]]).expand(len(finals), 4).unsqueeze(1)
    labels = tuple("abc"[: len(finals)])
    rates = torch.tensor([0.001, 0.01, 0.1, 1.0], dtype=torch.float64)
    return RaceRecord(labels, rates, curves, torch.full((len(finals),), 2), torch.tensor(finals))


def test_in_front_are_the_lowest_median_and_all_whose_spread_overlaps() -> None:
    assert scores([5.0, 6.0, 7.0], [1.0, 2.0, 3.0], [2.5, 4.0, 9.0]).leaders == ("b", "c")
    assert scores([5.0, 6.0, 7.0], [1.0, 2.0, 3.0], [3.5, 4.0, 9.0]).leaders == ("b",)


def test_the_reach_is_the_unbroken_run_of_rates_around_the_best() -> None:
    record = scores([1.0, 2.0, 3.0])
    assert record.reach(0.6) == [(0.01, 0.1)]
    assert record.reach(0.3) == [(0.1, 0.1)]
    assert record.reach(0.1) == [None]
    assert record.reach(10.0) == [(0.001, 1.0)]
    assert "0.01 to 0.1, × 10" in record.table(0.6) and "none" in record.table(0.1)


def test_on_a_bowl_the_tuned_rate_is_the_grids_nearest_to_theory_and_so_is_the_score() -> None:
    bowl = landscape("quadratic", condition_number=30)
    record = race_on_landscape(bowl, ("gradient_descent",), jitter=0.0)
    best, _ = theory.best_gradient_descent(1.0, 30.0)
    below = max(eta for eta in GRID if eta <= best)
    assert record.best_rates.item() == pytest.approx(below)
    flat_share, factor = 2 / 17, theory.gradient_descent_factor(below, 1.0)  # from (-2, 1): heights 2 and 15
    assert record.medians.item() == pytest.approx(flat_share * factor**200, rel=1e-6)
    assert torch.isinf(record.curves[0, GRID.index(0.1)])


def test_all_rules_start_where_the_others_do_and_the_race_repeats() -> None:
    bowl = landscape("noisy_bowl")
    twice = [race_on_landscape(bowl, ("momentum", "classical_momentum"), steps=30) for _ in range(2)]
    np.testing.assert_allclose(twice[0].tuning[0], twice[0].tuning[1], rtol=1e-9)  # two names of one path
    assert torch.equal(twice[0].finals, twice[1].finals)
    assert len(set(twice[0].finals[0].tolist())) == 5


def test_a_race_on_data_scores_what_a_plain_run_scores() -> None:
    task = digits_task(steps=10)
    record = race_on_data(task, ("adam", "momentum"), (0.001, 0.01), tuning_seeds=1, race_seeds=1)
    for i, rule in enumerate(("adam", "momentum")):
        rate = float(record.best_rates[i])
        run = train(task.replace(optimizer=optimizer(rule, learning_rate=rate), seed=1, validate_every=10))
        assert record.finals[i, 0] == run.validation_losses[-1]


def test_bad_fields_and_grids_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="at least one update rule, got none"):
        race(flat, ())
    with pytest.raises(ValueError, match="did you mean 'momentum'"):
        race(flat, ("momentun",))
    with pytest.raises(ValueError, match="learning_rates must be increasing"):
        race(flat, ("adam",), (0.1, 0.01))
    with pytest.raises(ValueError, match="learning rate of the grid must be in"):
        race(flat, ("adam",), (0.0, 0.01))
    with pytest.raises(ValueError, match="race_seeds must be in"):
        race(flat, ("adam",), RATES, race_seeds=0)
    with pytest.raises(ValueError, match="saddle has no known minimum"):
        race_on_landscape(landscape("saddle"), ("adam",))
    with pytest.raises(TypeError, match="runs rules by name"):
        race_on_landscape(landscape("quadratic"), (optimizer(torch.optim.Adagrad),))
    with pytest.raises(ValueError, match="no validation split"):
        data = dataset_from_tensors(torch.randn(40, 64), torch.arange(40) % 10, validation_fraction=0.0)
        race_on_data(digits_task().replace(dataset=data, batch_size=10), ("adam",))
