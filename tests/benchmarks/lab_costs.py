"""What each lab costs without a front end: seconds to run all its cells, and the kernel's memory afterwards.

    .venv/bin/python tests/benchmarks/lab_costs.py [labs/06_*.ipynb ...]

Memory is the kernel process's resident set (VmRSS, Linux) in MiB after the last cell; seconds depend on the machine.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

LABS = Path(__file__).resolve().parents[2] / "labs"
READ_MEMORY = """
fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(fields["VmRSS"], fields["VmHWM"])
"""


def measure(path: Path) -> tuple[float, float, float]:
    """(seconds, MiB after the last cell, MiB at most) for one lab."""
    book = nbformat.read(path, as_version=4)
    book.cells.append(nbformat.v4.new_code_cell(READ_MEMORY))
    here = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(book, timeout=600, kernel_name="python3", resources=here)
    begun = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - begun
    now, _, most, _ = book.cells[-1].outputs[0]["text"].split()
    return seconds, int(now) / 1024, int(most) / 1024


def main() -> None:
    print(f"{'lab':44s} {'s':>6s} {'MiB':>6s} {'most':>6s}")
    for path in [Path(name) for name in sys.argv[1:]] or sorted(LABS.glob("*.ipynb")):
        seconds, now, most = measure(path)
        print(f"{path.name:44s} {seconds:6.1f} {now:6.0f} {most:6.0f}")


if __name__ == "__main__":
    main()
