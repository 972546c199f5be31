"""Binder builds what was tested: repo2docker reads binder/ as meant, without Docker and without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from binder_here import image_pins
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
BINDER = ROOT / "binder"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins(path: Path) -> dict[str, str]:
    """Name -> version of the lines `name==version`; any other line but comments and options is refused."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith(("#", "--")):
            name, version = line.split("==")
            assert re.fullmatch(r"[0-9a-z.]+", version), f"{path.name}: {line!r} is not portable"
            found[canonicalize_name(name)] = version
    return found


CONSTRAINTS = pins(BINDER / "constraints.txt")
REQUIREMENTS = pins(BINDER / "requirements.txt")


def test_constraints_pin_everything_that_the_extras_ask_for() -> None:
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["lab"], *extras["test"]]  # the benchmarks' peers nobody else installs
    for line in asked:
        wanted = Requirement(line)
        if wanted.name != "weightlab":
            assert wanted.specifier.contains(CONSTRAINTS[canonicalize_name(wanted.name)]), line


def test_binder_gets_the_same_pins_as_everybody() -> None:
    needed = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert needed <= REQUIREMENTS.keys()
    assert REQUIREMENTS.items() <= CONSTRAINTS.items()


def test_binders_image_brings_a_jupyterlab_that_the_package_allows() -> None:
    brought = image_pins((BINDER / "runtime.txt").read_text("utf-8").strip().removeprefix("python-"))
    for wanted in map(Requirement, PROJECT["optional-dependencies"]["lab"]):
        assert wanted.specifier.contains(brought[wanted.name]), wanted


@pytest.mark.skipif(os.name == "nt", reason="Binder's scripts are for bash; run this test on Linux or macOS")
class TestScripts:
    def test_start_sets_one_thread_and_becomes_the_command(self) -> None:
        code = "import os; print(os.environ['OMP_NUM_THREADS'])"
        command = [str(BINDER / "start"), sys.executable, "-c", code]
        assert subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip() == "1"
