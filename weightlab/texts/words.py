"""How a state text is spelled: names, values and parts that a link carries as they are, whatever they mean.

    weightlab1/descent/rotated_quadratic,kappa=50,angle=20/momentum,lr=0.02,momentum=0.95/steps=400

Parts stand between slashes: a name with its settings, or a field, `steps=400`. Used are only characters that RFC 3986
(section 3.4 and 3.5) allows in a URL's query and fragment: letters, digits, - . _ ~ and / : , = between things.
A value is `true`, `false`, `none`, a number, or a word; `0.9:0.999` is a tuple. In a word every other character is
written as ~ and two hex digits for each byte of its UTF-8 form, as percent-encoding does with %. A value with a ~ is
always a word: the word "1" is ~31, the empty one ~.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import quote, unquote, unquote_to_bytes

Value = bool | int | float | str | None | tuple["Value", ...]

LONGEST = 4_000  # characters of a whole text
MOST_DIGITS = 20  # of a whole number
SAFE = "/:,=~"  # with letters, digits and - . _ all that a text is made of; urllib.parse.quote's `safe`
_NAMES: Mapping[str, bool | None] = MappingProxyType({"true": True, "false": False, "none": None})
_WHOLE = re.compile(rf"-?[0-9]{{1,{MOST_DIGITS}}}")
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE]-?[0-9]{1,3})?")
_WORD = re.compile(r"([A-Za-z0-9_.-]|~[0-9A-Fa-f]{2})+|~")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.~/:,=-]")


def shown(text: str) -> str:
    """The text quoted for a message, cut where it is long."""
    return repr(text if len(text) <= 80 else f"{text[:77]}…")


def write_word(word: str) -> str:
    """A string in the characters of a text, never to be taken for a number or for true, false, none."""
    escaped = quote(word, safe="", errors="surrogatepass").replace("~", "~7E").replace("%", "~") or "~"
    if escaped.lower() in _NAMES or _NUMBER.fullmatch(escaped):
        return f"~{ord(escaped[0]):02X}{escaped[1:]}"
    return escaped


def read_word(text: str) -> str:
    """What `write_word` wrote; ValueError for anything that it never writes."""
    if not _WORD.fullmatch(text):
        raise ValueError(f"{shown(text)} is no word: letters, digits, - . _ or ~ and two hex digits are expected")
    if text == "~":
        return ""
    try:
        return unquote_to_bytes(text.replace("~", "%")).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise ValueError(f"the bytes written with ~ in {shown(text)} are no text in UTF-8") from None


def write_value(name: str, value: object, *, short: bool = False) -> str:
    """A value as it is spelled; `short` leaves out the .0 of a whole float, for readers that know it is a float.

    Raises ValueError for what no text can hold: infinities and NaN, whole numbers of over MOST_DIGITS digits, and
    everything but None, booleans, numbers, strings and tuples of them.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return write_word(value)
    if isinstance(value, int) and abs(value) < 10**MOST_DIGITS:
        return int.__repr__(value)
    if isinstance(value, float) and math.isfinite(value):
        text = float.__repr__(value).replace("e+", "e")  # a plus stands for a space in many a link's query
        return text.removesuffix(".0") if short and text != "-0.0" else text
    if isinstance(value, tuple) and not any(isinstance(item, tuple) for item in value):
        return ":".join(write_value(name, item) for item in value) + (":" if len(value) < 2 else "")
    raise ValueError(
        f"{name} is {value!r:.80}, which no text can hold: use a finite number, a string, True, False, None or "
        "a tuple of these"
    )


def read_value(text: str) -> Value:
    """What `write_value` wrote, with its type; ValueError for what is none of the forms."""
    if ":" in text:
        items = text.split(":")
        if len(items) == 2 and items[1] == "":
            items.pop()
        return () if items == [""] else tuple(read_value(item) for item in items)
    if text.lower() in _NAMES:
        return _NAMES[text.lower()]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        if math.isinf(number := float(text)):
            raise ValueError(f"{shown(text)} is too large for a number")
        return number
    if not text:
        raise ValueError("a value is missing: a number, a word, true, false or none is expected")
    return read_word(text)


def write_part(head: str, settings: Mapping[str, object], *, short: bool = False) -> str:
    """`head,name=value,…`; the head, if there is one, must be spelled already."""
    given = (f"{write_word(name)}={write_value(name, value, short=short)}" for name, value in settings.items())
    return ",".join([head, *given] if head else given)


def read_part(part: str) -> tuple[str, dict[str, Value]]:
    """The head as it is spelled, and the settings by name."""
    head, *given = part.split(",")
    return head, read_settings(given)


def read_settings(given: list[str]) -> dict[str, Value]:
    """Values by name of pieces `name=value`; ValueError for a piece of another form and for a name that comes twice."""
    settings: dict[str, Value] = {}
    for piece in given:
        name, equals, value = piece.partition("=")
        if not name or not equals or "=" in value:
            raise ValueError(f"{shown(piece)} is no setting: name=value is expected")
        word = read_word(name)
        if word in settings:
            raise ValueError(f"{shown(word)} is given twice; leave one of them out")
        settings[word] = read_value(value)
    return settings


def is_field(part: str) -> bool:
    """Whether the part is `name=…` rather than a name with settings."""
    return "=" in part.split(",")[0]


def checked_text(text: object) -> str:
    """The text without blanks around it; ValueError where it is too long or holds what no state text does.

    A text whose characters a link has percent-encoded is decoded. Raises TypeError for what is no string.
    """
    if not isinstance(text, str):
        raise TypeError(f"a state text is a string, got {type(text).__name__}")
    if len(text) > LONGEST:
        raise ValueError(f"a state text has at most {LONGEST:,} characters, got {len(text):,}; copy that alone")
    bare = unquote(text.strip())
    if wrong := _FORBIDDEN.search(bare):
        raise ValueError(
            f"character {wrong.start() + 1} of the text is {wrong.group()!r}, which no state text holds: letters, "
            "digits and - . _ ~ / : , = are expected; copy it again"
        )
    return bare
