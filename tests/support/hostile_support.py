"""A text that would run a script, were it taken for HTML, and what tells that it was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

TAGS = """<img src=x onerror="window.pwned=1"><script>window.pwned=1</script></script>"""
HOSTILE = TAGS + "$\\frac{$"  # nor is it a formula
MADE = """() => [...document.querySelectorAll('[onerror], img[src="x"], script')]
    .filter(node => node.tagName !== 'SCRIPT' || node.textContent.includes('pwned=1')).map(node => node.outerHTML)"""


def harmless(page: Page | Frame) -> bool:
    """Nothing has run, and no element has been made of a text."""
    assert page.evaluate("typeof window.pwned") == "undefined"
    assert page.evaluate(MADE) == []
    return True
