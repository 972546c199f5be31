"""Binder's build without Docker: what repo2docker renders, carried out step by step, then every lab opened in it.

`.ci/environments.py --binder` calls this. The image's own packages (JupyterLab among them) come from the Python package
index at the versions that repo2docker has fixed for conda. Server and kernels get one core and, where this machine
lets a memory cgroup be made, no more memory than Binder's limit.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
from environments import ROOT, Place, find_python, last_line, reachable
from packaging.utils import canonicalize_name
from playwright.sync_api import Error

sys.path.insert(0, str(ROOT / "tests"))

from browser_support import LabServer, NotebookPage, lab_browser

LIMIT = 2 * 1024**3  # what mybinder.org allows a session
STEP_SECONDS, LAB_SECONDS = 1800, 600
MIB = 1024**2


def rendered(clone: Path) -> str:
    """The Dockerfile that repo2docker would build from this clone."""
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(clone)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"repo2docker cannot read {clone}: {done.stderr[-2000:]}")
    return done.stdout + done.stderr


def python_of(dockerfile: str) -> str:
    """Such as "3.11"."""
    return re.findall(r"Building conda environment for python=(3\.\d+)", dockerfile)[0]


def user_steps(dockerfile: str) -> list[str]:
    """What RUN does as Binder's user, in order: the repository's own part of the build."""
    steps, user = [], "root"
    for line in dockerfile.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "USER":
            user = rest
        elif word == "RUN" and user != "root":
            steps.append(" ".join(rest.split()))
    return steps


def condas(file: str) -> str:
    """The text of one of the files from which repo2docker makes conda environments."""
    package = find_spec("repo2docker")  # importing it warns
    assert package is not None and package.origin is not None
    return (Path(package.origin).parent / "buildpacks" / "conda" / file).read_text(encoding="utf-8")


def image_pins(python: str) -> dict[str, str]:
    """Name -> version of what the image's conda environment holds, by repo2docker's lock; conda's names."""
    lock = condas(f"environment.py-{python}-linux-64.lock")
    found = re.findall(r"/(?:noarch|linux-64)/(.+)-([^-]+)-[^-]+\.conda", lock)
    return {canonicalize_name(name): version for name, version in found if re.fullmatch(r"[\d.]+", version)}


def image_packages(python: str) -> list[str]:
    """What the image asks for by name, as requirements of the Python package index."""
    names = re.findall(r"^- ([\w-]+)==", condas(f"environment.py-{python}.yml"), flags=re.MULTILINE)
    known = image_pins(python)
    on_index = {"jupyterhub-singleuser": "jupyterhub"}
    return [f"{on_index.get(name, name)}=={known[canonicalize_name(name)]}" for name in names]


def build(folder: Path) -> Place:
    """The environment in `folder`, made as the Dockerfile says; raises RuntimeError that names the step that failed."""
    python = find_python(python_of(rendered(ROOT)))
    if python is None:
        raise RuntimeError(f"Binder's Python {python_of(rendered(ROOT))} is not on this machine")
    place = Place.make(folder, "binder", python)
    dockerfile, prefix = rendered(place.clone), place.clone / ".venv"
    requirements = place.clone / "binder" / "requirements.txt"
    told = requirements.read_text(encoding="utf-8")
    index = re.findall(r"^--extra-index-url=(\S+)\n", told, flags=re.MULTILINE)
    if index and not reachable(index[0]):
        print(f"{index[0]} is out of reach: left out, so torch may be another build of the same version")
        requirements.write_text(told.replace(f"--extra-index-url={index[0]}\n", ""), encoding="utf-8")
    pins = folder / "image.txt"
    known = image_pins(python_of(dockerfile))
    pins.write_text("".join(f"{name}=={version}\n" for name, version in known.items()), encoding="utf-8")
    place.environment.update(KERNEL_PYTHON_PREFIX=str(prefix), REPO_DIR=str(place.clone), PYTHONUNBUFFERED="1")
    place.environment["PATH"] = f"{prefix / 'bin'}{os.pathsep}{place.environment['PATH']}"
    place.environment.pop("PIP_EXTRA_INDEX_URL", None)
    packages = " ".join(image_packages(python_of(dockerfile)))
    image = [f"{python} -m venv .venv", f"pip install --quiet -c {pins} {packages}"]
    for step in [*image, *user_steps(dockerfile)]:
        print(f"$ {step}", flush=True)
        if place.run(step, STEP_SECONDS):
            raise RuntimeError(f"{step}: {last_line(place.log)}")
    return place


@contextlib.contextmanager
def memory_group(limit: int) -> Iterator[Path | None]:
    """A memory cgroup (version 1 or 2) of its own with this limit in bytes; None where none can be made."""
    for parent, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(parent) / f"weightlab-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / file).write_text(str(limit), encoding="utf-8")
        except OSError:
            group.rmdir()
            continue
        try:
            yield group
        finally:
            with contextlib.suppress(OSError):
                group.rmdir()
        return
    yield None


class BinderServer(LabServer):
    """JupyterLab as Binder's container starts it: through binder/start, on one core, in the memory group."""

    def __init__(self, place: Place, group: Path | None) -> None:
        super().__init__(place.clone / "labs")
        self.place = place
        core = str(max(os.sched_getaffinity(0)))
        join = ["bash", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', str(group)] if group else []
        start = str(place.clone / "binder" / "start")
        self.program = (*join, "taskset", "-c", core, start, "jupyter", "lab")

    def _environment(self) -> dict[str, str]:
        without = {**self.place.environment}
        without.pop("OMP_NUM_THREADS", None)
        own = super()._environment()
        return {**without, **{name: own[name] for name in own if name.startswith(("JUPYTER", "IPYTHON"))}}


class Gauge(threading.Thread):
    """The largest proportional set size, in bytes, that a process and all below it have had together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.done = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.25):
            total = 0
            for process in self._family():
                with contextlib.suppress(psutil.Error):
                    total += process.memory_full_info().pss
            self.peak = max(self.peak, total)

    def _family(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.Error):
            return [self.process, *self.process.children(recursive=True)]
        return []


@dataclass(frozen=True)
class Opened:
    """One lab after Run All: seconds it took, bytes at most so far, and what went wrong."""

    lab: str
    seconds: float
    peak: int
    errors: tuple[str, ...]


def open_labs(place: Place, group: Path | None, wanted: list[str]) -> list[Opened]:
    """Run All of each lab in Chromium, one after the other; a kernel ends before the next begins."""
    labs = [path.name for path in sorted((place.clone / "labs").glob("*.ipynb"))]
    labs = [name for name in labs if not wanted or name[:2] in wanted]
    found: list[Opened] = []
    with lab_browser(BinderServer(place, group)) as lab:
        assert lab.server.process is not None
        page: NotebookPage | None = None
        for name in labs:
            page = lab.open(name, seconds=120) if page is None else page.open_next(name, seconds=120)
            gauge = Gauge(lab.server.process.pid)
            gauge.start()
            begun = time.monotonic()
            late: list[str] = []
            try:
                page.run_all(LAB_SECONDS)
            except Error as error:
                late = [error.message.splitlines()[0]]
            seconds = time.monotonic() - begun
            gauge.done.set()
            gauge.join()
            errors = (*late, *page.cell_errors(), *page.errors)
            found.append(Opened(name, seconds, gauge.peak, errors))
            print(f"| {name} | {seconds:.0f} s | {gauge.peak / MIB:.0f} MiB | {'; '.join(errors)} |", flush=True)
    return found


def report(folder: Path, wanted: list[str]) -> tuple[str, str, bool]:
    """Build, open, print; the promise's id, its figure, and whether all went well."""
    try:
        place = build(folder)
    except (RuntimeError, subprocess.SubprocessError) as error:
        print(error)
        return "binder", f"not built: {error}", False
    consistent = place.run("pip check", 60) == 0
    versions = place.versions()
    print(f"pip check: {last_line(place.log)}")
    print(", ".join(f"{name} {versions[name]}" for name in ("python", "jupyterlab", "ipykernel", "torch")))
    with memory_group(LIMIT) as group:
        held = "held to" if group else "not held to (no memory cgroup can be made here)"
        print(f"one core, {held} {LIMIT / MIB:.0f} MiB\n| lab | Run All | most memory | errors |\n|---|---|---|---|")
        opened = open_labs(place, group, wanted)
    worst = max(opened, key=lambda lab: lab.peak)
    slowest = max(opened, key=lambda lab: lab.seconds)
    good = sum(not lab.errors for lab in opened)
    figure = (
        f"{good} of {len(opened)} labs run all cells on one core, {slowest.seconds:.0f} s at most, "
        f"server and kernel {worst.peak / MIB:.0f} MiB at most of {LIMIT / MIB:,.0f}"
    )
    print(figure)
    return "binder", figure, consistent and good == len(opened) and worst.peak < LIMIT
