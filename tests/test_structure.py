"""The layer table, held by reading every file's imports: a module imports from modules above it in the list only.

The list is the docstring of weightlab/__init__.py, then those of programs/__init__.py and widgets/__init__.py in it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "weightlab"


def listed(path: Path) -> dict[str, str]:
    """Module -> the heading above it ("Layer 0, …"), in the order of the list in a file's docstring."""
    found: dict[str, str] = {}
    heading = ""
    for line in (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines():
        entry = re.match(r"    ([a-z_0-9]+)  *\S", line)
        if entry:
            found[entry.group(1)] = heading
        elif line:
            heading = line
    return found


LAYERS = listed(PACKAGE / "__init__.py")
FOLDERS = ("programs", "widgets")
INSIDE = [f"{folder}.{name}" for folder in FOLDERS for name in listed(PACKAGE / folder / "__init__.py")]
RANK = {name: rank for rank, name in enumerate([*LAYERS, *INSIDE])}
LAYER_0 = {name for name, heading in LAYERS.items() if heading.startswith("Layer 0")}
THEORY = {name for name in LAYER_0 if name.endswith("theory")}
# Third-party packages (import names) and the only files that may use them, "figures" being every *_figures.py; torch
# and numpy may be used everywhere.
HOMES: dict[str, tuple[str, ...]] = {
    "sklearn": ("datasets", "imbalance", "scores"),
    "imblearn": ("imbalance",),
    "matplotlib": ("plots", "figures", "widgets"),
    "anywidget": ("widgets",),
    "ipywidgets": ("widgets",),
    "traitlets": ("widgets",),
    "IPython": ("widgets", "plots"),
}


def modules() -> dict[str, Path]:
    """Dotted name inside the package -> file; the package itself is left out, `widgets` is its `__init__`."""
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
                # `from weightlab import theory` and `from weightlab.widgets import panel` name a module last
                submodule = f"{source}.{alias.name}"
                yield (submodule if submodule.removeprefix("weightlab.") in MODULES else source, node.lineno)


def own_imports(name: str) -> list[tuple[str, int]]:
    found = [(source, line) for source, line in imported(MODULES[name]) if source.split(".")[0] == "weightlab"]
    return [(source.removeprefix("weightlab").removeprefix("."), line) for source, line in found]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_modules_above_it_only(name: str) -> None:
    where = "/".join(["weightlab", *name.split(".")[:-1], "__init__.py"])
    assert name in RANK, f"{name} is not in the list: add it to the docstring of {where}"
    wrong = [f"line {line}: {source}" for source, line in own_imports(name) if RANK.get(source, -1) >= RANK[name]]
    assert not wrong, f"weightlab.{name} imports from itself or from modules below it in the list: {wrong}"


def test_the_list_names_no_module_that_is_gone() -> None:
    assert RANK.keys() <= MODULES.keys()


@pytest.mark.parametrize("name", sorted(LAYER_0))
def test_layer_0_needs_torch_numpy_and_the_standard_library_only(name: str) -> None:
    roots = {source.split(".")[0] for source, _ in imported(MODULES[name])}
    assert roots <= {"torch", "numpy", "weightlab"} | sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(THEORY))
def test_theory_knows_neither_rules_nor_runs(name: str) -> None:
    assert {source for source, _ in own_imports(name)} <= {"validate"}


@pytest.mark.parametrize("name", MODULES)
def test_a_library_is_used_only_where_it_belongs(name: str) -> None:
    for source, line in imported(MODULES[name]):
        homes = HOMES.get(source.split(".")[0])
        kind = "figures" if name.endswith("_figures") else name.split(".")[0]
        assert homes is None or kind in homes, f"{name}:{line} imports {source}, which belongs to {homes}"
        assert source != "matplotlib.pyplot", f"{name}:{line}: pyplot leaks figures into running cells; use Figure"


def test_the_list_and_the_imports_are_read_as_they_are_meant() -> None:
    """The checks above would pass on nothing if either were misread."""
    assert list(LAYERS)[0] == "validate" and LAYERS["widgets"].startswith("Layer 4")
    assert len({heading[:7] for heading in LAYERS.values()}) == 5
    assert RANK["widgets.descent_panel"] > RANK["widgets.panel"] > RANK["plots"] > RANK["training"] > RANK["theory"]
    assert {"activations", "initializers", "validate"} <= {source for source, _ in own_imports("models")}
    assert "torch" in {source for source, _ in imported(MODULES["theory"])}


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
