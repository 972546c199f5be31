"""The worker behind every panel: order, merging, stopping, errors."""

from __future__ import annotations

import _thread
import threading
import time
from typing import Any

from panel_support import wait_for

from weightlab.stage.worker import Worker


def test_a_burst_of_settings_is_merged_and_the_newest_wins() -> None:
    gate = threading.Event()
    seen: list[dict[str, Any]] = []

    def handle(mail: dict[str, Any]) -> None:
        if mail["type"] == "wait":
            gate.wait(5)
        else:
            seen.append(mail)

    worker = Worker(handle)
    worker.post({"type": "wait"})
    for n in range(1000):
        worker.post({"type": "set", "values": {"a": n} if n % 2 else {"b": n}, "seq": n})
    gate.set()
    assert worker.drain()
    worker.close()
    assert len(seen) <= 2  # the first may have been taken before the others came
    assert seen[-1]["values"]["a"] == 999 and seen[-1]["values"]["b"] == 998 and seen[-1]["seq"] == 999


def test_settings_are_not_merged_across_a_command() -> None:
    gate = threading.Event()
    seen: list[str] = []

    def handle(mail: dict[str, Any]) -> None:
        if mail["type"] == "wait":
            gate.wait(5)
        else:
            seen.append(mail["type"] + str(mail.get("values", "")))

    worker = Worker(handle)
    worker.post({"type": "wait"})
    worker.post({"type": "set", "values": {"a": 1}})
    worker.post({"type": "command"})
    worker.post({"type": "set", "values": {"a": 2}})
    gate.set()
    assert worker.drain()
    worker.close()
    assert seen == ["set{'a': 1}", "command", "set{'a': 2}"]


def test_a_running_job_sees_mail_between_slices_and_stops() -> None:
    state = {"running": False, "slices": 0}

    def handle(mail: dict[str, Any]) -> None:
        state["running"] = mail["run"]

    def advance() -> bool:
        if state["running"]:
            state["slices"] += 1
            time.sleep(0.001)
        return bool(state["running"])

    worker = Worker(handle, advance)
    worker.post({"type": "command", "run": True})
    wait_for(lambda: state["slices"] > 5)
    worker.post({"type": "command", "run": False})
    assert worker.drain(2)
    stopped_at = state["slices"]
    time.sleep(0.05)
    assert state["slices"] == stopped_at
    worker.close()


def test_an_error_is_reported_and_the_worker_goes_on() -> None:
    errors: list[tuple[str, Any]] = []
    seen: list[int] = []

    def handle(mail: dict[str, Any]) -> None:
        if mail["n"] == 1:
            raise ValueError("bad one")
        seen.append(mail["n"])

    worker = Worker(handle, failed=lambda error, mail: errors.append((str(error), mail)))
    for n in range(3):
        worker.post({"type": "command", "n": n})
    assert worker.drain()
    worker.close()
    assert seen == [0, 2] and errors == [("bad one", {"type": "command", "n": 1})]


def test_closing_ends_the_thread_and_drops_later_mail() -> None:
    before = threading.active_count()
    seen: list[int] = []
    worker = Worker(lambda mail: seen.append(1), lambda: True)
    worker.post({"type": "command"})
    wait_for(lambda: seen)
    worker.close()
    assert threading.active_count() == before
    worker.post({"type": "command"})
    assert threading.active_count() == before and len(seen) == 1


def test_closed_again_by_a_thread_that_python_did_not_start() -> None:
    worker = Worker(lambda mail: None)
    worker.post({"type": "command"})
    worker.close()
    before, done = set(threading.enumerate()), _thread.allocate_lock()
    done.acquire()

    def collect_garbage() -> None:
        worker.close()
        done.release()

    _thread.start_new_thread(collect_garbage, ())
    assert done.acquire(timeout=5)
    assert set(threading.enumerate()) == before
