"""What wants environments of its own, and the pins. `nox --list` says what there is; the usual tests need none of it.

    nox -s locked-3.12                                  README's tests on Python 3.12 with the pins
    nox -s oldest-3.11 -- -o addopts= tests/theory      what stands behind -- goes to the session's command
    nox -t environments                                 all Pythons x locked, oldest, latest: hours

uv makes the environments where it is installed, else virtualenv and pip do; `-db virtualenv` chooses these. A Python
that is not on the PATH uv fetches; pyenv's come onto it with `PYENV_VERSION=3.11.7:3.12.1:3.13.0`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import nox
from packaging.requirements import Requirement

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
EXTRAS = PROJECT["project"]["optional-dependencies"]
PYTHONS = nox.project.python_versions(PROJECT, max_version="3.13")
BINDERS_PYTHON = (ROOT / "binder" / "runtime.txt").read_text("utf-8").strip().removeprefix("python-")
PINNED = ("-c", "binder/constraints.txt", "-e")
TURNS = {  # threads that wait must not keep a core busy: there may be more of them than cores
    "2 threads": {"WEIGHTLAB_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    "8 threads": {"WEIGHTLAB_THREADS": "8", "OMP_WAIT_POLICY": "passive"},
    # torch, MKL and OpenBLAS do without the newer instructions of this x86 processor
    "SSE only": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Prescott"},
    "AVX2 only": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
}

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint"]
os.environ.setdefault("UV_TORCH_BACKEND", "cpu")  # the default build for Linux brings gigabytes of CUDA


def run_tests(session: nox.Session) -> None:
    # CI: a browser test without a browser fails instead of being skipped
    session.run("pytest", *session.posargs, env={"CI": "true"})


@nox.session(python=PYTHONS, tags=["environments"])
def locked(session: nox.Session) -> None:
    """README's tests with the pins that everybody installs."""
    session.install(*PINNED, ".[test]")
    run_tests(session)


@nox.session(python=PYTHONS, tags=["environments"])
def oldest(session: nox.Session) -> None:
    """README's tests with the lower end of every range that a learner's environment gets."""
    ranges = map(Requirement, [*PROJECT["project"]["dependencies"], *EXTRAS["lab"]])
    lowest = [f"{each.name}=={end.version}" for each in ranges for end in each.specifier if end.operator == ">="]
    session.install(*lowest, "-e", ".[test]")
    run_tests(session)


@nox.session(python=PYTHONS, tags=["environments"])
def latest(session: nox.Session) -> None:
    """README's tests with whatever is newest today."""
    session.install("-e", ".[test]")
    run_tests(session)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff and mypy, as before every commit."""
    session.install(*PINNED, ".[test]")
    session.run("ruff", "check", ".")
    session.run("mypy")


@nox.session
def labs_again(session: nox.Session) -> None:
    """Every lab's outputs compared: 2 and 8 threads, older processors, ten times in a row (-- --help)."""
    parser = argparse.ArgumentParser(prog="nox -s labs_again --")
    parser.add_argument("labs", nargs="*", default=["labs"])
    parser.add_argument("--times", type=int, default=10, help="how often in a row")
    parser.add_argument("--promises", action="store_true", help="write the figure of all labs into tests/README.md")
    chosen = parser.parse_args(session.posargs)
    session.install(*PINNED, ".[test]")
    turns = [*TURNS.items(), *((f"turn {turn + 1} of {chosen.times}", {}) for turn in range(chosen.times))]
    failed = []
    for name, environment in turns:
        session.log(name)
        try:
            session.run("pytest", *chosen.labs, env=environment)
        except nox.command.CommandFailed:
            failed.append(name)
    how = f"all labs: {', '.join(TURNS)}, {chosen.times} in a row"
    figure = f"{len(turns) - len(failed)} of {len(turns)} without a failure ({how})"
    session.log(figure)
    if chosen.promises and chosen.labs == ["labs"]:
        session.run("python", "tests/support/reliability.py", "labs again", figure)
    if failed:
        session.error(f"failed: {', '.join(failed)}")


@nox.session(python=BINDERS_PYTHON)
def binder(session: nox.Session) -> None:
    """Binder's build without Docker: its steps, every lab on one core, memory (-- 00 10: these only; --promises)."""
    session.install(*PINNED, ".[test]")
    session.run("python", ".ci/binder_here.py", *session.posargs)


@nox.session
def class_scale(session: nox.Session) -> None:
    """Twenty simulated students on a JupyterHub, ten minutes; needs its proxy from npm (-- --students 30 --lab 05)."""
    session.install(*PINNED, ".[hub]")
    session.run("python", "tests/scale/class_scale.py", *session.posargs)


@nox.session
def mutation(session: nox.Session) -> None:
    """The code that all else rests on, changed in some 2,800 places: a test must notice (-- rules.schedules)."""
    session.install(*PINNED, ".[mutation]")
    session.run("python", "tests/scale/mutation.py", *session.posargs)


@nox.session
def grading(session: nox.Session) -> None:
    """Every lab validated and graded by nbgrader."""
    session.install(*PINNED, ".[test,grading]")
    session.run("pytest", "-o", "addopts=", "--whole-labs", "tests/teaching/test_nbgrader.py", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Times beside what one would use instead, five minutes (-- map training: these groups; --quick)."""
    session.install(*PINNED, ".[test,benchmarks]")
    session.run("python", "tests/benchmarks/compare.py", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of the pins; one that nothing can be said about is an error."""
    session.install("pip-audit==2.10.1")
    session.run("pip-audit", "--strict", "--no-deps", "--disable-pip", "-r", "binder/constraints.txt")


@nox.session(python=PYTHONS[0])
def lock(session: nox.Session) -> None:
    """The newest versions that fit become the pins of binder/; on the oldest Python, so that all can install them."""
    session.install("-e", ".")
    needed = {line.partition("==")[0] for line in installed(session)}
    session.install("-e", ".[test]")
    pins = installed(session)
    # Two lists: Binder caches the layer that installs the first only if it refers to no other file.
    rewrite(ROOT / "binder" / "requirements.txt", [pin for pin in pins if pin.partition("==")[0] in needed])
    rewrite(ROOT / "binder" / "constraints.txt", pins)


def installed(session: nox.Session) -> list[str]:
    """`name==version` of what the session has installed, without the package, its installer and CUDA's libraries."""
    code = "from importlib.metadata import distributions as all; print(*(f'{d.name}=={d.version}' for d in all()))"
    found = str(session.run("python", "-c", code, silent=True)).split()
    others = ("weightlab==", "pip==", "wheel==", "nvidia-", "cuda-", "triton==")
    pins = {line.partition("+")[0] for line in found if not line.startswith(others)}
    return sorted(pins, key=lambda pin: pin.partition("==")[0].lower())


def rewrite(file: Path, pins: list[str]) -> None:
    """The file with these pins below its comments and options."""
    head = [line for line in file.read_text("utf-8").splitlines() if line.startswith(("#", "--"))]
    file.write_text("\n".join([*head, *pins, ""]), "utf-8")
