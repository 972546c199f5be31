"""How the page reads the numbers that the kernel sends or a replay holds: weightlab/stage/js/pure in Chromium.

Bit by bit against Python's side of the wire, whose own errors tests/stage/test_replay.py bounds.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from offline_pages import ModulePage, OfflineBrowser

import weightlab
from weightlab.stage.packed import BITS, EXACT, Pack, rounded

TABLE, PACKED = "pure/table.js", "pure/packed.js"


@pytest.fixture(scope="module")
def js(offline: OfflineBrowser) -> Iterator[ModulePage]:
    yield offline.modules(Path(weightlab.__file__).parent / "stage" / "js")


# ---- buffers and tables ------------------------------------------------------------------------------------------

# A buffer as it comes out of a longer one, where a Float32Array may not begin.
BUFFERS = """const buffer = (text) => {
    const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0)), longer = new Uint8Array(bytes.length + 8);
    longer.set(bytes, 3);
    return new DataView(longer.buffer, 3, bytes.length);
};"""
BITS_OF = "Array.from(new Uint32Array(Float32Array.from(floats).buffer))"


def buffer(values: NDArray[np.float32] | bytes) -> str:
    data = values if isinstance(values, bytes) else np.ascontiguousarray(values, np.float32).tobytes()
    return base64.b64encode(data).decode()


def bits(values: NDArray[np.float32]) -> list[int]:
    return list(map(int, np.ascontiguousarray(values, np.float32).ravel().view(np.uint32)))


def same_numbers(found: list[int], expected: NDArray[np.float32]) -> bool:
    """Bit by bit, but any NaN for a NaN."""
    got = np.array(found, np.uint32).view(np.float32)
    np.testing.assert_array_equal(got, expected.ravel())
    assert (np.signbit(got) == np.signbit(expected.ravel()))[~np.isnan(got)].all()
    return True


def hard_numbers(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Of all sizes and signs, with gaps and what overflowed."""
    random = np.random.default_rng(7)
    with np.errstate(over="ignore", invalid="ignore"):
        values = (random.normal(size=shape) * 10.0 ** random.uniform(-44, 37, shape)).astype(np.float32)
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(np.float32).max], np.float32)
    np.put(values, range(min(6, values.size)), odd)
    return values


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


# ---- what is packed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [BITS, EXACT])
@pytest.mark.parametrize("shape", [(1, 1, 6), (3, 40, 2), (2, 0, 3)])
def test_a_replays_numbers_come_back_as_they_were_rounded(
    js: ModulePage, shape: tuple[int, int, int], kept: int
) -> None:
    values, pack = hard_numbers(shape), Pack()
    message = {"deep": [{"numbers": pack.floats(values, kept)}, {"raw": pack.raw(b"\0between\xff")}], "word": "η"}
    code = f"""m.readReplay(given[0]).then(({{deep: [{{numbers: floats}}, {{raw}}], word}}) => ({{word, bits: {BITS_OF},
        raw: Array.from(new Uint8Array(raw.buffer, raw.byteOffset, raw.byteLength))}}))"""
    found = js.ask(PACKED, code, f"\n{pack.text(message)}\n")
    assert same_numbers(found["bits"], rounded(values, kept))
    assert (bytes(found["raw"]), found["word"]) == (b"\0between\xff", "η")
