"""The CI can read the repository and nothing else, on every Python allowed; the server keeps the guards that it has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from browser_support import ROOT
from packaging.specifiers import SpecifierSet
from traitlets.config import PyFileConfigLoader

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_can_read_the_repository_and_nothing_else(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in text and "workflow_run" not in text and "secrets" not in text
    for job in workflow["jobs"].values():
        assert "permissions" not in job and job["timeout-minutes"] <= 360
        for step in job["steps"]:
            used = step.get("uses", "")
            assert not used or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), f"{used} is not pinned by commit"
            assert not used.startswith("actions/checkout@") or step["with"]["persist-credentials"] is False
            # what a stranger can name (branches, titles) must not become part of a command
            assert not re.search(r"\$\{\{\s*(github|inputs|steps)\b", str(step.get("run", "")))


def test_the_workflow_tries_every_python_from_the_oldest_allowed_on() -> None:
    allowed = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"])
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))["jobs"]
    minors = [int(version.split(".")[1]) for version in jobs["tests"]["strategy"]["matrix"]["python"]]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert f"3.{minors[0]}" in allowed and f"3.{minors[0] - 1}" not in allowed


def test_the_servers_settings_leave_its_guards_as_they_are() -> None:
    config = PyFileConfigLoader("jupyter_server_config.py", str(ROOT / "binder")).load_config()
    assert {section: set(settings) for section, settings in config.items()} == {
        "ServerApp": {"kernel_websocket_connection_class"},
        "LabApp": {"default_url"},
    }


def test_no_command_or_setting_that_we_give_takes_a_servers_guards_away() -> None:
    given = [*ROOT.glob("*.md"), *(ROOT / "binder").iterdir(), *(ROOT / "tests").glob("**/README.md")]
    weak = r"(?:token|password)\s*=\s*(?:''|\"\")|allow_origin|disable_check_xsrf|allow_remote_access|0\.0\.0\.0"
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in given if path.is_file()}
    assert {name: found for name, text in texts.items() if (found := re.findall(weak, text))} == {}


def test_the_scripts_are_linted_as_contributors_are_told() -> None:
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    options = re.search(r'"\$\{eslint\[@\]\}" (--config .*)', run)
    program = re.search(r"eslint=\((.*)\)", run)
    assert program and options
    assert f"`{program[1]} {options[1]}`" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
