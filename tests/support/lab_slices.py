"""Which cells of a lab its panels need: the browser tests run those, the notebook tests run all of them."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat

PANEL = re.compile(r"\w+Panel\(")  # how the text of a panel begins in a committed output


def panel_cells(book: Any) -> list[int]:
    """Numbers of the cells that show a panel, according to the outputs that the notebook was saved with."""
    return [i for i, cell in enumerate(book.cells) if any(map(_shows_panel, cell.get("outputs", ())))]


def _shows_panel(output: Any) -> bool:
    return bool(PANEL.match(output.get("data", {}).get("text/plain", "")))


def names(source: str) -> tuple[set[str], set[str]]:
    """(bound, used): what a cell binds at its top level, and what it takes from other cells, in functions too."""
    symbols = table_of(source).get_symbols()
    bound = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    used = {symbol.get_name() for symbol in symbols if symbol.is_referenced()} | used_in_functions(source)
    return bound, used - bound - set(dir(builtins))


class _Generators(ast.NodeTransformer):
    """Every comprehension as a generator: from Python 3.12 on only those have a scope of their own in the table."""

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp) -> ast.AST:
        return ast.GeneratorExp(self.visit(node.elt), [self.visit(each) for each in node.generators])

    visit_SetComp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        pair = ast.Tuple([self.visit(node.key), self.visit(node.value)], ast.Load())
        return ast.GeneratorExp(pair, [self.visit(each) for each in node.generators])


def table_of(source: str) -> symtable.SymbolTable:
    tree = ast.fix_missing_locations(_Generators().visit(ast.parse(source)))
    return symtable.symtable(ast.unparse(tree), "cell", "exec")


def used_in_functions(source: str) -> set[str]:
    """The cell's and other cells' names that its functions look up, not now but when they are called."""
    found: set[str] = set()
    tables = table_of(source).get_children()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        found |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()}
    return found


def needed_cells(book: Any, targets: Iterable[int]) -> list[int]:
    """`targets` and the code cells above them that bind, last of all, a name that they use, and so on upwards."""
    chosen = set(targets)
    wanted: set[str] = set()
    for i in reversed(range(len(book.cells))):
        if book.cells[i].cell_type != "code":
            continue
        bound, used = names(book.cells[i].source)
        if i in chosen or bound & wanted:
            chosen.add(i)
            wanted = (wanted - bound) | used
    return sorted(chosen)


def rebound(book: Any, panel: int) -> set[str]:
    """Names that functions of this panel look up when it is used, and that cells below it bind to something else."""
    bound = {i: names(cell.source)[0] for i, cell in enumerate(book.cells) if cell.cell_type == "code"}
    looked_up = {name for i in needed_cells(book, [panel]) for name in used_in_functions(book.cells[i].source)}
    above = {name for i, found in bound.items() if i <= panel for name in found}
    below = {name for i, found in bound.items() if i > panel for name in found}
    return looked_up & above & below


def keep_what_panels_need(path: Path) -> None:
    """Take the code cells that no panel needs out of the notebook at `path`; its text stays."""
    book = nbformat.read(path, as_version=4)
    needed = needed_cells(book, panel_cells(book))
    book.cells = [cell for i, cell in enumerate(book.cells) if cell.cell_type != "code" or i in needed]
    nbformat.write(book, path)
