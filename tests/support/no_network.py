"""Shuts the network off in a Python process: every socket but the machine's own refuses to connect.

tests/conftest.py makes IPython run this file in each kernel that a test starts, those of the notebook tests included.
An audit hook (PEP 578) sees what Python's sockets are asked for, whichever library asks, and cannot be taken off again.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

# Fresh globals: nothing of this file may show in the learner's namespace.
STARTUP = 'exec(compile(open({path!r}, encoding="utf-8").read(), {path!r}, "exec"), {{"__name__": "__main__"}})\n'
ADDRESS_AT = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1}  # place among the event's arguments
NAME_AT = {"socket.getaddrinfo": 0, "socket.gethostbyname": 0, "socket.gethostbyaddr": 0}


def install(ipython_folder: Path) -> None:
    """Have every kernel with this IPYTHONDIR run this file before its first cell."""
    folder = ipython_folder / "profile_default" / "startup"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "00-no-network.py").write_text(STARTUP.format(path=str(Path(__file__).resolve())), encoding="utf-8")


def own_machine(host: Any) -> bool:
    """Whether a host, a name or an address, is this machine itself."""
    text = host.decode(errors="replace") if isinstance(host, bytes | bytearray) else host
    return text is None or text in {"", "localhost", "::1"} or re.fullmatch(r"127(\.\d+){3}", str(text)) is not None


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook: ConnectionRefusedError for what would leave this machine; AF_UNIX and loopback pass."""
    if not event.startswith("socket."):
        return
    if event in NAME_AT:
        host = arguments[NAME_AT[event]]
    elif event in ADDRESS_AT:
        address = arguments[ADDRESS_AT[event]]
        if not isinstance(address, tuple):
            return  # AF_UNIX: a path; None: a socket that is connected already
        host = address[0]
    else:
        return
    if not own_machine(host):
        raise ConnectionRefusedError(f"no network in the labs: {event} was asked for {host!r}")


if __name__ == "__main__":
    sys.addaudithook(refuse_network)
