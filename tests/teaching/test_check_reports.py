"""Reports on learners' copies: every verdict as the check gave it, run afresh or as saved, and what wants a look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_grading import LABS, exercise_cell, small_lab

from weightlab.teaching.check_reports import Finding, Report, read_report, summary
from weightlab.teaching.exercise_cells import read_exercises
from weightlab.teaching.nbgrader_copies import nbgrader_copy

SUM = "answer = ...\ncheck_number(answer, 1 + 1, 0)"


def result(text: str) -> list[Any]:
    return [nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=1)]


def error(name: str, value: str) -> list[Any]:
    return [nbformat.v4.new_output("error", ename=name, evalue=value, traceback=[])]


def saved(folder: Path, outputs: dict[str, list[Any]]) -> Path:
    """A notebook with one exercise for each name, its outputs as given."""
    cells = [exercise_cell(name, SUM) for name in outputs]
    for cell, given in zip(cells, outputs.values(), strict=True):
        cell.outputs = given
    path = folder / "copy.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def states(report: Report) -> dict[str, str]:
    return {finding.name: finding.state for finding in report.findings}


@pytest.mark.parametrize(
    ("outputs", "state", "message"),
    [
        (result("✓ right: 2"), "right", "right: 2"),
        (result("✗ not yet: 3 is too large by 1."), "wrong", "not yet: 3 is too large by 1."),
        (result("✗ not yet: too large.\n  Hint: halve it\nor not"), "wrong", "not yet: too large. Hint: halve it"),
        (result("○ not answered yet"), "open", "not answered yet"),
        (error("NameError", "name 'x' is not defined\nmore"), "error", "NameError: name 'x' is not defined"),
        ([], "silent", "its check has printed no verdict"),
        (result("3.0"), "silent", "its check has printed no verdict"),
        # nbgrader's check prints its verdict, then asserts it
        (
            [nbformat.v4.new_output("stream", name="stdout", text="✗ not yet: 3.\n"), *error("AssertionError", "3")],
            "wrong",
            "not yet: 3.",
        ),
        # a learner's own line that looks like a verdict comes before the check's
        ([nbformat.v4.new_output("stream", name="stdout", text="✓ ha\n"), *result("✗ not yet")], "wrong", "not yet"),
    ],
)
def test_saved_outputs_are_read_as_they_are(tmp_path: Path, outputs: list[Any], state: str, message: str) -> None:
    report = read_report(saved(tmp_path, {"a": outputs}), fresh=False)
    assert report.findings == (Finding("a", state, message),)
    assert report.right == (state == "right")


def test_the_summary_counts_what_wants_a_look(tmp_path: Path) -> None:
    outputs = {"a": result("✓ 1"), "b": result("✗ 2"), "c": result("○ 3"), "d": [], "e": error("E", "")}
    report = read_report(saved(tmp_path, outputs), fresh=False)
    assert [line.split() for line in summary([report]).splitlines()] == [
        ["notebook", "right", "wrong", "open", "look"],
        ["copy.ipynb", "1", "1", "1", "2"],
    ]


def test_a_file_without_exercises_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"copy\.ipynb has no exercise.*give a lab or a copy of one"):
        read_report(saved(tmp_path, {}), fresh=False)


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_a_lab_as_given_out_is_open_everywhere_and_unchanged(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    if not read_exercises(book):
        with pytest.raises(ValueError, match="has no exercise"):
            read_report(path, fresh=False, labs=path.parent)
        return
    report = read_report(path, fresh=False, labs=path.parent)
    assert states(report) == {exercise.name: "open" for exercise in read_exercises(book)}


class TestBesideTheLab:
    """With the lab at hand a check that was changed does not count, and an exercise that is gone is named."""

    @pytest.fixture
    def labs(self, tmp_path: Path) -> Path:
        folder = tmp_path / "labs"
        folder.mkdir()
        prepared = "answer = ...\nwanted = 1 + 1\ncheck_number(answer, wanted, 0)"
        nbformat.write(small_lab(plain=SUM, prepared=prepared, third=SUM), folder / "lab.ipynb")
        nbformat.write(small_lab(other=SUM), folder / "another.ipynb")
        return folder

    def read(self, labs: Path, sources: dict[str, str]) -> dict[str, str]:
        cells = [exercise_cell(name, source) for name, source in sources.items()]
        for cell in cells:
            cell.outputs = result("✓ right: 2")
        path = labs.parent / "copy.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return states(read_report(path, fresh=False, labs=labs))

    def test_an_answer_of_any_form_leaves_the_check_as_it_is(self, labs: Path) -> None:
        prepared = "# mine\nimport math\nanswer = 2  # see?\nwanted = 1+1\n\ncheck_number(answer,\n    wanted, 0)"
        found = self.read(labs, {"plain": SUM.replace("...", "2"), "prepared": prepared, "third": SUM})
        assert found == {"plain": "right", "prepared": "right", "third": "right"}

    def test_a_changed_check_does_not_count(self, labs: Path) -> None:
        easier, shadowed = SUM.replace(", 0)", ", 9)"), "answer = 3\nwanted = 3\ncheck_number(answer, wanted, 0)"
        found = self.read(labs, {"plain": easier, "prepared": shadowed, "third": "'✓'"})
        assert found == {"plain": "changed", "prepared": "changed", "third": "changed"}

    def test_an_exercise_that_is_gone_is_named(self, labs: Path) -> None:
        assert self.read(labs, {"plain": SUM, "third": SUM})["prepared"] == "gone"

def test_run_afresh_it_tells_the_truth_whatever_was_saved(tmp_path: Path) -> None:
    answers = {"right": "2", "wrong": "3", "left": "...", "broken": "(2", "last": "2"}
    book = small_lab(**{name: SUM.replace("...", answer) for name, answer in answers.items()})
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = result("✓ right: saved")
    path = tmp_path / "copy.ipynb"
    nbformat.write(book, path)
    before = path.read_bytes()
    report = read_report(path)
    assert states(report) == {"right": "right", "wrong": "wrong", "left": "open", "broken": "error", "last": "right"}
    assert report.right == 2 and report.source.startswith("run afresh")
    assert path.read_bytes() == before
    messages = {finding.name: finding.message for finding in report.findings}
    assert "too large by 1" in messages["wrong"] and messages["broken"].startswith("SyntaxError")


def test_a_cell_that_never_ends_is_stopped_and_the_next_one_still_runs(tmp_path: Path) -> None:
    cells = [exercise_cell("endless", "all(True for _ in iter(int, 1))"), exercise_cell("next", "print('✓ right: 2')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "copy.ipynb")
    report = read_report(tmp_path / "copy.ipynb", timeout=3)
    assert report.findings == (
        Finding("endless", "error", "stopped while it ran"),
        Finding("next", "right", "right: 2"),
    )


def test_a_kernel_that_dies_leaves_a_report(tmp_path: Path) -> None:
    book = small_lab(first=SUM.replace("...", "2"), deadly="import os\nos._exit(1)\n" + SUM, last=SUM)
    nbformat.write(book, tmp_path / "copy.ipynb")
    report = read_report(tmp_path / "copy.ipynb")
    assert "the kernel died" in report.source
    assert states(report) == {"first": "right", "deadly": "silent", "last": "silent"}


def test_nbgraders_copy_is_read_alike(tmp_path: Path) -> None:
    made = nbgrader_copy(small_lab(right=SUM, wrong=SUM, broken=SUM, left=SUM))
    answers = {"right": "answer = 2", "wrong": "answer = 3", "broken": "answer = (", "left": "answer = ..."}
    for cell in made.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id", ""), cell.source)
    nbformat.write(made, tmp_path / "copy.ipynb")
    found = {"right": "right", "wrong": "wrong", "broken": "error", "left": "open"}
    assert states(read_report(tmp_path / "copy.ipynb")) == found
