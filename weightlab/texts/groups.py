"""Parameter groups in a state text: `group=biases,decay=0`, `group=layer~202,rate=0.1`, `group=first,frozen`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from weightlab.texts.parts import in_part
from weightlab.texts.words import read_settings, read_word, write_part, write_word
from weightlab.training.groups import ParameterGroup
from weightlab.validate import choose

GROUP = "group="
FROZEN = "frozen"
_FIELDS: Mapping[str, str] = MappingProxyType({"rate": "rate_factor", "decay": "weight_decay"})


def group_part(group: ParameterGroup) -> str:
    """The part for a group: whose parameters, and what differs from the optimizer's own settings."""
    values = {"rate": group.rate_factor, "decay": group.weight_decay}
    given = {key: value for key, value in values.items() if value is not None and (key, value) != ("rate", 1.0)}
    part = write_part(GROUP + write_word(group.parameters), given, short=True)
    return f"{part},{FROZEN}" if group.frozen else part


def read_group(part: str) -> ParameterGroup:
    """What `group_part` wrote; ValueError with the part that is wrong."""
    with in_part(part):
        name, *given = part.removeprefix(GROUP).split(",")
        if given.count(FROZEN) > 1:
            raise ValueError(f"{FROZEN!r} is given twice; leave one of them out")
        settings = read_settings([piece for piece in given if piece != FROZEN])
        for key in settings:
            choose("setting of a group", key, [*_FIELDS, FROZEN])
        if FROZEN in settings:
            raise ValueError(f"{FROZEN!r} stands without a value: {GROUP}{name},{FROZEN}")
        values: dict[str, Any] = {_FIELDS[key]: value for key, value in settings.items()}
        return ParameterGroup(read_word(name), frozen=FROZEN in given, **values)
