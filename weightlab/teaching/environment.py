"""What the labs run on: versions, devices, threads, and whether the widget packages are there and fit together."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

import torch

from weightlab.devices import THREADS_VARIABLE, available_devices, settle_threads

PACKAGES = ("weightlab", "torch", "numpy", "matplotlib", "scikit-learn")
WIDGET_PACKAGES = ("ipywidgets", "anywidget", "jupyterlab_widgets", "jupyterlab")
INSTALL = "pip install 'ipywidgets>=8.1.9,<9' anywidget 'jupyterlab>=4.4,<5'"
# What shows widgets in the page is a package of its own whose major version must fit: ipywidgets' setup asks for it.
PAGE_SIDE = {"8": "3"}  # ipywidgets -> jupyterlab_widgets


@dataclass(frozen=True, repr=False)
class Environment:
    """What a run stands on; prints as a few lines.

    packages and widget_packages: (name, version) pairs, version None where the package is missing.
    devices: fastest first, with the name of the chip where it is known. threads: torch's, for each operation; cores:
    those that this process may use. problems: what keeps the panels from showing, each with its remedy; empty if all
    is well on the kernel's side.
    """

    python: str
    system: str
    packages: tuple[tuple[str, str | None], ...]
    widget_packages: tuple[tuple[str, str | None], ...]
    devices: tuple[str, ...]
    threads: int
    cores: int
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        rows = [
            ("Python", f"{self.python} on {self.system}"),
            ("packages", _listed(self.packages)),
            ("widgets", _listed(self.widget_packages)),
            ("devices", ", ".join(self.devices)),
            ("threads", f"{self.threads} of {self.cores} cores for each operation ({THREADS_VARIABLE} changes it)"),
            *(("problem", text) for text in self.problems),
        ]
        if not self.problems:
            rows.append(("panels", "ready: all that they need is here"))
        return "\n".join(f"{label:<9} {text}" for label, text in rows)


def _listed(packages: tuple[tuple[str, str | None], ...]) -> str:
    return ", ".join(f"{name} {version or 'missing'}" for name, version in packages)


def read_environment(version_of: Callable[[str], str | None] | None = None) -> Environment:
    """Read what this process runs on; gives torch the labs' number of threads first, as every run does.

    version_of: package name -> installed version or None; the installed packages' own metadata if left out.
    """
    look_up = version_of or _installed_version
    widgets = tuple((name, look_up(name)) for name in WIDGET_PACKAGES)
    return Environment(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        packages=tuple((name, look_up(name)) for name in PACKAGES),
        widget_packages=widgets,
        devices=tuple(_described(device) for device in available_devices()),
        threads=settle_threads(),
        cores=_usable_cores(),
        problems=tuple(_problems(dict(widgets))),
    )


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _described(device: str) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux: a container or a job may own fewer than the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _problems(versions: dict[str, str | None]) -> Iterator[str]:
    """What keeps the panels from showing, as far as the kernel's own packages tell."""
    missing = [name for name in ("ipywidgets", "anywidget") if versions[name] is None]
    if missing:
        yield f"{' and '.join(missing)} missing, so no panel can be made; in this environment run: {INSTALL}"
    if versions["jupyterlab_widgets"] is None:
        yield (
            f"jupyterlab_widgets missing beside the kernel ({sys.prefix}): fine if JupyterLab runs in another "
            f"environment that has it, otherwise panels stay text; run: {INSTALL}, then restart JupyterLab"
        )
    kernel_side, page_side = versions["ipywidgets"], versions["jupyterlab_widgets"]
    if kernel_side is None or page_side is None:
        return
    wanted = PAGE_SIDE.get(_major(kernel_side))
    if wanted is None:
        yield f"ipywidgets {kernel_side} is untested, it must be 8.*; run: {INSTALL}, then restart JupyterLab"
    elif _major(page_side) != wanted:
        yield (
            f"jupyterlab_widgets {page_side} does not fit ipywidgets {kernel_side}, it must be {wanted}.*; "
            f"run: {INSTALL}, then restart JupyterLab and reload the page"
        )


def _major(version: str) -> str:
    return version.split(".")[0]
