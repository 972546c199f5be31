"""A notebook's kernel that is killed in a test run: the run ends soon, and its report says what happened."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from browser_support import ROOT
from reliability import Record

pytestmark = pytest.mark.long

CELLS = ("x = 1", "import os\nimport signal\nos.kill(os.getpid(), signal.SIGKILL)", "x + 1", "x + 2")
SECONDS = 60
OPTIONS = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=120", "-p", "conftest", "-p", "no:cacheprovider")


def test_a_kernel_killed_under_a_notebook_ends_the_run_within_a_minute_and_is_named(
    tmp_path: Path, record_property: Record
) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, tmp_path / "killed.ipynb")
    command = [sys.executable, "-m", "pytest", "killed.ipynb", "--rootdir", str(tmp_path), *OPTIONS]
    found = os.pathsep.join(str(ROOT / "tests" / folder) for folder in (".", "support"))
    environment = {**os.environ, "PYTHONPATH": found}  # this project's conftest, as in its own runs
    begun = time.monotonic()
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=3 * SECONDS)
    took = time.monotonic() - begun
    assert took < SECONDS, f"{took:.0f} s\n{run.stdout}"
    assert run.returncode == 1
    record_property("seconds", took)
    assert "3 failed, 1 passed" in run.stdout, run.stdout
    assert "the kernel died while this cell ran: exit status -9 (killed from outside" in run.stdout
    assert run.stdout.count("Kernel dead on test start") >= 2
