"""Every panel there is, by the name of its class, found by reading the rooms' files: none is listed."""

from __future__ import annotations

import importlib
from pathlib import Path

import weightlab
from weightlab.stage.panel import Panel

PACKAGE = Path(weightlab.__file__).parent


def _panels() -> dict[str, type[Panel]]:
    found: dict[str, type[Panel]] = {}
    for path in sorted(PACKAGE.glob("*/*panel.py")):
        module = importlib.import_module(f"weightlab.{path.parent.name}.{path.stem}")
        kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Panel)]
        found |= {kind.__name__: kind for kind in kinds if kind.__module__ == module.__name__ and kind is not Panel}
    return found


PANELS = _panels()
