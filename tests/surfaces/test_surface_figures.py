"""The figures of real loss surfaces say what they were given: curves, limits, tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from weightlab.networks.datasets import dataset
from weightlab.pictures.style import to_still
from weightlab.surfaces.device_times import StepTimes
from weightlab.surfaces.figures import edge_figure, planes_figure, shares_figure, times_figure
from weightlab.surfaces.sharpness import edge_experiment, noisy_digits, watch_seeds
from weightlab.surfaces.weight_paths import WeightPath, follow, look, path_experiment, random_walk_shares

TIMES = StepTimes((8, 512), 64, {"cpu": (200e-6, 3e-3)}, (186_368, 111_017_984))


@pytest.fixture(scope="module")
def path() -> WeightPath:
    return follow(path_experiment(dataset("moons", samples=80), batch_size=20, width=4, steps=30), every=5)


def test_every_plane_gets_a_view_with_its_path(path: WeightPath) -> None:
    figure = planes_figure({"own": look(path, points=4), "random": look(path, "random", points=4)})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["own", "random"]
    own = figure.axes[0].lines[0].get_xydata()
    torch.testing.assert_close(torch.as_tensor(own).float(), look(path, points=4).places)
    assert to_still(figure, "two planes").png.startswith(b"\x89PNG")


def test_shares_are_drawn_for_runs_walks_and_theory() -> None:
    shares = torch.rand(3, 6, generator=torch.Generator().manual_seed(0)) + 0.01
    figure = shares_figure(shares, shares, random_walk_shares(), torch.rand(10) / 100, 0.003)
    assert len(figure.axes[0].lines) == 3 and len(figure.axes[1].lines) == 2
    assert np.asarray(figure.axes[1].lines[1].get_xdata())[0] == pytest.approx(0.3)


def test_the_edge_is_drawn_at_theorys_limit() -> None:
    records = watch_seeds(edge_experiment(noisy_digits(), width=4, steps=20), range(2))
    axes = edge_figure({"η = 0.4": records}, since=10).axes[0]
    assert len(axes.lines) == 3 and np.asarray(axes.lines[-1].get_ydata())[0] == pytest.approx(5.0)
    assert "limit 5" in axes.texts[0].get_text()


def test_the_table_says_that_there_is_no_gpu_or_shows_its_column() -> None:
    alone = times_figure(TIMES, 26, 1e-5)
    assert "no GPU" in alone.axes[1].get_title(loc="left")
    cells = [cell.get_text().get_text() for cell in alone.axes[0].tables[0].get_celld().values()]
    assert {"8", "512", "200", "3,000", "111.02"} <= set(cells)
    assert np.asarray(alone.axes[1].lines[-1].get_ydata())[0] == pytest.approx(200 + 26 * 10)
    both = StepTimes(TIMES.widths, 64, {"cuda:0": (4e-4, 5e-4), **TIMES.seconds}, TIMES.work)
    figure = times_figure(both, 26, 1e-5)
    assert figure.axes[1].get_title(loc="left") == "Measured here" and len(figure.axes[1].lines) == 3
