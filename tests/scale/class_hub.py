"""A JupyterHub on loopback in a folder of its own: started, measured, and ended with all that it started.

Students log in with a name of their choice and one password; their servers are plain processes on this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
from browser_support import LABS, SERVER_CONFIG, free_port

PROXY = "configurable-http-proxy"
MARK = "WEIGHTLAB_CLASS"  # a variable that all processes of one hub have in their environment
START_SECONDS = 60
SPAWN_SECONDS = 600  # for a whole class that logs in at once
END_SECONDS = 20
MIB = 2**20
# A kernel's TCP ports are chosen before it starts: in a class that starts at once, now and then another takes one.
SERVER_SETTINGS = {"KernelManager": {"transport": "ipc"}}  # JupyterHub does not run on Windows, which lacks it


def missing() -> str:
    """What a hub needs and this machine lacks, with how to get it; empty if nothing."""
    if find_spec("jupyterhub") is None:
        return 'needs JupyterHub: .venv/bin/python -m pip install -c binder/constraints.txt -e ".[hub]"'
    if shutil.which(PROXY) is None:
        return f"needs {PROXY}: install Node.js 20 or newer, then npm install --global {PROXY}"
    return ""


@dataclass(frozen=True)
class Hub:
    """A running hub: where it is, how one logs in, and where the students' homes are."""

    url: str
    password: str
    homes: Path
    log: Path
    process: int


def settings(folder: Path, token: str, password: str, port: int) -> dict[str, dict[str, object]]:
    """JupyterHub's configuration: everything on loopback, everything in `folder`."""
    return {
        "JupyterHub": {
            "bind_url": f"http://127.0.0.1:{port}",
            "hub_bind_url": f"http://127.0.0.1:{free_port()}",
            "db_url": f"sqlite:///{folder / 'hub.sqlite'}",
            "cookie_secret_file": str(folder / "cookie_secret"),
            "authenticator_class": "dummy",
            "spawner_class": "simple",
            "concurrent_spawn_limit": 0,  # a class comes all at once
            "log_level": "WARN",
        },
        "ConfigurableHTTPProxy": {
            "command": [shutil.which(PROXY)],
            "api_url": f"http://127.0.0.1:{free_port()}",
            "pid_file": str(folder / "proxy.pid"),
        },
        "Authenticator": {"allow_all": True},
        "DummyAuthenticator": {"password": password},
        "SimpleLocalProcessSpawner": {"home_dir_template": str(folder / "homes" / "{username}")},
        "Spawner": {
            "cmd": [sys.executable, "-m", "jupyterhub.singleuser"],
            "args": ["--allow-root"] if hasattr(os, "getuid") and os.getuid() == 0 else [],
            "environment": {
                MARK: token,
                "JUPYTER_CONFIG_PATH": str(folder / "config"),
                "JUPYTER_RUNTIME_DIR": str(folder / "run"),  # a socket's path must be short
            },
            "default_url": "/lab",
            "start_timeout": SPAWN_SECONDS,
            "http_timeout": SPAWN_SECONDS,
        },
    }


@contextlib.contextmanager
def running_hub(folder: Path, students: list[str]) -> Iterator[Hub]:
    """A hub that answers, with a home for each student that holds the labs; nothing of it runs on afterwards."""
    token, password, port = secrets.token_hex(8), secrets.token_hex(16), free_port()
    (folder / "config").mkdir()
    shutil.copy(SERVER_CONFIG, folder / "config")
    (folder / "config" / "jupyter_server_config.json").write_text(json.dumps(SERVER_SETTINGS), encoding="utf-8")
    for name in students:
        ignored = shutil.ignore_patterns(".ipynb_checkpoints")
        shutil.copytree(LABS, folder / "homes" / name / "labs", ignore=ignored)
    config, log = folder / "jupyterhub_config.json", folder / "hub.log"
    config.write_text(json.dumps(settings(folder, token, password, port)), encoding="utf-8")
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    with log.open("wb") as file:
        started = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, env=os.environ | {MARK: token})
    hub = Hub(f"http://127.0.0.1:{port}", password, folder / "homes", log, started.pid)
    try:
        wait_until_it_answers(hub, started)
        yield hub
    finally:
        end(started, token)


def wait_until_it_answers(hub: Hub, started: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and started.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(f"{hub.url}/hub/health", timeout=2)
            return
        time.sleep(0.2)
    raise RuntimeError(f"JupyterHub did not answer within {START_SECONDS} s:\n{hub.log.read_text('utf-8')[-3000:]}")


def end(started: subprocess.Popen[bytes], token: str) -> None:
    """Ask the hub to end, which ends its servers; then end by id what is left of it."""
    started.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(END_SECONDS)
    left = marked(token)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=END_SECONDS)
    started.wait(END_SECONDS)


def marked(token: str) -> list[psutil.Process]:
    """The processes of the hub that has this mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == token:
                found.append(process)
    return found


def census(hub: Hub) -> dict[str, float]:
    """MiB that each student's server and kernel take: shared pages counted in parts on Linux, whole elsewhere."""
    found: dict[str, float] = {}
    for child in psutil.Process(hub.process).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # a process that just ends is left out
            name = child.environ().get("JUPYTERHUB_USER", "")
            memory = child.memory_full_info()
            if name:
                found[name] = found.get(name, 0.0) + getattr(memory, "pss", memory.rss) / MIB
    return found
