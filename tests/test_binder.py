"""Binder builds what was tested: repo2docker reads binder/ as meant, without Docker and without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from binder_here import image_pins, rendered, user_steps
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from traitlets.config import PyFileConfigLoader

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


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `repo2docker --no-build --debug` would build from a copy of what it reads."""
    copy = tmp_path_factory.mktemp("clone")
    shutil.copytree(BINDER, copy / "binder")
    shutil.copy(ROOT / "pyproject.toml", copy)
    return rendered(copy)


def test_binder_uses_a_python_that_the_package_allows(dockerfile: str) -> None:
    chosen = re.findall(r"Building conda environment for python=(3\.\d+)", dockerfile)
    assert chosen and chosen[0] in SpecifierSet(PROJECT["requires-python"])


def test_binder_installs_the_pins_in_a_layer_that_commits_do_not_rebuild(dockerfile: str) -> None:
    install = dockerfile.index('pip install --no-cache-dir -r "binder/requirements.txt"')
    assert install < dockerfile.index("# Copy stuff.")
    assert dockerfile.count("pip install") == 1


def test_binder_runs_post_build_and_start(dockerfile: str) -> None:
    assert dockerfile.index("# Copy stuff.") < dockerfile.index("RUN ./binder/postBuild")
    assert "./binder/postBuild" in user_steps(dockerfile)
    assert 'ENV R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in dockerfile


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

    def test_post_build_installs_the_package_alone_and_the_server_settings(self, tmp_path: Path) -> None:
        calls = run_post_build(tmp_path, failing=False)
        assert "-m pip install --no-cache-dir --no-deps --editable ." in calls
        installed = tmp_path / "prefix" / "etc" / "jupyter" / "jupyter_server_config.py"
        assert installed.read_bytes() == (BINDER / "jupyter_server_config.py").read_bytes()

    def test_post_build_fails_when_a_step_fails(self, tmp_path: Path) -> None:
        with pytest.raises(subprocess.CalledProcessError):
            run_post_build(tmp_path, failing=True)


def run_post_build(folder: Path, *, failing: bool) -> str:
    """Run binder/postBuild with a python3 that notes its arguments instead of installing; return what it noted."""
    (folder / "bin").mkdir()
    python = folder / "bin" / "python3"
    answer = f"case $1$2 in -m*) exit {int(failing)};; -c*sys.prefix*) echo {folder / 'prefix'};; esac"
    python.write_text(f'#!/bin/sh\necho "$@" >> {folder / "calls"}\n{answer}\n', encoding="utf-8")
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    subprocess.run([str(BINDER / "postBuild")], cwd=ROOT, env=environment, timeout=30, check=True)
    return (folder / "calls").read_text(encoding="utf-8")


def test_the_server_sends_kernel_messages_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config = PyFileConfigLoader("jupyter_server_config.py", str(BINDER)).load_config()
    connection = config.ServerApp.kernel_websocket_connection_class
    done: list[Any] = []
    monkeypatch.setattr(connection.__mro__[1], "connect", lambda self: done.append("connected"))
    monkeypatch.setattr(connection, "websocket_handler", SimpleNamespace(set_nodelay=done.append))
    connection.__new__(connection).connect()  # without __init__, which opens a kernel's sockets
    assert done == [True, "connected"]
