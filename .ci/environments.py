"""Install the project and run its tests in every environment that it promises, on this machine.

    .venv/bin/python .ci/environments.py                            every Python × locked, oldest, latest
    .venv/bin/python .ci/environments.py 3.12 3.13 --with locked    these only; --keep FOLDER leaves clones and logs
    .venv/bin/python .ci/environments.py --resolve                  only look which versions pip would choose
    .venv/bin/python .ci/environments.py --repeat-labs 10 --threads 2,8 --processors sse avx2    each output compared
    .venv/bin/python .ci/environments.py --binder                   Binder's build without Docker, and every lab in it

Each environment is a fresh clone of HEAD. What is installed and run is read from README.md and from the workflow.
Prints a Markdown table; fails where anything in it did. `--promises` puts the figures into README's table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ROOT / ".github" / "workflows" / "tests.yml"
INSTALL_SECONDS, TEST_SECONDS = 1800, 5400
PROCESSORS = {  # torch, MKL and OpenBLAS do without the newer instructions of this x86 processor
    "sse": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "OPENBLAS_CORETYPE": "Prescott"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2", "OPENBLAS_CORETYPE": "Haswell"},
}
OUTCOME = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)\b")


@dataclass(frozen=True)
class Commands:
    """The three parts of a test command: make the environment, install into it, run the tests."""

    make: str
    install: str
    test: str


@dataclass(frozen=True)
class Row:
    """One environment and what became of it; `failed` are the tests that did not pass."""

    python: str
    dependencies: str
    torch: str
    result: str
    ok: bool
    failed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"| {self.python} | {self.dependencies} | {self.torch} | {self.result} |"


def job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["tests"]
    return found


def matrix() -> dict[str, list[str]]:
    """The workflow's Pythons and dependencies."""
    found: dict[str, list[str]] = job()["strategy"]["matrix"]
    return found


def steps(dependencies: str) -> list[str]:
    """The shell commands that the workflow's job runs for these dependencies, in order."""
    chosen = []
    for step in (step for step in job()["steps"] if "run" in step):
        condition = re.fullmatch(r"matrix\.dependencies (==|!=) '(\w+)'", step.get("if", "matrix.dependencies != ''"))
        if condition is None and "if" in step:
            raise ValueError(f"{WORKFLOW.name}: cannot read the condition {step['if']!r}; compare matrix.dependencies")
        wanted = condition is None or (condition[1] == "==") == (condition[2] == dependencies)
        if wanted:
            chosen.append(step["run"].strip())
    return chosen


def commands(dependencies: str) -> Commands:
    """README's test command for the pins, which `.ci/run` shows; the workflow's own for the others."""
    readme = subprocess.run([ROOT / ".ci" / "run", "--show"], capture_output=True, text=True, timeout=30, check=True)
    given = [readme.stdout.strip() if step == ".ci/run" else step for step in steps(dependencies)]
    parts = " && ".join(step for step in given if "GITHUB_ENV" not in step).split(" && ")
    if len(parts) != 3:
        raise ValueError(f"{dependencies}: expected to make, install and test, got {parts}")
    return Commands(*parts)


def variables(clone: Path) -> dict[str, str]:
    """What the workflow sets for its later steps: where PyTorch's CPU build is to be had. Empty if that is nowhere."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as noted:
        for step in steps("latest"):
            if "GITHUB_ENV" in step:
                environment = {**os.environ, "GITHUB_ENV": noted.name}
                subprocess.run(["bash", "-ec", step], cwd=clone, env=environment, timeout=30, check=True)
        found = dict(line.split("=", 1) for line in noted.read().splitlines())
    return {name: value for name, value in found.items() if reachable(value)}


def reachable(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=10).close()
    except OSError:
        return False
    return True


def find_python(version: str) -> Path | None:
    """A Python such as "3.12": the one on the PATH, else pyenv's newest; None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(pyenv.glob(f"{version}.*"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    on_path = [Path(path) for path in [shutil.which(f"python{version}")] if path]
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2], sys.executable)"
    for path in [*on_path, *(folder / "bin" / "python" for folder in reversed(installed))]:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            told = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=30).stdout.split()
            if told[:1] == [version]:
                return Path(told[1])
    return None


def fresh_clone(folder: Path) -> Path:
    """HEAD of this repository in `folder`; an environment that an earlier run kept there stays."""
    if folder.exists():
        subprocess.run(["git", "fetch", "--quiet", "origin", "HEAD"], cwd=folder, timeout=300, check=True)
        checkout = ["git", "checkout", "--quiet", "--force", "--detach", "FETCH_HEAD"]
        subprocess.run(checkout, cwd=folder, timeout=300, check=True)
    else:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], timeout=300, check=True)
    return folder


@dataclass(frozen=True)
class Place:
    """A clone in which commands run: `python3` is the chosen Python, everything they print goes into the log."""

    clone: Path
    log: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, folder: Path, name: str, python: Path) -> Place:
        clone, programs = fresh_clone(folder / name), folder / f"{name}-programs"
        programs.mkdir(exist_ok=True)
        chosen = programs / "python3"
        chosen.write_text(f'#!/bin/sh\nexec "{python}" "$@"\n', encoding="utf-8")
        chosen.chmod(0o755)
        # CI: a browser test without a browser fails instead of being skipped
        environment = {**os.environ, "CI": "true", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        log = folder / f"{name}.log"
        log.write_text("", encoding="utf-8")
        return cls(clone, log, environment | variables(clone))

    def run(self, command: str, seconds: float) -> int:
        """The command's exit status; 124 if it took longer than `seconds`."""
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {command}\n")
            log.flush()
            output: dict[str, Any] = {"stdout": log, "stderr": subprocess.STDOUT}
            try:
                bash = ["bash", "-euo", "pipefail", "-c", command]
                return subprocess.run(bash, cwd=self.clone, env=self.environment, timeout=seconds, **output).returncode
            except subprocess.TimeoutExpired:
                return 124

    def versions(self) -> dict[str, str]:
        """Name -> version of what is installed, Python itself included."""
        code = (
            "import json, platform; from importlib.metadata import distributions as all; "
            "print(json.dumps({d.name: d.version for d in all()} | {'python': platform.python_version()}))"
        )
        told = subprocess.run([self.clone / ".venv" / "bin" / "python", "-c", code], capture_output=True, timeout=60)
        found: dict[str, str] = json.loads(told.stdout)
        return found

    def resolved(self, install: str) -> dict[str, str] | None:
        """Name -> version of what pip would install, or None if it finds no solution."""
        report = self.log.with_suffix(".json")
        if self.run(f"{install} --dry-run --ignore-installed --quiet --report {report}", INSTALL_SECONDS):
            return None
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
        return {each["metadata"]["name"]: each["metadata"]["version"] for each in chosen}


def try_environment(version: str, dependencies: str, folder: Path, resolve_only: bool) -> Row:
    python = find_python(version)
    if python is None:
        return Row(version, dependencies, "", "no such Python here", False)
    place, does = Place.make(folder, f"{version}-{dependencies}", python), commands(dependencies)
    if place.run(does.make, INSTALL_SECONDS):
        return Row(version, dependencies, "", f"no environment: {last_line(place.log)}", False)
    version = place.versions()["python"]
    reason = "as asked" if resolve_only else ""
    if not resolve_only and (status := place.run(does.install, INSTALL_SECONDS)):
        reason = f"not installed in {INSTALL_SECONDS} s" if status == 124 else f"not installed: {last_line(place.log)}"
    if reason:
        found = place.resolved(does.install)
        if found is None:
            return Row(version, dependencies, "", f"does not resolve: {last_line(place.log)}", False)
        result = f"resolved only, {len(found)} packages: {reason}"
        return Row(version, dependencies, found["torch"], result, resolve_only)
    status = place.run(does.test, TEST_SECONDS)
    result, failed = outcome(place.log.read_text(encoding="utf-8"))
    late = f"; stopped after {TEST_SECONDS} s" if status == 124 else ""
    return Row(version, dependencies, place.versions()["torch"], result + late, status == 0, failed)


def last_line(log: Path) -> str:
    """What the last command said: pip's first complaint, or its last line."""
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = ("\n" + text).rpartition("\n$ ")[2].strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:])[0].strip()[:160]


def outcome(text: str) -> tuple[str, tuple[str, ...]]:
    """What pytest's last line says, "3346 passed, 3 skipped in 517 s", and the tests that failed."""
    ends = [line for line in text.splitlines() if OUTCOME.search(line) and re.search(r" in [\d.]+s\b", line)]
    if not ends:
        return "the tests did not end", ()
    counts = ", ".join(f"{number} {word}" for number, word in OUTCOME.findall(ends[-1]))
    seconds = float(re.findall(r" in ([\d.]+)s\b", ends[-1])[-1])
    return f"{counts} in {seconds:.0f} s", tuple(re.findall(r"^(?:FAILED|ERROR) (\S+)", text, flags=re.MULTILINE))


def gather(head: str, coming: Iterable[Row], told: Callable[[list[Row]], None]) -> list[Row]:
    """All the rows, each printed when it is there and `told`, with those before it; then the tests that failed."""
    rows: list[Row] = []
    print(f"\n{head}\n|{'---|' * head.count(' | ')}---|", flush=True)
    for row in coming:
        rows.append(row)
        print(row, flush=True)
        told(rows)
    for row in rows:
        for test in row.failed:
            print(f"{row.python} {row.dependencies}: {test} failed")
    return rows


def try_all(pythons: Sequence[str], kinds: Sequence[str], folder: Path, resolve_only: bool) -> Iterator[Row]:
    for version in pythons:
        for dependencies in kinds:
            yield try_environment(version, dependencies, folder, resolve_only)


def repeat_labs(times: int, threads: Sequence[str], instructions: Sequence[str]) -> Iterator[Row]:
    """Run every lab once for each number of threads and each other kind of processor, then `times` times in a row.

    Each output is compared with the page's. More threads or other vector instructions add up in another order, so they
    round differently.
    """
    # threads that wait must not keep a core busy: there may be more of them than cores
    turns = [("once", f"{n} threads", {"WEIGHTLAB_THREADS": n, "OMP_WAIT_POLICY": "passive"}) for n in threads]
    turns += [("once", f"as with {name} only", PROCESSORS[name]) for name in instructions]
    turns += [(f"{turn + 1} of {times}", "in a row", {}) for turn in range(times)]
    command = [sys.executable, "-m", "pytest", "labs"]
    for turn, what, chosen in turns:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **chosen}, capture_output=True, text=True, timeout=TEST_SECONDS
        )
        result, failed = outcome(done.stdout)
        yield Row(turn, what, "", result, done.returncode == 0, failed)


def names(rows: Iterable[Row]) -> str:
    return ", ".join(f"{row.python} {row.dependencies}" for row in rows)


@contextlib.contextmanager
def kept(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="weightlab-environments-") as made:
            yield Path(made)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.resolve()


def write_promise(name: str, figure: str) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    import reliability

    reliability.write({name: figure})


def chosen_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Whether the project works in every environment that it promises.")
    parser.add_argument("pythons", nargs="*", help=f"such as 3.12; none for {', '.join(matrix()['python'])}")
    kinds = matrix()["dependencies"]
    parser.add_argument("--with", nargs="+", dest="kinds", choices=kinds, default=kinds, help="none for all")
    parser.add_argument("--resolve", action="store_true", help="install nothing, only look for versions that fit")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave clones, environments and logs there")
    parser.add_argument("--repeat-labs", type=int, metavar="TIMES", help="in the environment that runs this")
    parser.add_argument("--threads", default="", help="such as 1,2,8: once more with each number of threads")
    parser.add_argument("--processors", nargs="*", default=[], choices=PROCESSORS, help="and as on these")
    parser.add_argument("--binder", action="store_true", help="do what repo2docker renders, then open every lab in it")
    parser.add_argument("--labs", nargs="+", default=[], metavar="NN", help="with --binder: these only, such as 00 10")
    parser.add_argument("--promises", action="store_true", help="write the figures into README's table")
    return parser.parse_args()


def main() -> None:
    chosen = chosen_options()

    def told(name: str, figure: str) -> None:
        if chosen.promises:
            write_promise(name, figure)

    def of_runs(rows: Sequence[Row], what: str) -> str:
        return f"{sum(row.ok for row in rows)} of {len(rows)} without a failure ({what})"

    def of_labs(rows: Sequence[Row]) -> str:
        counts = Counter(row.dependencies for row in rows)
        kinds = (f"{count} {how}" if how == "in a row" else how for how, count in counts.items())
        return of_runs(rows, f"all labs: {', '.join(kinds)}")

    with kept(chosen.keep) as folder:
        if chosen.binder:
            import binder_here

            name, figure, ok = binder_here.report(folder, chosen.labs)
            told(name, figure)
        elif chosen.repeat_labs is not None:
            numbers = [number for number in chosen.threads.split(",") if number]
            turns = repeat_labs(chosen.repeat_labs, numbers, chosen.processors)
            rows = gather("| turn | how | | labs |", turns, lambda rows: told("labs again", of_labs(rows)))
            ok = all(row.ok for row in rows)
        else:
            print(f"Each environment's log is beside its clone in {folder}")
            found = try_all(chosen.pythons or matrix()["python"], chosen.kinds, folder, chosen.resolve)
            head = "| Python | dependencies | torch | README's test command |"
            # hours: what there is stands in the table even where the rest is interrupted
            rows = gather(head, found, lambda rows: told("environments", of_runs(rows, names(rows))))
            ok = all(row.ok for row in rows)
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
