"""Pictures as data, the wire to the stage, and their static drawings."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from browser_support import ROOT

from weightlab.descent.landscapes import LANDSCAPES, landscape
from weightlab.pictures.contours import contour_backdrop
from weightlab.pictures.picture import Axis, Bowl, Picture, Reference, TableBuilder, View
from weightlab.pictures.still import still
from weightlab.pictures.style import new_figure, to_still
from weightlab.stage.stage import Stage


def example() -> Picture:
    table = TableBuilder(5)
    t = np.arange(5.0)
    table.add("plane", "path", "momentum", np.stack([t, t**2], axis=1), colour=1)
    table.add("loss", "curve", "momentum", 0.5**t, colour=1)
    table.add("bars", "bars", "gradient", np.stack([t + 1, t + 2, t + 3], axis=1))
    views = (
        View("plane", "Plane", Axis("x", limits=(0, 4)), Axis("y", limits=(0, 16)), (0, 0, 1, 2)),
        View("loss", "Loss", Axis("step"), Axis("loss", "log"), (1, 0, 1, 1)),
        View("bars", "Layers", Axis("layer", ticks=("1", "2", "3")), Axis("norm", "log"), (1, 1, 1, 1)),
    )
    references = (
        Reference("plane", "points", "minimum", np.array([[1.0, 2.0]])),
        Reference("bars", "marks", "theory", np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])),
    )
    return Picture(views, table.table, t.astype(np.float32), tuple(table.series), references, summary="an example")


def test_the_scene_is_sent_again_only_when_the_views_change() -> None:
    picture = example()
    stage = Stage(picture)
    first = stage.scene
    stage.show(replace(picture, table=picture.table * 2))
    assert stage.scene is first
    stage.close()


def test_a_still_is_a_png_with_alt_text() -> None:
    shown = still(example())
    data, metadata = shown._repr_mimebundle_()
    assert shown.png.startswith(b"\x89PNG") and len(shown.png) < 60_000
    assert data["text/plain"] == "an example" and metadata["image/png"]["alt"] == "an example"


def test_a_still_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="alt must say"):
        to_still(new_figure(), "  ")


@pytest.mark.parametrize("name", LANDSCAPES)
def test_every_landscape_has_a_backdrop_that_is_transparent_but_not_empty(name: str) -> None:
    import io

    from matplotlib.image import imread

    land = landscape(name)
    backdrop = contour_backdrop(land)
    if isinstance(backdrop, Bowl):
        assert land.eigenvalues is not None and land.eigenvalues[0] > 0
        return
    alpha = imread(io.BytesIO(backdrop.png), format="png")[..., 3]
    assert alpha.min() < 0.3 and alpha.max() > 0.3
    assert np.ptp(alpha) > 0.2


@pytest.mark.parametrize("condition_number", [1.0, 10.0, 1000.0])
def test_a_bowls_ellipses_lie_at_the_levels_that_an_image_would_have(condition_number: float) -> None:
    land = landscape("rotated_quadratic", condition_number=condition_number, angle=25.0)
    bowl = contour_backdrop(land)
    assert isinstance(bowl, Bowl) and len(bowl.levels) == 16 and sorted(bowl.levels) == list(bowl.levels)
    xx, xy, yy = bowl.matrix
    w = torch.tensor([0.7, -1.3], dtype=torch.float64)
    assert 0.5 * (xx * 0.49 - 2 * xy * 0.91 + yy * 1.69) == pytest.approx(float(land.loss(w)))
    grid = torch.linspace(-2.5, 2.5, 501, dtype=torch.float64)
    losses = land.loss(torch.stack(torch.meshgrid(grid, grid, indexing="xy"), -1))
    assert bowl.levels[-1] == pytest.approx(float(losses.max()))
    lowest = min(2e-4 * float(losses.max()), float(losses.flatten().quantile(0.01)))
    assert bowl.levels[0] == pytest.approx(lowest, rel=0.05)


def test_every_figure_there_is_is_drawn_by_a_lab() -> None:
    """Running the labs draws them all, and tests/support/lab_rules.py demands a text for each picture."""
    package, labs = ROOT / "weightlab", "".join(path.read_text("utf-8") for path in (ROOT / "labs").glob("*.ipynb"))
    for path in package.glob("*/figures.py"):
        source = path.read_text("utf-8")
        for name in re.findall(r"^def (\w+_(?:figure|still))\(", source, flags=re.MULTILINE):
            assert name in labs or source.count(f"{name}(") > 1, f"{path.parent.name}: {name}"
