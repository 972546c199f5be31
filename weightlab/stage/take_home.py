"""What a learner takes along from a panel: its settings as a text, the PyTorch program, a page without a kernel."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weightlab.stage.replay import replay_html
from weightlab.stage.stage import Stage
from weightlab.texts.experiments import panel_text, panel_values


def is_panel_text(text: str) -> bool:
    """Whether a text is the state of a panel, and not an experiment."""
    return text.strip().split("/")[1:2] == ["panel"]


class TakeHome(Stage):
    """A stage whose settings can be had as a text and as a program; a panel says which."""

    def __init__(self, *, title: str, height: int) -> None:
        super().__init__(title=title, height=height)
        self._home_open = False
        self._told_home: dict[str, str] = {}

    def set(self, **values: Any) -> Any:
        """Change settings and wait; returns the new record."""
        raise NotImplementedError

    @property
    def kind(self) -> str:
        """What this panel is called in texts: "descent", "training", "signal", …"""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__.removesuffix("Panel")).lower()

    @property
    def text(self) -> str:
        """The settings as a short text that `load` and the box on any panel of this kind take."""
        own = {"own": self._own_names} if self._own_names else {}
        return panel_text(self.kind, {**self.values, **own})

    def load(self, text: str, own: Sequence[object] = ()) -> Any:
        """Set the panel to what a text says, and wait; returns the new record.

        own: your own things that the text names. Raises ValueError for a damaged text and for one that says what this
        panel cannot show; nothing changes then.
        """
        values = panel_values(text, self.kind)
        theirs = values.pop("own", "")
        if theirs != self._own_names:
            mine = f"own things {self._own_names}" if self._own_names else "no own things"
            raise ValueError(f"the text is of a panel with own={theirs or 'nothing'}, this one has {mine}; make it so")
        return self.set(**values)

    @property
    def program(self) -> str:
        """A plain PyTorch program for the settings now shown; empty where there is none."""
        return ""

    def save_html(
        self, path: str | Path, *, sliders: Sequence[str] | None = None, title: str | None = None, note: str = ""
    ) -> Path:
        """Write the panel as one HTML file that plays, scrubs and moves its sliders without a kernel or a network.

        sliders: which ones can be moved in it; by default the first whose pictures are quick to draw. title: instead of
        the panel's. note: a sentence of your own under the animation.
        """
        file = Path(path)
        text = replay_html(self, sliders=sliders, title=title, note=note)
        file.write_text(text, encoding="utf-8", newline="\n")  # the policy holds the script's digest
        return file

    @property
    def _own_names(self) -> str:
        """What of the learner's own the panel was made with, for its text."""
        return ""

    # ---- the page ------------------------------------------------------------------------------------------------

    def open_home(self, is_open: bool) -> None:
        """The learner opened or closed the box with the texts."""
        self._home_open, self._told_home = is_open, {}

    def tell_home(self) -> None:
        """Send settings and program as texts, while the page shows them and they have changed."""
        if not self._home_open:
            return
        told = {"text": "", "problem": "", "program": "", "name": self.kind}
        try:
            told["program"] = self.program
            told["text"] = self.text
        except (ValueError, TypeError) as refusal:
            told["problem"] = str(refusal)
        if told != self._told_home:
            self._told_home = told
            self.send({"type": "home", **told})

    def send_page(self) -> None:
        """Send the panel as an HTML file, for the browser to save."""
        self.send({"type": "page", "name": f"{self.kind}.html"}, [replay_html(self).encode()])
