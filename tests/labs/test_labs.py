"""Every committed lab keeps the rules, its solutions pass and typical wrong answers do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab_rules import ROOT, RULES, START_PAGE, Exercise, Lab, exercises, read_lab, verdict

LABS = sorted((ROOT / "labs").glob("*.ipynb"))
EXERCISES = [(lab, exercise) for lab in map(read_lab, LABS) for exercise in exercises(lab)]


def test_there_are_labs_with_a_start_page() -> None:
    assert START_PAGE in [path.name for path in LABS]
    assert len(LABS) >= 4 and len(EXERCISES) >= 9


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_lab_keeps_the_rule(path: Path, rule: Callable[[Lab], Iterator[str]]) -> None:
    faults = list(rule(read_lab(path)))
    assert not faults, f"{path.name}: " + "; ".join(faults)


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES, ids=[f"{lab.path.stem}-{e.name}" for lab, e in EXERCISES])
class TestExercise:
    def test_the_stub_is_not_answered_yet(self, lab: Lab, exercise: Exercise) -> None:
        assert verdict(lab, exercise.source) is None

    def test_its_solution_passes(self, lab: Lab, exercise: Exercise) -> None:
        assert verdict(lab, exercise.answered(exercise.solution)) is True

    def test_typical_wrong_answers_do_not_pass(self, lab: Lab, exercise: Exercise) -> None:
        passed = [wrong for wrong in exercise.wrong_answers if verdict(lab, exercise.answered(f"answer = {wrong}"))]
        assert not passed, f"these pass although they are wrong: {passed}"
