"""What the checks of a notebook say: which exercises are right, wrong or open, run afresh or as saved.

    from weightlab.teaching.check_reports import read_report
    read_report("my_copy.ipynb", fresh=False)

Reads a learner's copy of a lab and of its nbgrader version alike.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from weightlab.teaching.exercise_cells import Exercise, exercise_name, read_exercises, same_check
from weightlab.validate import number

STATES = {"✓": "right", "✗": "wrong", "○": "open"}  # the signs that a verdict prints begins with
# a sign, and a sentence that goes on in lines that are set in
_VERDICT = re.compile(rf"^([{''.join(STATES)}]) (.*(?:\n  .*)*)$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """state: right, wrong, open (not answered), or what the teacher has to look at.

    error (the cell failed), silent (no verdict), gone (no such cell), changed (the check is not the lab's own).
    """

    name: str
    state: str
    message: str


@dataclass(frozen=True, repr=False)
class Report:
    """The findings of one notebook, in its order; prints as a short table. source: how they were come by."""

    notebook: str
    source: str
    findings: tuple[Finding, ...]

    @property
    def right(self) -> int:
        """How many exercises are right by the lab's own check."""
        return sum(finding.state == "right" for finding in self.findings)

    def __repr__(self) -> str:
        head = f"{printable(self.notebook)}: {self.right} of {len(self.findings)} right ({self.source})"
        width = max(len(printable(finding.name)) for finding in self.findings)
        return "\n".join([head, *(_row(finding, width) for finding in self.findings)])


def read_report(
    notebook: str | Path, *, fresh: bool = True, timeout: float = 300.0, labs: str | Path | None = None
) -> Report:
    """The report on the notebook in a file, which stays as it is.

    fresh: run all its cells in a new kernel first, in the notebook's folder, each cell for at most `timeout` seconds;
    otherwise take the outputs saved in the file, which say what was true when they were made.
    labs: folder of the labs as they were given out. With it a check that somebody has changed is marked and not
    counted, and an exercise that has been deleted is listed. Raises ValueError for a file without exercises.
    """
    path = Path(notebook)
    number("timeout", timeout, 0.0, open_low=True, why="give the seconds that one cell may run")
    book = nbformat.read(path, as_version=4)
    originals = {} if labs is None else _originals(book, Path(labs))
    if not originals and not any(map(exercise_name, book.cells)):
        raise ValueError(f"{path} has no exercise: no cell's metadata hold weightlab's id; give a lab or a copy of one")
    source = _run(book, path.parent, timeout) if fresh else "outputs as saved"
    return Report(path.name, source, tuple(_findings(book, originals)))


def _run(book: Any, folder: Path, timeout: float) -> str:
    """Run a notebook in place, past errors; returns how that went."""
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        book,
        kernel_name="python3",
        timeout=timeout,
        allow_errors=True,
        interrupt_on_timeout=True,  # the cell fails, the others still run
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    start = time.monotonic()
    try:
        client.execute(stderr=subprocess.DEVNULL)  # what the kernel's own log says is of no use here
    except DeadKernelError:
        return "run afresh; the kernel died on the way"
    return f"run afresh, {time.monotonic() - start:.0f} s"


def _originals(book: Any, labs: Path) -> Mapping[str, Exercise]:
    """The exercises of the lab in the folder that has most of this notebook's; none if no lab has any."""
    names = set(map(exercise_name, book.cells)) - {""}
    found: dict[str, Exercise] = {}
    for path in sorted(labs.glob("*.ipynb")):
        lab = {exercise.name: exercise for exercise in read_exercises(nbformat.read(path, as_version=4))}
        if len(names & lab.keys()) > len(names & found.keys()):
            found = lab
    return found


def _findings(book: Any, originals: Mapping[str, Exercise]) -> Iterator[Finding]:
    cells: dict[str, list[Any]] = {name: [] for name in originals}
    for cell in book.cells:
        if exercise_name(cell):
            cells.setdefault(exercise_name(cell), []).append(cell)
    for name, own in cells.items():
        state, message = _state(own)
        # nbgrader puts its own locked checks back as they were
        plain = [cell for cell in own if "nbgrader" not in cell.metadata]
        if name in originals and not all(same_check(cell.source, originals[name]) for cell in plain):
            state, message = "changed", f"its check is not the lab's own, so this does not count: {message}"
        yield Finding(name, state, message)


def _state(cells: list[Any]) -> tuple[str, str]:
    """(state, message) of an exercise from the outputs of its cells: one, or nbgrader's answer and check."""
    if not cells:
        return "gone", "no cell of this notebook holds it"
    outputs = [output for cell in cells for output in cell.outputs]
    text = "\n".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)
    sign, message = (_VERDICT.findall(text) or [("", "its check has printed no verdict")])[-1]
    errors = [output for output in outputs if output.output_type == "error" and output.ename != "AssertionError"]
    if errors and STATES.get(sign) != "right":  # what the answer's cell raised comes before what the check made of it
        if errors[0].ename == "KeyboardInterrupt":  # by the timeout, or by whoever saved it
            return "error", "stopped while it ran"
        return "error", f"{errors[0].ename}: {errors[0].evalue}".splitlines()[0]
    return STATES.get(sign, "silent"), message.replace("\n  ", " ")


def _row(finding: Finding, width: int) -> str:
    sign = next((sign for sign, state in STATES.items() if state == finding.state), "!")
    message = textwrap.shorten(printable(finding.message), 110, placeholder=" …")
    return f"  {sign} {printable(finding.name):<{width}}  {finding.state:<7}  {message}"


def printable(text: str) -> str:
    """One line without what would move a terminal's cursor, colour it or turn its words around: learners wrote it."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in " ".join(text.split()))


def summary(reports: list[Report]) -> str:
    """One line a notebook: how many are right, wrong, open, and in need of a look."""
    names = [printable(report.notebook) for report in reports]
    width = max(map(len, names))
    rows = [f"{'notebook':<{width}}  right  wrong  open  look"]
    for name, report in zip(names, reports, strict=True):
        states = [finding.state for finding in report.findings]
        right, wrong, left = (states.count(state) for state in STATES.values())
        look = len(states) - right - wrong - left
        rows.append(f"{name:<{width}}  {right:5}  {wrong:5}  {left:4}  {look:4}")
    return "\n".join(rows)
