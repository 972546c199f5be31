"""The mutation check: is every small change to the code that all else rests on noticed by a test?

    nox -s mutation                       every file that pyproject.toml names under [tool.mutmut]
    nox -s mutation -- rules.schedules    these only

mutmut, of the extra "mutation", changes functions and methods one place at a time, in a copy, and runs the tests that
reach the place; it leaves tables at module level and decorated functions alone. The command fails where a change that
is not caught is missing from mutation_survivors.toml, which says of each why it may live, and where an entry there is
no longer needed. A run over all files writes the row in tests/README.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import reliability  # noqa: E402

EXPLAINED = Path(__file__).with_name("mutation_survivors.toml")
CAUGHT = ("killed", "timeout")  # a change that makes the code run on for ever has been noticed too


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether the tests notice every small change.")
    parser.add_argument("modules", nargs="*", default=modules(), help="such as teaching.checks; none for all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weightlab-mutation-") as place:
        folder = copied(Path(place))
        mutmut(folder, "run", "--max-children", str(chosen.jobs), *(f"weightlab.{name}.*" for name in chosen.modules))
        verdicts = {name: how for name, how in all_verdicts(folder).items() if module_of(name) in chosen.modules}
        alive = {described(name, mutmut(folder, "show", name)) for name, how in verdicts.items() if how not in CAUGHT}
    print(figure(verdicts))
    complaints = unexplained(chosen.modules, alive)
    if not complaints and set(chosen.modules) == set(modules()):
        reliability.write({"mutation": figure(verdicts)})
    sys.exit("\n".join(complaints) or None)


def modules() -> list[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return [".".join(Path(file).with_suffix("").parts[1:]) for file in settings["tool"]["mutmut"]["only_mutate"]]


def copied(folder: Path) -> Path:
    for name in ("weightlab", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def mutmut(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    # one thread: a process that has started torch's threads must not be forked
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        said = (line for line in lines if not "\u2800" <= line[:1] <= "\u28ff")  # without its spinner
        sys.exit(f"mutmut {arguments[0]} failed:\n" + "\n".join(said))
    return done.stdout


def all_verdicts(folder: Path) -> dict[str, str]:
    """Name of the changed function, such as `weightlab.teaching.checks.x_check_number__mutmut_3` -> its fate."""
    lines = (line.strip() for line in mutmut(folder, "results", "--all", "true").splitlines())
    pairs = (line.rsplit(": ", 1) for line in lines if "__mutmut_" in line)
    return dict(pairs)


def module_of(name: str) -> str:
    return ".".join(name.split(".")[1:3])


def described(name: str, difference: str) -> str:
    """`teaching.checks.check_number: the changed line`, which stays when mutmut's numbers shift."""
    function = name.split(".")[3].rsplit("__mutmut_", 1)[0].removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    lines = [line for line in difference.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    added = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    return f"{module_of(name)}.{function}: {added or 'without ' + ' '.join(line[1:].strip() for line in lines)}"


def figure(verdicts: dict[str, str]) -> str:
    """What the table of promises says of all modules together."""
    left = sum(verdict not in CAUGHT for verdict in verdicts.values())
    caught = 1 - left / len(verdicts)
    return f"{len(verdicts):,} small changes, {caught:.1%} noticed; the other {left} read and explained"


def unexplained(names: list[str], alive: set[str]) -> list[str]:
    groups = tomllib.loads(EXPLAINED.read_text("utf-8"))["survivors"]
    known = {change for group in groups for change in group["changes"] if ".".join(change.split(".")[:2]) in names}
    new = [f"not noticed by any test, and not in {EXPLAINED.name}:\n  {change}" for change in sorted(alive - known)]
    gone = [f"no longer alive, take it out of {EXPLAINED.name}:\n  {change}" for change in sorted(known - alive)]
    return new + gone


if __name__ == "__main__":
    main()
