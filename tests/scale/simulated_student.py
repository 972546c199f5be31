"""A student on a JupyterHub, as its servers see one: log in, open a lab, Run All, drag, train, save."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import nbformat
from class_hub import Hub
from kernel_link import Execution, KernelLink, all_done
from nbformat.v4 import new_code_cell, output_from_msg
from simulated_stage import SimulatedStage
from tornado.httpclient import HTTPRequest

# Besides the lab's own: one panel to drag and one to train, as its reader might write them.
OWN_CELLS = {
    "drag": 'from weightlab.toys.panel import DescentPanel\n\nDescentPanel(rules=("momentum",))',
    "train": "from weightlab.playground.panel import TrainingPanel\n\nTrainingPanel()",
}
EVENTS, EVENT_SECONDS = 40, 0.04  # one drag: a hand moves a slider by 40 positions in 1.6 s
REACH = 10  # positions to either side
REQUEST_SECONDS = 600
RECORDED = "len(__import__('ipywidgets').widgets.widget._instances['{}'].record.losses)"


@dataclass
class Experience:
    """What one student has seen, in seconds; by phase the movements of a slider until their pictures, and Stops."""

    ready: float = 0.0
    run_all: float = 0.0
    cells: int = 0
    latencies: dict[str, list[float]] = field(default_factory=dict)
    stops: dict[str, list[float]] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


class Student:
    """One student with one lab open; the class bounds how long each step may take."""

    def __init__(self, hub: Hub, name: str, lab: Path, seed: int) -> None:
        self.hub, self.name, self.lab = hub, name, lab
        self.seen = Experience()
        self.link = KernelLink()
        self.panels: dict[str, SimulatedStage] = {}  # what is dragged and what is trained
        self.gone = False
        self.kernel = ""
        self._hands = random.Random(seed)
        limits = httpx.Limits(max_connections=6)  # as a browser, to one host
        self._web = httpx.AsyncClient(
            base_url=hub.url, follow_redirects=True, timeout=REQUEST_SECONDS, limits=limits, trust_env=False
        )
        self._book = nbformat.read(lab, as_version=4)

    # ---- pages ----------------------------------------------------------------------------------------------------

    @property
    def _home(self) -> str:
        return f"/user/{self.name}/"

    async def arrive(self) -> None:
        """From the log-in page to a lab whose kernel answers."""
        begun = time.perf_counter()
        await self._get("/hub/login")
        form = {"username": self.name, "password": self.hub.password, "_xsrf": self._cookie("/hub/")}
        (await self._web.post("/hub/login", data=form)).raise_for_status()
        await self._get("/hub/spawn")
        while not (page := await self._lab_page()):
            await asyncio.sleep(1)
        for source in re.findall(r'<script[^>]+src="([^"]+)"', page):
            await self._get(source)
        await self._get(f"{self._home}lab/api/settings/")
        await self._get(f"{self._home}api/kernelspecs")
        await self._get(f"{self._home}api/contents/labs/{self.lab.name}")
        await self._open_kernel()
        self.seen.ready = time.perf_counter() - begun

    async def _lab_page(self) -> str:
        """JupyterLab's page, or nothing as long as the hub shows its own page because the server is not there yet."""
        answer = await self._web.get(f"{self._home}lab")
        return answer.text if answer.url.path == f"{self._home}lab" and answer.is_success else ""

    async def _open_kernel(self) -> None:
        path = f"labs/{self.lab.name}"
        wanted = {"path": path, "name": self.lab.name, "type": "notebook", "kernel": {"name": "python3"}}
        made = await self._write("POST", "api/sessions", wanted)
        self.kernel = made["kernel"]["id"]
        where = f"{self._home}api/kernels/{self.kernel}/channels?session_id={self.link.session.session}"
        cookies = self._web.build_request("GET", where).headers["cookie"]
        request = HTTPRequest(
            self.hub.url.replace("http", "ws", 1) + where,
            headers={"Cookie": cookies, "Origin": self.hub.url},
            connect_timeout=REQUEST_SECONDS,
            request_timeout=REQUEST_SECONDS,
        )
        await self.link.open(request)

    async def _get(self, path: str) -> httpx.Response:
        return (await self._web.get(path)).raise_for_status()

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> Any:
        headers = {"X-XSRFToken": self._cookie(self._home), "Referer": f"{self.hub.url}{self._home}lab"}
        answer = await self._web.request(method, self._home + path, json=body, headers=headers)
        return answer.raise_for_status().json()

    def _cookie(self, path: str) -> str:
        return next(c.value or "" for c in self._web.cookies.jar if c.name == "_xsrf" and c.path == path)

    # ---- the notebook ---------------------------------------------------------------------------------------------

    async def run_all(self) -> None:
        """Every cell, sent at once and run in order, as Run All does; then cells of one's own."""
        begun = time.perf_counter()
        cells = [cell for cell in self._book.cells if cell.cell_type == "code"]
        runs = [self.link.execute(cell.source) for cell in cells]
        await all_done(runs)
        self.seen.run_all = time.perf_counter() - begun
        for cell, run in zip(cells, runs, strict=True):
            self._keep(cell, run)
        for purpose, source in OWN_CELLS.items():
            cell, run = new_code_cell(source), self.link.execute(source)
            await all_done([run])
            self._book.cells.append(cell)
            self._keep(cell, run)
            self.panels[purpose] = self.link.stages[self.link.displayed[-1]]
            await self.panels[purpose].settled()

    def _keep(self, cell: Any, run: Execution) -> None:
        reply = run.reply.result()
        cell.outputs = [output_from_msg(as_message(kind, content)) for kind, content in run.outputs]
        cell.execution_count = reply.get("execution_count")
        self.seen.cells += 1
        if reply["status"] != "ok" or any(kind == "error" for kind, _ in run.outputs):
            self._lose(f"a cell ended in {reply.get('ename', reply['status'])}: {cell.source[:60]!r}")

    async def save(self) -> None:
        """Save the notebook and read it back."""
        path = f"api/contents/labs/{self.lab.name}"
        text = nbformat.writes(self._book)
        body = {"type": "notebook", "format": "json", "content": json.loads(text)}
        await self._write("PUT", path, body)
        there = (await self._get(self._home + path)).json()["content"]
        if [cell["source"] for cell in there["cells"]] != [cell.source for cell in self._book.cells]:
            self._lose("the saved notebook has other cells")
        outputs = [len(cell["outputs"]) for cell in there["cells"] if cell["cell_type"] == "code"]
        if outputs != [len(cell.outputs) for cell in self._book.cells if cell.cell_type == "code"]:
            self._lose("the saved notebook has other outputs")

    # ---- panels ---------------------------------------------------------------------------------------------------

    async def drag(self, phase: str, times: int) -> None:
        """Drag a slider to and fro with rests in between; the kernel answers each movement."""
        stage = self.panels["drag"]
        name = "learning_rate"
        positions = stage.slider(name)
        before = len(stage.latencies)
        for _ in range(times):
            await asyncio.sleep(self._hands.uniform(0.2, 1.5))
            value = await self._one_drag(stage, name, positions)
            await stage.settled()
            if stage.failure or stage.state["values"][name] != value or stage.pictured < stage.seq:
                self._lose(f"{name} = {value} is not what the picture shows: {stage.failure}")
        if stage.pictureless:
            self._lose(f"{stage.pictureless} movements of {name} have no picture")
        self.seen.latencies.setdefault(phase, []).extend(stage.latencies[before:])

    async def _one_drag(self, stage: SimulatedStage, name: str, positions: list[float]) -> float:
        here = min(range(len(positions)), key=lambda i: abs(positions[i] - stage.state["values"][name]))
        low, high = max(0, here - REACH), min(len(positions) - 1, here + REACH)
        direction = 1 if here < high else -1
        for _ in range(EVENTS):
            if not low <= here + direction <= high:
                direction = -direction
            here += direction
            stage.set(name, positions[here])
            await asyncio.sleep(EVENT_SECONDS)
        return positions[here]

    async def train(self, phase: str, seconds: float) -> None:
        """Start, watch, Stop; a run that ends by itself sooner is reset and stopped in its beginning."""
        stage = self.panels["train"]
        if stage.run_state != "idle":
            await stage.command("reset")
        begun = time.perf_counter()
        await stage.command("start")
        while stage.run_state == "running" and time.perf_counter() - begun < seconds:
            await asyncio.sleep(0.05)
        if stage.run_state != "running":
            await self._check_run(stage)
            await stage.command("reset")
            await stage.command("start")
            await stage.until(lambda: stage.rows > 2)
        self.seen.stops.setdefault(phase, []).append(await stage.command("stop"))
        await stage.until(lambda: stage.run_state != "running")
        await self._check_run(stage)

    async def _check_run(self, stage: SimulatedStage) -> None:
        recorded = int(await self.link.look(RECORDED.format(stage.model)))
        if recorded != stage.last_step + 1 or stage.torn:
            shown = f"{stage.last_step + 1:.0f} shown, {stage.torn} gaps in the picture"
            self._lose(f"{recorded} updates recorded, {shown}")

    # ---- the end --------------------------------------------------------------------------------------------------

    async def leave(self) -> None:
        """See that the kernel is as it was."""
        alive = (await self._get(f"{self._home}api/kernels/{self.kernel}")).json()
        if alive["execution_state"] != "idle":
            self._lose(f"the kernel is {alive['execution_state']} in the end")

    def give_up(self, words: str) -> None:
        """Something that must not happen has; this student takes no further part."""
        self.gone = True
        self._lose(f"{words}, after {self.link.messages} messages from the kernel")

    async def close(self) -> None:
        """Close page and connection."""
        for words in self.link.trouble:
            self._lose(words)
        self.link.close()
        await self._web.aclose()

    def _lose(self, words: str) -> None:
        self.seen.lost.append(f"{self.name}, {self.lab.name}: {words}")


def as_message(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """A message as nbformat reads it."""
    return {"header": {"msg_type": kind}, "content": {"metadata": {}, **content}}
