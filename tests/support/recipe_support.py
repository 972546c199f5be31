"""CONTRIBUTING.md's recipes, carried out to the letter on a copy of the package.

A recipe is the code blocks behind comments such as

    <!-- recipe: loss | weightlab/networks/losses.py | below: LOSSES = registry( -->

which say what it adds, to which file, and where: below the one line that begins so, or above it. The code is indented
as the lines there are. `new` in the last place: it is a whole file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "CONTRIBUTING.md"
_BLOCK = re.compile(
    r"<!-- recipe: (?P<kind>[^|]+?) \| (?P<file>\S+) \| (?P<side>above|below|new)(?:: (?P<line>.+?))? -->\n+"
    r"```python\n(?P<code>.+?)\n```",
    re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """Code that goes into `file` above or below the line that begins with `line`."""

    file: str
    side: str
    line: str
    code: str

    def put_into(self, text: str) -> str:
        """The file's text with the code in it; AssertionError where the place is not to be found, or found twice."""
        if self.side == "new":
            assert not text, f"{self.file} is there already"
            return f"{self.code}\n"
        lines = text.split("\n")
        places = [number for number, line in enumerate(lines) if line.strip().startswith(self.line)]
        assert len(places) == 1, f"{self.file} has {len(places)} lines that begin with {self.line!r}"
        place = places[0] + (self.side == "below")
        indent = re.match(" *", lines[place])
        assert indent is not None
        return "\n".join([*lines[:place], textwrap.indent(self.code, indent[0]), *lines[place:]])


def recipes() -> dict[str, list[Block]]:
    """Every recipe's blocks, by what it adds."""
    found: dict[str, list[Block]] = {}
    for match in _BLOCK.finditer(GUIDE.read_text(encoding="utf-8")):
        block = Block(match["file"], match["side"], match["line"] or "", match["code"])
        found.setdefault(match["kind"], []).append(block)
    return found


@dataclass(frozen=True)
class Copy:
    """A folder with a copy of the package, as somebody's clone who has followed a recipe."""

    folder: Path

    def changed(self) -> list[str]:
        """Files that differ from the package's own."""
        ours, theirs = (
            {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / "weightlab").rglob("*.*")
             if path.suffix != ".pyc"}
            for root in (ROOT, self.folder)
        )  # fmt: skip
        return sorted(name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name))

    def run(self, code: str, *arguments: str) -> str:
        """What a fresh process prints that has the copy for weightlab, and the tests' support."""
        check = f"import weightlab\nassert weightlab.__file__.startswith({str(self.folder)!r}), weightlab.__file__\n"
        return self._run("-c", check + code, *arguments)

    def test(self, *arguments: str) -> str:
        """Run some of this repository's tests against the copy; fails where one fails or none is selected."""
        return self._run("-m", "pytest", "-o", "addopts=", "-q", "-p", "no:cacheprovider", *arguments)

    def _run(self, *arguments: str) -> str:
        paths = os.pathsep.join(map(str, (self.folder, ROOT / "tests" / "support")))
        # -P: without the folder in which the process runs, which has the package as it was
        run = subprocess.run(
            [sys.executable, "-P", *arguments], cwd=ROOT, env={**os.environ, "PYTHONPATH": paths},
            capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
        return run.stdout


def copy_with(blocks: list[Block], folder: Path) -> Copy:
    """A copy of the package in `folder`, with the blocks put in."""
    shutil.copytree(ROOT / "weightlab", folder / "weightlab", ignore=shutil.ignore_patterns("__pycache__"))
    for block in blocks:
        path = folder / block.file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(block.put_into(text), encoding="utf-8")
    return Copy(folder)
