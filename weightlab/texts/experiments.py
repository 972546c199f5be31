"""Experiments as short texts: to copy into a message or a link, and to read back as exactly the same experiment.

    weightlab1/descent/rotated_quadratic,kappa=50/momentum,lr=0.02/start=-2.2,0.1/steps=400/from=100/momentum,lr=0.01
    weightlab1/training/mlp,depth=8/digits/adam,lr=0.01/initialization=xavier_normal/batch_size=none/from=50,lr=0.001
    weightlab1/training/mlp/digits/muon,lr=0.02/rest=adamw,lr=0.003/group=biases,decay=0/group=first,frozen

First the things in this order, then in any order the fields that differ from the defaults, last the changes: `from=100`
begins what holds from step 100 on. `each,lr=0.02` behind several rules holds for all of them that have the setting and
say nothing else. `rest=…` belongs to the rule before it; groups stand in their order, with rate (the factor), decay,
frozen. lr is the learning rate, kappa the condition number, `own:Lion` something of the learner's own.
How values are spelled is said in weightlab.texts.words.

The number behind "weightlab" is the version. Whoever changes a default of the package adds a version to OLD_DEFAULTS
and enters the old default in those before it (tests/texts/test_state_text.py notices).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from weightlab.descent.experiment import DescentExperiment
from weightlab.networks.initializers import InitializationSettings
from weightlab.rules.schedules import ScheduleSettings
from weightlab.texts.groups import GROUP, group_part, read_group
from weightlab.texts.parts import (
    REST,
    OldDefaults,
    PartsReader,
    bounded,
    checked_own,
    dataset_part,
    entry_part,
    in_part,
    is_ours,
    landscape_part,
    lengthened,
    model_part,
    optimizer_parts,
    shortened,
)
from weightlab.texts.words import (
    LONGEST,
    Value,
    checked_text,
    is_field,
    read_settings,
    read_value,
    read_word,
    shown,
    write_part,
    write_value,
    write_word,
)
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import choose

Experiment = DescentExperiment | TrainingExperiment

# version -> "<kind> <name>" ("landscape cliff", "fields of descent") -> settings whose default was another one then
OLD_DEFAULTS: Mapping[int, OldDefaults] = MappingProxyType({1: MappingProxyType({})})
KINDS = ("descent", "training", "panel")
FROM = "from"
_THINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "descent": ("landscape", "optimizers", "changes"),
        "training": ("model", "dataset", "optimizer", "groups", "changes"),
    }
)  # the fields that are not written as `name=…`
_FORMS: Mapping[str, str] = MappingProxyType(
    {"descent": "a landscape and at least one update rule", "training": "a model, a dataset and an update rule"}
)


def field_defaults(kind: str) -> dict[str, Any]:
    """The fields that are written as `name=…`, with what they are where a text says nothing."""
    made = DescentExperiment if kind == "descent" else TrainingExperiment
    return {field.name: field.default for field in dataclasses.fields(made) if field.name not in _THINGS[kind]}


def to_text(experiment: Experiment) -> str:
    """The experiment as a text in letters, digits and - . _ ~ / : , = of at most LONGEST characters.

    `from_text(to_text(experiment)) == experiment`, given the learner's own things that it names. Raises ValueError
    where a setting is nothing that a text can hold or the text would be too long, TypeError for what is no experiment.
    """
    if isinstance(experiment, DescentExperiment):
        return _joined("descent", _descent_parts(experiment))
    if isinstance(experiment, TrainingExperiment):
        return _joined("training", _training_parts(experiment))
    raise TypeError(f"a DescentExperiment or a TrainingExperiment is asked for, got {experiment!r:.80}")


def from_text(text: str, own: Sequence[object] = ()) -> Experiment:
    """The experiment that `to_text` wrote; nothing in a text is ever run or imported.

    own: the learner's things that the text names, in any order: landscapes, optimizer classes, and what optimizer(…),
    model_from_module(…) and dataset_from_tensors(…) make. Raises ValueError for a text that is damaged, of a later
    version or names a thing that is not in `own`, saying which part is wrong; TypeError where an argument is of the
    wrong type.
    """
    version, kind, parts = _opened(text)
    if kind == "panel":
        raise ValueError("the text is the state of a panel, not an experiment: give it to the panel that it came from")
    reader = _Reader(PartsReader(OLD_DEFAULTS[version], checked_own(own)))
    return reader.descent(parts) if kind == "descent" else reader.training(parts)


def panel_text(kind: str, values: Mapping[str, bool | int | float | str | None]) -> str:
    """The state of a panel that shows none of these experiments: `weightlab1/panel/epochs/width=64,label_noise=0.4`.

    kind: which panel. Raises ValueError for a value that no text can hold.
    """
    return _joined("panel", [write_word(kind), *([write_part("", values)] if values else [])])


def panel_values(text: str, kind: str) -> dict[str, Value]:
    """What `panel_text(kind, values)` was given, each value with its type.

    Raises ValueError for a damaged text and for one of another kind of panel or of an experiment.
    """
    _, found, parts = _opened(text)
    if found != "panel":
        raise ValueError(f"the text is a {found} experiment, this panel's own begins with panel/{write_word(kind)}")
    with in_part(parts[0]):
        given = read_word(parts[0])
    if given != kind:
        raise ValueError(f"the text is of a panel {given!r}, this one is {kind!r}; give it to a panel of its kind")
    if len(parts) > 2:
        raise ValueError(f"a panel's text ends with its settings, but {shown(parts[2])} follows; copy it again")
    with in_part(parts[-1]):
        return read_settings(parts[1].split(",")) if len(parts) == 2 else {}


def _joined(kind: str, parts: list[str]) -> str:
    text = "/".join([f"weightlab{max(OLD_DEFAULTS)}", kind, *parts])
    if len(text) > LONGEST:
        raise ValueError(f"the text would have {len(text):,} characters, at most {LONGEST:,} may be; share the code")
    return text


def _opened(text: str) -> tuple[int, str, list[str]]:
    """Version, kind and the parts behind them, at least one."""
    first, *parts = checked_text(text).split("/")
    newest = max(OLD_DEFAULTS)
    named = re.fullmatch("weightlab([0-9]{1,6})", first)
    if named is None:
        raise ValueError(f"a state text begins with weightlab{newest}/, got {shown(first)}; copy all of it")
    if (version := int(named[1])) not in OLD_DEFAULTS:
        remedy = "install a newer weightlab" if version > newest else "copy it again"
        raise ValueError(f"the text is of version {version}, versions up to {newest} can be read here; {remedy}")
    kind = choose("kind of state text", parts[0] if parts else "", KINDS)
    if len(parts) < 2 or "" in parts:
        raise ValueError("a part of the text is missing: something is expected behind each slash; copy all of it")
    return version, kind, parts[1:]


def _fields(kind: str, experiment: Experiment, **usual: object) -> Iterator[str]:
    for name, default in {**field_defaults(kind), **usual}.items():
        value = getattr(experiment, name)
        if value == default:
            continue
        if isinstance(value, ScheduleSettings):
            yield f"{name}={entry_part('schedule', value.name, value.settings)}"
        elif isinstance(value, InitializationSettings):
            yield f"{name}={entry_part('initializer', value.name, {'gain': value.gain, **dict(value.settings)})}"
        elif name == "start":
            yield f"{name}={','.join(write_value(name, number, short=True) for number in value)}"
        else:
            yield f"{name}={write_value(name, value, short=True)}"


def _descent_parts(experiment: DescentExperiment) -> list[str]:
    land = experiment.landscape
    # always with a learner's own landscape: what is found under its name could have another start
    fields = _fields("descent", experiment, start=land.start if is_ours(land) else None)
    parts = [landscape_part(land), *optimizer_parts(experiment.optimizers), *fields]
    for step, later in experiment.changes:
        parts += [f"{FROM}={step}", *optimizer_parts(later)]
    return parts


def _training_parts(experiment: TrainingExperiment) -> list[str]:
    things = [model_part(experiment.model), dataset_part(experiment.dataset), *optimizer_parts((experiment.optimizer,))]
    changes = [
        write_part(f"{FROM}={step}", shortened(bounded({name: value}))) for step, name, value in experiment.changes
    ]
    return [*things, *map(group_part, experiment.groups), *_fields("training", experiment), *changes]


@dataclass(frozen=True)
class _Reader:
    parts: PartsReader

    def descent(self, parts: list[str]) -> DescentExperiment:
        things = [part for part in parts if not is_field(part)]
        if is_field(parts[0]) or len(things) < 2:
            raise self._incomplete("descent", things)
        land = self.parts.landscape(parts[0])
        turns: list[tuple[str, list[str]]] = [("", [])]
        fields = []
        for part in parts[1:]:
            if part.startswith(f"{FROM}="):
                turns.append((part, []))
            elif is_field(part) and not part.startswith(REST):
                fields.append(part)
            else:
                turns[-1][1].append(part)
        optimizers, *later = [self.parts.optimizers(turn) for _, turn in turns]
        steps = [self._turn_step(part) for part, _ in turns[1:]]
        given = self._given("descent", fields)
        with _together():
            changes = tuple(zip(steps, later, strict=True))
            return DescentExperiment(land, optimizers, changes=changes, **given)

    def training(self, parts: list[str]) -> TrainingExperiment:
        things = [part for part in parts if not is_field(part)]
        if parts[: len(things)] != things or len(things) != 3:
            raise self._incomplete("training", things)
        net, data = self.parts.model(parts[0]), self.parts.dataset(parts[1])
        rests = [part for part in parts if part.startswith(REST)]
        optimizer = self.parts.optimizers([parts[2], *rests])[0]
        groups = tuple(read_group(part) for part in parts if part.startswith(GROUP))
        turned = [part.startswith(f"{FROM}=") for part in parts]
        changes = [change for part, turn in zip(parts, turned, strict=True) if turn for change in self._changes(part)]
        fields = [part for part in parts[3:] if not part.startswith((f"{FROM}=", REST, GROUP))]
        given = self._given("training", fields)
        with _together():
            return TrainingExperiment(net, data, optimizer, changes=tuple(changes), groups=groups, **given)

    def _given(self, kind: str, fields: list[str]) -> dict[str, Any]:
        known = field_defaults(kind)
        found: dict[str, Any] = {}
        for part in fields:
            name, _, value = part.partition("=")
            with in_part(part):
                more = ("group",) if kind == "training" else ()
                choose(f"field of a {kind} experiment", name, [*known, FROM, "rest", *more])
                if name in found:
                    raise ValueError(f"{name!r} is given twice; leave one of them out")
                found[name] = self._field(name, value)
        return {**self.parts.then.get(f"fields of {kind}", {}), **found}

    def _field(self, name: str, value: str) -> Any:
        if name == "schedule":
            return self.parts.schedule(value)
        if name == "initialization":
            return self.parts.initialization(value)
        if name == "start":
            start = tuple(read_value(number) for number in value.split(","))
            if len(start) != 2:
                raise ValueError(f"a start is two numbers, start=-2.2,0.1, got {len(start)}")
            return start
        return read_value(value)

    def _turn_step(self, part: str) -> Any:
        with in_part(part):
            step, comma, _ = part.removeprefix(f"{FROM}=").partition(",")
            if comma:
                raise ValueError(f"what holds from then on stands in parts of its own: {FROM}={step}/momentum,…")
            return read_value(step)

    def _changes(self, part: str) -> list[tuple[Any, str, Any]]:
        with in_part(part):
            step, *given = part.removeprefix(f"{FROM}=").split(",")
            if not given:
                raise ValueError(f"the settings from there on are missing: {FROM}={step},lr=0.01 is expected")
            settings = bounded(lengthened(read_settings(given)))
            return [(read_value(step), name, value) for name, value in settings.items()]

    def _incomplete(self, kind: str, things: list[str]) -> ValueError:
        found = ", ".join(map(shown, things[:6])) or "none"
        return ValueError(f"a {kind} text begins with {_FORMS[kind]}, got {found}; then come fields such as steps=300")


@contextmanager
def _together() -> Iterator[None]:
    """Parts that are right one by one may not be so together."""
    try:
        yield
    except (ValueError, TypeError) as refusal:
        raise ValueError(f"the parts of the text do not make an experiment: {refusal}") from refusal
