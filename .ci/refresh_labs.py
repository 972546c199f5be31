"""Run labs from top to bottom and write their outputs back, ready to be committed.

    .venv/bin/python .ci/refresh_labs.py                 all labs
    .venv/bin/python .ci/refresh_labs.py labs/02_*.ipynb    these

Views of widgets are dropped from the outputs: where no kernel runs JupyterLab would say "model not found" and
hide the picture that stands beside them. Timings and the Python version go too, since they change at every run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

LABS = Path(__file__).resolve().parent.parent / "labs"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def refresh(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    client = NotebookClient(
        book,
        kernel_name=KERNEL["name"],
        timeout=120,
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,  # how often a print is flushed differs from run to run
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    book.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in book.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
            output.get("metadata", {}).pop(WIDGET_VIEW, None)
    nbformat.validate(book)
    nbformat.write(book, path)


def main(arguments: list[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # as in the tests: sums over several threads round differently
    if sys.platform == "win32":
        # the kernel's sockets need an event loop with add_reader
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    for path in map(Path, arguments or sorted(map(str, LABS.glob("*.ipynb")))):
        start = time.monotonic()
        refresh(path)
        print(f"{path.name}: {time.monotonic() - start:.0f} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
