"""What a committed lab must be, as rules over its notebook: each returns what is wrong, in words."""

from __future__ import annotations

import ast
import functools
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat

from weightlab.teaching.exercise_cells import STUB, read_exercises

ROOT = Path(__file__).resolve().parents[2]
START_PAGE = "00_start_here.ipynb"  # five minutes long: no minimum of predictions and exercises
MAX_BYTES = 200_000
MAX_CELLS, MAX_LINES, MAX_MEDIAN = 25, 15, 5
MAX_WIDTH = 105  # characters beside JupyterLab's file browser, 1280 px wide; tests/browser/test_browser_labs.py looks
MIN_PREDICTIONS, MIN_EXERCISES = 3, 3
FORBIDDEN = {
    r"\bimport \*": "names from nowhere; import them one by one",
    r"\bOutput\(": "Output widgets flicker and lose text from threads",
    r"\binteract(ive|ive_output)?\(": "interact leaks output into other cells",
    r"\bclear_output\b": "clear_output flickers",
    r"\btqdm\b": "progress bars change at every run",
    r"^\s*[%!]": "magics and shell lines belong to one kernel only",
    r"\bpyplot\b": "pyplot keeps a registry of figures; use weightlab.pictures.still",
}
FORBIDDEN_TAGS = {"nbval-skip", "raises-exception", "nbval-raises-exception"}


@dataclass(frozen=True)
class Lab:
    """A notebook with its file; cells as nbformat gives them."""

    path: Path
    book: Any

    @property
    def code(self) -> list[Any]:
        return [cell for cell in self.book.cells if cell.cell_type == "code"]

    @property
    def prose(self) -> str:
        return "\n\n".join(cell.source for cell in self.book.cells if cell.cell_type == "markdown")

    @property
    def is_start_page(self) -> bool:
        return self.path.name == START_PAGE

    def tagged(self, tag: str) -> list[Any]:
        return [cell for cell in self.code if tag in cell.metadata.get("tags", [])]


@dataclass(frozen=True)
class Exercise:
    """A stub with its check, the solution from the folded cell below it, and answers that must not pass."""

    name: str
    source: str
    solution: str
    wrong_answers: tuple[str, ...]

    def answered(self, answer: str) -> str:
        """The cell's source with `answer` (statements that set the name `answer`) in place of the stub."""
        return re.sub(rf"^{re.escape(STUB)}$", lambda _: answer, self.source, count=1, flags=re.MULTILINE)


def read_lab(path: Path) -> Lab:
    return Lab(path, nbformat.read(path, as_version=4))


def exercises(lab: Lab) -> list[Exercise]:
    """The exercises of a lab in order; raises ValueError that names the cell where one does not keep the form."""
    found = []
    for one in read_exercises(lab.book):
        cell, where = lab.book.cells[one.cell], f"exercise {one.name!r}"
        wrong = tuple(cell.metadata["weightlab"].get("wrong_answers", ()))
        if len(wrong) < 2:
            raise ValueError(f"{where}: give at least two typical wrong answers in its metadata, got {len(wrong)}")
        if not re.search(r"\banswer\b", one.solution):
            raise ValueError(f"{where}: its solution needs a ```python block that sets `answer`")
        found.append(Exercise(one.name, cell.source, one.solution, wrong))
    return found


@functools.cache
def _prepared(name: str, sources: tuple[str, ...]) -> dict[str, Any]:
    """What a lab's setup leaves; made once, since some setups train for seconds."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for source in sources:
        exec(compile(source, name, "exec"), names)
    return names


def verdict(lab: Lab, source: str) -> bool | None:
    """`.passed` of the last expression of `source`, run after the lab's import cell and its cells tagged `setup`."""
    names = dict(_prepared(lab.path.name, tuple(cell.source for cell in [lab.code[0], *lab.tagged("setup")])))
    *statements, last = ast.parse(source).body
    assert isinstance(last, ast.Expr), "an exercise must end with the call of its check"
    exec(compile(ast.Module(statements, []), lab.path.name, "exec"), names)
    result = eval(compile(ast.Expression(last.value), lab.path.name, "eval"), names)
    passed: bool | None = result.passed
    return passed


def has_the_right_size(lab: Lab) -> Iterator[str]:
    lengths = [len(cell.source.splitlines()) for cell in lab.code]
    if not lengths:
        yield "no code cell"
        return
    if len(lengths) > MAX_CELLS:
        yield f"{len(lengths)} code cells, at most {MAX_CELLS}"
    if max(lengths[1:], default=0) > MAX_LINES:  # the first cell imports by name, a line for each module
        yield f"a cell of {max(lengths[1:])} lines, at most {MAX_LINES}: move code to the package"
    if statistics.median(lengths) > MAX_MEDIAN:
        yield f"the median cell has {statistics.median(lengths):g} lines, at most {MAX_MEDIAN}"
    size = lab.path.stat().st_size
    if size >= MAX_BYTES:
        yield f"{size / 1000:.0f} kB, at most {MAX_BYTES / 1000:.0f} kB"


def fits_the_page(lab: Lab) -> Iterator[str]:
    for index, cell in enumerate(lab.code):
        for line in cell.source.splitlines():
            if len(line) > MAX_WIDTH:
                yield f"code cell {index} has a line of {len(line)} characters, cut on a laptop: at most {MAX_WIDTH}"
        for output in cell.outputs:
            data = output.get("data", {})
            shown = output.get("text", "") + (data["text/plain"] if set(data) == {"text/plain"} else "")
            for line in shown.splitlines():
                if len(line) > MAX_WIDTH:
                    yield f"code cell {index} prints a line of {len(line)}, which breaks: at most {MAX_WIDTH}"


def imports_in_the_first_cell_only(lab: Lab) -> Iterator[str]:
    for index, cell in enumerate(lab.code):
        try:
            statements = ast.parse(cell.source).body
        except SyntaxError as error:
            yield f"code cell {index} is not plain Python: {error.msg}"
            continue
        kinds = [isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements]
        if index == 0 and not (kinds and all(kinds)):
            yield "the first code cell must hold the imports and nothing else"
        elif index > 0 and any(kinds):
            yield f"code cell {index} imports: all imports go into the first code cell"


def uses_nothing_forbidden(lab: Lab) -> Iterator[str]:
    for index, cell in enumerate(lab.code):
        for pattern, reason in FORBIDDEN.items():
            found = re.search(pattern, cell.source, flags=re.MULTILINE)
            if found:
                yield f"code cell {index} has {found.group(0).strip()!r}: {reason}"
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden") or cell.metadata.get("collapsed")
        if hidden:
            yield f"code cell {index} is folded; only solutions may be"
        banned = FORBIDDEN_TAGS & set(cell.metadata.get("tags", []))
        if banned:
            yield f"code cell {index} is tagged {sorted(banned)}, so nobody would see it break"
        ignored = "nbval-ignore-output" in cell.metadata.get("tags", []) or "NBVAL" in cell.source
        if ignored and not lab.is_start_page:
            yield f"code cell {index} hides its output from the comparison; print what repeats instead"


def is_executed_top_to_bottom(lab: Lab) -> Iterator[str]:
    counts = [cell.execution_count for cell in lab.code]
    if counts != list(range(1, len(counts) + 1)):
        yield f"not executed top to bottom in one go: execution counts {counts}"
    for index, cell in enumerate(lab.code):
        for output in cell.outputs:
            text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            if output.output_type == "error":
                yield f"code cell {index} is committed with an error: {output.ename}: {output.evalue}"
            if output.get("name") == "stderr":
                yield f"code cell {index} is committed with a warning: {text[:200]}"
            if re.search(r"\b0x[0-9a-f]{6,}\b", text):
                yield f"code cell {index} prints a memory address, which changes at every run"


def keeps_no_state_of_its_machine(lab: Lab) -> Iterator[str]:
    if "widgets" in lab.book.metadata:
        yield "widget state is saved: refresh with the command in CONTRIBUTING.md"
    for index, cell in enumerate(lab.code):
        if any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in cell.outputs):
            yield f"code cell {index} refers to a widget that is gone and hides its picture: refresh the lab"
    if lab.book.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "metadata must name the kernel python3, or JupyterLab asks which one to start"


class _Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.without_alt: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img" and not (given.get("alt") or "").strip():
            self.without_alt.append(given.get("src") or "?")


def describes_every_picture(lab: Lab) -> Iterator[str]:
    for text, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)", lab.prose):
        if not text.strip():
            yield f"the image {target} has no alt text"
    images = _Images()
    images.feed(lab.prose)
    yield from (f"the image {source} has no alt text" for source in images.without_alt)
    pictures = 0
    for index, cell in enumerate(lab.code):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                pictures += 1
                if not output.metadata.get("image/png", {}).get("alt", "").strip():
                    yield f"the picture of code cell {index} has no alt text: show a weightlab.pictures.style.Still"
    if not pictures:
        yield "no static picture: the page must teach something without a kernel"


def has_its_parts(lab: Lab) -> Iterator[str]:
    prose = lab.prose
    if not prose.startswith("# "):
        yield "the first markdown cell must begin with the title, `# …`"
    for part in ("You'll do", "You'll learn", "You'll need"):
        if part.lower() not in prose.replace("’", "'").lower():
            yield f"{part!r} is missing at the top"
    if not re.search(r"\d+[–-]?\d*\s*min", prose):
        yield "how many minutes it takes is missing"
    if not re.search(r"^#+ .*does not show", prose, flags=re.MULTILINE | re.IGNORECASE):
        yield "the section 'What this toy does not show' is missing"
    if not re.search(r"\bnext\b.*\blab\b|\bnext:", prose, flags=re.IGNORECASE):
        yield "the next lab is not named"


def links_to_what_exists(lab: Lab) -> Iterator[str]:
    targets = re.findall(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)", lab.prose)
    local = [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    for target in local:
        if not (lab.path.parent / target).exists():
            yield f"the link to {target} leads nowhere"
    if not any(re.search(r"weightlab/.*\.py$", target) for target in local):
        yield "no link to the code it uses, e.g. [descent.py](../weightlab/descent/run.py)"


def asks_enough(lab: Lab) -> Iterator[str]:
    try:
        found = exercises(lab)
    except ValueError as error:
        yield str(error)
        return
    names = [exercise.name for exercise in found]
    if len(set(names)) < len(names):
        yield f"exercise ids must differ, got {names}"
    if lab.is_start_page:
        return
    if len(found) < MIN_EXERCISES:
        yield f"{len(found)} exercises, at least {MIN_EXERCISES}"
    predictions = sum(cell.source.count("Question(") for cell in lab.tagged("prediction"))
    if predictions < MIN_PREDICTIONS:
        yield f"{predictions} predictions in cells tagged `prediction`, at least {MIN_PREDICTIONS}"


RULES: tuple[Callable[[Lab], Iterator[str]], ...] = (
    has_the_right_size,
    fits_the_page,
    imports_in_the_first_cell_only,
    uses_nothing_forbidden,
    is_executed_top_to_bottom,
    keeps_no_state_of_its_machine,
    describes_every_picture,
    has_its_parts,
    links_to_what_exists,
    asks_enough,
)
