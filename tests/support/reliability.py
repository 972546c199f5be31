"""The table of promises in tests/README.md: what is promised, the tests that hold it, and what they measured last.

    .venv/bin/pytest --promises                     what the usual tests prove
    .venv/bin/pytest --long -m long --promises      what the long ones prove
    .venv/bin/python tests/support/reliability.py environments "9 of 9 without a failure"    where no command writes it

promises.toml says the promises. A test measures with pytest's own `record_property("seconds", 2.9)`; a promise's figure
is a format string over what its tests recorded: `{largest.seconds:.1f}`, `{smallest.…}`, `{total.…}`, and `{passed}`,
how many of them passed. A row is written when all its tests ran and passed. A promise without tests is kept by a
command, which writes the row itself or whose end somebody writes down.
"""

from __future__ import annotations

import datetime
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

Record = Callable[[str, object], None]  # pytest's fixture `record_property`

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "tests" / "README.md"
MARK = "<!-- table: promises -->"
HEAD = "| promise | held by | last figure | measured |\n|---|---|---|---|\n"
NOTHING_YET = "not measured yet"
TABLE = re.compile(rf"(?m)^{re.escape(MARK)}\n((?:\|.*\n)+)")


@dataclass(frozen=True)
class Promise:
    """One row: `tests` are files or tests, `command` what measures where no test does."""

    id: str
    says: str
    figure: str = ""
    tests: tuple[str, ...] = ()
    command: str = ""

    @property
    def held_by(self) -> str:
        """The tests as links, the command as code."""
        if self.command:
            return f"`{self.command}`"
        files = dict.fromkeys(test.partition("::")[0].rstrip("/") for test in self.tests)
        return ", ".join(f"[{Path(file).stem}]({from_the_page(file)})" for file in files)


def from_the_page(file: str) -> str:
    return file.removeprefix("tests/") if file.startswith("tests/") else f"../{file}"


def promises() -> dict[str, Promise]:
    """Every promise by its id, in the order of the table."""
    text = Path(__file__).with_name("promises.toml").read_text("utf-8")
    entries = tomllib.loads(text)["promise"]
    made = [Promise(**{**entry, "tests": tuple(entry.get("tests", ()))}) for entry in entries]
    return {promise.id: promise for promise in made}


def last_figures(text: str) -> dict[str, tuple[str, str]]:
    """What the table in `text` says: promise -> (figure, day)."""
    found = TABLE.search(text)
    rows = found[1].splitlines()[2:] if found else []
    cells = [[cell.strip() for cell in row.strip().strip("|").split(" | ")] for row in rows]
    return {says: (figure, day) for says, _, figure, day in cells}


def table(figures: Mapping[str, tuple[str, str]]) -> str:
    """The table: a row for every promise, with its figure and day of `figures`."""
    rows = []
    for promise in promises().values():
        figure, day = figures.get(promise.says, (NOTHING_YET, ""))
        rows.append(f"| {promise.says} | {promise.held_by} | {figure} | {day} |\n")
    return HEAD + "".join(rows)


def write(measured: Mapping[str, str], page: Path = PAGE) -> None:
    """Put these figures, by promise's id, and today's date into the page's table; the other rows keep theirs."""
    text = page.read_text(encoding="utf-8")
    today = datetime.date.today().isoformat()
    known = promises()
    figures = last_figures(text) | {known[name].says: (figure, today) for name, figure in measured.items()}
    page.write_text(TABLE.sub(lambda _: f"{MARK}\n{table(figures)}", text), encoding="utf-8")


@dataclass
class Ledger:
    """What became of the tests of one run."""

    outcomes: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, list[tuple[str, object]]] = field(default_factory=dict)

    def note(self, report: pytest.TestReport) -> None:
        """A test's outcome: that of its call, unless setup or teardown fails or skips."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome
        if report.when == "call":
            self.recorded[report.nodeid] = list(report.user_properties)

    def figure(self, promise: Promise) -> str | None:
        """The promise's figure, or None unless each of its tests ran and passed."""
        names = {test: [name for name in self.outcomes if covers(test, name)] for test in promise.tests}
        ran = sorted({name for found in names.values() for name in found})
        if not all(names.values()) or any(self.outcomes[name] != "passed" for name in ran):
            return None
        values: dict[str, list[float]] = defaultdict(list)
        for name in ran:
            for key, value in self.recorded[name]:
                if isinstance(value, int | float):
                    values[key].append(value)
        folds: dict[str, Callable[[list[float]], float]] = {"largest": max, "smallest": min, "total": sum}
        given = {word: SimpleNamespace(**{k: fold(v) for k, v in values.items()}) for word, fold in folds.items()}
        return promise.figure.format(**given, passed=f"{len(ran):,}")


def covers(test: str, name: str) -> bool:
    """Whether `test`, a folder, a file or a test, is or holds the test of this name."""
    return name == test or name.startswith((f"{test.rstrip('/')}/", f"{test}::", f"{test}["))


class Figures:
    """pytest's side of it, for the process that gathers the reports."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.written: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ledger.note(report)

    def pytest_sessionfinish(self) -> None:
        found = {promise.id: self.ledger.figure(promise) for promise in promises().values() if promise.tests}
        self.written = {name: figure for name, figure in found.items() if figure is not None}
        write(self.written)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("promises, written into tests/README.md")
        for name, figure in self.written.items():
            terminalreporter.write_line(f"{name}: {figure}")


def join(config: pytest.Config) -> None:
    """Gather figures if `--promises` asks for them and all that a file proves is to be run."""
    if not config.getoption("--promises") or hasattr(config, "workerinput"):
        return
    if config.getoption("keyword") or any("::" in argument for argument in config.args):
        raise pytest.UsageError("--promises needs whole files: leave out -k and the names of single tests")
    config.pluginmanager.register(Figures(), "promises")


if __name__ == "__main__":
    write(dict([sys.argv[1:]]))
