"""What axe-core finds on a page: the faults that keep somebody out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

GRAVE = {"serious", "critical"}


def grave_findings(page: Page | Frame, within: str = "html") -> list[str]:
    """Serious and critical findings inside the elements that `within` selects, a line each; axe must see one at least.

    What axe cannot decide counts too, but for contrast: it cannot see through a canvas, and
    tests/pictures/test_palettes.py computes what is drawn there.
    """
    answer = Axe().run(page, context=within, options={"resultTypes": ["violations", "incomplete"]}).response
    assert answer["passes"], f"axe has looked at nothing: is there any {within}?"
    undecided = [rule for rule in answer["incomplete"] if rule["id"] not in {"color-contrast", "frame-tested"}]
    return [
        f"{rule['impact']} {rule['id']}: {node['html'][:160]} {node.get('failureSummary') or ''}"
        for rule in answer["violations"] + undecided
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]
