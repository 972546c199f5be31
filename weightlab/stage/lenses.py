"""Settings of a panel: a control, its lens on the panel's frozen experiment, and where it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from weightlab.stage.controls import Control
from weightlab.validate import number, whole_number

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Lens:
    """One control's view of an experiment.

    get: what the experiment says; None where it says nothing, and the control keeps what it showed. No `get` at all:
    a value that only the panel holds, such as how something is shown, or how fast.
    put: (experiment, value, the values of all settings) -> the experiment that says so; the same one where the value
    plays no part in it. Raises what the experiment itself raises.
    """

    get: Callable[[Any], Any] | None
    put: Callable[[Any, Any, Values], Any]


@dataclass(frozen=True)
class Setting:
    """What can be set on a panel, by a control or, where it is not `shown`, when the panel is made."""

    control: Control
    lens: Lens
    default: Any
    shown: bool = True

    @property
    def name(self) -> str:
        return self.control.name


def field(name: str, check: Callable[[Any], Any] = lambda value: value) -> Lens:
    """A field of the experiment, whose value `check` may refuse or convert before."""
    return Lens(attrgetter(name), lambda experiment, value, values: changed(experiment, **{name: check(value)}))


def changed(experiment: Any, **fields: Any) -> Any:
    """The experiment with other fields; its own `replace` knows more, where it has one."""
    replace = getattr(experiment, "replace", None)
    return dataclasses.replace(experiment, **fields) if replace is None else replace(**fields)


def whole(name: str, low: int, high: int, why: str = "") -> Callable[[Any], int]:
    """A check for whole numbers in a range, see validate.whole_number."""
    return lambda value: whole_number(name, value, low, high, why=why)


def inside(part: str, lens: Lens) -> Lens:
    """The lens on a part of the experiment, such as the run that is looked at."""

    def get(experiment: Any) -> Any:
        assert lens.get is not None
        return lens.get(getattr(experiment, part))

    def put(experiment: Any, value: Any, values: Values) -> Any:
        return changed(experiment, **{part: lens.put(getattr(experiment, part), value, values)})

    return Lens(get, put)


def view(check: Callable[[Any], Any] = lambda value: value) -> Lens:
    """A value that no experiment holds; `check` may refuse it."""

    def put(experiment: Any, value: Any, values: Values) -> Any:
        check(value)
        return experiment

    return Lens(None, put)


PACE = view(lambda value: number("updates a second", value, 0, open_low=True, why="Pause rests it"))


def put_all(experiment: Any, lenses: Mapping[str, Lens], wanted: Values, values: Values) -> Any:
    """The experiment with all `wanted` values, put in the order of the lenses.

    Values that are allowed together only (a rule that needs momentum, and the momentum) wait for each other; what is
    still refused in the end is raised.
    """
    waiting = [name for name in lenses if name in wanted]
    while waiting:
        left, refusals = [], []
        for name in waiting:
            try:
                experiment = lenses[name].put(experiment, wanted[name], values)
            except (ValueError, TypeError) as refusal:
                left.append(name)
                refusals.append(refusal)
        if len(left) == len(waiting):
            raise refusals[0]
        waiting = left
    return experiment


def said(experiment: Any, lenses: Mapping[str, Lens], values: Values) -> dict[str, Any]:
    """`values`, and over them whatever the experiment says."""
    found = {name: lens.get(experiment) for name, lens in lenses.items() if lens.get is not None}
    return {**values, **{name: value for name, value in found.items() if value is not None}}
