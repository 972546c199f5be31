"""Right answers of several experiments as a static figure: one mark a seed, beside the goal."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from weightlab.pictures.style import MARKERS, PALETTE, label_axes, new_figure


def accuracies_figure(boards: Mapping[str, Mapping[str, Tensor]], goal: float) -> Figure:
    """A board of rows for each entry, side by side: every seed's share of right answers and their mean, (seed,) each.

    boards: title -> {row: shares}, first row on top. goal: a share, drawn as a line.
    """
    rows = max(len(board) for board in boards.values())
    figure = new_figure(8.2, 0.9 + 0.26 * rows)
    for number, (axes, (title, board)) in enumerate(
        zip(figure.subplots(1, len(boards), squeeze=False)[0], boards.items(), strict=True)
    ):
        _draw_board(axes, board, number)
        axes.axvline(goal, color="0.35", lw=0.9, ls="--")
        axes.set_xlim(0, 1.03)
        axes.set_ylim(rows - 0.4, -0.6)
        label_axes(axes, title, f"share right, one mark a seed (dashed: {goal:.0%})", "")
    return figure


def _draw_board(axes: Axes, board: Mapping[str, Tensor], number: int) -> None:
    colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
    for place, shares in enumerate(board.values()):
        axes.plot(shares.numpy(), [place] * len(shares), marker, color=colour, ms=4.5, alpha=0.7, mec="none")
        axes.plot([float(shares.mean())] * 2, [place - 0.32, place + 0.32], color=colour, lw=2)
    axes.set_yticks(range(len(board)), list(board))
