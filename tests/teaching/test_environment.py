"""The read-out of what the labs run on."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import metadata

import pytest

from weightlab.devices import THREADS_VARIABLE, available_devices
from weightlab.teaching.environment import PAGE_SIDE, WIDGET_PACKAGES, read_environment

GOOD = {"ipywidgets": "8.1.9", "anywidget": "0.11.0", "jupyterlab_widgets": "3.0.17", "jupyterlab": "4.6.6"}


def versions(**changed: str | None) -> Callable[[str], str | None]:
    return lambda name: {**GOOD, **changed}.get(name, "1.0")


def test_it_reads_what_is_installed() -> None:
    read = read_environment()
    assert read.python == platform.python_version()
    assert dict(read.packages)["torch"] == metadata.version("torch")
    assert [name for name, _ in read.widget_packages] == list(WIDGET_PACKAGES)
    assert len(read.devices) == len(available_devices()) and read.devices[-1] == "cpu"
    assert read.cores >= 1


@pytest.mark.parametrize("name", ["ipywidgets", "anywidget"])
def test_a_missing_widget_package_is_named_with_the_remedy(name: str) -> None:
    (problem,) = read_environment(versions(**{name: None})).problems
    assert problem.startswith(f"{name} missing") and "pip install" in problem


def test_a_missing_page_side_is_named_with_the_remedy() -> None:
    (problem,) = read_environment(versions(jupyterlab_widgets=None)).problems
    assert "jupyterlab_widgets missing" in problem and "restart JupyterLab" in problem


def test_a_page_side_of_another_generation_is_refused() -> None:
    (problem,) = read_environment(versions(jupyterlab_widgets="1.1.7")).problems
    assert "1.1.7 does not fit ipywidgets 8.1.9" in problem and "3.*" in problem


def test_the_generations_that_fit_are_those_that_ipywidgets_asks_for() -> None:
    asked = [line for line in metadata.requires("ipywidgets") or [] if line.startswith("jupyterlab")]
    major = metadata.version("ipywidgets").split(".")[0]
    assert len(asked) == 1 and f"~={PAGE_SIDE[major]}." in asked[0]


def test_the_read_out_is_a_few_lines_with_every_version_and_every_problem() -> None:
    text = repr(read_environment(versions(anywidget=None)))
    lines = text.splitlines()
    assert len(lines) == 6 and max(map(len, lines)) < 200
    assert "anywidget missing" in text and "problem" in text and "ready" not in text
    assert THREADS_VARIABLE in text and "jupyterlab 4.6.6" in text
