"""Weightlab beside what one would use instead: prints a Markdown table of times and ratios.

    .venv/bin/python tests/benchmarks/compare.py [map training ensembles playground pictures kernel]

Without a name all of them, about five minutes on two cores. Every ratio is measured within one run, in turns; given are
medians with their quartiles, so ratios can be trusted where times depend on what else the machine does. The peers:
`pip install -e '.[benchmarks]'`, and for the playground see playground_rows.py; one that is absent gets a row that says
so. PyTorch runs on one thread, as in the labs.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "support")]

from benchmarks import (  # noqa: E402
    ensemble_rows,
    kernel_rows,
    map_rows,
    picture_rows,
    playground_rows,
    training_rows,
)
from benchmarks.side_by_side import Row, header  # noqa: E402

GROUPS: dict[str, Callable[[bool], Iterator[Row]]] = {
    "map": map_rows.rows,
    "training": training_rows.rows,
    "ensembles": ensemble_rows.rows,
    "playground": playground_rows.rows,
    "pictures": picture_rows.rows,
    "kernel": kernel_rows.rows,
}


def machine() -> str:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores{load}; Python {platform.python_version()}, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of {', '.join(GROUPS)}; all where none is given")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs; times mean nothing")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in GROUPS]
    if unknown:
        parser.error(f"unknown {', '.join(unknown)}; choose from {', '.join(GROUPS)}")
    torch.set_num_threads(1)
    begun = time.perf_counter()
    print(f"{machine()}\n\n{header()}", flush=True)
    for name in chosen.names or GROUPS:
        for row in GROUPS[name](chosen.quick):
            print(row, flush=True)
    print(f"\n{time.perf_counter() - begun:.0f} s; {machine()}")


if __name__ == "__main__":
    main()
