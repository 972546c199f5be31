"""INSTRUCTORS.md is true where it can be: labs, minutes, what each asks for, sums, links, commands."""

from __future__ import annotations

import json
import math
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
LABS = sorted((ROOT / "labs").glob("*.ipynb"))
HEADING = re.compile(r"^### \[(.+)\]\(labs/(\w+\.ipynb)\) · (\d+) min · after (.+)$", flags=re.MULTILINE)
ENTRIES = {name: (title, int(minutes), after) for title, name, minutes, after in HEADING.findall(GUIDE)}


def numbers(text: str) -> set[str]:
    """Labs by number, such as 03; file names do not count."""
    return set(re.findall(r"\b[01]\d\b", re.sub(r"\(\S+\)", "", text)))


def needs(path: Path) -> str:
    """The paragraph of a lab's first cell that says what it takes."""
    (paragraph,) = re.findall(r"\*\*You'll need:?\*\*:?((?:.|\n)*?)(?:\n\n|$)", read_lab(path).book.cells[0].source)
    return str(paragraph)


def courses() -> dict[str, tuple[list[str], int]]:
    found = re.findall(r"^- \*\*(.+)\*\*: ([\d, ]+) \((\d+) min\)$", GUIDE, flags=re.MULTILINE)
    return {name: (labs.split(", "), int(minutes)) for name, labs, minutes in found}


def test_every_lab_is_there_in_order() -> None:
    assert list(ENTRIES) == [path.name for path in LABS]


@pytest.mark.parametrize("path", LABS, ids=lambda path: path.stem)
def test_title_minutes_and_what_a_lab_asks_for_are_the_labs_own(path: Path) -> None:
    title, minutes, after = ENTRIES[path.name]
    assert title.startswith(f"{path.name[:2]} ")
    assert re.search(rf"\b{minutes}\s*min", needs(path))
    # the lab lists labs by number; a start page has none
    assert numbers(after) == numbers(needs(path)) - {path.name[:2]}


@pytest.mark.parametrize("name", courses())
def test_a_course_keeps_the_order_and_its_minutes_add_up(name: str) -> None:
    labs, minutes = courses()[name]
    by_number = {file[:2]: entry for file, entry in ENTRIES.items()}
    assert sum(by_number[lab][1] for lab in labs) == minutes
    for place, lab in enumerate(labs):
        assert numbers(by_number[lab][2]) <= set(labs[:place]), f"{lab} comes before what it asks for"


def test_there_are_courses_and_predictions_for_every_lab_but_the_start_page() -> None:
    assert len(courses()) >= 3
    for name, part in zip(ENTRIES, HEADING.split(GUIDE)[5::5], strict=True):
        predictions = part.split("\n## ")[0].count("*It is*") + part.split("\n## ")[0].count("*it is*")
        assert name.startswith("00") or predictions >= 3, name


def test_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", GUIDE) if "://" not in target]
    assert targets and all((ROOT / target).exists() for target in targets)


def test_the_nbgitpuller_link_names_the_repository_and_a_notebook_in_it() -> None:
    (link,) = re.findall(r"^https://hub\.example\.org\S+$", GUIDE, flags=re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    assert urlsplit(link).path == "/hub/user-redirect/git-pull"
    assert asked["repo"] == project["urls"]["Repository"]
    folder = asked["repo"].rsplit("/", 1)[1]
    assert asked["urlpath"].startswith(f"lab/tree/{folder}/")
    assert (ROOT / asked["urlpath"].removeprefix(f"lab/tree/{folder}/")).is_file()


def test_the_sizing_table_follows_from_its_own_rule() -> None:
    """Rules and tables rest on the measured rows; each sum that the text names is the sum of what the rows say."""
    measured = dict(re.findall(r"^\| ([^|]+?) \| \d* ?\| (\d+) \|$", GUIDE, flags=re.MULTILINE))
    server, kernel, shared, whole, hub = (int(most) for most in measured.values())
    assert server + kernel == pytest.approx(shared, abs=2) and shared <= whole
    assert f"{shared} MiB, and a third for trying things out make {shared * 4 / 3:.0f}: **0.75 GiB" in GUIDE
    assert f"{whole} MiB and a third make {whole * 4 / 3:.0f}: **1 GiB**" in GUIDE
    assert shared * 4 / 3 <= 768 and whole * 4 / 3 <= 1024
    assert f"{whole} + {kernel} = {whole + kernel:,} MiB" in GUIDE
    assert whole + kernel <= 1536 and hub < 512
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) GiB \| (\d+) \| (\d+) GB \|$", GUIDE, flags=re.MULTILINE)
    assert len(rows) == 3
    for students, memory, cores, disk in (map(float, row) for row in rows):
        assert (memory, cores, disk) == (0.75 * students + 1, math.ceil(students / 4), 4 + students / 10)


def test_the_hub_that_was_measured_has_the_settings_that_the_guide_gives() -> None:
    assert f"echo '{json.dumps(SERVER_SETTINGS)}' |" in GUIDE
    assert f"sudo cp {SERVER_CONFIG.relative_to(ROOT)} /opt/tljh/user/etc/jupyter/" in GUIDE
    assert "limit: 1.5G" in GUIDE and "guarantee: 1G" in GUIDE and "limits.memory 1.5G" in GUIDE


def test_the_commands_of_this_package_are_those_that_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    commands = set(re.findall(r"python -m weightlab\.teaching\.grading (\w+)", GUIDE))
    assert commands == {"nbgrader", "report"}
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
    options = set(re.findall(r"--\w+", capsys.readouterr().out))
    assert {"--course", "--points", "--saved", "--timeout"} <= options
    assert {"--course", "--points", "--saved", "--timeout"} <= set(re.findall(r"--\w+", GUIDE))


@pytest.mark.skipif(sys.platform == "win32", reason="repo2docker's help needs Linux or macOS")
def test_repo2docker_has_the_options_that_the_image_is_built_with() -> None:
    (command,) = re.findall(r"^jupyter-repo2docker (?:.|\n)*?/weightlab$", GUIDE, flags=re.MULTILINE)
    run = subprocess.run(
        [sys.executable, "-m", "repo2docker", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    options = re.findall(r"(?<!\S)--[a-z-]+", re.sub(r'".+"', "", command))  # what is in quotes is another program's
    assert len(options) == 6 and all(f"{option} " in run.stdout.replace("]", " ") for option in options)
