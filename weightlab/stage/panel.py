"""What all panels share: controls, one experiment, one picture, the reading beside it, and predictions."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, TypeVar
from weakref import WeakSet

from IPython import get_ipython

from weightlab.pictures.picture import Picture
from weightlab.pictures.still import still
from weightlab.pictures.style import Still
from weightlab.stage.controls import AskedQuestion, Control, Question, Slider
from weightlab.stage.fan import Fan, GatheredFan, no_fan
from weightlab.stage.lenses import Setting, put_all, said
from weightlab.stage.packed import packed_fan
from weightlab.stage.take_home import TakeHome
from weightlab.stage.worker import Mail, Worker
from weightlab.validate import choose, whole_number

Row = dict[str, str]
T = TypeVar("T")
_MAIL = {"hello", "set", "command", "branch", "join", "load", "home", "page", "predict", "fan", "reveal"}


def row(label: str, theory: str, measured: str) -> Row:
    """One line of the reading: what theory says beside what was measured."""
    return {"label": label, "theory": theory, "measured": measured, "verdict": ""}


def verdict(text: str) -> Row:
    """The reading's last line, in words."""
    return {"label": "", "theory": "", "measured": "", "verdict": text}


def spoken(value: float, form: str = ".2g") -> str:
    """A number for a text, or words where it is none."""
    return f"{value:{form}}" if math.isfinite(value) else "beyond all numbers"


def _cell_and_execution() -> tuple[str | None, str | None]:
    """The notebook cell that is running now, and this run of it; None outside a notebook that names its cells."""
    shell = get_ipython()
    parent = shell.get_parent() if shell is not None and hasattr(shell, "get_parent") else {}
    return parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id")


def _forget_output(panel: Panel) -> None:
    """IPython keeps whatever cells have shown, in Out; a closed panel must not stay in memory for that."""
    shell = get_ipython()
    shown = shell.user_ns.get("Out", {}) if shell is not None else {}
    for count in [count for count, value in shown.items() if value is panel]:
        del shown[count]
        for names in (shell.user_ns, shell.user_ns_hidden):
            names.pop(f"_{count}", None)


class Panel(TakeHome):
    """A picture with controls in a notebook.

    Its truth is the frozen experiment `asked`; controls are lenses on it, and `values` is what they read there. A
    subclass declares its settings and the experiment to begin with, and says what is drawn of an experiment in `_drawn`
    (or `_apply`). Widget callbacks only post to the worker; `set` does the same work
    synchronously for cells and tests.
    """

    _open: ClassVar[WeakSet[Panel]] = WeakSet()  # so that a cell run again can close what it made before
    heading: ClassVar[str] = ""
    tall: ClassVar[int] = 440  # px
    spelled: ClassVar[Sequence[str]] = ()  # settings that its repr names first, in this order
    unspelled: ClassVar[Sequence[str]] = ()  # settings that it leaves out while they are as usual or play no part

    def __init__(self, *, questions: Sequence[Question] = (), title: str = "", **values: Any) -> None:
        super().__init__(title=title or self.heading, height=self.tall)
        self._close_earlier()
        self._lock = threading.RLock()
        self._questions = [AskedQuestion(question) for question in questions]
        self._worker = Worker(self._handle, self._advance, self._failed, name=f"weightlab {type(self).__name__}")
        self._kept_fan: Fan | GatheredFan | None = None
        self.record: Any = None
        self.on_msg(self._receive)
        try:
            settings = self._declared()
            self.lenses = {setting.name: setting.lens for setting in settings}
            self._usual = {setting.name: setting.default for setting in settings}
            for name in values:
                choose("setting", name, self._usual)
            self._controls: dict[str, Control] = {one.name: one.control for one in settings if one.shown}
            self._every: dict[str, Any] = {}  # what all settings say, of those too that have no control
            self.asked = self._first()
            with self.hold_sync():
                self.home = True
                self.controls = [control.spec() for control in self._controls.values()]
                self._apply(*self._with(self._checked({**self._usual, **values})), None)
        except Exception:
            self.close()  # refused: leave no half-made widget behind
            raise

    # ---- what subclasses say -------------------------------------------------------------------------------------

    def _declared(self) -> Sequence[Setting]:
        """The settings in the order of the panel, menus before what depends on them."""
        raise NotImplementedError

    def _first(self) -> Any:
        """An experiment for the lenses to begin with; the settings are put into it."""
        raise NotImplementedError

    def _apply(self, asked: Any, every: dict[str, Any], seq: int | None) -> None:
        """Compute what is asked for and publish; raise ValueError or TypeError, changing nothing, if it is bad."""
        record, picture, reading = self._drawn(asked, every)
        self.record = record
        self._publish(asked, every, picture, reading, seq)

    def _drawn(self, asked: Any, every: dict[str, Any]) -> tuple[Any, Picture, list[Row]]:
        """Record, picture and reading of an experiment, if that is all there is to compute."""
        raise NotImplementedError

    @property
    def experiment(self) -> Any:
        """The frozen experiment that is shown."""
        return self.asked

    def _idle(self, asked: Any) -> list[str]:
        """Names of controls that have no effect on what is now chosen: the experiment says nothing of them."""
        lenses = {name: self.lenses[name].get for name in self._controls}
        return [name for name, get in lenses.items() if get is not None and get(asked) is None]

    def _fan(self, name: str) -> Fan | GatheredFan | None:
        """The pictures at all positions of a slider as long as the other settings stay; None if they cannot be had."""
        if type(self)._drawn is Panel._drawn or self._shown is None or not isinstance(self._controls[name], Slider):
            return None
        return GatheredFan(name, dict(self.values), self._shown, self._draw_only, lambda: self._worker.has_mail)

    def _draw_only(self, values: dict[str, Any]) -> tuple[Picture, list[Row]]:
        _, picture, reading = self._drawn(*self._with(values))
        return picture, reading

    def _reveal(self) -> None:
        """The learner would see theory before predicting; the page shows the reading by itself."""

    def _advance(self) -> bool:
        """A slice of a running job, for panels that train."""
        return False

    def _command(self, name: str) -> None:
        """Start, Stop and the like, for panels that train."""
        raise ValueError(f"this panel has no command {name!r}")

    def _branch(self, step: int, changes: dict[str, Any]) -> None:
        """From this step on settings may change, as these do; what was shown until now stays on the picture."""
        raise ValueError("this panel's runs do not branch; change a setting and run it again")

    def _join(self) -> None:
        """Forget earlier lines, and that this one branched off them."""

    def _may_measure(self) -> bool:
        """Whether the questions are about what is now shown: not about a run whose settings changed midway."""
        return True

    def _cached(self, function: Callable[..., T], most: int = 12) -> Callable[..., T]:
        """The function with its last results kept as long as the panel lives; its arguments must be hashable."""
        return lru_cache(most)(function)

    # ---- for cells and tests -------------------------------------------------------------------------------------

    def set(self, **values: Any) -> Any:
        """Change settings as the controls do, and wait; returns the new record. Raises on bad input."""
        with self._lock:
            for name in values:
                choose("setting", name, self._controls)
            self._apply(*self._with(self._checked(values)), None)
            return self.record

    def predict(self, number: int, answer: float | str) -> None:
        """Answer question `number` (from 1) as the learner does on the panel."""
        if not 1 <= number <= len(self._questions):
            raise ValueError(f"question {number} does not exist: this panel asks {len(self._questions)}")
        with self._lock:
            self._questions[number - 1].predict(answer)
            self._measure_questions()

    def branch(self, step: int, **values: Any) -> Any:
        """Go back to `step` and go on from there with other settings, as "Branch here" does; returns the new record.

        Raises ValueError where the run shown has no such step, or for bad settings; nothing changes then.
        """
        with self._lock:
            for name in values:
                choose("setting", name, self._controls)
            self._branch(step, self._checked(values))
            return self.record

    def join(self) -> None:
        """Back to a single line, with the settings as they are now from its start."""
        with self._lock:
            self._join()

    @property
    def _picture(self) -> Picture:
        """What is shown."""
        if self._shown is None:
            raise RuntimeError("this panel is closed, and its picture gone; run its cell again")
        return self._shown

    @property
    def predictions(self) -> list[AskedQuestion]:
        """The questions with predictions and measurements so far."""
        return list(self._questions)

    def still(self) -> Still:
        """The present picture as a static figure with alt text."""
        return still(self._picture, title=self.title)

    def close(self) -> None:
        """End the worker and free the widget; what was measured stays readable in `record`."""
        if "_worker" in self.__dict__:  # ipywidgets closes even what its constructor refused
            self._worker.close()
            self._open.discard(self)
        super().close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={_short(value)}' for name, value in self._in_order())})"

    def _in_order(self) -> list[tuple[str, Any]]:
        """The values as `__repr__` names them."""
        names = [name for name in dict.fromkeys([*self.spelled, *self.values]) if name in self.values]
        silent = {name for name in self.unspelled if name in self.unused or self.values.get(name) == self._usual[name]}
        return [(name, self.values[name]) for name in names if name not in silent]

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        picture = self.still()
        # anywidget 0.9 cuts the text after 110 characters, later ones do not
        shown = {"text/plain": repr(self), "image/png": picture.png_text}
        return {**data, **shown}, {**metadata, "image/png": {"alt": picture.alt}}

    # ---- the wire ------------------------------------------------------------------------------------------------

    def _receive(self, _widget: Any, content: Mail, _buffers: Any) -> None:
        if content.get("type") in _MAIL:
            self._worker.post(content)

    def _handle(self, mail: Mail) -> None:
        with self._lock:
            seq = mail.get("seq")
            kind = mail["type"]
            if kind == "set":
                self._apply(*self._with(self._checked(mail["values"])), seq)
            elif kind == "command":
                self._command(mail["name"])
            elif kind == "branch":
                self._branch(whole_number("step of a branch", mail["step"], -(10**9), 10**9), {})
            elif kind == "join":
                self._join()
            elif kind == "load":
                self.load(str(mail["text"]))
            elif kind == "home":
                self.open_home(bool(mail["open"]))
            elif kind == "page":
                self.send_page()
            elif kind == "predict":
                self._predicted(int(mail["id"]), mail["value"])
            elif kind == "reveal":
                self._reveal()
            elif kind == "fan":
                self._send_fan(mail["name"], mail["positions"], bool(mail["words"]))
                return
            elif kind == "hello":
                self._greet()
            if not self._worker.has_mail:
                self.tell_home()
            self.send({"type": "ack", "seq": seq})

    def _send_fan(self, name: str, positions: Sequence[float], words: bool) -> None:
        if self._worker.has_mail:
            return  # newer settings wait; the page asks again once they are shown
        if self._kept_fan is None or not self._kept_fan.holds(name, self.values):
            self._kept_fan = self._fan(name)
        if self._kept_fan is None:
            self.send(no_fan(name, self.values))
        elif words:
            self.send(self._kept_fan.texts(positions))
        else:
            self.send(*packed_fan(*self._kept_fan.pictures(positions)))

    def _greet(self) -> None:
        """A page has opened or reloaded; traits hold everything, unless a subclass has sent rows besides."""

    def _failed(self, error: Exception, mail: Mail | None) -> None:
        """Say it on the panel; the last good picture and values stay."""
        known = isinstance(error, ValueError | TypeError)
        text = str(error) if known else f"{type(error).__name__}: {error}. The last picture stays; change a setting."
        self.notice = {"kind": "error", "text": text}
        self.send({"type": "ack", "seq": mail.get("seq") if mail else None})

    def _predicted(self, number: int, answer: str) -> None:
        asked = self._questions[number]
        try:
            asked.predict(answer)
            asked.problem = ""
        except ValueError as error:
            asked.problem = str(error)
        self._measure_questions()

    def _measure_questions(self) -> None:
        for asked in self._questions:
            waits = asked.prediction is not None and asked.measured is None
            if waits and self.record is not None and self._may_measure():
                asked.measured = asked.question.measure(self)
        self.questions = [asked.spec(i) for i, asked in enumerate(self._questions)]

    def _publish(
        self,
        asked: Any,
        every: dict[str, Any],
        picture: Picture,
        reading: list[Row],
        seq: int | None,
        notice: Row | None = None,
    ) -> None:
        """Show a new picture, its values and its reading in one message."""
        with self.hold_sync():
            self._keep(asked, every, notice)
            self.reading = reading
            self.show(picture, seq=seq)
            self._measure_questions()

    def _keep(self, asked: Any, every: dict[str, Any], notice: Row | None = None) -> None:
        """From now on this is asked for."""
        self.asked, self._every = asked, every
        self.values = {name: every[name] for name in self._controls}
        self.unused = self._idle(asked)
        self.notice = notice or {}

    def _with(self, changes: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The experiment with these settings, and what all settings then say."""
        known, every = self._every, {**self._every, **changes}
        moved = {name: value for name, value in changes.items() if name not in known or value != known[name]}
        asked = put_all(self.asked, self.lenses, moved, every)
        return asked, said(asked, self.lenses, every)

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What controls refuse by themselves; a setting without a control is the experiment's to check."""
        controls = self._controls
        return {name: controls[name].checked(value) if name in controls else value for name, value in values.items()}

    def _close_earlier(self) -> None:
        self._cell, self._execution = _cell_and_execution()
        if self._cell is not None:
            for panel in list(self._open):
                if panel._cell == self._cell and panel._execution != self._execution:
                    panel.close()
                    _forget_output(panel)
        self._open.add(self)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
