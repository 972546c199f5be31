"""The ES modules of the stage, joined into one text that imports nothing.

A notebook takes a widget's script as one text, a page opened from disk may load no other file, and some front ends
refuse blob: URLs. So each module becomes a function that is called once and gives what the module exports; the entry
stands last, as it is. Functions keep their names, for whoever reads a stack trace.
"""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path

_IMPORT = re.compile(r'^import \{ (\w+(?:, \w+)*) \} from "(\.[\w./]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^\s*(?:import|export)\b(?! default).*", re.MULTILINE)


def imports(path: Path) -> dict[Path, list[str]]:
    """The files that a module imports, and which names from each."""
    found = _IMPORT.findall(path.read_text(encoding="utf-8"))
    return {(path.parent / file).resolve(): names.split(", ") for names, file in found}


def exports(path: Path) -> list[str]:
    """The names that a module exports."""
    return _EXPORT.findall(path.read_text(encoding="utf-8"))


def join_modules(entry: Path) -> str:
    """The entry after all that it imports, each module after those that it needs.

    Raises ValueError if a module imports a name that its source does not export, if imports go in a circle, or if one
    has another form than `import { a, b } from "./c.js";` and `export` before `function`, `class` or `const`. An
    `export default` runs in the entry only.
    """
    graph: dict[Path, dict[Path, list[str]]] = {}
    waiting = [entry.resolve()]
    while waiting:
        path = waiting.pop()
        graph[path] = imports(path)
        waiting += [source for source in graph[path] if source not in graph]
    *needed, last = TopologicalSorter(graph).static_order()
    scopes = [f"const {path.stem}_js = (() => {{\n{_body(path)}\nreturn {{ {', '.join(exports(path))} }};\n}})();\n"
              for path in needed]  # fmt: skip
    return "\n".join([*scopes, _body(last)])


def _body(path: Path) -> str:
    """A module's text, its imports taken from what the functions before it gave."""
    text = path.read_text(encoding="utf-8")
    for source, names in imports(path).items():
        if missing := set(names) - set(exports(source)):
            raise ValueError(f"{path.name} imports {', '.join(sorted(missing))}, which {source.name} does not export")
    text = _IMPORT.sub(lambda found: f"const {{ {found[1]} }} = {Path(found[2]).stem}_js;", text)
    text = _EXPORT.sub("", text)
    if other := _OTHER.search(text):
        raise ValueError(f"{path.name} cannot be joined: {other[0].strip()!r} has none of the forms that are known")
    return text
