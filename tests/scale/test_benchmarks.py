"""Every benchmark runs, at a tiny size and with no time asserted; absent peers are told, not an error."""

from __future__ import annotations

import re

import pytest
import torch
from benchmarks import compare, map_rows, side_by_side


@pytest.mark.parametrize("group", compare.GROUPS)
def test_every_group_fills_its_rows_at_a_tiny_size(group: str) -> None:
    rows = list(compare.GROUPS[group](True))
    assert rows
    for row in rows:
        assert row.what and row.ours and row.against
        assert str(row).count("|") == side_by_side.header().split("\n")[0].count("|")
        numbers = re.findall(r"[\d.,]+", row.ratio)
        assert numbers or row.ratio == "–"
        if "installed" not in row.against:
            assert re.search(r"\d", row.ours)


def test_an_absent_peer_gets_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_rows, "is_there", lambda package: False)
    rows = list(map_rows.rows(quick=True))
    assert sum("JAX: not installed (pip install -e '.[benchmarks]')" in row.against for row in rows) == 2


def test_results_that_differ_are_an_error() -> None:
    ours = torch.tensor([[1.0, 2.0], [torch.nan, torch.nan]])
    map_rows.check_equal(ours, torch.tensor([[1.0, 2.0], [1e9, 0.0]]), "a peer")
    for other in (torch.tensor([[1.0, 2.1], [1e9, 0.0]]), torch.tensor([[1.0, 2.0], [3.0, 0.0]])):
        with pytest.raises(AssertionError, match="weightlab and a peer do not come to the same weights"):
            map_rows.check_equal(ours, other, "a peer")
