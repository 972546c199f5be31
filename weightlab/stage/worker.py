"""One worker thread for each panel: widget callbacks only post, the newest settings win, Stop acts at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

Mail = dict[str, Any]


class Worker:
    """Handles posted mail in order and, in between, advances a running job slice by slice.

    Settings that wait are merged into one piece of mail, so a burst of slider events costs one computation. `advance`
    does a short slice of work and says whether there is more; it should look at `has_mail` and return early. The
    thread starts with the first mail and waits without cost when there is nothing to do.
    """

    def __init__(
        self,
        handle: Callable[[Mail], None],
        advance: Callable[[], bool] = lambda: False,
        failed: Callable[[Exception, Mail | None], None] = lambda error, mail: None,
        name: str = "weightlab panel",
    ) -> None:
        self._handle, self._advance, self._failed, self._name = handle, advance, failed, name
        self._changed = threading.Condition()
        self._mail: list[Mail] = []
        self._closed = False
        self._busy = False
        self._thread: threading.Thread | None = None

    def post(self, mail: Mail) -> None:
        """Hand over mail and return at once; mail for a closed worker is dropped."""
        with self._changed:
            if self._closed:
                return
            last = self._mail[-1] if self._mail else None
            if last is not None and last["type"] == mail["type"] == "set":
                self._mail[-1] = {**last, **mail, "values": {**last["values"], **mail["values"]}}
            else:
                self._mail.append(mail)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def has_mail(self) -> bool:
        """Something newer waits: finish the slice."""
        return bool(self._mail) or self._closed

    def wait_for_mail(self, seconds: float) -> None:
        """Sleep, but no longer than until mail arrives; for a job that paces itself."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_mail, seconds)

    def close(self, timeout: float = 5.0) -> None:
        """Drop waiting mail, end the thread and wait for it."""
        with self._changed:
            self._closed = True
            self._mail.clear()
            self._changed.notify_all()
        # neither current_thread() nor a join once it has ended: the thread that collects garbage closes again, and may
        # be one that Python did not start and would count among its own from then on
        if self._thread is not None and self._thread.is_alive() and self._thread.ident != threading.get_ident():
            self._thread.join(timeout)

    def drain(self, timeout: float = 30.0) -> bool:
        """Wait until all mail is handled and nothing runs; False if that took longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._mail and not self._busy, timeout)

    def _loop(self) -> None:
        more = False
        while True:
            with self._changed:
                self._busy = more
                self._changed.notify_all()
                if not more:
                    self._changed.wait_for(lambda: self._mail or self._closed)
                if self._closed:
                    return
                mail = self._mail.pop(0) if self._mail else None
                self._busy = True
            try:
                if mail is not None:
                    self._handle(mail)
                    more = True  # whatever it changed, look once whether there is work now
                else:
                    more = self._advance()
            except Exception as error:  # shown on the panel: a traceback here would land in some other cell
                more = False
                self._failed(error, mail)
