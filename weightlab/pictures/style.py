"""One style for all static figures: colours, dashes, markers, named lines, arrows; Agg figures as PNG with a text."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

PALETTE = ("#0072b2", "#d55e00", "#00795a", "#a8328a", "#8a6d00", "#3d3d3d", "#5a4fcf", "#b3261e")
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (5, 2)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D")
THEORY: dict[str, Any] = {"ls": "", "marker": ".", "color": "0.1", "ms": 4, "zorder": 5}  # beside measured lines


@dataclass(frozen=True)
class Still:
    """A static figure as PNG with its alternative text.

    A notebook keeps both, and pages made from it say the text; JupyterLab 4.6 itself gives no picture a text.
    """

    png: bytes
    alt: str

    @property
    def png_text(self) -> str:
        """The PNG as base64, as notebooks store it."""
        return base64.b64encode(self.png).decode("ascii")

    def described(self, alt: str) -> Still:
        """The same picture with another alternative text."""
        return Still(self.png, alt)

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, str], dict[str, Any]]:
        return {"image/png": self.png_text, "text/plain": self.alt}, {"image/png": {"alt": self.alt}}


def new_figure(width: float = 8.0, height: float = 3.4) -> Figure:
    """An empty figure (inches) with a canvas of its own, unknown to pyplot."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def small_multiples(
    names: Sequence[str], columns: int, height: float, x: str, y: str
) -> tuple[Figure, list[Axes]]:
    """A figure of small axes on common scales, `columns` a row, each under its name; x and y are said at the rim."""
    rows = -(-len(names) // columns)
    figure = new_figure(8.4, height)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    for place, (axes, name) in enumerate(zip(grid.flat, names, strict=False)):
        row, column = divmod(place, columns)
        label_axes(axes, name, x if row == rows - 1 else "", "" if column else y)
    return figure, list(grid.flat[: len(names)])


def to_still(figure: Figure, alt: str) -> Still:
    """Render a figure. `alt` says in words what it shows; it must not be empty."""
    if not alt.strip():
        raise ValueError("alt must say in words what the figure shows, got an empty text")
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    # the octree keeps the colours of thin lines, where the median cut greys them, and takes a third less room
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).quantize(
        128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
    )
    palette = [255 if value > 250 else value for value in image.getpalette() or ()]  # its white is 252
    ground = 3 * int(image.getpixel((0, 0)))  # type: ignore[arg-type]
    palette[ground : ground + 3] = [255] * 3  # among many pale tones its white has a tint
    image.putpalette(palette)
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return Still(buffer.getvalue(), alt)


def draw_arrows(axes: Axes, tails: Tensor, vectors: Tensor, colour: str, name: str) -> None:
    """Arrows from `tails` along `vectors`, (arrow, 2) each, in the units of the axes."""
    axes.quiver(
        *tails.T.numpy(),
        *vectors.T.numpy(),
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.004,
        color=colour,
        label=name,
    )


def label_axes(axes: Axes, title: str, x: str, y: str) -> None:
    """Title and labels in the type sizes of all pictures; a learner's own $ begins no formula."""
    axes.set_title(title, fontsize=9, loc="left", fontweight="bold", parse_math=False)
    axes.set_xlabel(x, fontsize=8, parse_math=False)
    axes.set_ylabel(y, fontsize=8, parse_math=False)
    axes.tick_params(labelsize=7.5, length=2.5, colors="0.25")


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of the line with this number."""
    return {"color": PALETTE[number % len(PALETTE)], "ls": DASHES[number % len(DASHES)]}


def draw_band(
    axes: Axes, x: Any, middle: Any, low: Any, high: Any, name: str, number: int, lw: float = 1.8, alpha: float = 0.18
) -> None:
    """A line of this number, and a band around it in its colour; x, middle, low and high are (x,)."""
    style = line_style(number)
    axes.plot(x, middle, lw=lw, label=name, **style)
    axes.fill_between(x, low, high, color=style["color"], alpha=alpha, lw=0)


def draw_magnitudes(axes: Axes, magnitudes: Tensor, name: str, number: int, lw: float = 1.8) -> None:
    """Magnitudes (seed, place) on a logarithmic axis, places counted from 1; a place where one is zero is left out.

    The line is the mean of the logarithms over the seeds, the band one standard deviation.
    """
    logs = torch.where(magnitudes > 0, magnitudes.double(), torch.nan).log().numpy()
    middle, spread = logs.mean(axis=0), logs.std(axis=0)
    ends = np.exp(middle - spread), np.exp(middle + spread)
    draw_band(axes, np.arange(1, len(middle) + 1), np.exp(middle), *ends, name, number, lw=lw)
    if np.isfinite(middle).any():
        axes.set_yscale("log")


Line = tuple[Tensor, Tensor]


def lines_figure(
    lines: Mapping[str, Line], x: str, y: str, *, points: Mapping[str, Line] | None = None, log: bool = False
) -> Figure:
    """Curves by name, each (x values, y values); `points` by the same names are drawn as marks, in the same colour.

    x, y: what the axes say. log: both axes logarithmic.
    """
    figure = new_figure(6.4, 2.7)
    axes = figure.subplots()
    for number, (name, (across, up)) in enumerate(lines.items()):
        style = line_style(number)
        axes.plot(across.numpy(), up.numpy(), lw=1.5, label=name, **style)
        if points and name in points:
            marks = MARKERS[number % len(MARKERS)]
            axes.plot(*(part.numpy() for part in points[name]), marks, color=style["color"], ms=5)
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    _label(axes, x, y)
    axes.legend(fontsize=8, frameon=False)
    return figure


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
