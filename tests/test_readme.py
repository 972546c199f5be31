"""The README keeps its promises: the CI runs its commands, links lead somewhere, file map and example are true."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from weightlab.toys.panel import DescentPanel

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "INSTRUCTORS.md")
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def commands() -> dict[str, str]:
    """Name -> shell command of the code blocks that follow a line `<!-- command: name -->`."""
    return dict(re.findall(r"^<!-- command: (\w+) -->\n```bash\n(.*?)\n```$", README, flags=re.MULTILINE | re.DOTALL))


def test_there_are_two_commands_of_one_line() -> None:
    assert list(commands()) == ["learn", "test"]
    assert not any("\n" in command for command in commands().values())


@pytest.mark.parametrize(("name", "extra", "program"), [("learn", "lab", "jupyter lab"), ("test", "test", "pytest")])
def test_a_command_makes_its_environment_from_the_pins_and_stops_when_a_part_fails(
    name: str, extra: str, program: str
) -> None:
    make, install, run = commands()[name].split(" && ")
    assert make == "python3 -m venv .venv"
    assert install == f'.venv/bin/python -m pip install -c binder/constraints.txt -e ".[{extra}]"'
    assert run.startswith(f".venv/bin/{program}")


@pytest.mark.skipif(sys.platform == "win32", reason="the CI's script is for bash; run this test on Linux or macOS")
def test_the_ci_runs_the_readmes_test_command() -> None:
    shown = subprocess.run([".ci/run", "--show"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert shown.stdout.strip() == commands()["test"]
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert re.search(r"run: \.ci/run$", workflow, flags=re.MULTILINE)


def test_the_learning_commands_settings_exist() -> None:
    settings = re.findall(r"--config=(\S+)", README)
    assert settings and all((ROOT / path.strip("`")).is_file() for path in settings)


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    text = re.sub(r"^( *)```.*?^\1```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [t for t in targets if "://" not in t and not t.startswith("#") and not (ROOT / t.split("#")[0]).exists()]
    assert not missing, f"{page} links to {missing}"


def test_every_picture_has_alt_text() -> None:
    assert "![](" not in README
    assert all(re.search(r'\balt="[^"]+"', tag) for tag in re.findall(r"<img[^>]*>", README))


def test_the_file_map_names_every_room_and_nothing_else() -> None:
    block = re.search(r"## File map\n\n    weightlab/\n(.*?)\n    labs/ ", README, flags=re.DOTALL)
    assert block is not None
    named = set(re.findall(r"\b(\w+)/", block.group(1)))
    assert named == {path.parent.name for path in (ROOT / "weightlab").glob("*/*.py")}


def test_every_lab_is_listed_with_its_binder_link() -> None:
    for lab in sorted((ROOT / "labs").glob("*.ipynb")):
        assert f"](labs/{lab.name})" in README
        assert f"?urlpath=lab/tree/labs/{lab.name})" in README


def test_links_to_the_project_agree_with_the_one_place_that_names_it() -> None:
    owner_and_name = REPOSITORY.removeprefix("https://github.com/")
    pages = [ROOT / "README.md", ROOT / "CITATION.cff", *(ROOT / "labs").glob("*.ipynb")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    homes = re.findall(r"mybinder\.org/v2/gh/([\w.-]+/[\w.-]+)/", text)
    homes += re.findall(r"github\.com/([\w.-]+/weightlab)\b", text)
    assert homes and set(homes) == {owner_and_name}


def test_the_version_is_the_same_everywhere() -> None:
    from weightlab import __version__

    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.split("\n")[0].split()[-1])
def test_the_examples_run_as_they_stand(
    example: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), made)
    assert capsys.readouterr().out
    for panel in made.values():
        if isinstance(panel, DescentPanel):
            panel.close()


def test_the_readme_shows_what_its_example_gives() -> None:
    said = re.search(r"text = panel.text  # (\S+)", README)
    assert said is not None
    panel = DescentPanel("rotated_quadratic", ("momentum", "adam"), learning_rate=0.05)
    assert panel.text == said[1]
    panel.close()
