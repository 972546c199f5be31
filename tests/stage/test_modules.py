"""The stage's scripts as ES modules, without a browser: who imports what, and how they are joined into one text.

In a browser, as true modules: tests/browser/test_stage_modules.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import weightlab
from weightlab.stage.modules import exports, imports, join_modules

JS = (Path(weightlab.__file__).parent / "stage" / "js").resolve()
MODULES = sorted(JS.rglob("*.js"))
ENTRIES = [JS / "widget.js", JS / "replay.js"]
PURE = JS / "pure"


def test_every_export_is_used_and_every_module_is_reached() -> None:
    wanted = {(source, name) for path in MODULES for source, names in imports(path).items() for name in names}
    assert {(path, name) for path in MODULES for name in exports(path)} == wanted
    assert {source for source, _ in wanted} | set(ENTRIES) == set(MODULES)
    assert [path for path in ENTRIES if exports(path)] == []


def test_what_touches_no_page_imports_nothing_that_does() -> None:
    found = {source for path in PURE.glob("*.js") for source in imports(path)}
    assert found and {source.parent for source in found} == {PURE}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.name)
def test_a_joined_text_imports_nothing_and_has_every_module_once(entry: Path) -> None:
    text = join_modules(entry)
    assert not re.search(r"^\s*(?:import\b|export (?!default ))", text, re.MULTILINE)
    named = re.findall(r"^const (\w+)_js = ", text, re.MULTILINE)
    assert sorted(named) == sorted(path.stem for path in MODULES if path not in ENTRIES)
    assert text == join_modules(entry)  # a page's policy holds its digest
    assert text.count("export default") == (entry.name == "widget.js")


# ---- what cannot be joined ---------------------------------------------------------------------------------------

TWO = 'export const two = 2;\nexport async function twice(x) { return two * x; }\n'  # fmt: skip


def joined(folder: Path, **texts: str) -> str:
    """Modules of these texts, joined from the one that is called entry."""
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return join_modules(folder / "entry.js")


def test_a_name_that_its_source_does_not_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^entry\.js imports half, third, which two\.js does not export$"):
        joined(tmp_path, two=TWO, entry='import { third, twice, half } from "./two.js";\n')


def test_a_circle_is_refused(tmp_path: Path) -> None:
    other = 'import { one } from "./entry.js";\nexport const two = 2;\n'
    with pytest.raises(ValueError, match="cycle.*other.js"):
        joined(tmp_path, other=other, entry='import { two } from "./other.js";\nexport const one = 1;\n')


@pytest.mark.parametrize(
    "line",
    [
        'import * as two from "./two.js";',
        'import { two as deux } from "./two.js";',
        'import { two } from "elsewhere";',
        "export let one = 1;",
    ],
)
def test_another_form_of_import_or_export_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match=rf"entry\.js cannot be joined: {re.escape(repr(line))}"):
        joined(tmp_path, two=TWO, entry=f"{line}\n")
