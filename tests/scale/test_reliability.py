"""The table of promises: what holds one exists, and a figure stands there only where all of it ran and passed."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
from reliability import ROOT, Ledger, Promise, promises

PROMISES = promises()


def report(name: str, outcome: str = "passed", when: str = "call", **recorded: Any) -> pytest.TestReport:
    properties = list(recorded.items())
    return pytest.TestReport(name, (name, 0, name), {}, outcome, None, when, user_properties=properties)  # type: ignore[arg-type]


def told(*reports: pytest.TestReport) -> Ledger:
    ledger = Ledger()
    for one in reports:
        ledger.note(one)
    return ledger


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
        name = promise.command.split()[-1]
        assert re.search(rf"def {name}\(|\"{name}\"\]", (ROOT / "noxfile.py").read_text(encoding="utf-8")), name


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
