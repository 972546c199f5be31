"""What is to be seen, as data: views, series and reference lines that the stage and matplotlib both draw.

A picture is a table: one row a step, one column a channel. Series name the columns they read, so a finished run
and a live one (rows still arriving) look the same to whoever draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Scale = Literal["linear", "log"]
SeriesKind = Literal["path", "curve", "bars", "family", "arrow"]
ReferenceKind = Literal["line", "trace", "points", "marks", "dots"]


@dataclass(frozen=True)
class Axis:
    """One axis of a view: its label, its scale and, where they do not follow the data, its limits."""

    label: str
    scale: Scale = "linear"
    limits: tuple[float, float] | None = None
    ticks: tuple[str, ...] = ()  # names instead of numbers, at 0, 1, 2, …


@dataclass(frozen=True)
class Backdrop:
    """A still image behind a view, drawn by matplotlib: `png` fills exactly the axes' limits."""

    png: bytes
    legend: str = ""


@dataclass(frozen=True)
class Bowl:
    """The contours of a quadratic loss ½wᵀHw behind a view: ellipses, drawn where they are shown.

    `matrix` is H's (11, 12, 22) entries, `levels` the losses at which lines are drawn, ascending.
    """

    matrix: tuple[float, float, float]
    levels: tuple[float, ...]

    @property
    def numbers(self) -> tuple[float, ...]:
        """The matrix's entries, then the levels."""
        return (*self.matrix, *self.levels)


@dataclass(frozen=True)
class View:
    """One set of axes on the stage.

    `cell` is (column, row, columns, rows) in the picture's grid. `pad` names the two settings that dragging a point in
    this view sets; its axes then show exactly those settings' ranges.
    """

    name: str
    title: str
    x: Axis
    y: Axis
    cell: tuple[int, int, int, int] = (0, 0, 1, 1)
    backdrop: Backdrop | Bowl | None = None
    pad: tuple[str, str] | None = None


@dataclass(frozen=True)
class Series:
    """Something that moves: which columns of the table it reads, and how it is told from the others.

    path: columns (x, y); curve: (y,) over steps; bars: one column a bar; family: one column a curve, coloured by
    `groups`; arrow: (x, y, dx, dy), drawn from (x, y).
    """

    view: str
    kind: SeriesKind
    name: str
    columns: tuple[int, ...]
    colour: int = 0
    dashed: bool = False
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Reference:
    """Something that stands still: theory's line, a known minimum, a limit, what an earlier run did ("trace").

    `points` is (n, 2).
    """

    view: str
    kind: ReferenceKind
    name: str
    points: NDArray[np.float64]
    label: str = ""  # written beside the line on the stage
    colour: int = 0  # of dots, which are examples of a class, and of traces


@dataclass(frozen=True, eq=False)
class Raster:
    """Which class a network chooses where, and how surely: fills its view's limits, rows from the bottom up.

    classes: (rows, columns) uint8; certainty: (rows, columns) uint8, 0 where all classes are as likely, 255 for sure.
    """

    view: str
    classes: NDArray[np.uint8]
    certainty: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Picture:
    """A whole picture: the views, the table (row, column) of what happened, and what stands still.

    `steps` (row,) are the step numbers of the rows. Values that are not finite leave a gap.
    """

    views: tuple[View, ...]
    table: NDArray[np.float32]
    steps: NDArray[np.float32]
    series: tuple[Series, ...]
    references: tuple[Reference, ...] = ()
    rasters: tuple[Raster, ...] = ()
    widths: tuple[float, ...] = (1.0, 1.0)  # of the grid's columns, in proportion
    heights: tuple[float, ...] = (1.0, 1.0)
    summary: str = ""
    last_step: int | None = None  # right end of the step axes; None: the last row's
    groups: tuple[str, ...] = ()  # names of the layers, first to last
    chosen: tuple[tuple[str, float, float], ...] = ()  # (view, x, y) of pads, for drawings without the stage

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or len(self.steps) != len(self.table):
            raise ValueError(
                f"a picture's table must be (rows, columns) with one step a row, got {self.table.shape} and "
                f"{len(self.steps)} steps"
            )
        names = {view.name for view in self.views}
        parts: tuple[Series | Reference, ...] = (*self.series, *self.references)
        for part in parts:
            if part.view not in names:
                raise ValueError(f"{part.name!r} is drawn in view {part.view!r}, but the views are {sorted(names)}")


@dataclass
class TableBuilder:
    """Collects columns under series, so that nobody counts column numbers by hand.

    `positions`: so many tables of the same columns are built at once, one for each position of a slider.
    """

    rows: int
    positions: int = 1
    series: list[Series] = field(default_factory=list)
    columns: list[NDArray[np.float32]] = field(default_factory=list)  # each (positions, rows)

    def add(
        self,
        view: str,
        kind: SeriesKind,
        name: str,
        values: NDArray[np.floating] | Sequence[NDArray[np.floating]],
        *,
        colour: int = 0,
        dashed: bool = False,
    ) -> None:
        """Add a series; `values` is (rows,) or (rows, columns), with an axis `positions` after the rows if several."""
        with np.errstate(over="ignore"):  # beyond float32's range becomes infinite, which leaves a gap
            block = np.asarray(values).astype(np.float32).reshape(self.rows, self.positions, -1)
        first = len(self.columns)
        self.columns.extend(block.transpose(2, 1, 0))
        indices = tuple(range(first, len(self.columns)))
        self.series.append(Series(view, kind, name, indices, colour, dashed))

    @property
    def table(self) -> NDArray[np.float32]:
        """The table (rows, columns); of the first position if there are several."""
        return self.tables[0]

    @property
    def tables(self) -> NDArray[np.float32]:
        """The tables (positions, rows, columns)."""
        if not self.columns:
            return np.zeros((self.positions, self.rows, 0), dtype=np.float32)
        return np.stack(self.columns, axis=-1)
