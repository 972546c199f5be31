"""Write the pins of the environment that runs this: binder/constraints.txt and binder/requirements.txt.

    python3 -m venv /tmp/new && /tmp/new/bin/pip install -e ".[test]" && /tmp/new/bin/python .ci/lock.py

constraints.txt names what the extras pull in, requirements.txt what the package alone pulls in: repo2docker caches
the layer that installs it only if it refers to no other file, so it repeats the pins instead of including them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS, REQUIREMENTS = ROOT / "binder" / "constraints.txt", ROOT / "binder" / "requirements.txt"
CONSTRAINTS_HEAD = """\
# The versions that the tests ran with, for every package that the extras "lab" and "test" pull in.
# Written by .ci/lock.py; ranges are in pyproject.toml.
"""
REQUIREMENTS_HEAD = """\
# Read by Binder: what the package needs, at the versions of constraints.txt. Written by .ci/lock.py.
# JupyterLab is the one that Binder's image brings. The package itself: postBuild, so that a commit rebuilds little.
--extra-index-url=https://download.pytorch.org/whl/cpu
"""


def closure(requirements: Iterable[str]) -> dict[str, str]:
    """Name -> version of every installed distribution that the requirements pull in, without local version parts."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = list(requirements)
    while waiting:
        wanted = Requirement(waiting.pop())
        key = f"{canonicalize_name(wanted.name)}{sorted(wanted.extras)}"
        if key in seen:
            continue
        seen.add(key)
        distribution = metadata.distribution(wanted.name)
        if wanted.name != "weightlab":
            found[distribution.metadata["Name"]] = distribution.version.split("+")[0]
        for line in distribution.requires or []:
            needed = Requirement(line)
            extras = wanted.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(line.split(";")[0].strip())
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def pins(packages: dict[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in packages.items())


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    CONSTRAINTS.write_text(CONSTRAINTS_HEAD + pins(closure(["weightlab[lab,test]"])), encoding="utf-8")
    REQUIREMENTS.write_text(REQUIREMENTS_HEAD + pins(closure(project["dependencies"])), encoding="utf-8")


if __name__ == "__main__":
    main()
