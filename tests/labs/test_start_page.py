"""The start page lists every lab, with the minutes that the lab itself gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lab_rules import ROOT, START_PAGE, read_lab

OTHERS = sorted(path for path in (ROOT / "labs").glob("*.ipynb") if path.name != START_PAGE)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_the_start_page_lists_the_lab_with_its_own_minutes(path: Path) -> None:
    lab = read_lab(path)
    own = re.search(r"(\d+) min", lab.prose)
    listed = re.search(rf"\]\({re.escape(lab.path.name)}\) \| (\d+) \|", read_lab(ROOT / "labs" / START_PAGE).prose)
    assert own and listed and own.group(1) == listed.group(1)


def test_there_is_something_to_list() -> None:
    assert len(OTHERS) >= 3
