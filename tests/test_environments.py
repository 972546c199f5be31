"""The command that tries every environment reads what it does from README and the workflow, and tells what happened."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import binder_here
import environments
import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
DOCKERFILE = """USER root
RUN apt-get update
USER ${NB_USER}
RUN ${KERNEL_PYTHON_PREFIX}/bin/pip install \\
    -r "binder/requirements.txt"
USER root
COPY src/ ${REPO_DIR}/
USER ${NB_USER}
RUN ./binder/postBuild
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the CI's commands are for bash; use Linux or macOS")


def test_the_workflow_tries_every_minor_version_from_the_oldest_allowed_on() -> None:
    allowed = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"])
    minors = [int(version.split(".")[1]) for version in environments.matrix()["python"]]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert f"3.{minors[0]}" in allowed and f"3.{minors[0] - 1}" not in allowed


@pytest.mark.parametrize("dependencies", environments.matrix()["dependencies"])
def test_each_choice_of_dependencies_is_made_installed_and_tested(dependencies: str) -> None:
    does = environments.commands(dependencies)
    assert does.make == "python3 -m venv .venv" and does.test == ".venv/bin/pytest"
    assert does.install.endswith('-e ".[test]"')


def test_the_three_choices_install_differently() -> None:
    installs = {kind: environments.commands(kind).install for kind in environments.matrix()["dependencies"]}
    assert "-c binder/constraints.txt" in installs["locked"]
    assert "-c .github/oldest.txt" in installs["oldest"]
    assert "--upgrade-strategy eager" in installs["latest"] and "-c " not in installs["latest"]


def test_a_condition_that_it_cannot_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = environments.WORKFLOW.read_text(encoding="utf-8")
    strange = tmp_path / "tests.yml"
    strange.write_text(text.replace("matrix.dependencies == 'oldest'", "startsWith(matrix.python, '3')"), "utf-8")
    monkeypatch.setattr(environments, "WORKFLOW", strange)
    with pytest.raises(ValueError, match="cannot read the condition"):
        environments.steps("oldest")


def test_the_running_python_is_found_and_one_that_is_not_there_is_not() -> None:
    found = environments.find_python(RUNNING)
    if found is None:
        pytest.skip(f"no python{RUNNING} on the PATH; install it there to run this test")
    told = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    assert told.startswith(f"Python {RUNNING}.")
    assert environments.find_python("3.99") is None


def test_the_outcome_is_pytests_last_line_and_the_tests_that_failed() -> None:
    log = "3 passed in 1.2s\nFAILED tests/test_a.py::test_b[c] - why\nERROR tests/test_d.py\n"
    log += "= 2 failed, 3346 passed, 1 skipped, 1 error in 517.40s (0:08:37) =\n"
    said, failed = environments.outcome(log)
    assert said == "2 failed, 3346 passed, 1 skipped, 1 error in 517 s"
    assert failed == ("tests/test_a.py::test_b[c]", "tests/test_d.py")


def test_the_reason_is_what_the_last_command_said(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("$ pip install a\nERROR: old\n$ pip install b\nlooking\nERROR: no b\nERROR: gave up\n", "utf-8")
    assert environments.last_line(log) == "ERROR: no b"
    log.write_text("$ pip install a\nERROR: old\n$ pip check\nall well\n", "utf-8")
    assert environments.last_line(log) == "all well"


def test_a_run_that_breaks_off_is_no_success() -> None:
    assert environments.outcome("collected 12 items\n.....") == ("the tests did not end", ())


def test_a_python_that_is_not_there_is_a_row_that_says_so(tmp_path: Path) -> None:
    row = environments.try_environment("3.99", "locked", tmp_path, False)
    assert str(row) == "| 3.99 | locked |  | no such Python here |" and not row.ok


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository's history: use a clone")
def test_commands_run_in_a_clone_with_the_chosen_python_and_a_limit(tmp_path: Path) -> None:
    place = environments.Place.make(tmp_path, "tried", Path(sys.executable))
    assert place.run("python3 -c 'import sys; print(sys.prefix)' && git status --porcelain", 60) == 0
    assert place.log.read_text(encoding="utf-8").splitlines()[1:] == [sys.prefix]
    assert place.run("false && true", 60) == 1
    assert place.run("sleep 30", 0.2) == 124
    assert environments.Place.make(tmp_path, "tried", Path(sys.executable)).clone == place.clone  # again: fetches


def test_binders_steps_are_what_its_user_runs_in_order() -> None:
    steps = ['${KERNEL_PYTHON_PREFIX}/bin/pip install -r "binder/requirements.txt"', "./binder/postBuild"]
    assert binder_here.user_steps(DOCKERFILE) == steps


def test_binders_image_brings_a_jupyterlab_that_the_package_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    python = (ROOT / "binder" / "runtime.txt").read_text("utf-8").strip().removeprefix("python-")
    brought = binder_here.image_pins(python)
    lowest = dict(line.split("==") for line in binder_here.image_packages(python))
    assert lowest["jupyterlab"] == brought["jupyterlab"]
    for line in project["optional-dependencies"]["lab"]:
        name, _, wanted = line.partition(">=")
        assert brought[name] in SpecifierSet(f">={wanted}"), line


def test_the_gauge_sees_what_a_child_process_holds() -> None:
    hold = "held = bytearray(range(256)) * (256 * 1024)\nprint(len(held), flush=True)\ninput()"
    shell = ["sh", "-c", '"$0" -c "$1"; true', sys.executable, hold]
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        size = int(process.stdout.readline())
        gauge = binder_here.Gauge(process.pid)
        gauge.start()
        gauge.done.wait(1.5)
        gauge.done.set()
        gauge.join()
        process.stdin.close()
    assert size < gauge.peak < 3 * size


def test_a_memory_group_ends_what_goes_beyond_its_limit() -> None:
    limit = 64 * 1024**2
    with binder_here.memory_group(limit) as group:
        if group is None:
            pytest.skip("no memory cgroup can be made here; run as root on Linux")
        join = ["bash", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group), sys.executable, "-c"]
        small, large = (subprocess.run([*join, f"b'x' * {size}"], timeout=60).returncode for size in (1000, 3 * limit))
    assert small == 0 and large != 0
    assert not group.exists()
