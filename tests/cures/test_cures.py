"""Cures by disease: each acts where it should, bounds hold exactly, tables say what was measured."""

from __future__ import annotations

import pytest
import torch

from weightlab.cures.panel import TimeGradientsPanel
from weightlab.cures.run import (
    CLIP_NORM,
    CURES,
    DISEASES,
    Treatment,
    cures_table,
    treat,
    verdict,
)
from weightlab.networks.datasets import Dataset, dataset

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return dataset("digits")


@pytest.fixture(scope="module")
def ward(digits: Dataset) -> dict[str, Treatment]:
    names = ("none", "clip_norm", "clip_value", "batch_norm", "slower", "l2")
    return {name: treat("deep_vanishing", name, digits, seeds=2, updates=20) for name in names}


def test_what_does_not_change_the_network_leaves_the_first_gradient_as_it_was(ward: dict[str, Treatment]) -> None:
    for name in ("clip_norm", "clip_value", "slower", "l2"):
        assert torch.equal(ward[name].start, ward["none"].start)
    assert not torch.equal(ward["batch_norm"].start, ward["none"].start)


def test_verdicts_on_a_vanishing_gradient(ward: dict[str, Treatment]) -> None:
    found = {name: verdict(one, ward["none"]) for name, one in ward.items()}
    assert found["none"] == "vanishes" and found["batch_norm"] == "cures"
    assert {found[name] for name in ("clip_norm", "clip_value", "slower")} == {"does nothing"}


@pytest.mark.parametrize("disease", ["deep_exploding", "recurrent_exploding"])
def test_clipping_by_norm_bounds_the_update_to_its_bound(disease: str, digits: Dataset) -> None:
    without = treat(disease, "none", digits, seeds=2, updates=2)
    clipped = treat(disease, "clip_norm", digits, seeds=2, updates=2)
    assert float(without.update.min()) > 100 and float(clipped.update.max()) <= CLIP_NORM * (1 + 1e-6)
    assert torch.equal(without.start, clipped.start) and clipped.diverged == 0
    assert verdict(clipped, without) == "bounds the update"


def test_a_divergence_leaves_no_numbers_but_a_message(digits: Dataset) -> None:
    broken = treat("deep_exploding", "none", digits, seeds=1)
    assert broken.diverged == 1 and bool(broken.after.isnan().all()) and bool(broken.right.isnan().all())
    assert "layer" in broken.messages[0] or "output" in broken.messages[0]
    assert "1 of 1 diverge" in cures_table({"none": broken})


def test_an_open_gate_cures_the_recurrent_network_and_a_default_one_does_not(digits: Dataset) -> None:
    found = {
        name: treat("recurrent_vanishing", name, digits, seeds=2, updates=1) for name in ("none", "lstm", "open_lstm")
    }
    assert verdict(found["lstm"], found["none"]) == "helps, not enough"
    assert verdict(found["open_lstm"], found["none"]) == "cures"


@pytest.mark.parametrize("disease", DISEASES)
def test_every_cure_that_fits_can_be_given(disease: str, digits: Dataset) -> None:
    for name, cure in CURES.items():
        if cure.fits(DISEASES[disease]):
            experiment = cure.change(DISEASES[disease].experiment(digits), DISEASES[disease])
            assert (experiment == DISEASES[disease].experiment(digits)) == (name == "none")


def test_a_cure_that_has_no_place_is_refused_with_those_that_have(digits: Dataset) -> None:
    with pytest.raises(ValueError, match="does not fit 'recurrent_vanishing'.*'clip_norm'"):
        treat("recurrent_vanishing", "batch_norm", digits)
    with pytest.raises(ValueError, match="unknown cure 'clip_norn': did you mean 'clip_norm'"):
        treat("deep_vanishing", "clip_norn", digits)
    with pytest.raises(ValueError, match="unknown disease"):
        treat("flu", "none", digits)


# ---- the panel of gradients through time -------------------------------------------------------------------------


def test_theory_stands_beside_the_measurement() -> None:
    panel = TimeGradientsPanel(initializer="orthogonal", width=128)
    ratio = panel.reading[0]
    assert float(ratio["theory"]) == pytest.approx(float(ratio["measured"]), abs=0.02)
    assert panel.reading[1]["theory"] == panel.reading[1]["measured"] == "1.00"


def test_an_overflowing_network_is_said_to_explode() -> None:
    panel = TimeGradientsPanel(activation="relu", initializer="he_normal", gain=3.0, width=64)
    assert "Exploding" in panel.reading[-1]["verdict"] or "overflow" in panel.reading[-1]["verdict"]
