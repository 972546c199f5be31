"""Labs as nbgrader's assignments: metadata, what students must not see, checks that are the lab's own; the command.

nbgrader itself is asked in test_nbgrader.py, where it is installed.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import nbformat
import pytest
from lab_rules import ROOT, Lab, exercises, read_lab

from weightlab.teaching.checks import check_number
from weightlab.teaching.exercise_cells import STUB, read_exercises
from weightlab.teaching.grading import main
from weightlab.teaching.nbgrader_copies import SETTINGS, nbgrader_copy, repository, write_course

LABS = sorted((ROOT / "labs").glob("*.ipynb"))
QUICK = [path for path in LABS if path.name[:2] in ("02", "04")]
# nbgrader's documentation, "JSON Metadata Format"; a checksum is for `nbgrader generate_assignment` to add.
METADATA = {
    "type": "object",
    "properties": {
        "schema_version": {"const": 3},
        "grade_id": {"type": "string", "pattern": r"^[a-zA-Z0-9_\-]+$"},
        "cell_type": {"enum": ["code", "markdown", "raw"]},
        "points": {"type": "number", "minimum": 0},
    }
    | {flag: {"type": "boolean"} for flag in ("grade", "solution", "locked", "task")},
    "required": ["schema_version", "grade", "solution", "locked", "grade_id"],
    "additionalProperties": False,
}


@functools.cache
def lab_and_copy(path: Path) -> tuple[Any, Any]:
    book = nbformat.read(path, as_version=4)
    return book, nbgrader_copy(book)


def marked(book: Any, flag: str) -> dict[str, Any]:
    """Cells with one of nbgrader's flags set, by grade id."""
    about = [(cell.metadata["nbgrader"], cell) for cell in book.cells if "nbgrader" in cell.metadata]
    return {data["grade_id"]: cell for data, cell in about if data[flag]}


def without_solutions(source: str) -> str:
    """What nbgrader leaves of an answer cell: its documented rule, with the stub of our settings."""
    return re.sub(r"### BEGIN SOLUTION\n.*### END SOLUTION", STUB, source, flags=re.DOTALL)


@pytest.fixture(params=LABS, ids=lambda path: path.stem)
def both(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return lab_and_copy(request.param)


class TestEveryLabsCopy:
    def test_its_metadata_keep_nbgraders_schema(self, both: tuple[Any, Any]) -> None:
        found = [(cell, cell.metadata["nbgrader"]) for cell in both[1].cells if "nbgrader" in cell.metadata]
        for cell, data in found:
            jsonschema.validate(dict(data), METADATA)
            assert data["cell_type"] == cell.cell_type and data["grade"] == ("points" in data)
        names = [data["grade_id"] for _, data in found]
        assert names and len(set(names)) == len(names)
        assert len({cell.id for cell in both[1].cells}) == len(both[1].cells)

    def test_every_exercise_has_an_answer_and_a_locked_check_of_one_point(self, both: tuple[Any, Any]) -> None:
        lab, made = both
        names = [exercise.name for exercise in read_exercises(lab)]
        answers, checks = marked(made, "solution"), marked(made, "grade")
        assert list(answers) == names and list(checks) == [f"{name}-check" for name in names]
        assert all(check.metadata["nbgrader"]["locked"] for check in checks.values())
        assert all("raises-exception" in check.metadata["tags"] for check in checks.values())  # Run All goes on
        assert not any(answer.metadata["nbgrader"]["locked"] for answer in answers.values())
        assert [check.metadata["nbgrader"]["points"] for check in checks.values()] == [1] * len(names)

    def test_the_check_is_the_labs_own(self, both: tuple[Any, Any]) -> None:
        lab, made = both
        checks = marked(made, "grade")
        for exercise in read_exercises(lab):
            source = lab.cells[exercise.cell].source.split(STUB, 1)[1]
            *before, call = ast.parse(source).body
            *prepared, verdict, forgotten, shown, required = ast.parse(checks[f"{exercise.name}-check"].source).body
            assert list(map(ast.dump, prepared)) == list(map(ast.dump, before))
            assert isinstance(verdict, ast.Assign) and isinstance(call, ast.Expr)
            assert ast.dump(verdict.value) == ast.dump(call.value)
            assert (ast.unparse(forgotten), ast.unparse(shown)) == (STUB, "print(verdict)")
            assert isinstance(required, ast.Assert)

    def test_students_see_no_solution_and_no_list_of_wrong_answers(self, both: tuple[Any, Any]) -> None:
        lab, made = both
        text = "\n".join(without_solutions(cell.source) for cell in made.cells)
        assert "<summary>Solution" not in text and "SOLUTION" not in text and "wrong_answers" not in str(made)
        for exercise in read_exercises(lab):
            assert exercise.solution in marked(made, "solution")[exercise.name].source
            assert exercise.solution not in text
            lines = [line for line in exercise.explanation.splitlines() if len(line) > 30]
            assert not [line for line in lines if line in text]

    def test_nothing_else_is_lost_or_run(self, both: tuple[Any, Any]) -> None:
        lab, made = both
        solutions = {exercise.cell + 1 for exercise in read_exercises(lab)}
        kept = [cell.id for index, cell in enumerate(lab.cells) if index not in solutions]
        assert [cell.id for cell in made.cells if not cell.id.endswith("-check")] == kept
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in made.cells)
        assert nbformat.validator.isvalid(made)

    def test_what_checks_rest_on_is_locked(self, both: tuple[Any, Any]) -> None:
        lab, made = both
        first = next(cell.id for cell in lab.cells if cell.cell_type == "code")
        needed = {first} | {cell.id for cell in lab.cells if "setup" in cell.metadata.get("tags", [])}
        assert {cell.id for cell in marked(made, "locked").values() if not cell.id.endswith("-check")} == needed

    def test_links_lead_on(self, both: tuple[Any, Any]) -> None:
        prose = "\n".join(cell.source for cell in both[1].cells if cell.cell_type == "markdown")
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            lab = re.fullmatch(r"\.\./(\w+)/(\w+)\.ipynb", target)
            if lab:
                assert lab[1] == lab[2] and (ROOT / "labs" / f"{lab[1]}.ipynb").exists()
            else:
                assert re.match(r"https?://|#", target), target
                ours = re.fullmatch(rf"{re.escape(repository())}/blob/HEAD/(.+)", target)
                assert ours is None or (ROOT / ours[1].partition("#")[0]).exists()


@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_solutions_pass_the_copys_checks_and_stubs_and_wrong_answers_do_not(path: Path) -> None:
    lab, made = read_lab(path), lab_and_copy(path)[1]
    names = prepared(lab)
    for exercise in exercises(lab):
        answer = marked(made, "solution")[exercise.name].source
        check = marked(made, "grade")[f"{exercise.name}-check"].source
        exec(compile(f"{answer}\n{check}", exercise.name, "exec"), dict(names))
        with pytest.raises(AssertionError, match="not answered yet"):
            exec(compile(f"{without_solutions(answer)}\n{check}", exercise.name, "exec"), dict(names))
        with pytest.raises(AssertionError, match="not yet"):
            exec(compile(f"answer = {exercise.wrong_answers[0]}\n{check}", exercise.name, "exec"), dict(names))


def test_an_answer_earns_nothing_in_the_next_exercise() -> None:
    checks = marked(nbgrader_copy(small_lab(one_and_one=SUM, two_and_none=SUM)), "grade")
    names: dict[str, Any] = {"answer": 2, "check_number": check_number}
    exec(checks["one_and_one-check"].source, names)
    with pytest.raises(AssertionError, match="not answered yet"):  # as if its own answer cell had failed
        exec(checks["two_and_none-check"].source, names)


def prepared(lab: Lab) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in [lab.code[0], *lab.tagged("setup")]:
        exec(compile(cell.source, lab.path.name, "exec"), names)
    return names


def exercise_cell(name: str, source: str) -> Any:
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["exercise"], "weightlab": {"id": name}})


def small_lab(**sources: str) -> Any:
    """A lab of exercises with these sources; each solution is `answer = 2`."""
    folded = "<details><summary>Solution</summary>\n\nOne and one.\n\n```python\nanswer = 2\n```\n\n</details>"
    cells = [nbformat.v4.new_code_cell("from weightlab.teaching.checks import check_number")]
    for name, source in sources.items():
        cells += [exercise_cell(name, source), nbformat.v4.new_markdown_cell(folded)]
    return nbformat.v4.new_notebook(cells=cells)


SUM = "answer = ...\ncheck_number(answer, 1 + 1, 0)"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("check_number(3, 2, 0)", "needs one line"),
        ("answer = ...\nanswer = ...\ncheck_number(answer, 2, 0)", "needs one line"),
        ("answer = ...\nverdict = check_number(answer, 2, 0)", "last expression"),
        ("answer = ...", "last expression"),
    ],
)
def test_an_exercise_out_of_form_is_refused_by_name(source: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"one_and_one.*{reason}"):
        nbgrader_copy(small_lab(one_and_one=source))


def test_points_are_as_asked_and_negative_ones_refused() -> None:
    checks = marked(nbgrader_copy(small_lab(one_and_one=SUM), points=2.5), "grade")
    assert checks["one_and_one-check"].metadata["nbgrader"]["points"] == 2.5
    with pytest.raises(ValueError, match=r"points must be in \[0, inf\), got -1"):
        nbgrader_copy(small_lab(one_and_one=SUM), points=-1)


class TestWritingACourse:
    def test_each_lab_becomes_an_assignment_with_settings_beside(self, tmp_path: Path) -> None:
        lines = write_course(QUICK[:1], tmp_path / "course")
        (made,) = (tmp_path / "course" / "source").rglob("*.ipynb")
        assert made.parent.name == made.stem == QUICK[0].stem
        assert nbformat.read(made, as_version=4).cells and "4 exercises, 4 points" in lines[0]
        assert (tmp_path / "course" / "nbgrader_config.py").read_text(encoding="utf-8") == SETTINGS
        assert write_course(QUICK[:1], tmp_path / "course") == lines

    def test_settings_that_are_there_are_kept_and_ours_are_shown(self, tmp_path: Path) -> None:
        own = tmp_path / "nbgrader_config.py"
        own.write_text("c = get_config()\n", encoding="utf-8")
        lines = write_course(QUICK[:1], tmp_path)
        assert own.read_text(encoding="utf-8") == "c = get_config()\n"
        assert "code_stub" in lines[-1] and "kept" in lines[-1]


class TestTheCommand:
    def test_it_writes_the_labs_that_are_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["nbgrader", "--course", str(tmp_path), "--points", "2", str(QUICK[0])]) == 0
        assert "4 exercises, 8 points" in capsys.readouterr().out
        assert [path.stem for path in tmp_path.rglob("*.ipynb")] == [QUICK[0].stem]

    def test_it_says_what_to_do_where_there_is_no_lab(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert main(["nbgrader"]) == 1
        assert "clone of the repository" in capsys.readouterr().out
        assert not list(tmp_path.iterdir())

    def test_a_broken_file_does_not_keep_the_others_waiting(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "broken.ipynb").write_text("{", encoding="utf-8")
        files = [str(tmp_path / "broken.ipynb"), str(QUICK[0]), str(QUICK[1])]
        assert main(["report", "--saved", *files]) == 1
        printed = capsys.readouterr().out
        assert "broken.ipynb: not read" in printed and f"{QUICK[1].name}: 0 of 3 right" in printed
        assert printed.count("notebook ") == 1
