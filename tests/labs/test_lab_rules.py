"""The lab rules themselves: a small lab that keeps them all, and copies of it that break one each."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab_rules import RULES, START_PAGE, Lab, asks_enough

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
IMPORTS = "from weightlab.teaching.checks import check_number"
PICTURE = {
    "data": {"image/png": "iVBORw0KGgo=", "text/plain": "a curve"},
    "metadata": {"image/png": {"alt": "a curve"}},
}
PROSE = """# Find a rate
You'll do, you'll learn, you'll need, 20 minutes. Code: [checks](../weightlab/teaching/checks.py)

## What this toy does not show
Anything. Next: lab 03."""
SOLUTION = "<details><summary>Solution</summary>\n\n```python\nanswer = 2.0\n```\n\n</details>"


def markdown(text: str) -> Any:
    return nbformat.v4.new_markdown_cell(text)


def code(source: str, tag: str = "", **metadata: Any) -> Any:
    return nbformat.v4.new_code_cell(source, metadata={"tags": [tag] if tag else [], **metadata})


@pytest.fixture
def good(tmp_path: Path) -> Lab:
    (tmp_path / "labs").mkdir()
    (tmp_path / "weightlab" / "teaching").mkdir(parents=True)
    (tmp_path / "weightlab" / "teaching" / "checks.py").touch()
    cells = [markdown(PROSE), code(IMPORTS), code("limit = 2.0", "setup")]
    cells.append(code("questions = [Question('a'), Question('b'), Question('c')]", "prediction"))
    for number in range(3):
        about = {"id": f"limit_{number}", "wrong_answers": ["1.0", "'two'"]}
        cells.append(code("answer = ...\ncheck_number(answer, limit, 0.01)", "exercise", weightlab=about))
        cells.append(markdown(SOLUTION))
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python"}})
    lab = Lab(tmp_path / "labs" / "02_find_a_rate.ipynb", book)
    for count, cell in enumerate(lab.code, start=1):
        cell.execution_count = count
    lab.code[2].outputs = [nbformat.v4.new_output("display_data", **copy.deepcopy(PICTURE))]
    nbformat.write(book, lab.path)
    return lab


def faults(lab: Lab) -> list[str]:
    return [fault for rule in RULES for fault in rule(lab)]


def test_a_lab_that_keeps_every_rule_has_no_fault(good: Lab) -> None:
    assert faults(good) == []


def change_source(index: int, source: str) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        lab.code[index].source = source

    return change


def change_prose(old: str, new: str) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        assert old in lab.book.cells[0].source
        lab.book.cells[0].source = lab.book.cells[0].source.replace(old, new)

    return change


def set_error(lab: Lab) -> None:
    lab.code[1].outputs = [nbformat.v4.new_output("error", ename="NameError", evalue="w", traceback=[])]


# Each rule, by what it says of a lab that does not keep it.
BREAKS: dict[str, Callable[[Lab], object]] = {
    "lines, at most 15": change_source(1, "limit = 2.0\n" * 16),
    "cut on a laptop": change_source(1, "limit = 2.0  # " + "w" * 91),
    "imports go into": change_source(1, "import torch"),
    "names from nowhere": change_source(0, "from torch import *"),
    "magics": change_source(1, "%matplotlib inline"),
    "is folded": lambda lab: lab.code[1].metadata.update(jupyter={"source_hidden": True}),
    "nobody would see": lambda lab: lab.code[1].metadata.update(tags=["nbval-skip"]),
    "hides its output": lambda lab: lab.code[1].metadata.update(tags=["nbval-ignore-output"]),
    "top to bottom": lambda lab: lab.code[1].update(execution_count=7),
    "committed with an error": set_error,
    "widget state": lambda lab: lab.book.metadata.update(widgets={}),
    "a widget that is gone": lambda lab: lab.code[2].outputs[0].data.update({WIDGET_VIEW: {"model_id": "1"}}),
    "image a.png has no alt": change_prose("Anything.", "![](a.png)"),
    "picture of code cell": lambda lab: lab.code[2].outputs[0].metadata.clear(),
    "no static picture": lambda lab: lab.code[2].outputs.clear(),
    "You'll need": change_prose("you'll need", ""),
    "does not show": change_prose("does not show", "shows"),
    "leads nowhere": change_prose("../weightlab/teaching/checks.py", "../weightlab/cheks.py"),
    "exercises, at least": lambda lab: lab.tagged("exercise")[0].metadata.update(tags=[]),
    "predictions in cells": change_source(2, "questions = [Question('a')]"),
    "two typical wrong": lambda lab: lab.tagged("exercise")[0].metadata["weightlab"].update(wrong_answers=["1"]),
    "cell below must hold": lambda lab: lab.book.cells.pop(),
}


@pytest.mark.parametrize("expected", BREAKS)
def test_a_broken_rule_is_reported(good: Lab, expected: str) -> None:
    BREAKS[expected](good)
    assert any(expected in fault for fault in faults(good)), faults(good)


def test_the_start_page_needs_no_exercise(good: Lab) -> None:
    short = Lab(good.path.with_name(START_PAGE), nbformat.v4.new_notebook(cells=good.book.cells[:3]))
    assert list(asks_enough(short)) == []
