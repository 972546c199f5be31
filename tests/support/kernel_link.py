"""A page's connection to its kernel: Jupyter's messages over the server's websocket, in the newest protocol.

jupyter_client makes and reads the messages, jupyter_server their form on the wire, tornado carries them.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any

from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from simulated_stage import SimulatedStage
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

PROTOCOL = "v1.kernel.websocket.jupyter.org"
BIGGEST_MESSAGE = 100 * 2**20
WIDGETS = "jupyter.widget"
SUBSHELLS = "kernel subshells"
OUTPUTS = ("stream", "display_data", "execute_result", "error")
Message = dict[str, Any]


class Execution:
    """One cell: what it printed and showed, how it ended."""

    def __init__(self) -> None:
        self.outputs: list[tuple[str, Message]] = []  # message types and contents
        self.reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class KernelLink:
    """The websocket, the cells under way, and the widgets that the kernel has opened.

    trouble: what must not happen: the websocket closed, the kernel died, output was dropped by the server. broken: set
    where nothing will be answered any more.
    """

    def __init__(self) -> None:
        self.session = Session(key=b"", session=uuid.uuid4().hex)
        self.stages: dict[str, SimulatedStage] = {}
        self.displayed: list[str] = []  # models, in the order in which cells showed them
        self.trouble: list[str] = []
        self.broken = asyncio.Event()
        self.messages = 0
        self.closing = False
        self._executions: dict[str, Execution] = {}
        self._subshell: str | None = None
        self._socket: WebSocketClientConnection | None = None

    async def open(self, request: HTTPRequest) -> None:
        """Connect, wait for the kernel, and get a subshell for widgets as JupyterLab does."""
        self._socket = await websocket_connect(
            request, on_message_callback=self._take, subprotocols=[PROTOCOL], max_message_size=BIGGEST_MESSAGE
        )
        if self._socket.selected_subprotocol != PROTOCOL:
            raise RuntimeError(f"the server does not speak {PROTOCOL}")
        info = await self._ask("shell", "kernel_info_request", {}).reply
        if SUBSHELLS in info.get("supported_features", []):
            self._subshell = (await self._ask("control", "create_subshell_request", {}).reply)["subshell_id"]

    def close(self) -> None:
        self.closing = True
        if self._socket is not None:
            self._socket.close()

    def execute(self, source: str, *, silent: bool = False, expressions: dict[str, str] | None = None) -> Execution:
        """Send a cell; it runs once those before it have."""
        content = {"code": source, "silent": silent, "store_history": not silent, "allow_stdin": False}
        return self._ask("shell", "execute_request", {**content, "user_expressions": expressions or {}})

    async def look(self, expression: str) -> str:
        """What an expression is in the kernel, as text, without a trace in the notebook."""
        reply = await self.execute("", silent=True, expressions={"it": expression}).reply
        found = reply["user_expressions"]["it"]
        if found["status"] != "ok":
            raise RuntimeError(f"{expression}: {found['evalue']}")
        return str(found["data"]["text/plain"])

    def _ask(self, channel: str, kind: str, content: Message) -> Execution:
        waiting = Execution()
        self._executions[self._post(channel, kind, content)] = waiting
        return waiting

    def _post(self, channel: str, kind: str, content: Message, subshell: str | None = None) -> str:
        message = self.session.msg(kind, content)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        parts = [self.session.pack(message[part]) for part in ("header", "parent_header", "metadata", "content")]
        assert self._socket is not None
        self._socket.write_message(serialize_msg_to_ws_v1(parts, channel), binary=True)
        return str(message["header"]["msg_id"])

    def _send_to_widget(self, model: str, content: Message) -> None:
        data = {"comm_id": model, "data": {"method": "custom", "content": content}}
        self._post("shell", "comm_msg", data, self._subshell)

    # ---- what the kernel says -------------------------------------------------------------------------------------

    def _take(self, message: bytes | str | None) -> None:
        now = time.perf_counter()
        self.messages += 1
        if message is None:
            if not self.closing:
                self.trouble.append("its websocket was closed")
                self.broken.set()
            return
        channel, parts = deserialize_msg_from_ws_v1(message)
        header, parent, _, content = (self.session.unpack(part) for part in parts[:4])
        kind, asked = header["msg_type"], self._executions.get(parent.get("msg_id", ""))
        if channel != "iopub":
            if asked is not None and not asked.reply.done():
                asked.reply.set_result(content)
        elif kind in {"comm_open", "comm_msg", "comm_close"}:
            self._take_comm(kind, content, parts[4:], now)
        else:
            self._take_output(kind, content, asked)

    def _take_comm(self, kind: str, content: Message, buffers: Sequence[bytes], now: float) -> None:
        model = content["comm_id"]
        state = content["data"].get("state", {})
        if kind == "comm_open" and content["target_name"] == WIDGETS and "controls" in state and "picture" in state:
            self.stages[model] = SimulatedStage(model, self._send_to_widget)
        if kind == "comm_close":
            self.stages.pop(model, None)
        elif model in self.stages:
            self.stages[model].take(content["data"], buffers, now)

    def _take_output(self, kind: str, content: Message, asked: Execution | None) -> None:
        state = content.get("execution_state")
        if state in {"dead", "restarting", "autorestarting"}:
            self.trouble.append(f"its kernel was {state}")
            self.broken.set()
        if kind == "stream" and "rate exceeded" in content["text"]:
            self.trouble.append("the server dropped output")
        if asked is None:
            return
        if state == "idle" and not asked.idle.done():
            asked.idle.set_result(None)
        if kind in OUTPUTS:
            asked.outputs.append((kind, content))
            view = content.get("data", {}).get("application/vnd.jupyter.widget-view+json", {})
            model = view.get("model_id", "")
            if model in self.stages:
                self.displayed.append(model)
                self.stages[model].send({"type": "hello"})


async def all_done(executions: Sequence[Execution]) -> None:
    """Wait until these cells have ended and all that they showed is there."""
    for execution in executions:
        await execution.reply
        await execution.idle
