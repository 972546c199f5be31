"""The pages keep their word: links lead somewhere, commands name what there is, examples run, versions agree."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest

from weightlab import __version__
from weightlab.toys.panel import DescentPanel

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*sorted(ROOT.glob("*.md")), *(ROOT / room / "README.md" for room in ("binder", "tests", "tests/benchmarks"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SESSIONS = re.findall(r"^@nox\.session.*\ndef (\w+)\(", (ROOT / "noxfile.py").read_text("utf-8"), flags=re.MULTILINE)


def commands() -> dict[str, str]:
    """Name -> shell command of the code blocks that follow a line `<!-- command: name -->`."""
    return dict(re.findall(r"^<!-- command: (\w+) -->\n```bash\n(.*?)\n```$", README, flags=re.MULTILINE | re.DOTALL))


def test_what_learning_and_testing_take_is_one_line_that_stops_where_a_part_fails() -> None:
    assert commands().keys() == {"learn", "test"}
    for command in commands().values():
        assert "\n" not in command and command.count(" && ") == 2 and "binder/constraints.txt" in command


@pytest.mark.skipif(sys.platform == "win32", reason="the CI's script is for bash; run this test on Linux or macOS")
def test_the_ci_runs_the_readmes_test_command() -> None:
    shown = subprocess.run([".ci/run", "--show"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert shown.stdout.strip() == commands()["test"]
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert re.search(r"run: \.ci/run$", workflow, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_name_files_extras_modules_and_sessions_that_there_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = r"(?<![\w./-])((?:\.ci|binder|labs/\d|tests)[\w/-]*(?:\.\w+)+)"
    files = re.findall(named, re.sub(r"\]\([^)]*\)", "", text))
    assert [file for file in files if not (ROOT / file).exists()] == []
    extras = {extra for found in re.findall(r'\.\[([a-z,]+)\]["`]', text) for extra in found.split(",")}
    assert extras <= PROJECT["optional-dependencies"].keys()
    assert [module for module in re.findall(r"python -m (weightlab[\w.]+)", text) if find_spec(module) is None] == []
    sessions = re.findall(r"\bnox -s (\w+)", text)
    assert [session for session in sessions if session not in SESSIONS] == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target.split("#")[0]).exists()]
    assert not missing, f"{page.relative_to(ROOT)} links to {missing}"
    for target, anchor in (target.split("#") for target in targets if "#" in target):
        goal = page.parent / target if target else page
        assert anchor in headings(goal.read_text(encoding="utf-8")), f"{target} has no heading {anchor}"


def headings(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    found = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_picture_has_alt_text(page: Path) -> None:
    assert "![](" not in page.read_text(encoding="utf-8")


def test_every_lab_is_found_from_the_readme_in_binder_and_from_the_start_page() -> None:
    labs = sorted((ROOT / "labs").glob("*.ipynb"))
    start = "\n".join(cell.source for cell in nbformat.read(labs[0], as_version=4).cells)
    for lab in labs:
        assert f"](labs/{lab.name})" in README and f"?urlpath=lab/tree/labs/{lab.name})" in README
        assert lab == labs[0] or f"]({lab.name})" in start


def test_links_to_the_project_agree_with_the_one_place_that_names_it() -> None:
    owner_and_name = PROJECT["urls"]["Repository"].removeprefix("https://github.com/")
    pages = [*PAGES, ROOT / "CITATION.cff", *(ROOT / "labs").glob("*.ipynb")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    homes = re.findall(r"mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)/", text)
    homes += re.findall(r"github\.com(?:/|%2F)([\w.-]+(?:/|%2F)weightlab)\b", text)
    assert homes and {home.replace("%2F", "/") for home in homes} == {owner_and_name}


def test_the_version_is_the_same_everywhere() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.split("\n")[0].split()[-1])
def test_the_examples_run_as_they_stand_and_give_what_the_page_says(
    example: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), made)
    assert capsys.readouterr().out
    for said in re.findall(r"^text = .+  # (\S+)$", example, flags=re.MULTILINE):
        assert made["text"] == said
    for panel in made.values():
        if isinstance(panel, DescentPanel):
            panel.close()
