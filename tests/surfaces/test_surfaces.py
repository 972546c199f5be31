"""Planes through a network's weights: the loss on them, their directions, and a path's own plane."""

from __future__ import annotations

import pytest
import torch
from training_support import small_and_exact as small

from weightlab.networks.architectures import Network, flat_weights
from weightlab.networks.datasets import dataset
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import model
from weightlab.surfaces.planes import (
    filter_normalized,
    loss_function,
    loss_on_plane,
    path_plane,
    random_cut,
    random_plane,
    rescaled,
)
from weightlab.surfaces.weight_paths import component_shares, follow
from weightlab.training.run import Training


def test_the_loss_of_a_flat_vector_is_the_networks_own_loss() -> None:
    experiment = small()
    training = Training(experiment)
    data = experiment.dataset
    value = LOSSES[experiment.loss].value(training.network(data.x_train), data.y_train, data.classes)
    assert torch.equal(loss_function(training.network, experiment)(flat_weights(training.network)), value)


def test_the_middle_of_a_plane_has_the_true_loss_and_rows_run_up() -> None:
    experiment = small()
    training = Training(experiment)
    loss = loss_function(training.network, experiment)
    plane = random_plane(training.network, seed=1)
    grid = torch.linspace(-1, 1, 5, dtype=torch.float64)
    losses = loss_on_plane(loss, plane, grid, torch.tensor([0.0, 0.5], dtype=torch.float64), chunk=3)
    assert losses.shape == (2, 5)
    assert torch.allclose(losses[0, 2], loss(plane.origin), rtol=1e-12)
    assert torch.allclose(losses[1, 3], loss(plane.origin + 0.5 * plane.across + 0.5 * plane.up), rtol=1e-12)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_directions_are_as_long_as_the_networks_filters(kind: str) -> None:
    network = model(kind, depth=2, width=6).build((1, 8, 8), 10)
    direction = filter_normalized(network, torch.Generator().manual_seed(0))
    for parameter, part in zip(
        network.parameters(), direction.split([p.numel() for p in network.parameters()]), strict=True
    ):
        if parameter.dim() < 2:
            assert not part.any()
        else:
            expected = parameter.detach().flatten(1).norm(dim=1)
            assert torch.allclose(part.view(len(parameter), -1).norm(dim=1), expected, rtol=1e-5)


def test_a_real_path_is_told_with_the_share_its_plane_explains() -> None:
    path = follow(small(steps=40), every=4).weights
    plane = path_plane(path)
    first, second = component_shares(path, 2).tolist()
    offsets = path - path[-1]
    a, b = plane.coordinates(path).unbind(-1)
    kept = (plane.points(a, b) - plane.origin).square().sum() / offsets.square().sum()
    assert float(kept) == pytest.approx(first + second, rel=1e-9)
    assert 0.5 < first + second < 1


def test_a_rescaled_relu_network_is_the_same_function_with_the_same_filter_normalized_map() -> None:
    experiment = small(model=model("mlp", depth=2, width=4, activation="relu"))
    network = Training(experiment).network
    other = rescaled(network, 10.0)
    x = experiment.dataset.x_train
    assert torch.allclose(network(x), other(x), rtol=1e-10)
    assert not torch.allclose(flat_weights(network), flat_weights(other), rtol=0.1)
    grid, here = torch.tensor([-0.5, 0.5], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)

    def losses(one: Network, normalized: bool) -> torch.Tensor:
        plane = random_plane(one, 3, normalized=normalized)
        return loss_on_plane(loss_function(one, experiment), plane, grid, here)

    assert torch.allclose(losses(network, True), losses(other, True), rtol=1e-9)
    cut = random_cut(network, experiment, normalized=True, seed=3)
    assert torch.allclose(cut[::2], losses(network, True)[0]) and cut.shape == (3,)
    assert not torch.allclose(losses(network, False), losses(other, False), rtol=0.5)
    with pytest.raises(ValueError, match="ReLU keeps the sign"):
        rescaled(network, -1.0)


def test_what_cannot_be_drawn_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="at least 3 snapshots"):
        path_plane(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="stays where it is"):
        path_plane(torch.ones(4, 5))
    plane = random_plane(Training(small()).network)
    grid = torch.linspace(-1, 1, 300)
    with pytest.raises(ValueError, match="coarser grid"):
        loss_on_plane(lambda w: w.sum(), plane, grid, grid)
    without = small(dataset=dataset("moons", samples=60, validation_fraction=0.0))
    with pytest.raises(ValueError, match="no validation examples"):
        loss_function(Training(without).network, without, validation=True)
