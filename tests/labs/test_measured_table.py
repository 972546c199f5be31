"""INSTRUCTORS.md's table of topics: each lab shows the number that the table gives for it, on its executed page."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
START, END = "<!-- table: measured -->", "<!-- end: measured -->"


def table() -> list[tuple[str, str, str, list[str]]]:
    """(topic, lab's number, lab's file, figures) of every row."""
    text = (ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8")
    rows = []
    for line in text[text.index(START) : text.index(END)].splitlines()[3:]:
        topic, lab, measured = (cell.strip() for cell in line.strip("| ").split(" | "))
        number, file = re.fullmatch(r"\[(\d\d)\]\((labs/.+\.ipynb)\)", lab).groups()  # type: ignore[union-attr]
        rows.append((topic, number, file, re.findall(r"`([^`]+)`", measured)))
    return rows


def page(file: str) -> str:
    """What the lab's executed cells show, spaces and line ends made one space."""
    parts = []
    for cell in nbformat.read(ROOT / file, as_version=4).cells:
        for output in cell.get("outputs", []):
            parts.append(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
    return re.sub(r"\s+", " ", " ".join(parts))


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row[1]}-{row[0]}"[:60])
def test_the_lab_shows_the_number_that_the_table_gives(row: tuple[str, str, str, list[str]]) -> None:
    _, _, file, figures = row
    shown = page(file)
    assert figures, "a row without a figure"
    assert [figure for figure in figures if figure not in shown] == []
    assert any(re.search(r"\d|cures|raised|True|requires", figure) for figure in figures)
