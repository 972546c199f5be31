"""Draws whole pictures with matplotlib, for pages without a kernel.

Nothing here trains, and nothing touches pyplot: its figure registry would leak into the cells of a running notebook.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullFormatter

from weightlab.pictures.contours import _shade
from weightlab.pictures.picture import Bowl, Picture, Raster, Reference, Series, View
from weightlab.pictures.style import DASHES, MARKERS, PALETTE, Still, label_axes, new_figure, to_still


def still(picture: Picture, *, title: str = "") -> Still:
    """The picture at its last row as a static figure; its alt text is the picture's summary."""
    size = (8.6, 8.6 * 0.235 * (len(picture.heights) + 0.35))
    return to_still(draw_picture(picture, size), picture.summary or title or "picture")


def draw_picture(picture: Picture, size: tuple[float, float] = (8.6, 4.7)) -> Figure:
    """Draw all views of a picture on a new figure, as the stage shows them at the last row."""
    figure = new_figure(*size)
    grid = figure.add_gridspec(
        len(picture.heights), len(picture.widths), width_ratios=picture.widths, height_ratios=picture.heights
    )
    handles: dict[str, Any] = {}
    for view in picture.views:
        column, line, columns, lines = view.cell
        axes = figure.add_subplot(grid[line : line + lines, column : column + columns])
        _draw_view(axes, view, picture, handles)
    if handles:
        in_one_row = sum(len(name) + 6 for name in handles) <= 15 * size[0]  # about 15 letters an inch
        legend = figure.legend(
            list(handles.values()), list(handles), loc="outside upper left", ncols=6 if in_one_row else 3, fontsize=8,
            frameon=False,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _draw_view(axes: Axes, view: View, picture: Picture, handles: dict[str, Any]) -> None:
    label_axes(axes, view.title, view.x.label, view.y.label)
    axes.set_xscale(view.x.scale)
    axes.set_yscale(view.y.scale)
    bars = [series for series in picture.series if series.view == view.name and series.kind == "bars"]
    for series in picture.series:
        if series.view == view.name:
            place = (bars.index(series), len(bars)) if series in bars else (0, 1)
            _draw_series(axes, series, picture, handles, place)
    for reference in picture.references:
        if reference.view != view.name or not len(reference.points):
            continue
        (handle,) = axes.plot(*reference.points.T, **_reference_style(reference))
        if reference.name:
            handles.setdefault(reference.name, handle)
        if reference.label:
            at = reference.points[len(reference.points) // 2]
            axes.annotate(
                reference.label, at, fontsize=7.5, xytext=(3, 3), textcoords="offset points", annotation_clip=True,
                bbox={"boxstyle": "round,pad=0.15", "fc": "w", "ec": "none", "alpha": 0.8}, zorder=6,
            )
    for name, x, y in picture.chosen:
        if name == view.name:
            axes.plot(x, y, "o", ms=9, mfc=PALETTE[1], mec="w", mew=1.5, zorder=6)
    if view.x.ticks:
        stride = max(1, len(view.x.ticks) // 8)
        axes.set_xticks(range(0, len(view.x.ticks), stride), view.x.ticks[::stride], parse_math=False)
    if view.x.limits:
        axes.set_xlim(*view.x.limits)
    elif any(series.kind in {"curve", "family"} and series.view == view.name for series in picture.series):
        axes.set_xlim(0, float(picture.steps[-1]) or picture.last_step or 1)
    if view.y.limits:
        axes.set_ylim(*view.y.limits)
    elif view.y.scale == "log":
        _show_a_decade(axes)
    for raster in picture.rasters:
        if raster.view == view.name:
            _draw_raster(axes, raster)
    if view.backdrop is not None and view.x.limits and view.y.limits:
        draw_backdrop(axes, view)


def _reference_style(reference: Reference) -> dict[str, Any]:
    colour = PALETTE[reference.colour % len(PALETTE)]
    if reference.kind == "dots":
        return {"ls": "", "marker": MARKERS[reference.colour % 4], "color": colour, "ms": 3, "mec": "w", "mew": 0.4}
    if reference.kind == "trace":
        return {"ls": "--", "color": colour, "lw": 1.2, "alpha": 0.8}
    marker, line, size = {"line": ("", "--", 1), "points": ("+", "", 8), "marks": ("_", "", 12)}[reference.kind]
    halo = withStroke(linewidth=3, foreground="w", alpha=0.7)  # seen on dark bars and maps too
    theirs = {"lw": 1.2, "ms": size, "mew": 1.4, "zorder": 5, "path_effects": [halo]}
    return {"marker": marker, "ls": line, "color": "0.1", **theirs}


def _draw_raster(axes: Axes, raster: Raster) -> None:
    colours = np.array([to_rgba(colour) for colour in PALETTE])[raster.classes % len(PALETTE)]
    colours[..., 3] = 0.06 + raster.certainty / 255 * 0.4
    axes.imshow(
        colours,
        extent=(0, 1, 0, 1),
        transform=axes.transAxes,
        aspect="auto",
        zorder=0,
        origin="lower",
        interpolation="bilinear",
    )


def draw_backdrop(axes: Axes, view: View) -> None:
    """What stands behind a view with limits: the contours of a quadratic, or an image."""
    if isinstance(view.backdrop, Bowl):
        assert view.x.limits and view.y.limits
        x, y = (np.linspace(*limits, 161) for limits in (view.x.limits, view.y.limits))
        xx, xy, yy = view.backdrop.matrix
        losses = 0.5 * (xx * x**2 + 2 * xy * np.outer(y, x) + yy * (y**2)[:, None])
        _shade(axes, x, y, losses, np.array(view.backdrop.levels))
        return
    # the image fills the axes whatever their scales, so it is placed in the axes' own coordinates
    from matplotlib.image import imread

    assert view.backdrop is not None
    image = imread(io.BytesIO(view.backdrop.png), format="png")
    step = max(1, image.shape[1] // 520)
    axes.imshow(image[::step, ::step], extent=(0, 1, 0, 1), transform=axes.transAxes, aspect="auto", zorder=0)


def _draw_series(axes: Axes, series: Series, picture: Picture, handles: dict[str, Any], place: tuple[int, int]) -> None:
    colour = PALETTE[series.colour % len(PALETTE)]
    table, steps = picture.table, picture.steps
    columns = [np.where(np.isfinite(table[:, c]), table[:, c], np.nan) for c in series.columns]
    if series.kind == "path":
        (handle,) = axes.plot(columns[0], columns[1], "--" if series.dashed else "-", color=colour, lw=1.6, zorder=3)
        end = int(np.flatnonzero(np.isfinite(columns[0]))[-1])
        axes.plot(columns[0][end], columns[1][end], MARKERS[series.colour % 4], color=colour, ms=6, mec="w", zorder=4)
        axes.plot(columns[0][0], columns[1][0], "o", color="w", mec="k", ms=4, zorder=4)
        handles.setdefault(series.name, handle)
    elif series.kind == "curve":
        style = "--" if series.dashed else DASHES[series.colour % len(DASHES)]
        dot = "o" if len(steps) == 1 else ""  # of a run that has not begun
        (handle,) = axes.plot(steps, columns[0], ls=style, color=colour, lw=1.5, marker=dot, ms=4)
        handles.setdefault(series.name, handle)
    elif series.kind == "family":
        for column, group in zip(columns, series.groups, strict=True):
            axes.plot(steps, column, color=_layer_colour(group, len(picture.groups)), lw=0.9)
    elif series.kind == "bars":
        index, total = place
        width = 0.72 / total
        heights = [column[-1] for column in columns]
        positions = np.arange(len(heights)) + (index - (total - 1) / 2) * width
        layered = total == 1 and bool(picture.groups)
        colours = [_layer_colour(i, len(heights)) for i in range(len(heights))] if layered else colour
        bars = axes.bar(positions, heights, width, color=colours)
        if not layered:
            handles.setdefault(series.name, bars)
    else:
        _draw_arrow(axes, series, [column[-1] for column in columns], colour)


def _draw_arrow(axes: Axes, series: Series, at: list[float], colour: str) -> None:
    if np.all(np.isfinite(at)):
        axes.quiver(*at, angles="xy", scale_units="xy", scale=1, color=colour, width=0.008, zorder=5)


def _layer_colour(index: int, count: int) -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"](0.58 * index / max(1, count - 1))


def _show_a_decade(axes: Axes) -> None:
    """Whole decades where the data lie within one: a logarithmic axis needs two numbers to be read."""
    low, high = np.log10(axes.get_ylim())
    if high - low < 1.5:
        axes.set_ylim(10 ** np.floor(low), 10 ** np.ceil(high))
    axes.yaxis.set_minor_formatter(NullFormatter())
