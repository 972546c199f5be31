"""How a program is written down: numbers, calls that fit a line, imports in order, blocks with room between them."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

LINE_LENGTH = 100
INDENT = "    "


def literal(value: Any) -> str:
    """A value as one writes it by hand: 1e-8 for 1e-08."""
    return re.sub(r"e([+-])0(\d)$", r"e\1\2", repr(value)) if isinstance(value, float) else repr(value)


def times(factor: float, of: str) -> str:
    """`factor * of`, without what changes nothing."""
    return of if factor == 1 else f"{literal(factor)} * {of}"


def arguments(values: Mapping[str, Any]) -> list[str]:
    """Keyword arguments, name by name."""
    return [f"{name}={literal(value)}" for name, value in values.items()]


def call(head: str, parts: Iterable[str], depth: int = 0, tail: str = "") -> str:
    """`head(part, part)tail` in one line where it fits at that depth of indentation, else broken as ruff breaks it."""
    given = list(parts)
    joined, room = ", ".join(given), LINE_LENGTH - depth * len(INDENT)
    if "\n" in joined:
        room = 0
    if len(head) + len(joined) + len(tail) + 2 <= room:
        return f"{head}({joined}){tail}"
    if len(joined) + len(INDENT) <= room:
        return f"{head}(\n{INDENT}{joined}\n){tail}"
    return "\n".join([f"{head}(", *(indented(part) + "," for part in given), f"){tail}"])


def indented(text: str, depth: int = 1) -> str:
    return textwrap.indent(text, INDENT * depth)


def lines(*parts: str) -> str:
    """The parts that say something, one below the other."""
    return "\n".join(part for part in parts if part)


def comment(text: str, depth: int = 0) -> str:
    """A remark over as many lines as it takes."""
    return textwrap.fill(
        text,
        LINE_LENGTH - depth * len(INDENT),
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def import_lines(statements: Iterable[str]) -> str:
    """Import statements as ruff sorts them: the standard library's first, `import` before `from`, one line a module."""
    groups: tuple[list[str], list[str]] = ([], [])
    for statement in sorted(_joined(set(statements)), key=lambda line: (line.startswith("from"), line.lower())):
        groups[statement.split()[1].split(".")[0] not in sys.stdlib_module_names].append(statement)
    return "\n\n".join("\n".join(group) for group in groups if group)


def _joined(statements: set[str]) -> list[str]:
    """`from a import b` and `from a import c` as one statement; what is renamed stays alone."""
    joined: dict[str, list[str]] = {}
    for statement in statements:
        module, _, name = statement.partition(" import ")
        joined.setdefault(statement if not name or " as " in name else module, []).append(name)
    lines = {head: sorted(names, key=_place_of_name) for head, names in joined.items()}
    return [f"{head} import {', '.join(names)}" if head not in statements else head for head, names in lines.items()]


def _place_of_name(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name


def program(summary: str, imports: Iterable[str], blocks: Iterable[str]) -> str:
    """The whole text: summary, imports (`math` where it is used), blocks; two blank lines stand around definitions."""
    parts = [block for block in blocks if block]
    needed = [*imports, *(["import math"] if any(re.search(r"\bmath\.", part) for part in parts) else [])]
    text, after_definition = f'"""{summary}"""\n\n{import_lines(needed)}', False
    for block in parts:
        defines = _defines(block)
        text += ("\n\n\n" if defines or after_definition else "\n\n") + block
        after_definition = defines
    return text + "\n"


def _defines(block: str) -> bool:
    code = [line for line in block.splitlines() if not line.startswith("#")]
    return bool(code) and code[0].startswith(("def ", "class ", "@"))
