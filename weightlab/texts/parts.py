"""The parts of a state text that are things: landscape, update rules, model, data, schedule, initialization.

Of the package's own things what differs from the defaults is written; of an optimizer class everything that is set.
`torch.Adagrad` is a class of torch.optim (what it was not given stays PyTorch's own default), `own:Lion` a thing of the
learner's own, which no text can hold: it is looked up by name among the things that the reader of the text has. Behind
a rule for matrices `rest=adamw,lr=0.003` says what moves the rest, where it is not the usual rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from weightlab.descent.landscapes import LANDSCAPES, Landscape, landscape
from weightlab.networks.datasets import DATASETS, Dataset, dataset
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings
from weightlab.networks.models import MODELS, ModelSettings
from weightlab.rules.own_optimizer import OptimizerClass
from weightlab.rules.schedules import SCHEDULES, ScheduleSettings
from weightlab.rules.update_rules import REST as USUAL_REST
from weightlab.rules.update_rules import SETTING_LIMITS, UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.texts.words import read_part, read_word, shown, write_part, write_word
from weightlab.validate import choose, number

Settings = Mapping[str, Any]
OldDefaults = Mapping[str, Settings]  # "<kind> <name>", such as "landscape cliff" -> what was another default once

OWN = "own:"
TORCH = "torch."
EACH = "each"
REST = "rest="
UNNAMED = "yours"  # what landscape_from_function calls a landscape unless told otherwise
# A class is tried out when its settings are read; with more, a text could make that last for hours or fill the memory.
MOST_ROUNDS = 1_000
_ROUNDS = ("max_iter", "max_eval", "history_size")  # of torch.optim.LBFGS
_SHORT: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"landscape": ("condition_number", "kappa"), "update rule": ("learning_rate", "lr")}
)
_SPLIT: Settings = MappingProxyType({"seed": 0, "validation_fraction": 0.25, "label_noise": 0.0})


def _firsts(entry: Any) -> Settings:
    return {name: default for name, (default, _, _) in entry.settings.items()}


ENTRIES: Mapping[str, tuple[Mapping[str, Any], Callable[[Any], Settings]]] = MappingProxyType({
    "landscape": (LANDSCAPES, _firsts),
    "update rule": (UPDATE_RULES, lambda rule: rule.defaults),
    "schedule": (SCHEDULES, _firsts),
    "model": (MODELS, lambda entry: entry.settings),
    "dataset": (DATASETS, lambda entry: {**_firsts(entry), **_SPLIT}),
    "initializer": (INITIALIZERS, lambda entry: {"gain": "auto", **entry.settings}),
})  # fmt: skip


def defaults(kind: str, name: str) -> Settings:
    """The settings of an entry that need not be written; kind: one of ENTRIES."""
    entries, settings_of = ENTRIES[kind]
    return settings_of(entries[name])


def _optimizer_class(thing: Any) -> OptimizerClass | None:
    rule = thing.rule if isinstance(thing, OptimizerSettings) else thing
    return rule if isinstance(rule, type) and issubclass(rule, torch.optim.Optimizer) else None


def _own_kind(thing: Any) -> tuple[str, str, Any] | None:
    """(kind, name, the thing itself) of what a learner may bring, None for anything else."""
    if (rule := _optimizer_class(thing)) is not None:
        return "optimizer class", rule.__name__, rule
    if isinstance(thing, Landscape):
        return "landscape", _own_landscape_name(thing), thing
    for kind, made in (("model", ModelSettings), ("dataset", Dataset)):
        if isinstance(thing, made):
            return kind, thing.name, thing
    return None


def _own_landscape_name(land: Landscape) -> str:
    """Its name; if it was given none, that of its function."""
    function = getattr(land.source, "__name__", "")
    return function if land.name == UNNAMED and function.isidentifier() else land.name


def checked_own(own: object) -> tuple[tuple[str, str, Any], ...]:
    """(kind, name, thing) of each of a learner's own things; TypeError for what is none, with what may be one."""
    if not isinstance(own, (tuple, list)):
        raise TypeError(f"own must be a tuple of your own things, got {own!r:.80}; write own=(thing,)")
    found = []
    for thing in own:
        both = (thing, thing.rest) if isinstance(thing, OptimizerSettings) else (thing,)
        ones = [one for part in both if (one := _own_kind(part)) is not None]
        if not ones:
            raise TypeError(
                "your own things may be landscapes, optimizer classes and what optimizer(…), model_from_module(…) and "
                f"dataset_from_tensors(…) make, got {thing!r:.80}"
            )
        found += ones
    return tuple(found)


def entry_part(kind: str, name: str, settings: Settings, common: Settings | None = None) -> str:
    """A thing of the package: its name, and what neither the defaults nor `common` already say."""
    usual = {**defaults(kind, name), **(common or {})}
    # in the order of the package's tables
    given = {key: settings[key] for key in defaults(kind, name) if settings[key] != usual[key]}
    return write_part(name, shortened(given, kind), short=True)


def shortened(settings: Settings, kind: str = "update rule") -> dict[str, Any]:
    """The settings under the names that they have in texts."""
    name, short = _SHORT.get(kind, ("", ""))
    return {short if key == name else key: value for key, value in settings.items()}


def lengthened(settings: Settings, kind: str = "update rule") -> dict[str, Any]:
    """The other way round; ValueError where a setting comes under both names."""
    name, short = _SHORT.get(kind, ("", ""))
    if name in settings and short in settings:
        raise ValueError(f"{name!r} is given twice, once as {short!r}; leave one of them out")
    return {name if key == short and short else key: value for key, value in settings.items()}


def bounded(settings: Settings) -> Settings:
    """The settings of an optimizer class; ValueError where trying it out could take too long."""
    for name in _ROUNDS:
        if isinstance(settings.get(name), (int, float)):
            number(name, float(settings[name]), high=MOST_ROUNDS, why="a text that others open may ask for no more")
    return settings


def landscape_part(land: Landscape) -> str:
    if is_ours(land):
        return entry_part("landscape", land.name, land.settings)
    return f"{OWN}{write_word(_own_landscape_name(land))}"


def is_ours(land: Landscape) -> bool:
    """Whether name and settings make the same landscape again."""
    if land.source is not None or land.name not in LANDSCAPES:
        return False
    try:
        return landscape(land.name, **land.settings) == land
    except (ValueError, TypeError):  # made by hand, with settings that the package does not know
        return False


def model_part(model: ModelSettings) -> str:
    if type(model) is ModelSettings:
        return entry_part("model", model.name, dict(model.settings))
    return f"{OWN}{write_word(model.name)}"


def dataset_part(data: Dataset) -> str:
    settings = dict(data.settings)
    if data.name in DATASETS and set(settings) == set(defaults("dataset", data.name)):
        return entry_part("dataset", data.name, settings)
    # all of it, with the fingerprint of the numbers: other data under this name must not pass for these
    return write_part(f"{OWN}{write_word(data.name)}", settings)


def optimizer_parts(optimizers: tuple[OptimizerSettings, ...]) -> list[str]:
    """One part for each, and its `rest=…`; behind them `each,…` with what is shorter to say once for all."""
    common = _common_settings(optimizers)
    parts = [part for one in optimizers for part in (_optimizer_part(one, common), *_rest_parts(one))]
    return [*parts, write_part(EACH, shortened(common), short=True)] if common else parts


def _rest_parts(one: OptimizerSettings) -> list[str]:
    usual = optimizer(one.rule).rest if isinstance(one.rule, str) else None
    return [] if one.rest is None or one.rest == usual else [REST + _optimizer_part(one.rest, {})]


def _common_settings(optimizers: tuple[OptimizerSettings, ...]) -> dict[str, Any]:
    found = {}
    for name in SETTING_LIMITS:
        holders = [one for one in optimizers if isinstance(one.rule, str) and name in one.settings]
        changed = [one for one in holders if one.settings[name] != defaults("update rule", str(one.rule))[name]]
        if changed:
            value, _ = Counter(one.settings[name] for one in changed).most_common(1)[0]
            if 1 + sum(one.settings[name] != value for one in holders) < len(changed):
                found[name] = value
    return found


def _optimizer_part(one: OptimizerSettings, common: Settings) -> str:
    if isinstance(one.rule, str):
        return entry_part("update rule", one.rule, one.settings, common)
    name = one.rule.__name__
    head = f"{TORCH}{name}" if _torch_classes().get(name) is one.rule else f"{OWN}{write_word(name)}"
    return write_part(head, shortened(bounded(one.settings)))


def _torch_classes() -> dict[str, OptimizerClass]:
    classes = {name: _optimizer_class(found) for name, found in vars(torch.optim).items()}
    return {name: found for name, found in classes.items() if found is not None}


@contextmanager
def in_part(part: str) -> Iterator[None]:
    """What is wrong inside is said with the part of the text in which it stands, as a ValueError."""
    try:
        yield
    except (ValueError, TypeError) as refusal:
        raise ValueError(f"in the part {shown(part)} of the text: {refusal}") from refusal


@dataclass(frozen=True)
class PartsReader:
    """Makes the things again; each method raises ValueError with the part that is wrong.

    then: what was another default in the version of the text. own: (kind, name, thing) of the learner's own things.
    """

    then: OldDefaults
    own: tuple[tuple[str, str, Any], ...]

    def landscape(self, part: str) -> Landscape:
        with in_part(part):
            head, settings = read_part(part)
            if head.startswith(OWN):
                return self._own_alone("landscape", head, settings)
            name, given = self._entry("landscape", head, settings)
            return landscape(name, **given)

    def model(self, part: str) -> ModelSettings:
        with in_part(part):
            head, settings = read_part(part)
            if head.startswith(OWN):
                return self._own_alone("model", head, settings)
            name, given = self._entry("model", head, settings)
            return ModelSettings(name, tuple(given.items()))

    def dataset(self, part: str) -> Dataset:
        with in_part(part):
            head, settings = read_part(part)
            if head.startswith(OWN):
                return self._own_data(head, settings)
            name, given = self._entry("dataset", head, settings)
            return dataset(name, **{**_SPLIT, **given})

    def schedule(self, part: str) -> ScheduleSettings:
        with in_part(part):
            return ScheduleSettings(*self._entry("schedule", *read_part(part)))

    def initialization(self, part: str) -> InitializationSettings:
        with in_part(part):
            name, given = self._entry("initializer", *read_part(part))
            return InitializationSettings(name, given.pop("gain", "auto"), tuple(given.items()))

    def optimizers(self, parts: list[str]) -> tuple[OptimizerSettings, ...]:
        """Of parts in any order, of which one may be `each,…`; a `rest=…` stands behind its rule."""
        common: Settings = {}
        for part in [part for part in parts if part.split(",")[0] == EACH]:
            with in_part(part):
                if common:
                    raise ValueError(f"there is an {EACH!r} before it; put both into one")
                common = lengthened(read_part(part)[1])
                for name in common:
                    choose("setting of update rules", name, SETTING_LIMITS)
        rules: list[tuple[str, str]] = []
        for part in parts:
            if not part.startswith(REST):
                rules += [(part, "")] if part.split(",")[0] != EACH else []
            elif rules and not rules[-1][1]:
                rules[-1] = rules[-1][0], part
            else:
                with in_part(part):
                    raise ValueError("a rest stands behind the rule whose matrices it leaves, one behind each")
        found = tuple(self.optimizer(part, common, rest) for part, rest in rules)
        if unused := [name for name in common if not any(name in one.settings for one in found)]:
            raise ValueError(f"{EACH!r} sets {unused[0]}, which none of the rules before it has; leave it out")
        return found

    def optimizer(self, part: str, common: Settings, rest: str = "") -> OptimizerSettings:
        """A rule and, if its part is not empty, its `rest=…`."""
        others = None
        if rest:
            with in_part(rest):
                others = self._optimizer(rest.removeprefix(REST), {}, None)
        with in_part(part):
            return self._optimizer(part, common, others)

    def _optimizer(self, part: str, common: Settings, rest: OptimizerSettings | None) -> OptimizerSettings:
        head, settings = read_part(part)
        settings = lengthened(settings)
        if head.startswith(TORCH):
            classes = _torch_classes()
            rule = classes[choose("class of torch.optim", head.removeprefix(TORCH), classes)]
            return OptimizerSettings(rule, bounded(settings), rest)
        if head.startswith(OWN):
            return OptimizerSettings(self._find("optimizer class", head), bounded(settings), rest)
        known = defaults("update rule", choose("update rule", head, UPDATE_RULES))
        shared = {name: value for name, value in common.items() if name in known}
        if rest is None and UPDATE_RULES[head].sees == "matrices":
            rest = self._optimizer(USUAL_REST, {}, None)  # with what was the default then
        return OptimizerSettings(*self._entry("update rule", head, {**shared, **settings}), rest)

    def _entry(self, kind: str, head: str, settings: Settings) -> tuple[str, dict[str, Any]]:
        """The name of an entry and its settings, with what was the default then where it is another one now."""
        known = defaults(kind, choose(kind, head, ENTRIES[kind][0]))
        given = lengthened(settings, kind)
        for name in given:
            if not known:
                raise ValueError(f"{kind} {head!r} has no settings, got {name!r}; leave it out")
            choose(f"setting of {kind} {head}", name, known)
        return head, {**self.then.get(f"{kind} {head}", {}), **given}

    def _find(self, kind: str, head: str) -> Any:
        name = read_word(head.removeprefix(OWN))
        found = [thing for own_kind, own_name, thing in self.own if (own_kind, own_name) == (kind, name)]
        if not found:
            names = ", ".join(repr(own_name) for own_kind, own_name, _ in self.own if own_kind == kind)
            raise ValueError(
                f"your own {kind} {name!r} is named there, which no text can hold: run the cell that makes it and hand "
                "it over, from_text(text, own=(…,))" + (f"; of that kind you gave {names}" if names else "")
            )
        if any(one != found[0] for one in found):
            raise ValueError(f"your own {kind} {name!r} is there twice; hand over only the one that is meant")
        return found[0]

    def _own_alone(self, kind: str, head: str, settings: Settings) -> Any:
        if settings:
            raise ValueError(f"your own {kind} comes without settings, got {', '.join(settings)}; leave them out")
        return self._find(kind, head)

    def _own_data(self, head: str, settings: Settings) -> Dataset:
        found: Dataset = self._find("dataset", head)
        have = dict(found.settings)
        for name in sorted({*have, *settings}):
            if have.get(name) != settings.get(name):
                raise ValueError(
                    f"your own data {found.name!r} are other data: {name} is {have.get(name)!r} there and "
                    f"{settings.get(name)!r} in the text; make them as whoever wrote the text did"
                )
        return found
