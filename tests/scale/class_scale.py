"""A class on one machine: a JupyterHub and simulated students who log in, Run All, drag, train and save.

    .venv/bin/python tests/scale/class_scale.py --students 20                 labs 01 to 12 in turn, one a student
    .venv/bin/python tests/scale/class_scale.py --students 30 --lab 05        everybody the same lab
    .venv/bin/python tests/scale/class_scale.py --students 20 --promises      and its figures into tests/README.md

It needs the extra "hub" and the proxy that npm brings. Everything is real but the browser: JupyterHub, its proxy, a
JupyterLab server and a kernel for each student, and the page's messages, with which simulated students
(simulated_student.py) do what a page does. Each phase is measured with everybody at it at once, the worst case, and
drags and training also with a quarter of the class at a time. Nobody drags over a fan, where a page needs no kernel:
the kernel answers every movement. Times end when a message is in the page; drawing is not in them, but the simulated
students work on the same machine. It prints a Markdown table, and fails if anything was lost: a cell, an update, a
slider's last value, a saved notebook, a connection, a kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from pathlib import Path
from typing import TypeVar

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import reliability  # noqa: E402
from browser_support import LABS  # noqa: E402
from class_hub import Hub, census, missing, running_hub  # noqa: E402
from simulated_student import Student  # noqa: E402

from weightlab.validate import whole_number  # noqa: E402

PROMISE, PROMISED = "class", 20  # in promises.toml
EVERYBODY, QUARTER = "all at once", "a quarter at a time"
PARTS = {EVERYBODY: 1, QUARTER: 4}  # into how many groups the class is split, one after another
DRAGS = 3
TRAINING_SECONDS = 6.0
T = TypeVar("T")


@dataclass
class Lesson:
    """What a class came to. memory: MiB of each student, in the end."""

    students: list[Student]
    deadline: float = math.inf  # of time.monotonic
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def lost(self) -> list[str]:
        return [words for student in self.students for words in student.seen.lost]

    def gathered(self, kind: str, phase: str) -> list[float]:
        """All students' numbers of one kind in a phase."""
        return [number for student in self.students for number in getattr(student.seen, kind).get(phase, [])]


def groups(students: Sequence[T], parts: int) -> list[Sequence[T]]:
    """The class in at most so many groups."""
    return [students[i::parts] for i in range(parts) if students[i::parts]]


async def together(lesson: Lesson, students: Iterable[Student], act: Callable[[Student], Awaitable[None]]) -> None:
    await asyncio.gather(*(guarded(lesson, student, act) for student in students))


async def guarded(lesson: Lesson, student: Student, act: Callable[[Student], Awaitable[None]]) -> None:
    """Let a student act; whoever fails, loses the kernel or takes too long is noted and takes no further part."""
    if student.gone:
        return
    work, alarm = asyncio.ensure_future(act(student)), asyncio.ensure_future(student.link.broken.wait())
    left = max(0.0, lesson.deadline - time.monotonic())
    await asyncio.wait((work, alarm), timeout=left, return_when=asyncio.FIRST_COMPLETED)
    alarm.cancel()
    if not work.done():
        work.cancel()
        student.give_up("had to be ended" if student.link.broken.is_set() else "not done in time")
    elif (error := work.exception()) is not None:
        student.give_up(f"{type(error).__name__}: {error}")


async def hold(hub: Hub, lesson: Lesson, say: Callable[[str], None]) -> None:
    """The whole lesson, phase by phase."""
    await together(lesson, lesson.students, Student.arrive)
    say("arrived")
    await together(lesson, lesson.students, Student.run_all)
    say("run")
    for act, how_long in (("drag", DRAGS), ("train", TRAINING_SECONDS)):
        for phase, parts in PARTS.items():
            for group in groups(lesson.students, parts):
                await together(lesson, group, methodcaller(act, phase, how_long))
            say(f"{act}, {phase}")
    lesson.memory = census(hub)
    await together(lesson, lesson.students, Student.save)
    await together(lesson, lesson.students, Student.leave)
    for student in lesson.students:
        await student.close()


# ---- the table ----------------------------------------------------------------------------------------------------


def spread(numbers: Sequence[float], factor: float = 1.0) -> str:
    """Median, 95th percentile and largest."""
    if not numbers:
        return "none"
    shown = [statistics.median(numbers), float(np.percentile(numbers, 95)), max(numbers)]
    return " / ".join(f"{number * factor:,.{0 if factor > 1 else 1}f}" for number in shown)


def table(lesson: Lesson) -> list[tuple[str, str]]:
    """What was measured, and the figure."""
    students = lesson.students
    rows = [
        ("cells run", f"{sum(student.seen.cells for student in students)}"),
        ("log-in to a lab whose kernel answers, s", spread([student.seen.ready for student in students])),
        ("Run All, all at once, s", spread([student.seen.run_all for student in students])),
    ]
    for phase in PARTS:
        rows += [
            (f"slider moved to its picture, {phase}, ms", spread(lesson.gathered("latencies", phase), 1000)),
            (f"training, {phase}: Stop to stopped, ms", spread(lesson.gathered("stops", phase), 1000)),
        ]
    return [*rows, ("server and kernel of a student in the end, MiB", spread(list(lesson.memory.values())))]


def figure(lesson: Lesson) -> str:
    """The figure for the table of promises."""
    memory = list(lesson.memory.values())
    every = {phase: lesson.gathered("latencies", phase) for phase in PARTS}
    late = {phase: f"{np.percentile(found, 95) * 1000:,.0f}" for phase, found in every.items()}
    usual = {phase: f"{statistics.median(found) * 1000:,.0f}" for phase, found in every.items()}
    return (
        f"on {os.cpu_count()} cores: {statistics.median(memory):.0f} MiB each, at most {max(memory):.0f}; slider to "
        f"picture, median and 95th percentile: {usual[QUARTER]} and {late[QUARTER]} ms with a quarter of them "
        f"dragging, {usual[EVERYBODY]} and {late[EVERYBODY]} ms with all; nothing lost"
    )


# ---- the command --------------------------------------------------------------------------------------------------


def chosen_labs(wanted: Sequence[str]) -> list[Path]:
    """The labs whose numbers these are; all but the start page if there are none."""
    labs = sorted(LABS.glob("*.ipynb"))
    unknown = [number for number in wanted if not any(lab.name.startswith(f"{number}_") for lab in labs)]
    if unknown:
        raise ValueError(f"no lab has the number {unknown[0]}; choose from {', '.join(lab.name[:2] for lab in labs)}")
    return [lab for lab in labs if lab.name[:2] in wanted] if wanted else labs[1:]


def measure(count: int, labs: Sequence[Path], minutes: float, say: Callable[[str], None]) -> Lesson:
    """A class of `count` students; who is not done after so many minutes is among the lost."""
    names = [f"student-{number:03d}" for number in range(1, count + 1)]

    async def lesson_within(hub: Hub) -> Lesson:
        students = [Student(hub, name, labs[i % len(labs)], seed=i) for i, name in enumerate(names)]
        lesson = Lesson(students, deadline=time.monotonic() + 60 * minutes)
        await hold(hub, lesson, say)
        return lesson

    place = tempfile.TemporaryDirectory(prefix="class-", ignore_cleanup_errors=True)
    with place as folder, running_hub(Path(folder), names) as hub:
        try:
            return asyncio.run(lesson_within(hub))
        except Exception as error:
            error.add_note(f"the hub's log ends in:\n{hub.log.read_text('utf-8')[-2000:]}")
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description="A class of simulated students on a JupyterHub on this machine.")
    parser.add_argument("--students", type=int, default=PROMISED)
    parser.add_argument("--lab", action="append", default=[], help="a lab's number, such as 05; several take turns")
    parser.add_argument("--minutes", type=float, default=45, help="give up after so long")
    parser.add_argument("--promises", action="store_true", help="write the figures into tests/README.md")
    chosen = parser.parse_args()
    try:
        labs, count = chosen_labs(chosen.lab), whole_number("students", chosen.students, 1, 1000)
    except ValueError as refusal:
        parser.error(str(refusal))
    if chosen.promises and chosen.students != PROMISED:
        parser.error(f"the table promises a class of {PROMISED}, got --students {chosen.students}")
    if missing():
        sys.exit(missing())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    begun, load = time.perf_counter(), os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")

    def say(phase: str) -> None:
        print(f"{time.perf_counter() - begun:6.0f} s  {phase}", file=sys.stderr, flush=True)

    lesson = measure(count, labs, chosen.minutes, say)
    print(f"{count} students, {os.cpu_count()} cores, load before {load:.1f}")
    print("Figures: median / 95th percentile / worst\n")
    print("| what | figure |\n|---|---|")
    print("\n".join(f"| {what} | {found} |" for what, found in table(lesson)))
    if chosen.promises and not lesson.lost:
        reliability.write({PROMISE: figure(lesson)})
    sys.exit("\n".join(["", "LOST:", *lesson.lost]) if lesson.lost else None)


if __name__ == "__main__":
    main()
