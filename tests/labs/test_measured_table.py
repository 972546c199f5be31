"""README's table of topics: each lab shows the number that the table gives for it, on its executed page."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
START, END = "<!-- table: measured -->", "<!-- end: measured -->"
# what the course promises to measure, lab by lab
PROMISED = {
    "01": ["six lines", "zero_grad", "before `backward", "no_grad", "train mode", "by hand", "Save and resume",
           "Inference", "confident mistake"],
    "02": ["stable", "Best constant", "Divergence"],
    "03": ["stable region", "plane", "Critical", "conventions"],
    "04": ["stable", "contraction", "nesterov=True"],
    "05": ["First steps", "Bias correction", "Scale", "race"],
    "06": ["Xavier and He", "vanishing", "Zeros"],
    "07": ["clipping", "initialization", "activation", "batch norm", "residual", "LSTM and GRU",
           "smaller learning rate", "L1 and L2"],
    "08": ["equal PyTorch's", "Noise floor", "decay", "plateau", "Warm-up", "change of the data", "conventions"],
    "09": ["Early stopping, best weights", "target", "Label noise", "beside L2"],
    "10": ["under-sampling", "over-sampling", "SMOTE", "Augmentation", "Class weights", "algorithm", "Cost matrix",
           "threshold", "Leakage", "each update"],
    "11": ["own plane", "True loss", "2/η", "(2 + 2μ)/η", "CPU against GPU"],
    "12": ["goal", "own optimizer", "own landscape", "own model"],
}  # fmt: skip


def table() -> list[tuple[str, str, str, list[str]]]:
    """(topic, lab's number, lab's file, figures) of every row."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
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


@pytest.mark.parametrize("number", PROMISED)
def test_every_topic_of_the_course_has_its_row(number: str) -> None:
    topics = [topic for topic, lab, _, _ in table() if lab == number]
    assert [word for word in PROMISED[number] if not any(word.lower() in topic.lower() for topic in topics)] == []
    assert number in PROMISED and {lab for _, lab, _, _ in table()} == set(PROMISED)
