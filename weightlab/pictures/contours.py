"""Contours of a loss over two weights, as the backdrop of a picture."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from weightlab.descent.landscapes import Landscape
from weightlab.pictures.picture import Backdrop, Bowl


def _levels(losses: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Contour levels that crowd near the minimum: evenly spaced in the logarithm of the height above it."""
    low, high = float(losses.min()), float(losses.max())
    # beside a cliff even that share of the height is above most of the picture
    lowest = min((high - low) * 2e-4, float(np.quantile(losses, 0.01)) - low)
    return low + np.geomspace(max(lowest, (high - low) * 1e-9), high - low, count)


def contour_backdrop(landscape: Landscape, size: tuple[float, float] = (5.2, 3.8)) -> Backdrop | Bowl:
    """Logarithmic contours of a landscape over its bounds, on a transparent ground that suits light and dark pages.

    Of a quadratic with a minimum they are ellipses, which need no image. `size` is an image's (width, height) in
    inches at 200 dots; it fills the bounds exactly.
    """
    if landscape.eigenvalues is not None and landscape.eigenvalues[0] > 0:
        return bowl_backdrop(landscape)
    (x0, x1), (y0, y1) = landscape.bounds
    grid_x = torch.linspace(x0, x1, 161, dtype=torch.float64)
    grid_y = torch.linspace(y0, y1, 161, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(grid_x, grid_y, indexing="xy"), dim=-1)
    losses = torch.nan_to_num(landscape.loss(points).detach(), posinf=1e30).numpy()
    return losses_backdrop(grid_x.numpy(), grid_y.numpy(), losses, size)


def bowl_backdrop(landscape: Landscape, count: int = 16) -> Bowl:
    """The contours of a quadratic with its minimum at the origin, at the levels that an image would have."""
    (xx, xy), (_, yy) = landscape.hessian(torch.zeros(2, dtype=torch.float64)).tolist()
    (x0, x1), (y0, y1) = landscape.bounds
    corners = [0.5 * (xx * x * x + 2 * xy * x * y + yy * y * y) for x in (x0, x1) for y in (y0, y1)]
    # the ellipse of loss L has area 2πL/√det H
    share = 0.01 * (x1 - x0) * (y1 - y0) * math.sqrt(xx * yy - xy * xy) / (2 * math.pi)
    levels = np.geomspace(min(2e-4 * max(corners), share), max(corners), count)
    return Bowl((xx, xy, yy), tuple(float(level) for level in levels))


def losses_backdrop(
    x: NDArray[np.float64], y: NDArray[np.float64], losses: NDArray[np.float64], size: tuple[float, float] = (5.2, 3.8)
) -> Backdrop:
    """The same for losses (len(y), len(x)) that were measured on a grid; the image fills the grid exactly."""
    figure = Figure(figsize=size, dpi=200)
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    draw_contours(axes, x, y, losses)
    axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", transparent=True)
    return Backdrop(buffer.getvalue())


def draw_contours(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], losses: NDArray[np.float64], count: int = 16
) -> None:
    """Fill and line contours in one muted hue: the lower the loss, the stronger the tone."""
    if float(losses.max()) - float(losses.min()) > 0:
        _shade(axes, x, y, losses, _levels(losses, count))


def _shade(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], losses: NDArray[np.float64], levels: NDArray[np.float64]
) -> None:
    count = len(levels)
    shades = [(0.24, 0.42, 0.60, 0.34 * (1 - i / count) ** 1.3) for i in range(count)]
    axes.contourf(x, y, losses, levels=np.concatenate([[losses.min() - 1e-12], levels]), colors=shades)
    axes.contour(x, y, losses, levels=levels, colors=[(0.36, 0.50, 0.64, 0.55)], linewidths=0.7)


def map_backdrop(values: NDArray[np.float64], *, low: float, high: float, reverse: bool = False) -> Backdrop:
    """A raster (row = y from low to high, column = x) in the colour map cividis; NaN is left transparent."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    shares = np.clip((values - low) / (high - low), 0.0, 1.0)
    colours = colormaps["cividis"](1.0 - shares if reverse else shares)
    colours[..., 3] = np.where(np.isfinite(values), 0.9, 0.0)
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(colours), format="png", origin="lower")
    return Backdrop(buffer.getvalue())
