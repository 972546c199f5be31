"""Networks side by side on imbalanced data: each is the network it says it is, and its gradient is split rightly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from refusals import refusals
from torch import nn
from torch.nn import functional

from weightlab.imbalance.class_gradients import ImbalanceRecord, Networks
from weightlab.imbalance.figures import shares_figure
from weightlab.imbalance.leakage import (
    ORDERS,
    copies_shared,
    measure_leak,
    split_after_resampling,
    split_before_resampling,
)
from weightlab.imbalance.run import (
    ImbalanceExperiment,
    make_training,
    train_imbalanced,
    train_techniques,
    untrained_shares,
)
from weightlab.imbalance.techniques import TECHNIQUES, imbalanced, prepare
from weightlab.networks.models import model
from weightlab.theory import imbalance as theory

SHORT: dict[str, Any] = {"steps": 12, "ratio": 20.0}


def as_module(networks: Networks, run: int) -> nn.Module:
    module = model("mlp", depth=1, width=networks.width).build(networks.inputs, 1)
    nn.utils.vector_to_parameters(networks.weights[run].detach(), module.parameters())
    return module


def test_both_parts_add_up_to_the_gradient_that_autograd_gives() -> None:
    networks, generator = Networks(6, 4, [1, 2, 3]), torch.Generator().manual_seed(0)
    with torch.no_grad():
        networks.weights += torch.randn(networks.weights.shape, generator=generator, dtype=torch.float64)
    x = torch.randn(3, 20, 6, generator=generator, dtype=torch.float64)
    y = (torch.rand(3, 20, generator=generator) < 0.3).double()
    counts = 1 + y * 4
    common, rare = networks.parts(x, y, counts)
    for run in range(3):
        module = as_module(networks, run)
        for part, chosen in ((common, y[run] == 0), (rare, y[run] == 1)):
            losses = functional.binary_cross_entropy_with_logits(
                module(x[run]).squeeze(1), y[run], weight=counts[run], reduction="none"
            )
            module.zero_grad()
            (losses[chosen].sum() / 20).backward()
            expected = torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])
            torch.testing.assert_close(part[run], expected)
        alone = networks.parts(x[run : run + 1], y[run : run + 1], counts[run : run + 1], run)
        torch.testing.assert_close(alone[0][0] + alone[1][0], common[run] + rare[run])


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_a_run_does_not_depend_on_its_company_and_repeats(technique: str) -> None:
    one = ImbalanceExperiment(technique=technique, seed=2, **SHORT)
    other = ImbalanceExperiment(technique="undersample", seed=1, **SHORT)
    alone, again, beside = train_imbalanced([one]), train_imbalanced([one]), train_imbalanced([other, one])
    assert torch.equal(alone.logits, again.logits) and torch.equal(alone.pulls, again.pulls)
    torch.testing.assert_close(alone.logits[:, 0], beside.logits[:, 1])
    assert torch.equal(alone.rare_seen[:, 0], beside.rare_seen[:, 1])


@pytest.mark.parametrize("technique", ["none", "oversample", "class_weights", "cost_matrix"])
def test_untrained_the_biass_share_is_theorys_to_rounding(technique: str) -> None:
    whole, bias, expected = untrained_shares(technique=technique, ratio=50.0, seeds=5)
    torch.testing.assert_close(bias, torch.full_like(bias, expected))
    assert whole.mean().item() == pytest.approx(expected, rel=0.25)  # all weights of the digits: near it


def test_the_first_update_and_the_settled_bias_follow_theory() -> None:
    record = train_techniques(["none"], ratio=200.0, seeds=5, steps=60)["none"]
    settled = record.bias_pulls[20:60, :, 1].mean().item()
    assert settled == pytest.approx(theory.settled_pull(theory.starting_share(200)), rel=0.2)
    first = train_techniques(["oversample"], ratio=200.0, seeds=5, steps=1)["oversample"].bias_pulls[0, :, 1]
    assert first.mean().item() == pytest.approx(0.25, rel=0.1)


def test_batches_without_a_rare_example_are_as_many_as_theory_says() -> None:
    data = imbalanced("digits", 50)
    record = train_techniques(["none"], ratio=50.0, seeds=6, steps=120)["none"]
    expected = theory.share_of_batches_without(data.rare, len(data.y), 64)
    assert (record.rare_seen == 0).double().mean().item() == pytest.approx(expected, abs=0.04)


def test_a_changed_training_set_acts_from_the_next_update_on_and_keeps_the_weights() -> None:
    training = make_training([ImbalanceExperiment(**SHORT)])
    for _ in range(10):
        training.step()
    before = training.networks.weights.detach().clone()
    training.change([prepare("class_weights", imbalanced("digits", 20))])
    assert torch.equal(training.networks.weights, before) and training.steps_done == 10
    for _ in range(10):
        training.step()
    record = training.record()
    assert record.evaluated.tolist() == list(range(21))
    assert record.share(10, 20).item() > record.share(0, 5).item() + 0.1


test_bad_experiments_are_refused_in_words = refusals(lambda **changes: ImbalanceExperiment().replace(**changes), {
    "did you mean 'digits'": {"task": "digit"},
    "did you mean 'smote'": {"technique": "SMOTE"},
    "ratio must be in": {"ratio": 0.2},
    "cost_ratio must be in": {"cost_ratio": -1},
    "batch_size must be in": {"batch_size": 0},
    "learning_rate must be in": {"learning_rate": math.inf},
    "steps must be a whole number": {"steps": 2.5},
    "width must be in": {"width": 0},
    "seed must be in": {"seed": -3},
})


def test_runs_of_one_pass_must_match() -> None:
    with pytest.raises(ValueError, match=r"must have the same batch_size, got \[32, 64\]; make a pass for each"):
        make_training([ImbalanceExperiment(), ImbalanceExperiment(batch_size=32)])
    with pytest.raises(ValueError, match="at least one experiment"):
        make_training([])


# ---- leakage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("technique", ["oversample", "smote", "jitter"])
def test_splitting_first_shares_nothing_and_keeps_the_validation_split_as_it_was(technique: str) -> None:
    data = imbalanced("digits", 50)
    training, x, y = split_before_resampling(technique, data)
    assert copies_shared(training.x, x) == 0
    assert len(y) == pytest.approx(0.3 * len(data.y), abs=2) and 0 < y.sum() < 10
    assert copies_shared(data.x, x) == len(x)
    assert int(training.y.sum()) == int((training.y == 0).sum())


def test_resampling_first_puts_copies_on_both_sides() -> None:
    training, x, y = split_after_resampling("oversample", imbalanced("digits", 50))
    assert copies_shared(training.x, x[y == 1]) == int(y.sum()) > 200
    assert copies_shared(training.x, x[y == 0]) == 0


@pytest.mark.parametrize("algorithm", ["network", "forest"])
def test_with_labels_by_lot_only_the_leak_looks_like_knowledge(algorithm: str) -> None:
    leaky, right = (measure_leak("oversample", algorithm, order, seeds=range(3), by_lot=True) for order in ORDERS)
    assert leaky.validation.min() > 0.85 and leaky.test.mean().item() == pytest.approx(0.5, abs=0.1)
    assert right.validation.mean().item() == pytest.approx(0.5, abs=0.15)
    assert bool((leaky.copies == 1).all()) and bool((right.copies == 0).all())


test_a_leak_of_an_unknown_kind_is_refused = refusals(lambda arguments: measure_leak(*arguments), {
    "did you mean 'forest'": (("oversample", "forrest"),),
    "'split first'": (("oversample", "forest", "split frist"),),
})


# ---- figures -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records() -> dict[str, ImbalanceRecord]:
    return train_techniques(["none", "class_weights"], seeds=3, **SHORT)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_shares_figure_has_theorys_cross_on_the_untrained_share(records: dict[str, ImbalanceRecord]) -> None:
    q = {"none": 1 / 21, "class_weights": 0.5}
    figure = shares_figure(records, q)
    share, pull = figure.axes
    assert texts(figure) == ["none", "class weights", "theory, untrained"]
    crosses = [np.asarray(line.get_ydata(), dtype=float) for line in share.lines if line.get_marker() == "+"]
    assert {float(heights[0]) for heights in crosses if len(heights)} == {1 / 21, 0.5}
    drawn = np.asarray(share.lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(drawn, records["none"].shares.mean(dim=1).numpy())
    assert pull.get_yscale() == "log"
