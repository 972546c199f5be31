"""Data made imbalanced, the techniques against it and the scores, each against a formula or a library of its own."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refusals
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_score
from sklearn.utils.class_weight import compute_class_weight

from weightlab.imbalance import scores
from weightlab.imbalance.techniques import (
    MAX_RATIO,
    TASKS,
    TECHNIQUES,
    Imbalanced,
    class_weights,
    cost_weights,
    forest_logits,
    imbalanced,
    prepare,
    shifted,
)
from weightlab.theory import imbalance as theory


@pytest.fixture(scope="module")
def digits() -> Imbalanced:
    return imbalanced("digits", 50, seed=1)


# ---- data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("ratio", [1, 2.5, 10, 50, MAX_RATIO])
def test_the_training_split_has_the_ratio_asked_for_as_far_as_whole_examples_allow(task: str, ratio: float) -> None:
    data = imbalanced(task, ratio)
    # the nearest whole number of the class that was thinned out
    misses = abs(data.rare - data.common / ratio), abs(data.common - data.rare * ratio)
    assert data.rare >= 1 and min(misses) <= 0.5
    assert set(data.y.tolist()) == {0, 1} and len(data.x) == len(data.y)


@pytest.mark.parametrize("task", TASKS)
def test_the_test_split_keeps_all_its_examples_at_every_ratio(task: str) -> None:
    mild, hard = imbalanced(task, 2, seed=3), imbalanced(task, 100, seed=3)
    assert torch.equal(mild.y_test, hard.y_test) and len(mild.x_test) == len(mild.y_test)
    assert 0.05 < mild.y_test.double().mean() < 0.5


@pytest.mark.parametrize("task", TASKS)
def test_inputs_are_standardized_with_the_thinned_training_split_alone(task: str) -> None:
    data = imbalanced(task, 30)
    over: tuple[int, ...] = (0, 1) if data.image_shape else (0,)  # one pair for all pixels of a picture
    mean, scale = data.x.mean(over), data.x.std(over, correction=0)
    torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-12, rtol=0)
    torch.testing.assert_close(scale, torch.ones_like(scale))
    assert abs(float(data.x_test.mean())) > 1e-6  # the test split had no say


test_bad_data_settings_are_refused_in_words = refusals(imbalanced, {
    "did you mean 'digits'": {"task": "digit"},
    r"ratio must be in \[1, 200\], got 0.5": {"ratio": 0.5},
    r"ratio must be in \[1, 200\]": {"ratio": 1000},
    "use a finite number": {"ratio": math.nan},
    "seed must be in": {"seed": -1},
})


# ---- techniques --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_technique_repeats_with_the_seed_and_leaves_the_data_as_they_were(technique: str, digits: Imbalanced) -> None:
    x, y = digits.x.clone(), digits.y.clone()
    first, second = prepare(technique, digits), prepare(technique, digits)
    assert torch.equal(first.x, second.x) and torch.equal(first.y, second.y) and first.weights == second.weights
    assert torch.equal(digits.x, x) and torch.equal(digits.y, y)
    if TECHNIQUES[technique].changes == "data" and technique != "undersample":
        other = prepare(technique, digits, seed=99)
        assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize("technique", [name for name in TECHNIQUES if name not in {"none", "cost_matrix"}])
def test_a_technique_makes_both_classes_count_as_much(technique: str, digits: Imbalanced) -> None:
    made = prepare(technique, digits)
    totals = torch.bincount(made.y).double() * torch.tensor(made.weights, dtype=torch.float64)
    assert totals[0].item() == pytest.approx(totals[1].item())


@pytest.mark.parametrize("technique", [name for name in TECHNIQUES if TECHNIQUES[name].changes != "data"])
def test_a_technique_of_the_loss_keeps_the_examples_and_a_mean_weight_of_one(
    technique: str, digits: Imbalanced
) -> None:
    made = prepare(technique, digits, cost_ratio=7.0)
    assert torch.equal(made.x, digits.x) and torch.equal(made.y, digits.y)
    assert torch.tensor(made.weights, dtype=torch.float64)[made.y].mean().item() == pytest.approx(1.0)


def rows(x: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


def test_random_resampling_repeats_or_leaves_out_whole_examples(digits: Imbalanced) -> None:
    more, fewer = prepare("oversample", digits), prepare("undersample", digits)
    assert rows(more.x) == rows(digits.x) and len(more.y) == 2 * digits.common
    assert rows(fewer.x) < rows(digits.x) and len(fewer.y) == 2 * digits.rare


def test_every_new_example_of_smote_lies_between_two_rare_ones(digits: Imbalanced) -> None:
    made, members = prepare("smote", digits), digits.x[digits.y == 1]
    new = made.x[len(digits.y) :][:40]
    assert not rows(new) & rows(members)
    # distance of a point to the segment a-b, for all pairs
    a, b = members[:, None], members[None]
    along = (b - a).square().sum(-1).clamp(min=1e-12)
    u = ((new[:, None, None] - a) * (b - a)).sum(-1) / along
    nearest = a + u.clamp(0, 1)[..., None] * (b - a)
    gaps = (new[:, None, None] - nearest).norm(dim=-1).flatten(1).min(dim=1).values
    assert gaps.max() < 1e-9


@pytest.mark.parametrize("ratio", [200.0, 100.0])
def test_smote_takes_as_many_neighbours_as_there_are_and_needs_one(ratio: float) -> None:
    data = imbalanced("breast_cancer", ratio)
    if data.rare > 1:
        made = prepare("smote", data)
        assert int(made.y.sum()) == data.common
    else:
        with pytest.raises(ValueError, match="got 1 rare example at 1:200; lower the ratio or choose random over"):
            prepare("smote", data)


def test_shifts_need_a_picture() -> None:
    with pytest.raises(ValueError, match="only pictures can be shifted, got 30 measurements.*augmentation by noise"):
        prepare("shift", imbalanced("breast_cancer", 10))


def test_a_shifted_picture_is_moved_by_one_pixel_at_most() -> None:
    picture = torch.full((8, 8), -1.0)
    picture[3, 4] = 5.0
    moved = shifted(picture.reshape(1, 64).expand(200, 64), (1, 8, 8), -1.0, torch.Generator().manual_seed(0))
    places = {tuple(divmod(int(row.argmax()), 8)) for row in moved}
    assert places == {(row, column) for row in (2, 3, 4) for column in (3, 4, 5)}
    assert bool(((moved == -1.0).sum(dim=1) == 63).all())


@given(st.lists(st.integers(1, 500), min_size=2, max_size=5))
@settings(max_examples=25, deadline=None)
def test_class_weights_are_scikit_learns(counts: list[int]) -> None:
    y = torch.repeat_interleave(torch.tensor(counts))
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=y.numpy())
    np.testing.assert_allclose(class_weights(y, len(counts)).numpy(), expected, rtol=1e-12)


def test_class_weights_of_an_absent_class_are_refused() -> None:
    with pytest.raises(ValueError, match=r"every class needs an example to be weighed, got \[3, 0\]"):
        class_weights(torch.zeros(3, dtype=torch.int64))


def test_a_costs_weight_is_the_price_of_the_examples_one_mistake() -> None:
    y = torch.tensor([0, 0, 0, 1])
    weights = cost_weights(torch.tensor([[0.0, 2.0], [6.0, 0.0]]), y)
    assert weights[1] / weights[0] == 3 and weights[y].mean() == 1


@pytest.mark.parametrize(
    "costs", [[[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]], [[0.0, 1.0]], [[0.0, -1.0], [1.0, 0.0]]]
)
def test_a_cost_matrix_that_is_none_is_refused(costs: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="costs must be 2×2, zero on the diagonal"):
        cost_weights(torch.tensor(costs), torch.tensor([0, 1]))


def test_a_forest_tells_the_classes_apart_and_repeats(digits: Imbalanced) -> None:
    training = prepare("none", digits)
    first = forest_logits(training, digits.x_test, trees=20, seed=4)
    assert torch.equal(first, forest_logits(training, digits.x_test, trees=20, seed=4))
    area = scores.average_precision(first, digits.y_test, 50)
    assert area > 0.3 and bool(torch.isfinite(first).all())


def test_imbalanced_learn_is_loaded_only_when_a_technique_needs_it() -> None:
    code = (
        "import sys; from weightlab.imbalance.techniques import imbalanced, prepare; data = imbalanced('digits', 50); "
        "prepare('class_weights', data); print('imblearn' in sys.modules); prepare('smote', data); "
        "print('imblearn' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split() == ["False", "True"]


# ---- scores ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(400, generator=generator) < 0.2).long()
    return 1.5 * torch.randn(400, generator=generator).double() + 2 * labels - 1, labels


@pytest.mark.parametrize("threshold", [0.05, 0.5, 0.9])
def test_scores_at_the_natural_ratio_are_scikit_learns(
    answers: tuple[torch.Tensor, torch.Tensor], threshold: float
) -> None:
    logits, labels = answers
    ratio = float((labels == 0).sum() / labels.sum())
    result = scores.score(logits, labels, ratio, threshold)
    said = (torch.sigmoid(logits) >= threshold).long()
    assert result.accuracy.item() == pytest.approx((said == labels).double().mean().item())
    both = labels.numpy(), said.numpy()  # scikit-learn 1.6 does not take tensors
    assert result.balanced_accuracy.item() == pytest.approx(balanced_accuracy_score(*both))
    assert result.precision.item() == pytest.approx(precision_score(*both))
    counted = scores.confusion(result.recall.item(), result.false_alarm_rate.item(), ratio, cases=len(labels))
    wrong = confusion_matrix(*both)
    np.testing.assert_allclose(counted.matrix, wrong, atol=1e-9)
    assert result.cost(7.0, 2.0, cases=len(labels)).item() == pytest.approx(7 * wrong[1, 0] + 2 * wrong[0, 1])


def test_weighing_the_test_split_is_the_same_as_repeating_its_common_examples(
    answers: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logits, labels = answers
    rare, common = labels == 1, labels == 0
    repeated = torch.cat([logits[rare], logits[common].repeat(3)])
    truth = torch.cat([labels[rare], labels[common].repeat(3)])
    ratio = float(3 * common.sum() / rare.sum())
    weighed = scores.average_precision(logits, labels, ratio)
    plain = scores.average_precision(repeated, truth, float((truth == 0).sum() / truth.sum()))
    assert weighed.item() == pytest.approx(plain.item(), rel=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, math.nan])
def test_a_threshold_at_or_beyond_the_ends_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be in"):
        scores.rates(torch.zeros(2), torch.tensor([0, 1]), threshold)


def test_without_an_alarm_precision_is_not_a_number() -> None:
    result = scores.score(torch.full((4,), -9.0), torch.tensor([0, 0, 1, 1]), 10.0)
    assert math.isnan(result.precision) and result.recall == 0 and result.accuracy.item() == pytest.approx(10 / 11)


# ---- theory ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_batches_without_the_rare_are_the_hypergeometric_zero(rare: int, common: int, batch: int) -> None:
    total = rare + common
    batch = min(batch, total)
    exact = Fraction(math.comb(common, batch), math.comb(total, batch))
    assert theory.share_of_batches_without(rare, total, batch) == pytest.approx(float(exact), rel=1e-9, abs=1e-15)


@given(st.floats(0.001, 0.999), st.floats(0.01, 100), st.floats(0.01, 0.99))
@settings(max_examples=25, deadline=None)
def test_weights_move_the_odds_and_the_threshold_moves_them_back(
    probability: float, weight: float, threshold: float
) -> None:
    weighted = weight * probability / (weight * probability + 1 - probability)
    if abs(weighted - threshold) > 1e-6:
        assert (weighted >= threshold) == (probability >= theory.equivalent_threshold(threshold, weight))


@pytest.mark.parametrize("miss", [0.5, 1.0, 10.0, 200.0])
def test_the_cheapest_threshold_has_the_least_expected_cost_for_right_probabilities(miss: float) -> None:
    probabilities = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)

    def cost(threshold: float) -> float:
        alarm = probabilities >= threshold
        return float(torch.where(alarm, 1 - probabilities, miss * probabilities).sum())

    cheapest = theory.cheapest_threshold(miss)
    assert cost(cheapest) <= min(cost(other / 500) for other in range(1, 500)) + 1e-9


def test_a_network_that_never_says_rare_has_the_accuracy_of_the_ratio() -> None:
    assert theory.accuracy_of_never(200) == theory.accuracy(0.0, 0.0, 200) == 200 / 201
    assert theory.precision(0.9, 0.05, 200) == pytest.approx(0.9 / 10.9)
    assert math.isnan(theory.precision(0.0, 0.0, 200))
    assert theory.starting_share(50) == pytest.approx(1 / 51) and theory.starting_share(50, 50) == 0.5
    assert theory.settled_pull(theory.starting_share(50)) == pytest.approx(50 / 51**2) and theory.settled_share() == 0.5


test_theory_refuses_what_makes_no_sense = refusals({
    "ratio must be in": lambda: theory.starting_share(0),
    "weight_ratio must be in": lambda: theory.starting_share(50, 0),
    "miss must be in": lambda: theory.cheapest_threshold(-1),
    "threshold must be in": lambda: theory.equivalent_threshold(1.5, 2),
    "rare must be in": lambda: theory.share_of_batches_without(5, 3, 1),
    "batch_size must be in": lambda: theory.share_of_batches_without(1, 3, 4),
})
