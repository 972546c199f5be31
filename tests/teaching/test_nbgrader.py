"""The labs' nbgrader copies, by nbgrader itself: they validate, solutions get every point, stubs get none.

It runs where the extra "grading" is installed, best into an environment of its own:

    python3 -m venv .venv-grading
    .venv-grading/bin/python -m pip install -c binder/constraints.txt -e ".[test,grading]"
    .venv-grading/bin/pytest -o addopts= tests/teaching/test_nbgrader.py                two quick labs
    .venv-grading/bin/pytest -o addopts= --whole-labs tests/teaching/test_nbgrader.py   every lab
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest

from weightlab.teaching.exercise_cells import read_exercises
from weightlab.teaching.nbgrader_copies import write_course

ROOT = Path(__file__).resolve().parents[2]
LABS = [lab for lab in sorted((ROOT / "labs").glob("*.ipynb")) if read_exercises(nbformat.read(lab, as_version=4))]
QUICK = ("02_choose_a_learning_rate", "04_look_ahead_with_nesterov")

pytestmark = [
    pytest.mark.skipif(
        find_spec("nbgrader") is None,
        reason='needs nbgrader: .venv/bin/python -m pip install -c binder/constraints.txt -e ".[grading]"',
    ),
    pytest.mark.timeout(1800),  # four runs of a lab
]


def nbgrader(course: Path, *arguments: str) -> str:
    """What one nbgrader command prints; it must succeed."""
    command = [sys.executable, "-m", "nbgrader", *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # nbgrader calls alembic by its name
    env = os.environ | {"PATH": path}
    run = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, f"nbgrader {' '.join(arguments)}\n{run.stdout}\n{run.stderr}"
    return run.stdout + run.stderr


def hand_in(course: Path, student: str, lab: str, answers: dict[str, str]) -> None:
    """The released notebook with `answers` (by grade id) in place of its stubs, as a submission."""
    book = nbformat.read(course / "release" / lab / f"{lab}.ipynb", as_version=4)
    for cell in book.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id", ""), cell.source)
    target = course / "submitted" / student / lab / f"{lab}.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(book, target)


def marks(course: Path) -> dict[str, tuple[float, float]]:
    """Student -> (points, most that can be had), as nbgrader exports them."""
    nbgrader(course, "export", "--to", "marks.csv")
    with (course / "marks.csv").open(encoding="utf-8", newline="") as file:
        return {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}


def graded_cells(book: Any) -> dict[str, str]:
    marked = {cell.metadata.get("nbgrader", {}).get("grade_id", ""): cell for cell in book.cells}
    return {name: cell.source for name, cell in marked.items() if name and cell.metadata["nbgrader"]["solution"]}


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_solutions_get_every_point_and_stubs_none(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    lab = path.stem
    if lab not in QUICK and not request.config.getoption("--whole-labs"):
        pytest.skip("takes minutes: pass --whole-labs to grade every lab")
    write_course([path], tmp_path)
    source = tmp_path / "source" / lab / path.name
    answers = graded_cells(nbformat.read(source, as_version=4))
    assert answers.keys() == {exercise.name for exercise in read_exercises(nbformat.read(path, as_version=4))}

    assert "Success! Your notebook passes all the tests." in nbgrader(tmp_path, "validate", str(source))
    nbgrader(tmp_path, "generate_assignment", lab)
    released = tmp_path / "release" / lab / path.name
    assert "Success! The notebook does not pass any tests." in nbgrader(tmp_path, "validate", "--invert", str(released))
    assert set(graded_cells(nbformat.read(released, as_version=4)).values()).isdisjoint(answers.values())

    hand_in(tmp_path, "solutions", lab, answers)
    hand_in(tmp_path, "stubs", lab, {})
    nbgrader(tmp_path, "autograde", lab)
    found = marks(tmp_path)
    print(f"{lab}: solutions {found['solutions']}, stubs {found['stubs']}")
    assert found == {"solutions": (len(answers), len(answers)), "stubs": (0, len(answers))}
