"""The exercises of a lab's notebook, taken apart: what stands before the stub, the check, the folded solution.

The form is that of CONTRIBUTING.md, "How to add a lab". Notebooks are nbformat's, cells only read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

STUB = "answer = ..."
_STUB_LINE = re.compile(rf"^{re.escape(STUB)}$", flags=re.MULTILINE)
_FOLDED = re.compile(r"<details>\s*<summary>\s*Solution\s*</summary>(.*)</details>", flags=re.DOTALL)
_BLOCK = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)


@dataclass(frozen=True)
class Exercise:
    """name: the exercise's id; cell: its index in the notebook, whose next cell holds the solution.

    Text that ends without a line break: comments before the stub, the check's preparation (may be empty) and its call,
    which is one expression; the solution's code, which sets `answer`, and its explanation (may be empty).
    """

    name: str
    cell: int
    comments: str
    preparation: str
    call: str
    solution: str
    explanation: str


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def exercise_name(cell: Any) -> str:
    """The id of the exercise that a cell belongs to, "" for every other cell."""
    about = cell.metadata.get("weightlab", {})
    return str(about.get("id", "")) if cell.cell_type == "code" else ""


def read_exercises(book: Any) -> list[Exercise]:
    """The exercises of a lab in their order; raises ValueError that names the cell which does not keep the form."""
    return [_exercise(book, index) for index, cell in enumerate(book.cells) if "exercise" in tags(cell)]


def _exercise(book: Any, index: int) -> Exercise:
    cell = book.cells[index]
    name = exercise_name(cell)
    where = f"exercise {name or f'in cell {index}'!r}"
    if not name:
        raise ValueError(f'{where}: its metadata lack "weightlab": {{"id": …}}; add it')
    parts = _STUB_LINE.split(cell.source)
    if len(parts) != 2:
        raise ValueError(f"{where}: needs one line `{STUB}`, got {len(parts) - 1}")
    preparation, call = _check(parts[1], where)
    below = book.cells[index + 1] if index + 1 < len(book.cells) else None
    folded = _FOLDED.search(below.source) if below is not None and below.cell_type == "markdown" else None
    block = _BLOCK.search(folded.group(1)) if folded else None
    if folded is None or block is None:
        raise ValueError(f"{where}: the cell below must hold its folded solution with a ```python block")
    explanation = _BLOCK.sub("", folded.group(1)).strip()
    return Exercise(name, index, parts[0].strip(), preparation, call, block.group(1).strip(), explanation)


def _check(source: str, where: str) -> tuple[str, str]:
    """(the lines that prepare the check, the check's call)."""
    body = ast.parse(source).body
    if not body or not isinstance(body[-1], ast.Expr):
        raise ValueError(f"{where}: its last expression must be the call of a check")
    lines = source.splitlines()
    start = body[-1].lineno - 1
    return "\n".join(lines[:start]).strip("\n"), "\n".join(lines[start:]).strip()


def same_check(source: str, exercise: Exercise) -> bool:
    """Does a cell with this source still end with the exercise's own check? Its layout does not count."""
    ours = [*_dumped(exercise.preparation), *_dumped(exercise.call)]
    try:
        return list(_dumped(source))[-len(ours) :] == ours
    except SyntaxError:
        return f"{exercise.preparation}\n{exercise.call}".strip() in source


def _dumped(source: str) -> Iterator[str]:
    return (ast.dump(statement) for statement in ast.parse(source).body)
