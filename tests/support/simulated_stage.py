"""What a panel's page does on the wire (weightlab/stage/js/stage.js), without drawing anything.

Times are those at which a message arrives in the page.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

MOST_UNANSWERED = 3  # as in stage.js: the newest settings wait for an answer on a slow kernel
Message = dict[str, Any]


class SimulatedStage:
    """One panel on a page: what the kernel said of it, and how long each movement of a slider waited for its picture.

    latencies: seconds from a slider's event to the first picture that shows it or something newer.
    torn: how often rows of a running training were missing in between.
    """

    def __init__(self, model: str, send: Callable[[str, Message], None]) -> None:
        self.model = model
        self._send = send
        self.state: dict[str, Any] = {}
        self.seq = self.answered = self.pictured = 0
        self.rows = 0
        self.last_step = -1.0
        self.latencies: list[float] = []
        self.torn = 0
        self._unanswered: set[int] = set()
        self._pending: dict[str, Any] = {}
        self._waiting: list[float] = []  # slider events whose message has not gone
        self._sent: list[tuple[int, float]] = []  # (message, event), until the picture is there
        self._news = asyncio.Event()

    # ---- what the kernel says -------------------------------------------------------------------------------------

    def take(self, data: Message, buffers: Sequence[bytes], now: float) -> None:
        """The data of a comm message, or of the one that opened the comm, at the time `now`."""
        if data.get("method") == "custom":
            self._take_custom(data["content"], buffers)
        else:
            self._take_state(data.get("state", {}), data.get("buffer_paths", []), buffers, now)
        self._news.set()

    def _take_state(self, state: Message, paths: list[list[str]], buffers: Sequence[bytes], now: float) -> None:
        if "picture" in state:
            found = {tuple(path): buffer for path, buffer in zip(paths, buffers, strict=True)}
            steps = np.frombuffer(found.get(("picture", "steps"), b""), np.float32)
            self.rows, self.last_step = len(steps), float(steps[-1]) if len(steps) else -1.0
            seq = state["picture"].get("seq") or 0
            self.pictured = max(self.pictured, seq)
            self._picture_of(self.pictured, now)
            self._answer(seq)
        self.state |= {name: value for name, value in state.items() if name not in {"picture", "_esm", "_css"}}

    def _take_custom(self, content: Message, buffers: Sequence[bytes]) -> None:
        if content["type"] == "rows":
            steps = np.frombuffer(buffers[1], np.float32)
            self.torn += content["from"] != self.rows or not steps[0] > self.last_step
            self.rows, self.last_step = content["from"] + len(steps), float(steps[-1])
        if content["type"] == "ack" and content["seq"] is not None:
            self._answer(content["seq"])

    def _picture_of(self, seq: int, now: float) -> None:
        self.latencies += [now - event for message, event in self._sent if message <= seq]
        self._sent = [(message, event) for message, event in self._sent if message > seq]

    def _answer(self, seq: int) -> None:
        self.answered = max(self.answered, seq)
        self._unanswered = {message for message in self._unanswered if message > seq}
        self._flush()

    # ---- what the learner does ------------------------------------------------------------------------------------

    def send(self, message: Message) -> int:
        """Send a message of the page; its number."""
        self.seq += 1
        self._unanswered.add(self.seq)
        self._send(self.model, {**message, "seq": self.seq})
        return self.seq

    def set(self, name: str, value: float) -> None:
        """A slider has moved."""
        self._pending[name] = value
        self._waiting.append(time.perf_counter())
        self._flush()

    def _flush(self) -> None:
        if not self._pending or len(self._unanswered) >= MOST_UNANSWERED:
            return
        values, events = self._pending, self._waiting
        self._pending, self._waiting = {}, []
        seq = self.send({"type": "set", "values": values})
        self._sent += [(seq, event) for event in events]

    async def command(self, name: str) -> float:
        """Press a button; seconds until the kernel has answered."""
        begun = time.perf_counter()
        seq = self.send({"type": "command", "name": name})
        await self.until(lambda: self.answered >= seq)
        return time.perf_counter() - begun

    async def until(self, look: Callable[[], bool]) -> None:
        """Wait for something that the kernel's next messages bring about; whoever calls bounds the time."""
        while not look():
            self._news.clear()
            await self._news.wait()

    async def settled(self) -> None:
        """Wait until everything that was sent is answered."""
        await self.until(lambda: not self._pending and not self._unanswered)

    # ---- what is on the page --------------------------------------------------------------------------------------

    @property
    def pictureless(self) -> int:
        """Slider events that were answered, but not by a picture."""
        return len(self._sent)

    @property
    def failure(self) -> str:
        notice = self.state.get("notice", {})
        return str(notice["text"]) if notice.get("kind") == "error" else ""

    @property
    def run_state(self) -> str:
        return str(self.state.get("transport", {}).get("state", ""))

    def slider(self, wanted: str) -> list[float]:
        """Positions of the slider `wanted`."""
        return next(list(one["positions"]) for one in self.state["controls"] if one["name"] == wanted)
