"""Pages on disk in Chromium with the network shut off: replays, the labs as a site, and ES modules one by one.

page = offline.open(path, scheme="dark")
page.wait("stage.stats.frames > 0")
assert page.console == []
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from browser_support import CHROMIUM_ARGUMENTS, HOW_TO_GET_CHROMIUM, find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route


@dataclass
class OfflinePage:
    """A page opened from disk with the network shut off; `requests` holds whatever it asked for all the same."""

    page: Page
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def wait(self, condition: str, seconds: float = 20.0) -> None:
        """Wait until JavaScript over `stage`, the replay on the page, is true."""
        script = f"""() => {{
            const root = document.querySelector('.weightlab');
            const stage = root && root.weightlab;
            return Boolean(stage && ({condition}));
        }}"""
        self.page.wait_for_function(script, timeout=seconds * 1000)

    def ask(self, expression: str) -> Any:
        """Value of JavaScript over `stage`."""
        return self.page.evaluate(
            f"() => {{ const stage = document.querySelector('.weightlab').weightlab; return {expression}; }}"
        )


class ModulePage:
    """The ES modules of a folder, as a browser takes them: each a file of its own with imports and exports."""

    _ORIGIN = "http://modules.test"  # answered from the folder, before any network
    # In a worker there is neither document nor window: what runs here needs no page.
    _WORKER = """onmessage = async ({data: [file, code, given]}) => {
        try { postMessage({value: await new Function("m", "given", "return " + code)(await import(file), given)}); }
        catch (error) { postMessage({error: String(error.stack)}); }
    };"""
    _ASK = """given => new Promise((take, refuse) => {
        window.worker ||= new Worker("/worker.js", {type: "module"});
        window.worker.onmessage = ({data}) => data.error ? refuse(new Error(data.error)) : take(data.value);
        window.worker.onerror = ({message}) => refuse(new Error(message));
        window.worker.postMessage(given);
    })"""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page = page
        self._folder = folder
        page.context.route(f"{self._ORIGIN}/**", self._serve)
        page.goto(self._ORIGIN)

    def _serve(self, route: Route) -> None:
        name = route.request.url.removeprefix(f"{self._ORIGIN}/")
        if name == "worker.js":
            route.fulfill(content_type="text/javascript", body=self._WORKER)
        elif name:
            route.fulfill(path=self._folder / name)
        else:
            route.fulfill(content_type="text/html", body="<!doctype html>")

    def names(self, file: str) -> list[str]:
        """What a module exports to the page."""
        names: list[str] = self._page.evaluate(f"async () => Object.keys(await import('/{file}'))")
        return names

    def ask(self, file: str, code: str, *given: Any) -> Any:
        """Value of JavaScript over the module `m` and the list `given`, in a worker."""
        return self._page.evaluate(self._ASK, [f"{self._ORIGIN}/{file}", code, list(given)])


class OfflineBrowser:
    """Chromium for pages on disk."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    def open(
        self,
        path: Path,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: Literal["light", "dark"] = "light",
        scripts: bool = True,
        init: str = "",
    ) -> OfflinePage:
        """Open a file in a context of its own, offline; `init` is JavaScript that runs before the page's own."""
        context = self._browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True, java_script_enabled=scripts
        )
        opened = OfflinePage(context.new_page())
        opened.page.on(
            "console", lambda message: opened.console.append(message.text) if message.type == "error" else None
        )
        opened.page.on("pageerror", lambda error: opened.console.append(f"uncaught: {error}"))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        if init:
            context.add_init_script(init)
        opened.page.goto(path.resolve().as_uri())
        return opened

    def modules(self, folder: Path) -> ModulePage:
        """A page that may import the modules of a folder."""
        return ModulePage(self._browser.new_context(offline=True).new_page(), folder)


@contextlib.contextmanager
def offline_browser() -> Iterator[OfflineBrowser]:
    """Chromium without a server; raises RuntimeError with the remedy where there is none."""
    from playwright.sync_api import sync_playwright

    program = find_chromium()
    if program is None:
        raise RuntimeError(HOW_TO_GET_CHROMIUM)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGUMENTS), timeout=60_000)
        try:
            yield OfflineBrowser(browser)
        finally:
            browser.close()
