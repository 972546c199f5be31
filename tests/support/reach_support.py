"""What the accessibility tests ask a page of panels, and how they press its keys."""

from __future__ import annotations

from typing import Any

from browser_support import NotebookPage

# The element that has the focus: its name, its panel (-1 for none), a ring around it, nothing lying on it.
FOCUSED = """() => {
    const node = document.activeElement;
    const root = node.closest(".weightlab");
    if (!root) return { name: node.className || node.tagName, panel: -1 };
    const box = node.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height / 2, 12));
    const { outlineStyle, outlineWidth } = getComputedStyle(node);
    const { action, name, exact } = node.dataset;
    return { name: node === root ? "panel" : action || name || exact && `exact ${exact}` || node.textContent || node.id,
             panel: [...document.querySelectorAll(".weightlab")].indexOf(root),
             ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
             uncovered: node === root || node.contains(top) || top.contains(node) };
}"""
# How many stops Tab has to make in a panel, itself included.
REACHABLE = """index => {
    const root = document.querySelectorAll(".weightlab")[index];
    const found = [...root.querySelectorAll("button, input, select, summary, pre")];
    return 1 + found.filter(node => !node.disabled && node.checkVisibility()).length;
}"""
# What of a panel is cut off, sticks out, lies on something else or is too small.
LOSSES = """index => {
    const root = document.querySelectorAll(".weightlab")[index];
    const whole = root.getBoundingClientRect();
    const problems = root.scrollWidth > root.clientWidth ? ["scrolls sideways"] : [];
    const parts = [...root.querySelectorAll("button, input, select, summary, label, .wl-legend-item, td, th, .wl-step")]
        .filter(node => node.checkVisibility() && !node.closest(".wl-code"));
    const boxes = parts.map(node => node.getBoundingClientRect());
    const say = ({ className, tagName, dataset, textContent }) =>
        `${className || tagName} ${dataset.action || dataset.name || textContent.slice(0, 20)}`;
    parts.forEach((node, i) => {
        const { left, right } = boxes[i];
        if (left < whole.left - 1 || right > whole.right + 1) problems.push(`sticks out: ${say(node)}`);
        if (node.tagName !== "SELECT" && node.tagName !== "INPUT" && node.scrollWidth > node.clientWidth + 1
            && getComputedStyle(node).display !== "inline") problems.push(`cut off: ${say(node)}`);
        for (let j = 0; j < i; j++) {
            if (node.contains(parts[j]) || parts[j].contains(node)) continue;
            const across = Math.min(boxes[i].right, boxes[j].right) - Math.max(boxes[i].left, boxes[j].left);
            const along = Math.min(boxes[i].bottom, boxes[j].bottom) - Math.max(boxes[i].top, boxes[j].top);
            if (across > 1 && along > 1) problems.push(`${say(node)} lies on ${say(parts[j])}`);
        }
    });
    for (const { area, view } of root.weightlab.plots) {
        if (area.w < 150 || area.h < 60) problems.push(`${view.name} is small: ${area.w} by ${area.h}`);
    }
    return problems;
}"""


def panel(opened: NotebookPage, index: int) -> Any:
    found = opened.page.locator(".weightlab").nth(index)
    found.scroll_into_view_if_needed()
    return found


def ask(opened: NotebookPage, index: int, expression: str) -> Any:
    """Value of JavaScript over `stage`, the panel at `index`."""
    script = f"index => (stage => ({expression}))(document.querySelectorAll('.weightlab')[index].weightlab)"
    return opened.page.evaluate(script, index)


def wait(opened: NotebookPage, index: int, condition: str, seconds: float = 20.0) -> None:
    script = f"""index => {{
        const stage = document.querySelectorAll('.weightlab')[index].weightlab;
        return Boolean({condition});
    }}"""
    opened.page.wait_for_function(script, arg=index, timeout=seconds * 1000)


def focus(opened: NotebookPage, index: int, selector: str) -> None:
    """Put the focus where Tab would have brought it, ring included."""
    found = panel(opened, index).locator(selector).first
    found.focus()
    opened.page.keyboard.press("Shift")


def press(opened: NotebookPage, *keys: str) -> None:
    for key in keys:
        opened.page.keyboard.press(key)
