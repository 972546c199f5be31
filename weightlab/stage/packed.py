"""Numbers packed for the way to a page, or for one that has no kernel to ask: rounded, differenced, deflated.

A float32 keeps the leading BITS of its 23 fraction bits, which moves it by at most 2⁻¹⁴ of itself: a twentieth of what
the three digits of the page's tooltip can show, and less than a pixel. NaN and infinity stay what they are.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BITS = 14  # of a fraction's 23
EXACT = 23
WORTH_PACKING = 1024  # bytes
_INFINITY = 0x7F800000


def _places(values: NDArray[np.float32], bits: int) -> NDArray[np.int64]:
    """Each number's place among all numbers of so many bits, zero at 0; NaN comes after infinity."""
    drop = EXACT - bits
    raw = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.int64)
    size = raw & 0x7FFFFFFF
    half = (1 << drop) >> 1
    finite = np.minimum((size + half) >> drop, (_INFINITY >> drop) - 1)  # the largest must not become infinite
    place = np.where(size < _INFINITY, finite, np.where(size == _INFINITY, _INFINITY, 0x7FC00000) >> drop)
    return np.where(raw >> 31 == 1, -place, place)


def rounded(values: NDArray[np.float32], bits: int = BITS) -> NDArray[np.float32]:
    """The numbers as the page will have them: off by at most 2^-bits of themselves (under 1.2e-38: by 2^-127-bits)."""
    place = _places(values, bits)
    raw = (np.abs(place) << (EXACT - bits)) | np.where(place < 0, 1 << 31, 0)
    return raw.astype(np.uint32).view(np.float32).reshape(values.shape)


def _second_differences(tables: NDArray[np.float32], bits: int) -> bytes:
    """Tables (n, rows, columns) column by column, as second differences down the rows, one byte plane after another."""
    places = _places(tables, bits).transpose(0, 2, 1)
    for _ in range(2):  # a path is nearly straight from step to step
        places = np.diff(places, axis=-1, prepend=0)
    wrapped = places.astype(np.uint64).astype(np.uint32).view(np.int32)  # the page adds modulo 2³² as well
    folded = ((wrapped << 1) ^ (wrapped >> 31)).view(np.uint32)
    return b"".join((folded >> (8 * plane)).astype(np.uint8).tobytes() for plane in range(4))


def fan_tables(message: Mapping[str, Any], buffers: Sequence[bytes]) -> NDArray[np.float32]:
    """The tables (position, rows, columns) in a fan's message, as weightlab.stage.fan lays them out."""
    return np.frombuffer(buffers[0], np.float32).reshape(-1, len(buffers[1]) // 4, message["columns"])


def packed_fan(message: dict[str, Any], buffers: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    """A fan's message as it travels: its tables, the first buffer, packed if there is enough of them to be worth it.

    A quarter of the bytes for some hundredths of a second: on a slow network that is what the learner waits for.
    """
    if "whole" in message or len(buffers[0]) < WORTH_PACKING:
        return message, buffers
    tables = fan_tables(message, buffers)
    data = zlib.compress(_second_differences(tables, BITS), 1)
    return message | {"packed": {"shape": list(tables.shape), "bits": BITS}}, [data, *buffers[1:]]


class Pack:
    """Collects numbers and bytes; what `floats` and `raw` return stands for them in the message that `text` takes."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._size = 0

    def floats(self, tables: NDArray[np.float32], bits: int = BITS) -> dict[str, Any]:
        """Tables (n, rows, columns), each number rounded to `bits` of its fraction."""
        count, rows, columns = tables.shape
        return self._add(_second_differences(tables, bits)) | {"shape": [count, rows, columns], "bits": bits}

    def raw(self, data: bytes) -> dict[str, Any]:
        """Bytes as they are."""
        return self._add(data)

    def _add(self, data: bytes) -> dict[str, Any]:
        self._blocks.append(data)
        self._size += len(data)
        return {"packed": [self._size - len(data), len(data)]}

    def text(self, message: Mapping[str, Any]) -> str:
        """The message (JSON, with the places of what was packed) and all blocks, deflated, in base64."""
        head = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        whole = len(head).to_bytes(4, "little") + head + b"".join(self._blocks)
        return base64.b64encode(zlib.compress(whole, 9)).decode("ascii")
