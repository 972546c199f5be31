"""A slow network between page and server: every byte waits half the round trip, and only so many pass a second."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType


class SlowLink:
    """Forwards 127.0.0.1:`port` to `target` on the same machine; use as a context manager.

    round_trip: milliseconds. megabits: a second, in each direction, shared by all connections.
    """

    def __init__(self, target: int, round_trip: float, megabits: float) -> None:
        self.target = target
        self.slow_down(round_trip, megabits)
        self.port = 0
        self.carried = {"up": 0, "down": 0}  # bytes so far
        self._free = {"up": 0.0, "down": 0.0}  # when each direction has sent what it was given
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="slow link", daemon=True)

    def slow_down(self, round_trip: float, megabits: float) -> None:
        """Another round trip (ms) and rate (Mbit/s), from now on."""
        self.delay, self.bytes_a_second = round_trip / 2000, megabits * 1e6 / 8

    def __enter__(self) -> SlowLink:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the slow link did not open a port within 10 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port = int(server.sockets[0].getsockname()[1])
        self._ready.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(self._pump(reader, far_writer, "up"), self._pump(far_reader, writer, "down"))
        except (OSError, asyncio.CancelledError):  # nobody answers there, or the link is being closed
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sender = asyncio.ensure_future(self._deliver(queue, writer))
        while data := await self._read(reader):
            now = self._loop.time()
            self.carried[way] += len(data)
            self._free[way] = max(now, self._free[way]) + len(data) / self.bytes_a_second
            queue.put_nowait((self._free[way] + self.delay, data))
            if self._free[way] > now + 0.05:  # do not swallow more than the link could hold
                await asyncio.sleep(self._free[way] - now - 0.05)
        queue.put_nowait((self._loop.time() + self.delay, b""))
        await sender

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.read(4096)
        except ConnectionError:
            return b""

    async def _deliver(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            at, data = await queue.get()
            await asyncio.sleep(max(0.0, at - self._loop.time()))
            if not data:
                break
            writer.write(data)
            with contextlib.suppress(ConnectionError):  # the page has gone
                await writer.drain()
        writer.close()
