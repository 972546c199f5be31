"""What INSTRUCTORS.md and binder/README.md tell a teacher to do can be done: courses, links, commands, settings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from browser_support import SERVER_CONFIG
from class_hub import SERVER_SETTINGS
from lab_rules import ROOT, read_lab

from weightlab.teaching.grading import main

GUIDE = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
SERVER_GUIDE = (ROOT / "binder" / "README.md").read_text(encoding="utf-8")
LABS = {path.name[:2]: path for path in sorted((ROOT / "labs").glob("*.ipynb"))}


def needs(path: Path) -> set[str]:
    """The labs, by number, after which a lab stands, as its first cell says."""
    (said,) = re.findall(r"\*\*You'll need:?\*\*:?((?:.|\n)*?)(?:\n\n|$)", read_lab(path).book.cells[0].source)
    return set(re.findall(r"\b[01]\d\b", re.sub(r"\(\S+\)", "", said))) - {path.name[:2]}


COURSES = dict(re.findall(r"^- \*\*(.+)\*\*: ([\d, ]+) \(\d+ min\)$", GUIDE, flags=re.MULTILINE))


@pytest.mark.parametrize("name", COURSES)
def test_no_lab_of_a_course_comes_before_one_that_it_asks_for(name: str) -> None:
    labs = COURSES[name].split(", ")
    for place, lab in enumerate(labs):
        assert needs(LABS[lab]) <= set(labs[:place]), f"{lab} comes before what it asks for"


def test_the_nbgitpuller_link_names_the_repository_and_a_notebook_in_it() -> None:
    (link,) = re.findall(r"^https://hub\.example\.org\S+$", SERVER_GUIDE, flags=re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    assert urlsplit(link).path == "/hub/user-redirect/git-pull"
    assert asked["repo"] == project["urls"]["Repository"]
    folder = asked["repo"].rsplit("/", 1)[1]
    assert asked["urlpath"].startswith(f"lab/tree/{folder}/")
    assert (ROOT / asked["urlpath"].removeprefix(f"lab/tree/{folder}/")).is_file()


def test_the_hub_that_was_measured_has_the_settings_that_the_guide_gives() -> None:
    assert f"echo '{json.dumps(SERVER_SETTINGS)}' |" in SERVER_GUIDE
    assert f"sudo cp {SERVER_CONFIG.relative_to(ROOT).as_posix()} /opt/tljh/user/etc/jupyter/" in SERVER_GUIDE


def test_the_commands_of_this_package_are_those_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    for command in set(re.findall(r"python -m weightlab\.teaching\.grading (\w+)", GUIDE)):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
    said = set(re.findall(r"`(--\w+)", GUIDE))
    assert said and said <= set(re.findall(r"--\w+", capsys.readouterr().out))


@pytest.mark.skipif(sys.platform == "win32", reason="repo2docker's help needs Linux or macOS")
def test_repo2docker_has_the_options_that_the_image_is_built_with() -> None:
    (command,) = re.findall(r"^jupyter-repo2docker (?:.|\n)*?/weightlab$", SERVER_GUIDE, flags=re.MULTILINE)
    run = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    options = re.findall(r"(?<!\S)--[a-z-]+", re.sub(r'".+"', "", command))  # what is in quotes is another program's
    assert len(options) == 6 and all(f"{option} " in run.stdout.replace("]", " ") for option in options)
