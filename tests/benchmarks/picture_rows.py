"""What a picture costs the kernel, computing left out: our table of numbers, against images drawn by matplotlib."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.side_by_side import Row, Timed, absent, in_turn, is_there, row, spread
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.descent.record import DescentRecord
from weightlab.descent.run import descend
from weightlab.pictures.contours import contour_backdrop
from weightlab.pictures.picture import Picture
from weightlab.pictures.still import draw_picture
from weightlab.rules.update_rules import optimizer
from weightlab.stage.stage import picture_message
from weightlab.toys.picture import descent_picture

RULES = ("gradient_descent", "momentum", "nesterov")
REDRAW, IPYMPL = "full matplotlib redraw to PNG", "ipympl draw_idle"


def experiment_at(rate: float) -> DescentExperiment:
    where = landscape("rotated_quadratic")
    return DescentExperiment(where, tuple(optimizer(rule, learning_rate=rate) for rule in RULES), steps=300)


def rows(quick: bool = False) -> Iterator[Row]:
    pictures, repetitions = (1, 1) if quick else (4, 15)
    experiments = [experiment_at(0.02 + 0.01 * i) for i in range(4)]
    records = [descend(one) for one in experiments]
    backdrop = contour_backdrop(experiments[0].landscape)
    sizes: dict[str, int] = {}

    def table(number: int) -> Picture:
        return descent_picture(experiments[number], records[number], backdrop, ("loss", "gradient"))

    def ours(number: int) -> None:
        message = picture_message(table(number), seq=number, run=0)
        sizes["ours"] = len(message["table"]) + len(message["steps"])

    ways: dict[str, Callable[[int], None]] = {"ours": ours}
    ways[REDRAW] = _redraw(draw_picture(table(0)), records, sizes)
    if is_there("ipympl"):
        ways[IPYMPL] = _ipympl(draw_picture(table(0)), records, sizes)
    timed = {name: _each(way, pictures) for name, way in ways.items()}
    times = in_turn(timed, repetitions)
    what = "a picture: 3 paths of 300 steps, loss and gradient beside them"
    for name in list(ways)[1:]:
        yield row(f"{what}, kernel time", times, "ours", name, ours_each=pictures, theirs_each=pictures, wanted="> 1")
        kilobytes = [sizes[key] / 1e3 for key in ("ours", name)]
        shown = [f"{spread([value])} kB" for value in kilobytes]
        yield Row(f"{what}, bytes", shown[0], name, shown[1], spread([kilobytes[1] / kilobytes[0]]), "> 1")
    if not is_there("ipympl"):
        yield absent(what, "ipympl")


def _each(way: Callable[[int], None], pictures: int) -> Timed:
    def run() -> None:
        for number in range(pictures):
            way(number)

    return run


def _move(figure: Figure, record: DescentRecord) -> None:
    """Give the lines of a figure that draw_picture made the numbers of another record."""
    plane, loss, gradient = figure.axes[:3]
    for i in range(len(RULES)):
        plane.lines[i].set_data(*record.weights[:, i].T.numpy())
        loss.lines[i].set_ydata(record.losses[:, i].numpy())
        gradient.lines[i].set_ydata(record.gradient_norms[:, i].numpy())


def _redraw(figure: Figure, records: list[DescentRecord], sizes: dict[str, int]) -> Callable[[int], None]:
    canvas = FigureCanvasAgg(figure)

    def draw(number: int) -> None:
        _move(figure, records[number])
        png = io.BytesIO()
        canvas.print_png(png)
        sizes[REDRAW] = png.tell()

    return draw


def _ipympl(figure: Figure, records: list[DescentRecord], sizes: dict[str, int]) -> Callable[[int], None]:
    from ipympl.backend_nbagg import Canvas, FigureManager

    canvas = Canvas(figure)
    FigureManager(canvas, 0)

    def count(content: Any, buffers: Any = None) -> None:
        if buffers:
            sizes[IPYMPL] = sum(memoryview(part).nbytes for part in buffers)

    canvas.send = count

    def draw(number: int) -> None:
        _move(figure, records[number])
        canvas.draw_idle()  # tells the page, whose answer makes it draw and send the difference
        canvas.draw()

    return draw
