r"""Refusals as a table: the words that a learner reads, and what is refused with them.

    test_bad_settings_are_refused = refusals(landscape, {
        r"condition_number must be in \[1, 10000\], got 0.5": {"name": "quadratic", "condition_number": 0.5},
    })
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def refusals(*given: Any) -> Callable[[str], None]:
    """A test for every entry of the table, which is given last: its key, a pattern, is found in the error's message.

    An entry is keywords (a dict) or arguments (a tuple) for what is given first, or a function to call.
    """
    *before, table = given

    @pytest.mark.parametrize("words", table)
    def test(words: str) -> None:
        entry = table[words]
        call = before[0] if before else entry
        keywords = entry if isinstance(entry, dict) else {}
        with pytest.raises((ValueError, TypeError), match=words):
            call(*(entry if isinstance(entry, tuple) else ()), **keywords)

    return test
