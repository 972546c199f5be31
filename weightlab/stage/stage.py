"""The stage: shows a Picture on a canvas in the notebook, with playback, controls and text beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from weightlab.pictures.picture import Axis, Backdrop, Bowl, Picture, Raster, View
from weightlab.stage.modules import join_modules

_HERE = Path(__file__).parent


def _axis(axis: Axis) -> dict[str, Any]:
    return {"label": axis.label, "scale": axis.scale, "limits": axis.limits, "ticks": list(axis.ticks)}


def _view(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "title": view.title,
        "x": _axis(view.x),
        "y": _axis(view.y),
        "cell": list(view.cell),
        "pad": list(view.pad) if view.pad else None,
        "png": view.backdrop.png if isinstance(view.backdrop, Backdrop) else b"",
        "bowl": list(view.backdrop.numbers) if isinstance(view.backdrop, Bowl) else None,
    }


def view_messages(picture: Picture) -> list[dict[str, Any]]:
    """The views of a picture without the images behind them."""
    return [{name: part for name, part in _view(view).items() if name != "png"} for view in picture.views]


def scene_message(picture: Picture, height: int) -> dict[str, Any]:
    """The part of a picture that seldom changes: views, backdrops and their places."""
    return {
        "views": [_view(view) for view in picture.views],
        "widths": list(picture.widths),
        "heights": list(picture.heights),
        "height": height,
    }


def picture_message(picture: Picture, *, seq: int | None, run: int, follow: bool = False) -> dict[str, Any]:
    """What happened, with numbers as float32 buffers. `seq` names the learner's message that it answers."""
    references = []
    offset = 0
    for part in picture.references:
        count = len(part.points)
        references.append(
            {"view": part.view, "kind": part.kind, "name": part.name, "label": part.label, "colour": part.colour}
            | {"offset": offset, "count": count}
        )
        offset += count
    with np.errstate(over="ignore"):  # beyond float32's range becomes infinite, which leaves a gap
        points = [np.asarray(part.points, np.float32).reshape(-1, 2) for part in picture.references]
    return {
        "seq": seq,
        "run": run,
        "follow": follow,
        "columns": picture.table.shape[1],
        "table": np.ascontiguousarray(picture.table, np.float32).tobytes(),
        "steps": np.ascontiguousarray(picture.steps, np.float32).tobytes(),
        "series": [
            {"view": s.view, "kind": s.kind, "name": s.name, "columns": list(s.columns), "colour": s.colour}
            | {"dashed": s.dashed, "groups": list(s.groups)}
            for s in picture.series
        ],
        "references": references,
        "reference_points": np.concatenate(points).tobytes() if points else b"",
        "rasters": [raster_message(raster) | {"data": raster_bytes(raster)} for raster in picture.rasters],
        "last_step": picture.last_step,
        "groups": list(picture.groups),
    }


def raster_message(raster: Raster) -> dict[str, Any]:
    """A raster's place and shape, without its bytes."""
    rows, columns = raster.classes.shape
    return {"view": raster.view, "rows": rows, "columns": columns}


def raster_bytes(raster: Raster) -> bytes:
    """Classes, then certainties, a byte each."""
    return raster.classes.astype(np.uint8).tobytes() + raster.certainty.astype(np.uint8).tobytes()


class Stage(anywidget.AnyWidget):
    """Draws a Picture and plays it; knows nothing of what was computed or how.

    Traits hold what must survive a reload of the page; rows of a running training go as custom messages.
    """

    _esm = join_modules(_HERE / "js" / "widget.js")
    # Text and not a path: anywidget watches a path's file, and its watch would hold every stage ever made.
    _css = (_HERE / "stage.css").read_text(encoding="utf-8")

    title = traitlets.Unicode("weightlab").tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    controls: traitlets.List[Any] = traitlets.List().tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    unused: traitlets.List[Any] = traitlets.List().tag(
        sync=True
    )  # names of controls without effect on what is now chosen
    questions: traitlets.List[Any] = traitlets.List().tag(sync=True)
    reading: traitlets.List[Any] = traitlets.List().tag(sync=True)
    summary = traitlets.Unicode().tag(sync=True)  # the picture in words, kept current while a run goes on
    notice = traitlets.Dict().tag(sync=True)
    home = traitlets.Bool(False).tag(sync=True)  # whether a kernel can say settings and program as texts
    transport = traitlets.Dict({"live": False, "state": "idle"}).tag(sync=True)

    def __init__(self, picture: Picture | None = None, *, title: str = "weightlab", height: int = 440) -> None:
        super().__init__(title=title)
        self._height = height
        self._run = 0
        self._shown: Picture | None = None
        if picture is not None:
            self.show(picture)

    def show(self, picture: Picture, *, seq: int | None = None, follow: bool = False) -> None:
        """Put a whole picture on the stage, in one message."""
        same_views = self._shown is not None and self._shown.views == picture.views
        self._shown = picture
        with self.hold_sync():
            if not same_views:
                self.scene = scene_message(picture, self._height)
            self.summary = picture.summary
            self.picture = picture_message(picture, seq=seq, run=self._run, follow=follow)

    def append_rows(self, table: np.ndarray, steps: np.ndarray, first_row: int) -> None:
        """Send new rows (rows, columns) of the picture now shown, beginning at row `first_row`."""
        self.send(
            {"type": "rows", "run": self._run, "from": first_row, "columns": int(table.shape[1])},
            [np.ascontiguousarray(table, np.float32).tobytes(), np.ascontiguousarray(steps, np.float32).tobytes()],
        )

    def replace_raster(self, raster: Raster) -> None:
        """Send a newer raster for a view of the picture now shown."""
        self.send({"type": "raster", "run": self._run} | raster_message(raster), [raster_bytes(raster)])

    def close(self) -> None:
        """Free the widget, its layout and its picture."""
        layout = self.layout
        super().close()
        if layout is not None:
            layout.close()
        self._shown = None
