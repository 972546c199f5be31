"""README's table of promises: it says what promises.toml says, by tests that exist, and what they measured."""

from __future__ import annotations

import ast
import datetime
from pathlib import Path
from typing import Any

import pytest
from reliability import HEAD, MARK, NOTHING_YET, README, ROOT, Ledger, Promise, covers, last_figures, promises, write

PROMISES = promises()


def report(name: str, outcome: str = "passed", when: str = "call", **recorded: Any) -> pytest.TestReport:
    properties = list(recorded.items())
    return pytest.TestReport(name, (name, 0, name), {}, outcome, None, when, user_properties=properties)  # type: ignore[arg-type]


def told(*reports: pytest.TestReport) -> Ledger:
    ledger = Ledger()
    for one in reports:
        ledger.note(one)
    return ledger


def test_the_table_has_a_measured_row_for_every_promise_in_order() -> None:
    figures = last_figures(README.read_text(encoding="utf-8"))
    assert list(figures) == [promise.says for promise in PROMISES.values()]
    assert [says for says, (figure, _) in figures.items() if not figure or figure == NOTHING_YET] == []
    assert all(datetime.date.fromisoformat(day) for _, day in figures.values())


@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES)
def test_what_holds_a_promise_exists(promise: Promise) -> None:
    assert bool(promise.command) != bool(promise.tests) == bool(promise.figure)
    for test in promise.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).exists(), test
        if name:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
    if promise.command:
        assert (ROOT / promise.command.split()[0]).exists()
        assert promise.command.split()[0] in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_a_figure_is_made_of_what_the_tests_recorded() -> None:
    promise = Promise("a", "A", "{largest.s:.1f} {smallest.s:.1f} {total.s:.1f} {passed}", ("t.py::one", "t.py::two"))
    reports = [report("t.py::one[a]", s=1.0), report("t.py::one[b]", s=2.5), report("t.py::two")]
    reports.append(report("t.py::three", s=9.0))
    ledger = told(*reports)
    assert ledger.figure(promise) == "2.5 1.0 3.5 3"


@pytest.mark.parametrize("outcome", ["failed", "skipped"])
@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_a_test_that_did_not_pass_leaves_the_figure_as_it_was(outcome: str, when: str) -> None:
    promise = Promise("a", "A", "{passed}", ("tests/t.py",))
    before = report("tests/t.py::one", when="call")
    assert told(before).figure(promise) == "1"
    assert told(before, report("tests/t.py::one", outcome, when)).figure(promise) is None


def test_a_promise_whose_tests_did_not_all_run_keeps_its_figure() -> None:
    assert told(report("a.py::one")).figure(Promise("a", "A", "{passed}", ("a.py", "b.py"))) is None


def test_a_folder_a_file_and_a_test_cover_what_they_hold() -> None:
    assert covers("labs", "labs/01.ipynb::Cell 0") and covers("t.py", "t.py::A::b") and covers("t.py::b", "t.py::b[1]")
    assert not covers("lab", "labs/01.ipynb::Cell 0") and not covers("t.py::b", "t.py::bc")


def test_a_written_figure_comes_back_with_its_day_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{MARK}\n{HEAD}\nThe end.\n", encoding="utf-8")
    first, second = list(PROMISES)[:2]
    write({first: "7 of 7"}, readme)
    write({second: r"at most \1e-12"}, readme)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# Title\n") and text.endswith("\nThe end.\n")
    figures, today = last_figures(text), datetime.date.today().isoformat()
    assert figures[PROMISES[first].says] == ("7 of 7", today)
    assert figures[PROMISES[second].says] == (r"at most \1e-12", today)
    assert [figure for figure, _ in figures.values()].count(NOTHING_YET) == len(PROMISES) - 2
