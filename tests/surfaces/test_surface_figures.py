"""The figures of real loss surfaces say what they were given: curves, limits, tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from weightlab.networks.datasets import dataset
from weightlab.pictures.style import to_still
from weightlab.surfaces.figures import edge_figure, planes_figure
from weightlab.surfaces.sharpness import edge_experiment, noisy_digits, watch_seeds
from weightlab.surfaces.weight_paths import WeightPath, follow, look, path_experiment


@pytest.fixture(scope="module")
def path() -> WeightPath:
    return follow(path_experiment(dataset("moons", samples=80), batch_size=20, width=4, steps=30), every=5)


def test_every_plane_gets_a_view_with_its_path(path: WeightPath) -> None:
    figure = planes_figure({"own": look(path, points=4), "random": look(path, "random", points=4)})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["own", "random"]
    own = figure.axes[0].lines[0].get_xydata()
    torch.testing.assert_close(torch.as_tensor(own).float(), look(path, points=4).places)
    assert to_still(figure, "two planes").png.startswith(b"\x89PNG")


def test_the_edge_is_drawn_at_theorys_limit() -> None:
    records = watch_seeds(edge_experiment(noisy_digits(), width=4, steps=20), range(2))
    axes = edge_figure({"η = 0.4": records}, since=10).axes[0]
    assert len(axes.lines) == 3 and np.asarray(axes.lines[-1].get_ydata())[0] == pytest.approx(5.0)
    assert "limit 5" in axes.texts[0].get_text()
