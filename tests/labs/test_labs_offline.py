"""No lab needs a network: the kernels of the notebook tests run without one, and that block is real.

tests/support/no_network.py blocks; tests/conftest.py installs it, so that `pytest` runs every lab, outputs compared,
without a network. (`pytest labs/…` alone reads no conftest and runs without the block.) Here are the
tests of the block itself, and of the package outside the labs: every module imported, every panel used.
"""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from all_panels import PANELS
from browser_support import LABS, ROOT
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, start_new_kernel
from no_network import own_machine, refuse_network
from reliability import Record

AWAY = ("192.0.2.1", "2001:db8::1", "127.example.org", b"example.org")  # addresses that are nobody's, RFC 5737 and 3849

SPEAKS = {"socket", "ssl", "http", "ftplib", "smtplib", "requests", "urllib3", "httpx", "aiohttp", "xmlrpc"}
USE_ALL = """
import importlib, sys
sys.path.insert(0, {tests!r})
import no_network
asked = []
def note(event, arguments):
    if event in (*no_network.ADDRESS_AT, *no_network.NAME_AT):
        asked.append(event)
sys.addaudithook(note)
for name in {modules!r}:
    importlib.import_module(name)
from weightlab.imbalance import techniques as imbalance
from weightlab.networks import datasets
from weightlab.teaching import environment
from weightlab.stage.panel import Panel
from weightlab.stage.replay import replay_html
SMALL = {{
    "training": {{"depth": 1, "width": 2, "steps": 3}}, "epochs": {{"epochs": 2}}, "surface": {{"steps": 20}},
    "sharpness": {{"steps": 3}}, "ensemble": {{"steps": 3}}, "imbalance": {{"steps": 3}},
}}
def panels(kind):
    below = kind.__subclasses__()
    return [panel for sub in below for panel in panels(sub)] if below else [kind]
names = []
for kind in panels(Panel):
    name = kind.__name__.removesuffix("Panel").lower()
    panel = kind(**SMALL.get(name, {{}}))
    if panel.transport["live"]:
        panel.run(*[3][: name == "stepper"])
    assert panel.program and panel.text and panel.still().png and replay_html(panel, sliders=())
    panel.close()
    names.append(kind.__name__)
for name in datasets.DATASETS:
    datasets.dataset(name)
for name in imbalance.TASKS:
    imbalance.imbalanced(name)
environment.read_environment()
print(len(names), asked, sep=';')
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """The client of a kernel that was started as nbval starts one for a lab."""
    manager, client = start_new_kernel(kernel_name=CURRENT_ENV_KERNEL_NAME, stderr=subprocess.DEVNULL)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def printed(kernel: Any, code: str) -> str:
    """What `code` prints in the kernel, or "Error: message" when it raises."""
    found = []

    def take(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            found.append(content["text"])
        elif message["msg_type"] == "error":
            found.append(f"{content['ename']}: {content['evalue']}")

    kernel.execute_interactive(code, timeout=60, output_hook=take)
    return "".join(found).strip()


@pytest.mark.parametrize("host", AWAY)
@pytest.mark.parametrize("event", ["socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"])
def test_other_machines_are_refused(event: str, host: str | bytes) -> None:
    whole = (host, 443) if "addr" in event or "host" in event else (None, (host, 443))
    with pytest.raises(ConnectionRefusedError, match="no network in the labs"):
        refuse_network(event, whole)


def test_this_machine_and_unix_sockets_pass() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", b"127.0.0.1", "", None):
        assert own_machine(host)
        refuse_network("socket.connect", (None, (host, 80)))
        refuse_network("socket.getaddrinfo", (host, 80, 0, 0, 0))
    refuse_network("socket.connect", (None, "/tmp/a.socket"))
    refuse_network("open", ("192.0.2.1", "r", 0))


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "import socket; socket.getaddrinfo('example.org', 80)",
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "import urllib.request; urllib.request.build_opener(urllib.request.ProxyHandler({})).open('http://192.0.2.1')",
    ],
)
def test_a_labs_kernel_reaches_no_other_machine(kernel: Any, code: str) -> None:
    assert "no network in the labs" in printed(kernel, code)


def test_a_labs_kernel_reaches_its_own_machine(kernel: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ask = f"import socket; print(socket.create_connection(('127.0.0.1', {port}), timeout=10).getpeername()[1])"
        assert printed(kernel, ask) == str(port)


def test_the_block_leaves_no_name_in_the_learners_way(kernel: Any) -> None:
    names = "refuse_network install own_machine sys Path Any STARTUP annotations"
    assert printed(kernel, f"print([name for name in {names.split()!r} if name in globals()])") == "[]"


def test_the_notebook_tests_start_their_kernels_with_the_block() -> None:
    startup = Path(os.environ["IPYTHONDIR"]) / "profile_default" / "startup" / "00-no-network.py"
    assert "no_network.py" in startup.read_text(encoding="utf-8")


def modules() -> list[str]:
    parts = (path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "weightlab").rglob("*.py"))
    return sorted({".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts})


@pytest.mark.long
def test_every_module_and_every_panel_does_without_a_network(record_property: Record) -> None:
    code = USE_ALL.format(tests=str(ROOT / "tests" / "support"), modules=modules())
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-3000:]
    panels, asked = run.stdout.splitlines()[-1].split(";")
    assert asked == "[]" and int(panels) == len(PANELS)
    record_property("panels", int(panels))


def sources() -> Iterator[tuple[str, str]]:
    """(file, source) of every module of the package and every code cell of the labs."""
    for path in (ROOT / "weightlab").rglob("*.py"):
        yield path.name, path.read_text(encoding="utf-8")
    for path in LABS.glob("*.ipynb"):
        book = nbformat.read(path, as_version=4)
        yield from ((path.name, cell.source) for cell in book.cells if cell.cell_type == "code")


def test_nothing_that_speaks_to_a_network_is_imported() -> None:
    found = []
    for name, source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                speaks = {one.split(".")[0] for one in names} & SPEAKS or "urllib.request" in names
                if speaks or any(one.startswith("fetch_") for one in names):  # scikit-learn's downloads
                    found.append((name, names))
    assert found == []
