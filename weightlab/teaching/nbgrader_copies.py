"""Labs as nbgrader's assignments: an answer cell with a marked solution and a locked check for every exercise.

nbgrader itself is not needed to write them. Metadata follow nbgrader's schema version 3 (nbgrader's documentation,
"JSON Metadata Format"), which `nbgrader generate_assignment` completes by checksums.
"""

from __future__ import annotations

import copy
import re
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat

from weightlab.teaching.exercise_cells import STUB, Exercise, read_exercises, tags

# `raises-exception` lets Run All go on behind an exercise that is still open; nbgrader counts the error all the same.
CHECK_TAGS = ["raises-exception"]
SETTINGS = f'''"""nbgrader's settings for the labs of weightlab."""

c = get_config()  # noqa: F821, nbgrader provides it
c.CourseDirectory.course_id = "weightlab"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}  # what the checks know as "not answered yet"
c.Execute.timeout = 300  # seconds for a cell; nbgrader's own 30 are few on a busy machine
'''


def repository() -> str:
    """The address of the project's repository, from the installed package's metadata; "" if they do not say."""
    entries = metadata.metadata("weightlab").get_all("Project-URL") or []
    named = dict(entry.split(", ", 1) for entry in entries)
    return str(named.get("Repository", ""))


def nbgrader_copy(book: Any, *, points: float = 1.0) -> Any:
    """A lab (nbformat's notebook, left as it is) as the instructor's version of an nbgrader assignment.

    Every exercise becomes an answer cell, with the solution between nbgrader's markers and its explanation as
    comments, and a locked check of `points` points, which prints the verdict, forgets the answer, and raises
    AssertionError unless it was right. Imports and cells tagged `setup`, on which the checks rest, are locked. Folded
    solutions, typical wrong answers and outputs are left out. Raises ValueError where an exercise does not keep the
    form.
    """
    if points < 0:
        raise ValueError(f"points must be in [0, inf), got {points:g}; 0 checks an exercise without grading it")
    exercises = {exercise.cell: exercise for exercise in read_exercises(book)}
    imports = next(index for index, cell in enumerate(book.cells) if cell.cell_type == "code")
    cells: list[Any] = []
    for index, original in enumerate(book.cells):
        if index - 1 in exercises:  # the folded solution
            continue
        cell = _without_outputs(original)
        if index in exercises:
            cells += _graded(cell, exercises[index], points)
            continue
        if cell.cell_type == "markdown":
            cell.source = _with_links_that_lead_on(cell.source)
        elif index == imports or "setup" in tags(cell):
            cell.metadata["nbgrader"] = _nbgrader(f"setup-{cell.id}", locked=True)
        cells.append(cell)
    made = nbformat.v4.new_notebook(cells=cells, metadata=copy.deepcopy(book.metadata))
    made.nbformat_minor = max(book.nbformat_minor, 5)  # the first with cell ids
    nbformat.validate(made)
    return made


def write_course(labs: list[Path], course: Path, *, points: float = 1.0) -> list[str]:
    """Write each lab to `course`/source/<lab>/<lab>.ipynb and nbgrader's settings beside; returns a line on each.

    Settings that are already there are kept.
    """
    lines = []
    for lab in labs:
        book = nbgrader_copy(nbformat.read(lab, as_version=4), points=points)
        target = course / "source" / lab.stem / lab.name
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, target)
        graded = sum(cell.metadata.get("nbgrader", {}).get("grade", False) for cell in book.cells)
        lines.append(f"{target}: {graded} exercises, {graded * points:g} points")
    settings = course / "nbgrader_config.py"
    if settings.exists() and settings.read_text(encoding="utf-8") != SETTINGS:
        lines.append(f"{settings} is kept as it is; the labs need these lines in it:\n{SETTINGS}")
    elif labs:
        settings.write_text(SETTINGS, encoding="utf-8")
        lines.append(f"{settings}: nbgrader's settings for them")
    return lines


def _graded(cell: Any, exercise: Exercise, points: float) -> list[Any]:
    """The answer cell and the check cell of one exercise."""
    why = [f"# {line}".rstrip() for line in exercise.explanation.splitlines()]
    marked = ["### BEGIN SOLUTION", *why, exercise.solution, "### END SOLUTION"]
    answer = copy.deepcopy(cell)
    answer.source = "\n".join([*filter(None, [exercise.comments]), *marked])
    answer.metadata["weightlab"] = {"id": exercise.name}  # without the typical wrong answers
    answer.metadata["nbgrader"] = _nbgrader(exercise.name, solution=True)
    check = copy.deepcopy(cell)
    check.id = f"{cell.id[:58]}-check"  # nbformat: at most 64 characters
    call = exercise.call.replace("\n", "\n" + " " * len("verdict = "))
    # the next exercise must not be judged by this answer if its own cell fails
    verdict = [f"verdict = {call}", STUB, "print(verdict)", "assert verdict.passed is True, verdict.message"]
    check.source = "\n".join([*filter(None, [exercise.preparation]), *verdict])
    check.metadata = nbformat.from_dict({"tags": CHECK_TAGS, "weightlab": {"id": exercise.name}})
    check.metadata["nbgrader"] = _nbgrader(f"{exercise.name}-check", grade=True, locked=True) | {"points": points}
    return [answer, check]


def _nbgrader(name: str, *, grade: bool = False, solution: bool = False, locked: bool = False) -> dict[str, Any]:
    flags = {"grade": grade, "solution": solution, "locked": locked, "task": False}
    return {"schema_version": 3, "grade_id": name, "cell_type": "code", **flags}


def _without_outputs(original: Any) -> Any:
    cell = copy.deepcopy(original)
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    return cell


def _with_links_that_lead_on(text: str) -> str:
    """Links to other labs lead to their assignments, links to files of the repository to its page."""
    home = repository()

    def lead_on(found: re.Match[str]) -> str:
        target = found.group(1)
        if re.match(r"[a-z]+:|#", target):
            return found.group(0)
        if re.fullmatch(r"[^/]+\.ipynb", target):
            return f"](../{PurePosixPath(target).stem}/{target})"
        return f"]({home}/blob/HEAD/{target.removeprefix('../')})" if home else found.group(0)

    return re.sub(r"(?<!\\)\]\(([^)\s]+)\)", lead_on, text)
