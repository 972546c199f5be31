"""The stage's scripts as ES modules, without a browser: who imports what, and how they are joined into one text.

In a browser, as true modules: tests/browser/test_stage_modules.py.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import weightlab
from weightlab.stage.modules import exports, imports, join_modules
from weightlab.stage.stage import Stage

JS = (Path(weightlab.__file__).parent / "stage" / "js").resolve()
MODULES = sorted(JS.rglob("*.js"))
ENTRIES = [JS / "widget.js", JS / "replay.js"]
PURE = JS / "pure"
DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function|class|const) (\w+)", re.MULTILINE)


def code(path: Path) -> str:
    """A module without comments and quoted strings."""
    return re.sub(r'"(?:[^"\\\n]|\\.)*"|//.*', '""', path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_uses_what_it_imports_and_no_other_modules_names(path: Path) -> None:
    body = re.sub(r"^import .*", "", code(path), flags=re.MULTILINE)
    taken = [name for names in imports(path).values() for name in names]
    assert [name for name in taken if not re.search(rf"\b{name}\b", body)] == []
    own = set(taken) | set(DECLARED.findall(body))
    foreign = {name for other in MODULES if other != path for name in DECLARED.findall(code(other))} - own
    local = set(re.findall(r"(?:const|let) (\w+)", body)) | {
        name for given in re.findall(r"(?:const|let) [\[{]([^=]*)[\]}] =", body) for name in re.findall(r"\w+", given)
    }
    used = set(re.findall(r"(?<![\w.])(\w+)(?=\s*[(.\[;,)])", body))
    assert (foreign - local) & used == set(), "import it"


def test_every_export_is_used_and_every_module_is_reached() -> None:
    wanted = {(source, name) for path in MODULES for source, names in imports(path).items() for name in names}
    assert {(path, name) for path in MODULES for name in exports(path)} == wanted
    assert {source for source, _ in wanted} | set(ENTRIES) == set(MODULES)
    assert [path for path in ENTRIES if exports(path)] == []


def test_what_touches_no_page_imports_nothing_that_does() -> None:
    found = {source for path in PURE.glob("*.js") for source in imports(path)}
    assert found and {source.parent for source in found} == {PURE}


def test_no_two_modules_have_one_name() -> None:
    assert max(Counter(path.stem for path in MODULES).values()) == 1


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.name)
def test_a_joined_text_imports_nothing_and_has_every_module_once(entry: Path) -> None:
    text = join_modules(entry)
    assert not re.search(r"^\s*(?:import\b|export (?!default ))", text, re.MULTILINE)
    named = re.findall(r"^const (\w+)_js = ", text, re.MULTILINE)
    assert sorted(named) == sorted(path.stem for path in MODULES if path not in ENTRIES)
    assert text == join_modules(entry)  # a page's policy holds its digest
    assert text.count("export default") == (entry.name == "widget.js")


def test_the_widgets_script_is_the_joined_text() -> None:
    assert Stage._esm == join_modules(ENTRIES[0])


# ---- what cannot be joined ---------------------------------------------------------------------------------------

TWO = 'export const two = 2;\nexport async function twice(x) { return two * x; }\n'  # fmt: skip


def joined(folder: Path, **texts: str) -> str:
    """Modules of these texts, joined from the one that is called entry."""
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return join_modules(folder / "entry.js")


def test_modules_keep_their_own_names(tmp_path: Path) -> None:
    text = joined(tmp_path, two=TWO, entry='import { twice } from "./two.js";\nconst two = 3;\ntwice(two);\n')
    assert text == (
        "const two_js = (() => {\nconst two = 2;\nasync function twice(x) { return two * x; }\n\n"
        "return { two, twice };\n})();\n\nconst { twice } = two_js;\nconst two = 3;\ntwice(two);\n"
    )


def test_a_name_that_its_source_does_not_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^entry\.js imports half, third, which two\.js does not export$"):
        joined(tmp_path, two=TWO, entry='import { third, twice, half } from "./two.js";\n')


def test_a_circle_is_refused(tmp_path: Path) -> None:
    other = 'import { one } from "./entry.js";\nexport const two = 2;\n'
    with pytest.raises(ValueError, match="cycle.*other.js"):
        joined(tmp_path, other=other, entry='import { two } from "./other.js";\nexport const one = 1;\n')


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.js"):
        joined(tmp_path, entry='import { one } from "./nowhere.js";\n')


@pytest.mark.parametrize(
    "line",
    [
        'import * as two from "./two.js";',
        'import two from "./two.js";',
        'import { two as deux } from "./two.js";',
        'import "./two.js";',
        'import { two } from "elsewhere";',
        "export { one };",
        "export let one = 1;",
        'export * from "./two.js";',
    ],
)
def test_another_form_of_import_or_export_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match=rf"entry\.js cannot be joined: {re.escape(repr(line))}"):
        joined(tmp_path, two=TWO, entry=f"{line}\n")
