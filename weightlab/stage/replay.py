"""A panel as one HTML file that needs neither a kernel nor a network: the same stage, with what it shows inside.

The page plays, scrubs, takes the keyboard, and moves the sliders whose pictures are in it (weightlab.stage.fan).
Numbers are rounded (weightlab.stage.packed). Where scripts are off it is a picture with its text.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import weightlab
from weightlab.pictures.style import Still
from weightlab.stage.controls import Slider
from weightlab.stage.fan import Fan, GatheredFan
from weightlab.stage.modules import join_modules
from weightlab.stage.packed import BITS, EXACT, Pack, fan_tables
from weightlab.stage.stage import Stage
from weightlab.validate import choose

_HERE = Path(__file__).parent
_KEPT_ELSEWHERE = ("layout", "tabbable", "tooltip")  # traits that every widget has
_PLAYBACK_ONLY = {"live": False, "state": "idle"}
HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<meta name="description" content="{summary}">
<style>{css}</style>
</head>
<body>
"""
_PAGE = HEAD + """<main>
<h1>{title}</h1>
<figure id="wl-still-page">
<img src="data:image/png;base64,{png}" alt="{alt}">
<figcaption>{summary}</figcaption>
{reading}
{settings}
</figure>
<footer>Made with weightlab {version}; runs without a kernel. {text}</footer>
</main>
<script type="text/plain" id="wl-replay-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def replay_html(
    panel: Any, *, sliders: Sequence[str] | None = None, title: str | None = None, note: str = ""
) -> str:
    """The page of a panel as text; `panel.save_html` writes it to a file.

    sliders: names of those that the page lets move, each while all other settings stay as they are; by default the
    first one whose pictures differ in numbers or are quick to draw, () for none. title: instead of the panel's.
    note: a sentence of your own under the animation.
    Raises ValueError if the panel is closed, or a slider's pictures cannot be had without a kernel.
    """
    with panel._lock:
        if panel._shown is None:
            raise ValueError("this panel is closed, so there is nothing to show; make the page before close()")
        panel._greet()  # rows of a running training reach the page beside the traits: put them into the picture
        pack = Pack()
        fans = _fans(panel, sliders, pack)
        traits = _traits(panel, fans, pack)
        message = {"traits": traits, "fans": fans, "note": f"{_note(panel, fans)} {note}".strip()}
        return _page(panel.still(), traits, title or panel.title, pack.text(message), _said_as_text(panel))


# ---- what moves -------------------------------------------------------------------------------------------------


def _fans(panel: Any, sliders: Sequence[str] | None, pack: Pack) -> dict[str, Any]:
    usable = [name for name, one in panel._controls.items() if isinstance(one, Slider) and name not in panel.unused]
    if sliders is None:
        return next(({name: fan} for name in usable if (fan := _fan_messages(panel, name, pack))), {})
    found = {}
    for name in sliders:
        fan = _fan_messages(panel, choose("slider", name, usable), pack)
        if fan is None:
            raise ValueError(
                f"sliders may name only those whose pictures can be made beforehand, got {name!r}, which needs the "
                "kernel at each position as the panel now stands; leave it out"
            )
        found[name] = fan
    return found


def _fan_messages(panel: Any, name: str, pack: Pack) -> dict[str, Any] | None:
    """All pictures of a slider and their words, as the kernel would send them; None if there are fewer than two."""
    fan = panel._fan(name)
    if fan is None:
        return None
    positions = panel._controls[name].positions
    if isinstance(fan, Fan):
        message, raw = fan.pictures(positions)
        buffers = _fan_buffers(message, raw, pack)
    else:
        message, buffers = _gathered(fan, positions, pack)
    if len(message["positions"]) < 2:
        return None
    return {"message": message, "buffers": buffers, "words": fan.texts(message["positions"])}


def _fan_buffers(message: Mapping[str, Any], raw: Sequence[bytes], pack: Pack) -> list[dict[str, Any]]:
    _, steps, bowls = raw
    numbers = len(bowls) // 4 // max(1, len(message["positions"]))  # of one position's bowl
    return [pack.floats(fan_tables(message, raw)), _column(steps, pack), _packed_table(bowls, numbers, pack, EXACT)]


def _gathered(fan: GatheredFan, positions: Sequence[float], pack: Pack) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Drawn one after another; the panel's worker may have mail in between and stop the drawing, so go on."""
    whole: dict[str, Any] = {}
    buffers: list[dict[str, Any]] = []
    left = list(positions)
    while left:
        message, parts = fan.pictures(left)
        for i, one in enumerate(message["whole"]):
            table, steps, points = parts[3 * i : 3 * i + 3]
            buffers += [_packed_table(table, one["columns"], pack), _column(steps, pack), _column(points, pack)]
        left = left[len(message["tried"]) :]
        for part in ("positions", "whole", "tried"):
            message[part] = [*whole.get(part, []), *message[part]]
        whole = message
    return whole, buffers


def _packed_table(data: bytes, columns: int, pack: Pack, bits: int = BITS) -> dict[str, Any]:
    values: NDArray[np.float32] = np.frombuffer(data, np.float32)
    return pack.floats(values.reshape(1, -1, max(1, columns)), bits)


def _column(data: bytes, pack: Pack) -> dict[str, Any]:
    return _packed_table(data, 1, pack, EXACT)


# ---- what stands ------------------------------------------------------------------------------------------------


def _traits(panel: Any, fans: Mapping[str, Any], pack: Pack) -> dict[str, Any]:
    """All that the stage reads, with the controls that cannot move as text."""
    names = [name for name in type(panel).class_trait_names(sync=True) if not name.startswith("_")]
    traits = {name: getattr(panel, name) for name in names if name not in _KEPT_ELSEWHERE}
    views = [view | {"png": pack.raw(view["png"])} for view in panel.scene["views"]]
    return traits | {
        "scene": panel.scene | {"views": views},
        "picture": _packed_picture(panel.picture, pack),
        "controls": [_control(spec, fans) for spec in panel.controls if spec["name"] != "pace"],  # a live run's only
        "questions": [question for question in panel.questions if question["prediction"] is not None],
        "transport": _PLAYBACK_ONLY,
        "notice": {},
        "home": False,
    }


def _control(spec: dict[str, Any], fans: Mapping[str, Any]) -> dict[str, Any]:
    fan = fans.get(spec["name"])
    if fan is None:
        return {name: part for name, part in spec.items() if name != "positions"} | {"kind": "fixed"}
    return spec | {"positions": fan["message"]["positions"]}


def _packed_picture(picture: Mapping[str, Any], pack: Pack) -> dict[str, Any]:
    rasters = [raster | {"data": pack.raw(raster["data"])} for raster in picture["rasters"]]
    return dict(picture) | {
        "table": _packed_table(picture["table"], picture["columns"], pack),
        "steps": _column(picture["steps"], pack),
        "reference_points": _column(picture["reference_points"], pack),
        "rasters": rasters,
        "seq": None,
        "follow": False,
    }


def _note(panel: Any, fans: Mapping[str, Any]) -> str:
    rest = "as it was saved; in a lab everything can be changed."
    if not fans:
        return f"This page shows the run {rest}"
    counts = {name: len(fan["message"]["positions"]) for name, fan in fans.items()}
    labels = [f"{panel._controls[name].label} ({count} positions)" for name, count in counts.items()]
    if len(fans) == 1:
        return f"{labels[0]} can be moved here. Every other setting stays {rest}"
    listed = f"{', '.join(labels[:-1])} and {labels[-1]}"
    return f"{listed} can be moved here, one at a time: moving one puts the others back. Everything else stays {rest}"


# ---- the page ---------------------------------------------------------------------------------------------------


def _said_as_text(panel: Any) -> str:
    """The settings as a text that a panel loads, where a text can hold them."""
    try:
        text = panel.text
    except ValueError:
        return ""
    return f"In a lab <i>Take it home</i> loads these settings from this text: <code>{html.escape(text)}</code>"


def _page(still: Still, traits: Mapping[str, Any], title: str, data: str, text: str) -> str:
    script = join_modules(_HERE / "js" / "replay.js")
    css = f"{Stage._css}\n{(_HERE / 'replay.css').read_text(encoding='utf-8')}"
    return _PAGE.format(
        policy=policy(script, css),
        title=html.escape(title),
        summary=html.escape(traits["summary"]),
        css=css,
        png=base64.b64encode(still.png).decode("ascii"),
        alt=html.escape(still.alt),
        reading=_reading_table(traits["reading"]),
        settings=_settings_table(traits),
        version=weightlab.__version__,
        text=text,
        data=data,
        script=script,
    )


def digest(text: str) -> str:
    """How a content security policy names a script or a style that may run."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"


def policy(script: str, css: str) -> str:
    """A content security policy under which this script and this style run, and nothing else is run or fetched."""
    return (
        f"default-src 'none'; script-src {digest(script)}; style-src {digest(css)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    cells = ["".join(f"<td>{html.escape(text)}</td>" for text in row[1:]) for row in rows]
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>{rest}</tr>' for row, rest in zip(rows, cells, strict=True)
    )
    return f"<table>{body}</table>" if rows else ""


def _reading_table(reading: Sequence[Mapping[str, str]]) -> str:
    rows = [(one["label"], *(f"{name} {one[name]}" for name in ("theory", "measured") if one[name])) for one in reading]
    verdicts = "".join(f"<p>{html.escape(one['verdict'])}</p>" for one in reading if one["verdict"])
    return _table([row for row, one in zip(rows, reading, strict=True) if not one["verdict"]]) + verdicts


def _settings_table(traits: Mapping[str, Any]) -> str:
    shown = [spec for spec in traits["controls"] if spec["name"] not in traits["unused"]]
    return _table([(spec["label"], _said(spec, traits["values"][spec["name"]])) for spec in shown])


def _said(spec: Mapping[str, Any], value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:.3g}"
    return str(dict(spec.get("options", ())).get(value, "none" if value is None else value))
