"""The layer table, held by reading every file's imports: a file imports from the rows above its own only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "weightlab"

# One row a line. Within layer 0, 2 and 4 a few files stand on others of their layer: they get a later row.
ROWS: tuple[tuple[str, ...], ...] = (
    # 0: torch, numpy and the standard library only
    ("validate", "pictures", "records"),
    ("own_function", "update_rules", "schedules", "activations", "initializers", "losses", "devices"),
    ("theory", "signal_theory", "noise_theory", "loop_theory", "imbalance_theory", "torch_schedulers"),
    ("landscapes",),
    # 1
    ("models", "datasets", "scores"),
    ("imbalance", "loop_problems"),
    # 2
    ("experiments", "steppers", "verdicts", "environment"),
    ("recorder",),
    ("descent", "training", "signals", "update_loop", "imbalanced_runs", "surfaces", "export"),
    ("measurements", "scheduled_runs"),
    # 3
    ("plots", "checks"),
    ("momentum_figures", "signal_figures", "nesterov_figures"),
    # 4
    ("widgets", "widgets.controls", "widgets.live", "widgets.stage", "widgets.settings_map", "widgets.film"),
    ("widgets.panel", "widgets.training_settings", "widgets.schedule_scene"),
)
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
LAYER_0 = {name for row in ROWS[:4] for name in row}
THEORY = {name for name in LAYER_0 if name.endswith("theory")}
# Third-party packages (import names) and the only files that may use them; torch and numpy may be used everywhere.
HOMES: dict[str, tuple[str, ...]] = {
    "sklearn": ("datasets", "imbalance", "scores"),
    "imblearn": ("imbalance",),
    "matplotlib": ("plots", "descent_figures", "momentum_figures", "nesterov_figures", "signal_figures", "widgets"),
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


def rank(name: str) -> int:
    """Row of a module; every widgets/*_panel.py stands on the last row."""
    return len(ROWS) if name.startswith("widgets.") and name.endswith("_panel") else RANK[name]


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
def test_a_file_imports_from_lower_rows_only(name: str) -> None:
    assert name in RANK or name.endswith("_panel"), f"{name} is in no row: add it to ROWS in tests/test_structure.py"
    wrong = [f"line {line}: weightlab.{source}" for source, line in own_imports(name) if rank(source) >= rank(name)]
    assert not wrong, f"weightlab.{name} imports from its own row or a higher one: {wrong}"


@pytest.mark.parametrize("name", sorted(LAYER_0 & MODULES.keys()))
def test_layer_0_needs_torch_numpy_and_the_standard_library_only(name: str) -> None:
    roots = {source.split(".")[0] for source, _ in imported(MODULES[name])}
    assert roots <= {"torch", "numpy", "weightlab"} | sys.stdlib_module_names


@pytest.mark.parametrize("name", sorted(MODULES.keys() & THEORY))
def test_theory_knows_neither_rules_nor_runs(name: str) -> None:
    assert {source for source, _ in own_imports(name)} <= {"validate"}


@pytest.mark.parametrize("name", MODULES)
def test_a_library_is_used_only_where_it_belongs(name: str) -> None:
    for source, line in imported(MODULES[name]):
        homes = HOMES.get(source.split(".")[0])
        assert homes is None or name.split(".")[0] in homes, f"{name}:{line} imports {source}, which belongs to {homes}"
        assert source != "matplotlib.pyplot", f"{name}:{line}: pyplot leaks figures into running cells; use Figure"


def test_the_table_reads_as_it_is_meant() -> None:
    """The checks above would pass on nothing if imports were misread: one import of each form must be seen."""
    assert ("validate" in RANK) and rank("widgets.descent_panel") > rank("widgets.panel") > rank("plots")
    sources = {source for source, _ in own_imports("models")}
    assert {"activations", "initializers", "validate"} <= sources
    assert "torch" in {source for source, _ in imported(MODULES["theory"])}


def test_the_module_map_names_every_module() -> None:
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    documented = {line.split()[0] for line in text.splitlines() if line.startswith("    ") and line.split()}
    top = {name for name in MODULES if "." not in name}
    assert top <= documented, f"weightlab/__init__.py does not name {sorted(top - documented)}"


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
