"""Binder's build without Docker: the steps that repo2docker renders, carried out here, then every lab opened in it.

    nox -s binder              every lab
    nox -s binder -- 00 10     these; --promises writes the figure into tests/README.md

It builds a clone of HEAD. The image's own packages (JupyterLab among them) come from the Python package index at the
versions that repo2docker has fixed for conda. Server and kernel get one core; the most memory they take is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil
from packaging.utils import canonicalize_name
from playwright.sync_api import Error

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import reliability  # noqa: E402
from browser_support import LabServer, NotebookPage, lab_browser  # noqa: E402

MIB = 1024**2
LIMIT = 2048 * MIB  # what mybinder.org allows a session
STEP_SECONDS, LAB_SECONDS = 1800, 600


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


@dataclass(frozen=True)
class Image:
    """A clone with what Binder installs in its .venv, and the variables that its steps see."""

    clone: Path
    environment: dict[str, str]

    def run(self, step: str) -> None:
        print(f"$ {step}", flush=True)
        bash = ["bash", "-euo", "pipefail", "-c", step]
        subprocess.run(bash, cwd=self.clone, env=self.environment, timeout=STEP_SECONDS, check=True)


def build(folder: Path) -> Image:
    """The clone in `folder`, made as the Dockerfile says; a step that fails raises an error that names it."""
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], timeout=300, check=True)
    dockerfile, prefix = rendered(clone), clone / ".venv"
    python = python_of(dockerfile)
    if not sys.version.startswith(f"{python}."):
        raise RuntimeError(f"Binder has Python {python}: run this with it, not with {sys.version.split()[0]}")
    leave_out_what_is_out_of_reach(clone / "binder" / "requirements.txt")
    pins = folder / "image.txt"
    pins.write_text("".join(f"{name}=={version}\n" for name, version in image_pins(python).items()), encoding="utf-8")
    here = {name: value for name, value in os.environ.items() if name not in ("PIP_EXTRA_INDEX_URL", "OMP_NUM_THREADS")}
    path = f"{prefix / 'bin'}{os.pathsep}{here['PATH']}"
    own = {"KERNEL_PYTHON_PREFIX": str(prefix), "REPO_DIR": str(clone), "PYTHONUNBUFFERED": "1", "PATH": path}
    image = Image(clone, here | own)
    image.run(f"{sys.executable} -m venv .venv")
    image.run(f"pip install --quiet -c {pins} {' '.join(image_packages(python))}")
    for step in user_steps(dockerfile):
        image.run(step)
    image.run("pip check")
    return image


def leave_out_what_is_out_of_reach(requirements: Path) -> None:
    """Without its extra index pip would wait for it long, and for each package."""
    text = requirements.read_text(encoding="utf-8")
    for index in re.findall(r"^--extra-index-url=(\S+)$", text, flags=re.MULTILINE):
        try:
            urllib.request.urlopen(index, timeout=10).close()
        except OSError:
            print(f"{index} is out of reach: left out, so torch may be another build of the same version")
            requirements.write_text(text.replace(f"--extra-index-url={index}\n", ""), encoding="utf-8")


class BinderServer(LabServer):
    """JupyterLab as Binder's container starts it: through binder/start, on one core."""

    def __init__(self, image: Image) -> None:
        super().__init__(image.clone / "labs")
        self.image = image
        core = str(max(os.sched_getaffinity(0)))
        self.program = ("taskset", "-c", core, str(image.clone / "binder" / "start"), "jupyter", "lab")

    def _environment(self) -> dict[str, str]:
        own = super()._environment()
        return self.image.environment | {name: own[name] for name in own if name.startswith(("JUPYTER", "IPYTHON"))}


class Gauge(threading.Thread):
    """The largest proportional set size, in bytes, that a process and all below it have had together."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.done = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.25):
            total = 0
            with contextlib.suppress(psutil.Error):
                for process in [self.process, *self.process.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        total += process.memory_full_info().pss
            self.peak = max(self.peak, total)


@dataclass(frozen=True)
class Opened:
    """One lab after Run All: seconds it took, bytes at most so far, and what went wrong."""

    lab: str
    seconds: float
    peak: int
    errors: tuple[str, ...]


def open_labs(image: Image, labs: list[str]) -> Iterator[Opened]:
    """Run All of each lab in Chromium, one after the other; a kernel ends before the next begins."""
    with lab_browser(BinderServer(image)) as lab:
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
            yield Opened(name, seconds, gauge.peak, (*late, *page.cell_errors(), *page.errors))


def main() -> None:
    parser = argparse.ArgumentParser(description="Whether what Binder builds starts, and every lab runs in it.")
    parser.add_argument("labs", nargs="*", metavar="NN", help="such as 00 10; none for all")
    parser.add_argument("--promises", action="store_true", help="write the figure of all labs into tests/README.md")
    chosen = parser.parse_args()
    labs = [path.name for path in sorted((ROOT / "labs").glob("*.ipynb"))]
    labs = [name for name in labs if not chosen.labs or name[:2] in chosen.labs]
    opened = []
    with tempfile.TemporaryDirectory(prefix="weightlab-binder-") as folder:
        image = build(Path(folder))
        print("| lab | Run All | most memory | errors |\n|---|---|---|---|")
        for one in open_labs(image, labs):
            opened.append(one)
            said = "; ".join(one.errors)
            print(f"| {one.lab} | {one.seconds:.0f} s | {one.peak / MIB:.0f} MiB | {said} |", flush=True)
    peak = max(one.peak for one in opened)
    good = sum(not one.errors for one in opened)
    figure = (
        f"{good} of {len(opened)} labs run all cells on one core, {max(one.seconds for one in opened):.0f} s at most, "
        f"server and kernel {peak / MIB:.0f} MiB at most of {LIMIT / MIB:,.0f}"
    )
    print(figure)
    if chosen.promises and not chosen.labs:
        reliability.write({"binder": figure})
    sys.exit(0 if good == len(opened) and peak < LIMIT else 1)


if __name__ == "__main__":
    main()
