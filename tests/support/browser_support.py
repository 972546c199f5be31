"""A real JupyterLab in a real Chromium for the browser tests: server, pages, Run All, themes, screenshots.

A test asks for the fixture `lab` (tests/conftest.py) and opens a notebook:

    page = lab.open("06_initialize_and_activate.ipynb")
    page.run_all()
    page.page.get_by_role("button", name="Start").click()

Everything has a time-out; the server gets folders of its own and is ended by its process id.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Error, Page

ROOT = Path(__file__).resolve().parents[2]
LABS = ROOT / "labs"
SERVER_CONFIG = ROOT / "binder" / "jupyter_server_config.py"

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",  # a container's root user has no sandbox
    "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
HOW_TO_GET_CHROMIUM = (
    "no Chromium found: install it (Debian: apt-get install chromium fonts-dejavu-core; Fedora: dnf install chromium; "
    "macOS and Windows: Google Chrome), or set WEIGHTLAB_CHROMIUM to the program's path"
)
# Parts of console errors that JupyterLab itself logs on a healthy page. 4.6 logs none; add one only with its reason.
KNOWN_NOISE: tuple[str, ...] = ()


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome program, or None. The variable WEIGHTLAB_CHROMIUM goes first."""
    chosen = os.environ.get("WEIGHTLAB_CHROMIUM")
    if chosen:
        return chosen
    found = (shutil.which(name) for name in CHROMIUM_NAMES)
    usual = (
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    )
    return next((path for path in found if path), None) or next((path for path in usual if Path(path).exists()), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LabServer:
    """JupyterLab on 127.0.0.1 over a temporary copy of `labs`; use as a context manager.

    `folder` is the copy: write further notebooks into it. `log` is the server's output, read it when a test fails.
    `windowing`: JupyterLab's setting of what it does with cells out of sight; empty for its default.
    """

    program: tuple[str, ...] = (sys.executable, "-m", "jupyter", "lab", f"--config={SERVER_CONFIG}")

    def __init__(self, labs: Path = LABS, *, start_seconds: float = 60.0, windowing: str = "") -> None:
        self.home = Path(tempfile.mkdtemp(prefix="weightlab-browser-"))
        self.folder = self.home / "labs"
        if labs.is_dir():
            shutil.copytree(labs, self.folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        self.folder.mkdir(exist_ok=True)
        self.log = self.home / "server.log"
        self.port = free_port()
        self.token = secrets.token_hex(16)
        self.start_seconds = start_seconds
        # Before 4.5 cells out of sight leave the page, and with them what a test would look at.
        older = tuple(map(int, version("jupyterlab").split(".")[:2])) < (4, 5)
        self.windowing = windowing or ("none" if older else "")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def notebook_url(self, name: str) -> str:
        return f"{self.url}/lab/tree/{name}?reset&token={self.token}"

    def __enter__(self) -> LabServer:
        self._write_settings()
        command = [*self.program, "--no-browser", "--ip=127.0.0.1", f"--port={self.port}"]
        command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}", "--allow-root"]
        command += [f"--ServerApp.root_dir={self.folder}", "--LabApp.expose_app_in_browser=True"]
        command += ["--LabApp.collaborative=False", "--LabApp.news_url=None"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=self._environment(), cwd=self.folder
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the server (it ends its kernels), wait for it, and remove its folders."""
        if self.process is not None and self.process.poll() is None:
            self._request("/api/shutdown", method="POST")
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(15)
        shutil.rmtree(self.home, ignore_errors=True)

    def kernels(self) -> list[dict[str, Any]]:
        """The running kernels as the server's REST API lists them."""
        return list(json.loads(self._request("/api/kernels") or b"[]"))

    def _environment(self) -> dict[str, str]:
        folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
        folders |= {
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "spaces",
            "IPYTHONDIR": "ipython",
        }
        own = {name: str(self.home / folder) for name, folder in folders.items()}
        return {**os.environ, **own, "OMP_NUM_THREADS": "1"}

    def _write_settings(self) -> None:
        """No announcements and no autosave: nothing may change a notebook or the page behind a test's back."""
        extensions = self.home / "settings" / "@jupyterlab"
        quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
        plugins = {"apputils-extension/notification": quiet, "docmanager-extension/plugin": {"autosave": False}}
        if self.windowing:
            plugins["notebook-extension/tracker"] = {"windowingMode": self.windowing}
        for name, settings in plugins.items():
            path = extensions / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings), encoding="utf-8")

    def _request(self, path: str, method: str = "GET") -> bytes | None:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        # The environment's proxy settings are not for this machine's own address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return bytes(answer.read())
        except (urllib.error.URLError, OSError):
            return None

    def _wait_until_it_answers(self) -> None:
        assert self.process is not None
        end = time.monotonic() + self.start_seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"JupyterLab ended at once:\n{self.log.read_text(errors='replace')[-3000:]}")
            if self._request("/api/status") is not None:
                return
            time.sleep(0.1)
        log = self.log.read_text(errors="replace")[-3000:]
        raise TimeoutError(f"JupyterLab did not answer in {self.start_seconds:g} s; its log:\n{log}")


@dataclass
class NotebookPage:
    """One notebook open in JupyterLab. `page` is Playwright's; `errors` are the console's and the page's own."""

    page: Page
    name: str
    console: list[str] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        return [text for text in self.console if not any(noise in text for noise in KNOWN_NOISE)]

    def settle(self, promise: str, argument: Any = None, seconds: float = 60.0) -> Any:
        """Value of a JavaScript promise, an expression of `panel` (the notebook) and `argument`; raises when late.

        Playwright gives `evaluate` no time-out of its own.
        """
        script = """([argument, limit, late]) => {
            const panel = window.jupyterapp.shell.currentWidget;
            const timer = new Promise((_, refuse) => setTimeout(() => refuse(new Error(late)), limit));
            return Promise.race([PROMISE, timer]);
        }""".replace("PROMISE", promise)
        return self.page.evaluate(script, [argument, seconds * 1000, f"not settled in {seconds:g} s: {promise}"])

    def command(self, name: str, seconds: float = 60.0, **arguments: Any) -> None:
        """Execute one of JupyterLab's commands and wait until it is done."""
        done = "window.jupyterapp.commands.execute(argument[0], argument[1]).then(() => true)"
        self.settle(done, [name, arguments], seconds)

    def run_all(self, seconds: float = 90.0) -> None:
        """Run All Cells and wait until the kernel is idle and no cell waits for its turn."""
        self.command("notebook:run-all-cells", seconds)
        self.wait_until_idle(seconds)

    def run_cell(self, index: int, seconds: float = 60.0) -> None:
        """Run the cell at `index` (all cells counted) and wait until the kernel is idle."""
        self.page.evaluate("index => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = index; }", index)
        self.command("notebook:run-cell", seconds)
        self.wait_until_idle(seconds)

    def wait_until_idle(self, seconds: float = 90.0) -> None:
        self.page.wait_for_function(
            """() => {
                const panel = window.jupyterapp.shell.currentWidget;
                const prompts = [...panel.node.querySelectorAll('.jp-InputPrompt')];
                const waiting = prompts.some(node => node.textContent.includes('*'));
                return !waiting && panel.sessionContext.session?.kernel?.status === 'idle';
            }""",
            timeout=seconds * 1000,
        )

    def ask_kernel(self, expression: str, seconds: float = 30.0) -> Any:
        """Value of a Python expression in the notebook's kernel, as JSON; nothing is printed, no cell is changed."""
        reply = self.settle(
            """panel.sessionContext.session.kernel.requestExecute({
                code: '', silent: true, store_history: false, user_expressions: {value: argument}}).done""",
            f"__import__('json').dumps({expression})",
            seconds,
        )
        value = reply["content"]["user_expressions"]["value"]
        if value["status"] != "ok":
            raise RuntimeError(f"the kernel answered {value['ename']}: {value['evalue']}")
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def cell_errors(self) -> list[str]:
        """Tracebacks shown in the notebook, as "cell 3: NameError: ..." lines."""
        found: list[str] = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap((cell, index) =>
                cell.model.type !== 'code' ? [] : cell.model.outputs.toJSON()
                    .filter(output => output.output_type === 'error')
                    .map(output => `cell ${index}: ${output.ename}: ${output.evalue}`))"""
        )
        return found

    def theme(self, kind: str) -> None:
        """Switch JupyterLab to its "light" or "dark" theme and wait until the page wears it."""
        name = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[kind]
        self.command("apputils:change-theme", theme=name)
        wanted = "true" if kind == "light" else "false"
        worn = "wanted => document.body.dataset.jpThemeLight === wanted"
        self.page.wait_for_function(worn, arg=wanted, timeout=20_000)

    def open_next(self, name: str, seconds: float = 60.0) -> NotebookPage:
        """End this notebook and open another in the same JupyterLab, without loading the page again."""
        with contextlib.suppress(Exception):
            self.settle("panel.sessionContext.shutdown().then(() => panel.dispose())", seconds=20)
        opened = NotebookPage(self.page, name)
        opened.watch()
        self.command("docmanager:open", path=name)
        opened.wait_until_ready(seconds)
        return opened

    def watch(self) -> None:
        """Keep what the console and the page complain of from now on."""

        def note_console(message: ConsoleMessage) -> None:
            if message.type == "error":
                self.console.append(f"{message.text} {message.location.get('url', '')}".strip())

        def note_error(error: Error) -> None:
            self.console.append(f"uncaught: {error}")

        self.page.on("console", note_console)
        self.page.on("pageerror", note_error)

    def wait_until_ready(self, seconds: float = 60.0) -> None:
        """Wait until the notebook is in front and its kernel has nothing to do."""
        current = "name => window.jupyterapp?.shell?.currentWidget?.context?.path === name"
        self.page.wait_for_function(current, arg=self.name, timeout=seconds * 1000)
        self.settle("panel.sessionContext.ready.then(() => true)", seconds=seconds)
        self.wait_until_idle(seconds)

    def close(self) -> None:
        """End the notebook's kernel and close its page, so that the next test starts with none."""
        with contextlib.suppress(Exception):
            self.settle("panel.sessionContext.shutdown().then(() => true)", seconds=20)
        self.page.context.close()


class LabBrowser:
    """Chromium over one LabServer: `open` gives a NotebookPage in a context of its own."""

    def __init__(self, server: LabServer, browser: Browser) -> None:
        self.server = server
        self.browser = browser

    def open(
        self, name: str, *, width: int = 1280, height: int = 800, seconds: float = 60.0, scale: float = 1.0
    ) -> NotebookPage:
        """Open notebook `name` of the server's folder and wait until its kernel is ready."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, device_scale_factor=scale, reduced_motion="no-preference"
        )
        page = context.new_page()
        page.set_default_timeout(seconds * 1000)
        opened = NotebookPage(page, name)
        opened.watch()
        page.goto(self.server.notebook_url(name))
        opened.wait_until_ready(seconds)
        return opened


@contextlib.contextmanager
def lab_browser(labs: Path | LabServer = LABS) -> Iterator[LabBrowser]:
    """Server, over `labs` or as given, and browser; raises RuntimeError with the remedy where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    program = find_chromium()
    if program is None:
        raise RuntimeError(HOW_TO_GET_CHROMIUM)
    with labs if isinstance(labs, LabServer) else LabServer(labs) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGUMENTS), timeout=60_000)
        try:
            yield LabBrowser(server, browser)
        finally:
            browser.close()
