"""No lab needs a network: the kernels of the notebook tests run without one, and that block is real.

tests/no_network.py blocks; tests/conftest.py installs it, so that `pytest` runs every lab, outputs compared, without a
network. (`pytest labs/…` alone reads no conftest and runs without the block.) Here are the tests of the block itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, start_new_kernel
from no_network import own_machine, refuse_network

AWAY = ("192.0.2.1", "2001:db8::1", "127.example.org", b"example.org")  # addresses that are nobody's, RFC 5737 and 3849


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
