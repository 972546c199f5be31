"""The house, held by reading every file's imports: from a later storey to an earlier one only, no subject from another.

The storeys are listed here, not the files, so that a new file needs no entry; a new subject is one word in `SUBJECTS`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "weightlab"
GROUND = ("validate", "devices", "program_text")
NOUNS = ("theory", "rules", "networks", "descent", "training")
HANDS = ("pictures", "texts", "programs", "stage")
SUBJECTS = (
    "loop", "toys", "signals", "ensembles", "cures", "scheduling", "stopping", "imbalance", "surfaces", "playground"
)  # fmt: skip
ROOF = ("teaching",)
# Rooms in the order in which they may be imported; subjects share a place, since none imports another.
ORDER = [*GROUND, *NOUNS, *HANDS, SUBJECTS, *ROOF]
RANK = {room: rank for rank, place in enumerate(ORDER) for room in ([place] if isinstance(place, str) else place)}
# Third-party packages (import names) and what may use them: rooms, or files' names in any room; torch and numpy may be
# used everywhere.
HOMES: dict[str, tuple[str, ...]] = {
    "sklearn": ("networks", "imbalance"),
    "imblearn": ("imbalance",),
    "matplotlib": ("pictures", "figures", "toys"),
    "anywidget": ("stage",),
    "ipywidgets": ("stage",),
    "traitlets": ("stage",),
    "IPython": ("stage", "pictures", "teaching"),
}


def modules() -> dict[str, Path]:
    """Dotted name inside the package -> file; the package itself is left out."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted module, line) of every import in a file, those inside functions and TYPE_CHECKING blocks too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} uses a relative import; name the module in full"
            assert node.names[0].name != "*", f"{path.name}:{node.lineno} imports *; name what is used"
            source = node.module or ""
            for alias in node.names:
                # `from weightlab.theory import quadratic` names a module last
                submodule = f"{source}.{alias.name}"
                yield (submodule if submodule.removeprefix("weightlab.") in MODULES else source, node.lineno)


def own_imports(name: str) -> list[tuple[str, int]]:
    """(module inside the package, line); the package itself, which holds the version only, is left out."""
    found = [(source, line) for source, line in imported(MODULES[name]) if source.startswith("weightlab.")]
    return [(source.removeprefix("weightlab."), line) for source, line in found]


def room(name: str) -> str:
    return name.split(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_from_a_later_storey_to_an_earlier_one(name: str) -> None:
    assert room(name) in RANK, f"{room(name)} is on no storey of {Path(__file__).name}: say where it belongs"
    wrong = [
        f"line {line}: {source}"
        for source, line in own_imports(name)
        if room(source) != room(name) and RANK[room(source)] >= RANK[room(name)]
    ]
    assert not wrong, f"weightlab.{name} imports from its own storey's later rooms, or another subject: {wrong}"


def test_no_circle_of_imports() -> None:
    graph = {name: {source for source, _ in own_imports(name)} for name in MODULES}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) == "theory"])
def test_theory_knows_neither_rules_nor_runs(name: str) -> None:
    assert {room(source) for source, _ in own_imports(name)} <= {"validate", "theory"}


@pytest.mark.parametrize("name", [name for name in MODULES if room(name) in ("theory", "rules", *GROUND)])
def test_rules_and_theory_need_torch_numpy_and_the_standard_library_only(name: str) -> None:
    roots = {source.split(".")[0] for source, _ in imported(MODULES[name])}
    assert roots <= {"torch", "numpy", "weightlab"} | sys.stdlib_module_names


@pytest.mark.parametrize("name", MODULES)
def test_a_library_is_used_only_where_it_belongs(name: str) -> None:
    for source, line in imported(MODULES[name]):
        homes = HOMES.get(source.split(".")[0])
        fits = homes is None or {room(name), name.split(".")[-1]} & set(homes)
        assert fits, f"{name}:{line} imports {source}, which belongs to {homes}"
        assert source != "matplotlib.pyplot", f"{name}:{line}: pyplot leaks figures into running cells; use Figure"


def test_importing_the_package_does_nothing_heavy() -> None:
    code = "import sys, weightlab; print([name for name in ('torch', 'numpy', 'matplotlib') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"


def test_importing_every_module_loads_no_pyplot_and_no_compiler() -> None:
    """torch._dynamo costs seconds and pyplot keeps a registry of figures; neither belongs to an import."""
    imports = "; ".join(f"import weightlab.{name}" for name in MODULES)
    code = f"import sys; {imports}; print([m for m in ('matplotlib.pyplot', 'torch._dynamo') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"
