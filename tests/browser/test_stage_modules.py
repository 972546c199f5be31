"""The stage's scripts as true ES modules in Chromium, each a file of its own; those in js/pure by their values.

Expected values are worked out here, by other means than the scripts': fractions, NumPy, or by hand.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from offline_pages import ModulePage, OfflineBrowser

import weightlab
from weightlab.stage.modules import exports

JS = Path(weightlab.__file__).parent / "stage" / "js"
MODULES = sorted(path.relative_to(JS).as_posix() for path in JS.rglob("*.js"))
SCALES, LAYOUT, COLOURS, LINES = (f"pure/{name}.js" for name in ("scales", "layout", "colours", "lines"))


@pytest.fixture(scope="module")
def js(offline: OfflineBrowser) -> Iterator[ModulePage]:
    yield offline.modules(JS)


@pytest.mark.parametrize("file", [name for name in MODULES if name != "replay.js"])
def test_a_module_runs_as_one_and_gives_what_it_says(js: ModulePage, file: str) -> None:
    """A name that is imported and not there would be a SyntaxError."""
    assert js.names(file) == (sorted(exports(JS / file)) or ["default"])


# ---- numbers as texts, ticks, scales -----------------------------------------------------------------------------


def short(value: float) -> str:
    """At most three digits; a power of ten for what would be long; a true minus sign."""
    if not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return f"{float(f'{value:.3g}'):.10g}".replace("-", "−")
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits}e{int(exponent)}".replace("-", "−")


def test_numbers_are_short(js: ModulePage) -> None:
    by_hand = {0.0: "0", -0.5: "−0.5", 1234.0: "1230", 99_999.0: "100000", 1e5: "1.0e5", 0.001: "0.001",
               0.0009: "9.0e−4", -2.34e-7: "−2.3e−7", -6.02e23: "−6.0e23", math.inf: "–", math.nan: "–"}  # fmt: skip
    sizes = [float(m * 10.0**e) for m in (1.0, 1.2345, 3.3333, 9.4444) for e in range(-12, 13)]
    values = [*by_hand, *sizes, *(-size for size in sizes)]
    texts = js.ask(SCALES, "given[0].map(m.shortNumber)", values)
    assert dict(zip(by_hand, texts, strict=False)) == by_hand
    assert texts == [short(value) for value in values]


@pytest.mark.parametrize("wanted", [1, 2, 4, 9])
@pytest.mark.parametrize(
    ("low", "high"), [("0", "1"), ("-3", "3"), ("0", "300"), ("-0.0021", "0.0004"), ("98", "104.5"), ("1e6", "5e6")]
)
def test_ticks_are_round_and_inside_and_no_more_than_wanted(js: ModulePage, low: str, high: str, wanted: int) -> None:
    start, end = Fraction(low), Fraction(high)
    nice = sorted(Fraction(m) * Fraction(10) ** e for m in ("1", "2", "2.5", "5") for e in range(-8, 9))
    step = next(step for step in nice if step >= (end - start) / wanted)
    values = [float(k * step) for k in range(math.ceil(start / step), math.floor(end / step) + 1)]
    ticks = js.ask(SCALES, "m.linearTicks(...given)", float(low), float(high), wanted)
    assert [tick["value"] for tick in ticks] == pytest.approx(values, rel=1e-9, abs=1e-12)
    assert [tick["text"] for tick in ticks] == [short(value) for value in values]
    assert len(ticks) <= wanted + 1


@pytest.mark.parametrize(
    ("low", "high", "wanted", "texts"),
    [
        (1e-3, 1e3, 4, ["10⁻³", "0.1", "10", "1000"]),
        (1e-2, 1e4, 9, ["0.01", "0.1", "1", "10", "100", "1000", "10⁴"]),
        (1e-37, 1e38, 3, ["10⁻³⁷", "10⁻¹²", "10¹³", "10³⁸"]),
        (0.5, 20.0, 4, ["1", "10"]),
        (2.0, 7.0, 4, ["2", "4", "6"]),  # within one decade: as on a linear axis
    ],
)
def test_ticks_of_a_logarithmic_axis(js: ModulePage, low: float, high: float, wanted: int, texts: list[str]) -> None:
    assert [tick["text"] for tick in js.ask(SCALES, "m.logTicks(...given)", low, high, wanted)] == texts


# ---- layout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "heights"),
    [(1000, None), (501, None), (499, [300, 220, 220]), (0, None)],  # half of it for the narrowest view, 250 px
)
def test_views_stand_below_each_other_where_they_would_be_narrow(
    js: ModulePage, width: int, heights: list[int] | None
) -> None:
    views = [{"cell": [0, 0, 1, 2]}, {"cell": [1, 0, 1, 1]}, {"cell": [1, 1, 1, 1]}]
    assert js.ask(LAYOUT, "m.stackedHeights(...given)", {"widths": [1, 1], "views": views}, width) == heights


PLOT = """m.layoutView({name: "v", x: {scale: given[0], ticks: []}, y: {scale: given[1], ticks: []}},
    {x: 0, y: 0, w: 400, h: 300}, {series: given[2], references: given[3], last_step: given[5]},
    {rows: given[4].length, steps: given[4].map((_, i) => i), get: (r, c) => given[4][r][c], stride: () => 1})"""


def limits(
    js: ModulePage, rows: list[list[float]], kind: str, columns: list[int], y: str = "linear", last: int | None = None,
    references: tuple[dict[str, Any], ...] = (),
) -> tuple[list[float], list[float]]:  # fmt: skip
    series = [{"view": "v", "kind": kind, "columns": columns}]
    code = f"(({{x, y}}) => [x.limits, y.limits])({PLOT})"
    across, up = js.ask(LAYOUT, code, "linear", y, series, list(references), rows, last)
    return across, up


def test_axes_hold_all_numbers_and_end_on_round_ones(js: ModulePage) -> None:
    rows = [[0.13, -4.2], [math.nan, math.inf], [0.87, 3.9]]
    across, up = limits(js, rows, "path", [0, 1])
    assert across[0] <= 0.13 and across[1] >= 0.87 and up[0] <= -4.2 and up[1] >= 3.9
    assert across == pytest.approx([0, 1]) and up == pytest.approx([-5, 5])


@pytest.mark.parametrize(
    ("losses", "reached"),
    [
        ([0.3, 0.02], (1e-2, 1)),
        ([1.0, 1e-12], (1e-12, 1)),
        ([2.0, 1e30], (1, 1e6)),  # 31 decades: the start stays in sight, what explodes leaves at the top
        ([2.0, 1e-30, 1e3], (1e-14, 1e3)),
        ([math.nan, 1e-30, 1.0], (1e-18, 1)),  # no start to keep in sight
        ([0.0, math.nan], (0.1, 10)),
    ],
)
def test_a_logarithmic_axis_has_whole_decades(
    js: ModulePage, losses: list[float], reached: tuple[float, float]
) -> None:
    assert limits(js, [[loss] for loss in losses], "curve", [0], "log")[1] == pytest.approx(reached, rel=1e-9, abs=0)


# ---- colours and lines -------------------------------------------------------------------------------------------


CHANGED = "Array.from(m.changedLines(...given))"


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        ("abc", "abc", []),
        ("", "ab", [0, 1]),
        ("abc", "axc", [1]),
        ("abc", "xabc", [0]),
        ("abcd", "acd", []),  # what has gone marks no line
    ],
)
def test_changed_lines_are_those_that_were_not_there(js: ModulePage, before: str, now: str, changed: list[int]) -> None:
    assert js.ask(LINES, CHANGED, list(before), list(now)) == changed


# ---- tables ------------------------------------------------------------------------------------------------------


TABLE = "pure/table.js"


# A buffer as it comes out of a longer one, where a Float32Array may not begin.
BUFFERS = """const buffer = (text) => {
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0)), longer = new Uint8Array(bytes.length + 8);
    longer.set(bytes, 3);
    return new DataView(longer.buffer, 3, bytes.length);
};"""


def buffer(values: NDArray[np.float32]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, np.float32).tobytes()).decode()


TABLE_OF = f"""(() => {{ {BUFFERS}
    const [columns, data, steps, more, moreSteps, places] = given;
    const {{table}} = m.decodePicture({{columns, table: buffer(data), steps: buffer(steps)}});
    table.append(m.asFloats(buffer(more)), m.asFloats(buffer(moreSteps)));
    return {{rows: table.rows, step: places.map(p => table.step(p)),
             at: places.map(p => [0, 1].map(c => table.at(p, c))),
             rowOf: places.map(p => table.rowOf(p * 10)), end: places.map(p => table.end(p, 1))}};
}})()"""


def test_a_table_grows_and_is_read_between_its_rows(js: ModulePage) -> None:
    rows = np.array([[0, 1], [2, 5], [4, -3], [8, 0.5], [16, 2]], np.float32)
    steps = np.array([0, 10, 20, 40, 60], np.float32)
    places = [-1.0, 0.0, 0.25, 1.0, 2.5, 3.75, 4.0, 9.0]
    parts = [rows[:2], steps[:2], rows[2:], steps[2:]]
    found = js.ask(TABLE, TABLE_OF, 2, *map(buffer, parts), places)
    assert found["rows"] == 5 and found["end"] == places
    across = [[np.interp(place, range(5), rows[:, column]) for column in (0, 1)] for place in places]
    np.testing.assert_allclose(found["at"], across, rtol=1e-6)
    np.testing.assert_allclose(found["step"], np.interp(places, range(5), steps), rtol=1e-6)
    assert found["rowOf"] == [max(0, int(np.searchsorted(steps, 10 * place, "right")) - 1) for place in places]


def test_a_line_ends_before_its_gap(js: ModulePage) -> None:
    rows = np.array([[0, 1], [1, 2], [2, np.nan], [3, np.inf], [4, np.nan]], np.float32)
    steps = np.arange(5, dtype=np.float32)
    places = [0.5, 1.0, 1.5, 2.0, 3.5, 4.0]
    found = js.ask(TABLE, TABLE_OF, 2, *map(buffer, (rows[:1], steps[:1], rows[1:], steps[1:])), places)
    assert found["end"] == [0.5, 1.0, 1.5, 1, 1, 1]
    assert found["at"][2] == [1.5, 2]  # on the way into a gap: the last number
    early = [buffer(part) for part in (rows[1:2], steps[:1], rows[2:], steps[1:4])]
    assert js.ask(TABLE, TABLE_OF, 2, *early, [1.0, 3.0])["end"] == [0, 0]
    assert math.isnan(js.ask(TABLE, "m.decodePicture(null).table.at(0, 0)"))  # nothing is there
