"""A run's path and what planes show of it, against theory and against what can be worked out by hand."""

from __future__ import annotations

import pytest
import torch

from weightlab.networks.architectures import flat_weights
from weightlab.networks.datasets import dataset
from weightlab.surfaces.planes import random_plane
from weightlab.surfaces.weight_paths import (
    WeightPath,
    component_shares,
    expected_share,
    follow,
    held_share,
    left_out,
    look,
    path_experiment,
    random_walk,
    random_walk_shares,
)
from weightlab.training.run import Training

MOONS = dataset("moons", samples=80)


@pytest.fixture(scope="module")
def path() -> WeightPath:
    return follow(path_experiment(MOONS, batch_size=20, width=8, steps=60), every=5)


def test_following_changes_nothing_of_the_run(path: WeightPath) -> None:
    plain = Training(path_experiment(MOONS, batch_size=20, width=8, steps=60))
    for _ in plain:
        pass
    assert path.steps.tolist() == list(range(0, 61, 5))
    assert torch.equal(path.weights[-1], flat_weights(plain.network))
    assert float(path.losses[-1]) == pytest.approx(float(path.loss(path.weights[-1])))
    assert not path.offsets[-1].any()


def test_a_random_walks_shares_are_theorys_and_add_up_to_one() -> None:
    walks = torch.stack([component_shares(random_walk(200, 2000, seed)) for seed in range(3)]).mean(dim=0)
    assert torch.allclose(walks, random_walk_shares(), rtol=0.06)
    assert float(random_walk_shares(100_000).sum()) == pytest.approx(1.0, abs=1e-5)


def test_random_planes_hold_what_theory_expects_of_them(path: WeightPath) -> None:
    caught = [held_share(path.weights, random_plane(path.network, seed)) for seed in range(600)]
    mean, spread = torch.tensor(caught).mean(), torch.tensor(caught).std() / 600**0.5
    # two random directions are not quite at right angles: a part of the order 1/weights is left to the tolerance
    assert abs(float(mean) - expected_share(path.weights, path.network)) < 4 * float(spread) + 0.05 * float(mean)


def test_the_paths_own_plane_holds_what_its_two_components_hold(path: WeightPath) -> None:
    view = look(path, points=5)
    assert view.share == pytest.approx(float(component_shares(path.weights, 2).sum()), rel=1e-5)
    assert view.expected is None
    for axis, column in ((view.across, 0), (view.up, 1)):
        assert float(axis[0]) < float(view.places[:, column].min()) and float(view.places[:, column].max()) < axis[-1]


@pytest.mark.parametrize("kind", ["path", "random"])
def test_at_the_end_the_plane_is_true_and_elsewhere_it_sees_less(path: WeightPath, kind: str) -> None:
    view = look(path, kind, seed=2, points=5)
    assert float(view.plane_losses[-1]) == pytest.approx(float(path.losses[-1]), rel=1e-4)
    assert torch.allclose(view.places[-1], torch.zeros(2), atol=1e-4)
    assert (view.seen_lengths <= view.lengths * (1 + 1e-4) + 1e-6).all()
    assert view.losses.shape == (5, 5)


def test_what_a_plane_leaves_out_is_told_as_a_share_of_the_fall(path: WeightPath) -> None:
    view = look(path, points=3)
    fall = float(path.losses[0] - path.losses[-1])
    assert float(view.plane_losses[0]) + left_out(path, view) * fall == pytest.approx(float(path.losses[0]), rel=1e-5)


def test_a_run_that_diverges_is_followed_as_far_as_it_is_finite() -> None:
    path = follow(path_experiment(MOONS, learning_rate=1e4, momentum=0.98, batch_size=20, width=8, steps=200))
    assert torch.isfinite(path.losses).all() and torch.isfinite(path.weights).all()


def test_what_cannot_be_followed_or_seen_is_refused_in_words(path: WeightPath) -> None:
    with pytest.raises(ValueError, match="three snapshots"):
        follow(path_experiment(MOONS, batch_size=20, steps=8), every=5)
    with pytest.raises(ValueError, match="a path that stays has no plane"):
        path_experiment(MOONS, learning_rate=0.0)
    with pytest.raises(ValueError, match="did you mean 'random'"):
        look(path, "randm")
    with pytest.raises(ValueError, match="zoom"):
        look(path, zoom=0)
