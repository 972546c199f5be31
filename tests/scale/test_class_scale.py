"""The simulated class: a small one on a real hub, and that nothing which is lost goes unnoticed.

The hub needs the extra "hub", best in an environment of its own, and its proxy, from npm:

    python3 -m venv .venv-hub
    .venv-hub/bin/python -m pip install -c binder/constraints.txt -e ".[hub]"
    .venv-hub/bin/pytest -o addopts= --long tests/scale/test_class_scale.py
"""

from __future__ import annotations

import re
from pathlib import Path

import class_hub
import nbformat
import psutil
import pytest
from browser_support import LABS, ROOT
from class_scale import DRAGS, PARTS, measure, table
from simulated_stage import MOST_UNANSWERED
from simulated_student import EVENTS

needs_hub = pytest.mark.skipif(bool(class_hub.missing()), reason=class_hub.missing() or "nothing is missing")
START_PAGE = LABS / "00_start_here.ipynb"


# ---- a real hub ---------------------------------------------------------------------------------------------------


@needs_hub
@pytest.mark.long
@pytest.mark.timeout(600)
def test_two_students_run_drag_train_and_save_and_nothing_is_lost() -> None:
    lesson = measure(2, [START_PAGE], 8, print)
    assert lesson.lost == []
    book = nbformat.read(START_PAGE, as_version=4)
    cells = sum(cell.cell_type == "code" for cell in book.cells)
    assert [student.seen.cells for student in lesson.students] == [cells + 2, cells + 2]  # and two of their own
    for phase in PARTS:
        assert len(lesson.gathered("latencies", phase)) == 2 * DRAGS * EVENTS
        assert len(lesson.gathered("stops", phase)) == 2
    assert len(lesson.memory) == 2 and min(lesson.memory.values()) > 50
    assert all(re.search(r"\d", figure) for _, figure in table(lesson))
    assert leftovers() == []


@needs_hub
@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_student_whose_kernel_dies_is_named_and_the_others_go_on() -> None:
    def kill_one(phase: str) -> None:
        if phase == "run":
            victim = next(p for p in psutil.Process().children(recursive=True) if "ipykernel_launcher" in p.cmdline())
            victim.kill()

    lesson = measure(2, [START_PAGE], 8, kill_one)
    (gone,) = (student for student in lesson.students if student.gone)
    assert any("its kernel was restarting" in words for words in lesson.lost)
    assert all(words.startswith(f"{gone.name}, 00_start_here.ipynb: ") for words in lesson.lost)
    assert [len(lesson.gathered("stops", phase)) for phase in PARTS] == [1] * len(PARTS)
    assert leftovers() == []


def leftovers() -> list[str]:
    """Command lines of what a hub has started and not ended."""
    found = [" ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)]
    return [line for line in found if "jupyterhub" in line or "ipykernel" in line or class_hub.PROXY in line]


# ---- the page's side of a panel -----------------------------------------------------------------------------------


def test_the_simulated_page_waits_for_as_many_answers_as_the_real_one() -> None:
    script = (ROOT / "weightlab/stage/js/stage.js").read_text("utf-8")
    assert re.findall(r"^const MOST_UNANSWERED = (\d+);", script, flags=re.MULTILINE) == [str(MOST_UNANSWERED)]


# ---- the command --------------------------------------------------------------------------------------------------


def test_the_hub_listens_on_this_machine_only_and_writes_into_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_hub.shutil, "which", lambda name: name)
    given = class_hub.settings(tmp_path, "token", "password", 8000)
    texts = [str(value) for part in given.values() for value in part.values()]
    addresses = [text for text in texts if "://" in text and not text.startswith("sqlite")]
    assert len(addresses) == 3 and all(text.startswith("http://127.0.0.1:") for text in addresses)
    folders = re.findall(r"/[\w./{}-]+\.(?:sqlite|pid)|/[\w./-]+cookie_secret", " ".join(texts))
    assert len(folders) == 3 and all(str(tmp_path) in folder for folder in folders)
