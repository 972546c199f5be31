"""A slider's fan as it goes to the page: the picture at every position, so that a drag need not ask the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weightlab.pictures.picture import Backdrop, Picture
from weightlab.stage.stage import picture_message, view_messages

MOST_NUMBERS = 3_000_000  # in the tables of one fan, 12 MB: for longer runs fewer positions around the present one

Words = tuple[list[dict[str, str]], str]  # the reading and the summary


@dataclass(frozen=True, eq=False)
class Fan:
    """The tables of the picture now shown, at the positions of one control.

    values: all settings; the fan holds as long as those other than `name` are these.
    positions: of the control, those at which a picture could be made.
    tables: (position, rows, columns) float32; steps: (rows,); rows: how many of them each position uses.
    bowls: (position, numbers) where the contours change with the position, as `pictures.Bowl` lays them out.
    words: the reading and the summary at a position, made when asked for.
    along: by position, values of other settings that move with this one.
    """

    name: str
    values: Mapping[str, Any]
    positions: tuple[float, ...]
    tables: NDArray[np.float32]
    steps: NDArray[np.float32]
    rows: tuple[int, ...]
    words: Callable[[int], Words]
    bowls: NDArray[np.float32] | None = None
    along: tuple[Mapping[str, Any], ...] = ()

    def holds(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether this is the fan of that control while the others stand so."""
        return self.name == name and _others(name, values) == _others(name, self.values)

    def pictures(self, wanted: Sequence[float]) -> tuple[dict[str, Any], list[bytes]]:
        """The message and the buffers (tables, steps, bowls) with the pictures at these positions, where there are."""
        places = [self.positions.index(position) for position in wanted if position in self.positions]
        lone = self.tables.shape[0] == 1 and len(self.positions) > 1  # every position shows a part of one table
        tables = self.tables if lone else self.tables[places]
        message = self._head("fan", places) | {
            "columns": int(tables.shape[2]),
            "rows": [self.rows[place] for place in places],
            "lone": lone,
            "along": [self.along[place] for place in places] if self.along else [],
            "tried": list(wanted),
        }
        bowls = b"" if self.bowls is None else self.bowls[places].tobytes()
        return message, [tables.tobytes(), self.steps.tobytes(), bowls]

    def texts(self, wanted: Sequence[float]) -> dict[str, Any]:
        """The message with reading and summary at these positions."""
        places = [self.positions.index(position) for position in wanted if position in self.positions]
        words = [self.words(place) for place in places]
        return self._head("fan_words", places) | {
            "readings": [reading for reading, _ in words],
            "summaries": [summary for _, summary in words],
        }

    def _head(self, kind: str, places: list[int]) -> dict[str, Any]:
        return _head(kind, self.name, self.values, [self.positions[place] for place in places])


@dataclass(frozen=True, eq=False)
class GatheredFan:
    """Whole pictures at the positions of one control, drawn one after another when the page asks for them.

    draw: the picture and the reading for given settings; ValueError or TypeError where there is none.
    shown: the picture on the stage; where another image stands behind a view, the kernel must answer.
    hurried: whether newer settings wait, so that the rest is left for later.
    """

    name: str
    values: Mapping[str, Any]
    shown: Picture
    draw: Callable[[dict[str, Any]], tuple[Picture, list[dict[str, str]]]]
    hurried: Callable[[], bool]

    def holds(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether this is the fan of that control while the others stand so."""
        return self.name == name and _others(name, values) == _others(name, self.values)

    def pictures(self, wanted: Sequence[float]) -> tuple[dict[str, Any], list[bytes]]:
        """The message and the buffers (table, steps, references of each) with the pictures drawn in time."""
        tried: list[float] = []
        drawn: list[float] = []
        parts: list[dict[str, Any]] = []
        buffers: list[bytes] = []
        for position in wanted:
            if tried and self.hurried():
                break
            tried.append(position)
            try:
                picture, reading = self.draw({**self.values, self.name: position})
            except (ValueError, TypeError):
                continue  # the kernel explains it when the slider stops there
            if _images(picture) != _images(self.shown):
                continue
            message = picture_message(picture, seq=None, run=0)
            buffers += [message.pop(part) for part in ("table", "steps", "reference_points")]
            parts.append(message | {"views": view_messages(picture), "reading": reading, "summary": picture.summary})
            drawn.append(position)
        head = _head("fan", self.name, self.values, drawn)
        return head | {"whole": parts, "tried": tried}, buffers

    def texts(self, wanted: Sequence[float]) -> dict[str, Any]:
        """Nothing more to say: the pictures came with their words."""
        return _head("fan_words", self.name, self.values, []) | {"readings": [], "summaries": []}


def _images(picture: Picture) -> list[Backdrop]:
    return [view.backdrop for view in picture.views if isinstance(view.backdrop, Backdrop)]


def _head(kind: str, name: str, values: Mapping[str, Any], positions: list[float]) -> dict[str, Any]:
    return {"type": kind, "name": name, "values": _others(name, values), "positions": positions}


def no_fan(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The message that the kernel must answer each position of this control itself."""
    return {"type": "fan", "name": name, "values": _others(name, values), "none": True}


def _others(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {other: value for other, value in values.items() if other != name}
