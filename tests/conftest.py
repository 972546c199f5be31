"""What all tests share: one torch thread, folders of their own for Jupyter, and the browser."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dead_kernels
import no_network
import pytest
import reliability
from browser_support import HOW_TO_GET_CHROMIUM, LabBrowser, find_chromium, lab_browser
from hypothesis import Phase, settings
from offline_pages import OfflineBrowser, offline_browser


def pytest_addoption(parser: pytest.Parser) -> None:
    def option(name: str, help: str, **more: Any) -> None:
        parser.addoption(name, help=help, **({"action": "store_true"} | more))

    option("--whole-labs", "in the browser, run all cells of every lab, not only those that its panels need")
    option("--long", "run the tests marked long as well; alone: --long -m long")
    option("--promises", "write what the tests measured into the table of promises, tests/README.md")
    option("--screenshots", "keep pictures of every lab's panels there", action="store", type=Path, metavar="FOLDER")


def pytest_configure(config: pytest.Config) -> None:
    # In CI the same examples every time, so that a change is to blame for a failure; elsewhere new ones are tried.
    settings.register_profile("ci", derandomize=True, database=None, print_blob=True)
    # For tests/scale/mutation.py: that a test fails is all it asks, so no simpler example is looked for.
    same = settings.get_profile("ci")
    settings.register_profile("mutation", parent=same, phases=[Phase.explicit, Phase.generate])
    if os.environ.get("CI"):
        settings.load_profile("ci")
    # One thread, unless asked for more: two workers share the cores, and sums over several threads round differently.
    os.environ["OMP_NUM_THREADS"] = os.environ.get("WEIGHTLAB_THREADS", "1")
    # The kernels of the notebook tests must not read the user's own IPython and Jupyter settings.
    home = Path(tempfile.gettempdir()) / f"weightlab-tests-{os.getpid()}"
    for variable, folder in {"IPYTHONDIR": "ipython", "JUPYTER_CONFIG_DIR": "config"}.items():
        (home / folder).mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(home / folder)
    no_network.install(home / "ipython")
    dead_kernels.install()
    reliability.join(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes waits for --long, so that the usual run stays short enough to be run often."""
    if config.getoption("--long"):
        return
    waiting = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=waiting)
    items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="module")
def lab() -> Iterator[LabBrowser]:
    """JupyterLab over a copy of labs/ in Chromium, one per test file; without Chromium it skips, and in CI it fails."""
    need_chromium()
    with lab_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def offline() -> Iterator[OfflineBrowser]:
    """Chromium for pages on disk, with the network shut off; without Chromium it skips, and in CI it fails."""
    need_chromium()
    with offline_browser() as browser:
        yield browser


def need_chromium() -> None:
    if find_chromium() is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI must run the browser tests: {HOW_TO_GET_CHROMIUM}")
        pytest.skip(HOW_TO_GET_CHROMIUM)


@pytest.fixture
def nothing_is_left_behind() -> Iterator[None]:
    """Closes the panels that a test has opened; no widget and no thread may then remain of them."""
    from ipywidgets.widgets.widget import _instances

    from weightlab.stage.panel import Panel

    widgets, threads = set(_instances), set(threading.enumerate())
    yield
    for panel in list(Panel._open):
        panel.close()
    assert set(_instances) == widgets
    assert set(threading.enumerate()) <= threads
