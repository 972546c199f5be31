"""What somebody hands to the labs runs nothing: no pickle is loaded, and no text is taken for code.

No text becomes HTML either: test_hostile_pages.py. Nothing needs a network:
tests/labs/test_labs_offline.py. What guards the CI and the server: tests/test_guards.py.
"""

from __future__ import annotations

import ast
import base64
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from browser_support import ROOT
from reliability import Record

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape_from_function
from weightlab.loop.experiment import USUAL_ORDER, LoopExperiment
from weightlab.loop.problems import PROBLEMS
from weightlab.networks.datasets import dataset_from_tensors
from weightlab.networks.models import model
from weightlab.networks.own_model import model_from_module
from weightlab.programs.experiments import program_of
from weightlab.rules.update_rules import optimizer
from weightlab.teaching.check_reports import Report, read_report, summary
from weightlab.teaching.grading import main as grade
from weightlab.teaching.nbgrader_copies import write_course
from weightlab.training.experiment import TrainingExperiment

PACKAGE = ROOT / "weightlab"
PYTHON = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / ".ci").glob("*.py")])
LABS = sorted((ROOT / "labs").glob("*.ipynb"))

# ---- nothing is unpickled, and no text is run --------------------------------------------------------------------

UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
# What the package runs all the same: the lines of the update loop, which are its own (see the test below).
OWN_LINES = {("loop/run.py", "exec"), ("loop/run.py", "compile")}


def called(node: ast.Call) -> str:
    """`torch.load` for a call of it."""
    return ast.unparse(node.func)


def calls(source: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def given(node: ast.Call, name: str) -> Any:
    """The constant that a call gives to an argument by name; None where there is none."""
    value = next((part.value for part in node.keywords if part.arg == name), None)
    return value.value if isinstance(value, ast.Constant) else None


def unpickled(source: str) -> Iterator[str]:
    """Calls by which a file or a text that somebody made could run code while it is read."""
    for node in calls(source):
        name = called(node)
        if name == "torch.load" and given(node, "weights_only") is not True:
            yield f"{name} without weights_only=True"
        if given(node, "allow_pickle") or given(node, "shell"):
            yield f"{name} with allow_pickle or shell"
        if name in {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "torch.hub.load"}:
            yield name
        if name.split(".")[0] in UNPICKLES and name.rpartition(".")[2] in {"load", "loads", "open", "Unpickler"}:
            own = node.args[0] if node.args else None  # what the very same expression has just written
            if not (isinstance(own, ast.Call) and called(own) == name.replace("loads", "dumps")):
                yield name


def code_cells(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize(
    "source",
    [
        "torch.load('x.pt')", "torch.load('x.pt', weights_only=False)", "pickle.load(file)", "pickle.loads(data)",
        "numpy.load('x.npy', allow_pickle=True)", "joblib.load('m')", "subprocess.run(text, shell=True)",
        "yaml.load(text, Loader=yaml.Loader)", "shelve.open('x')", "os.system(text)",
    ],
)  # fmt: skip
def test_each_way_to_run_a_file_while_it_is_read_is_found(source: str) -> None:
    assert list(unpickled(source))


def test_no_file_and_no_lab_unpickles_anything(record_property: Record) -> None:
    sources = {str(path.relative_to(ROOT)): [path.read_text(encoding="utf-8")] for path in PYTHON}
    sources |= {str(path.relative_to(ROOT)): code_cells(path) for path in LABS}
    assert [(name, call) for name, parts in sources.items() for part in parts for call in unpickled(part)] == []
    record_property("files_without_pickle", len(sources))


def test_a_program_loads_a_learners_tensors_without_unpickling() -> None:
    data = dataset_from_tensors(torch.randn(40, 2), torch.arange(40) % 2)
    experiment = TrainingExperiment(model("mlp", depth=1, width=2), data, optimizer("adam"), batch_size=8, steps=2)
    text = program_of(experiment)
    assert text.count("torch.load(") == 2 and list(unpickled(text)) == []


def test_no_piece_of_a_program_unpickles_or_runs_a_text() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (PACKAGE / "programs").glob("*.py")]
    constants = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    pieces = [text for text in constants if isinstance(text, str)]
    runs = r"pickle|joblib|(?<!\.)\b(?:eval|exec|__import__)\(|os\.system"
    assert any("optimizer.zero_grad()" in piece for piece in pieces)
    assert [piece for piece in pieces if re.search(runs, piece)] == []
    assert [piece for piece in pieces if piece.count("torch.load(") != piece.count("weights_only=True")] == []


def test_the_package_runs_no_text_but_its_own_lines() -> None:
    texts = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    found = {(name, called(node)) for name, text in texts.items() for node in calls(text)}
    assert {(file, name) for file, name in found if name in RUNS_TEXT} == OWN_LINES


def test_the_lines_of_the_update_loop_hold_nothing_that_somebody_typed() -> None:
    loops = [
        LoopExperiment(problem, by_hand=by_hand, no_grad=no_grad)
        for problem in PROBLEMS for by_hand in (False, True) for no_grad in (False, True)
    ]  # fmt: skip
    texts = {loop.text(line) for loop in loops for line in USUAL_ORDER}
    other = LoopExperiment(learning_rate=0.731, start=2.5)
    assert {other.text(line) for line in USUAL_ORDER} <= texts and len(texts) == 10
    with pytest.raises(ValueError, match="unknown problem"):
        LoopExperiment("print(1)")


# ---- files and texts with a payload ------------------------------------------------------------------------------

READ_THEM = """
import json, sys
from weightlab.texts.experiments import from_text, panel_values
from weightlab.toys.panel import DescentPanel
from weightlab.playground.panel import TrainingPanel

RUNS = ("exec", "compile", "pickle.find_class", "marshal.loads", "os.system", "os.exec", "os.posix_spawn", "os.fork",
        "subprocess.Popen", "socket.connect", "import")
seen, watching = [], False
def note(event, arguments):
    if watching and (event in RUNS or (event == "open" and "w" in str(arguments[1]))):
        seen.append(event)
panels = DescentPanel(steps=5), TrainingPanel(depth=1, width=2, steps=5)
for panel in panels:
    panel.load(panel.text)
texts = json.load(sys.stdin)
ways = [from_text, *(panel.load for panel in panels), lambda text: panel_values(text, "descent")]
refusals = 0
def read(way, text):
    try:
        way(text)
    except ValueError:
        return 1
    return 0
for way in ways:
    read(way, "nothing")  # what is imported late is imported now
sys.addaudithook(note)
watching = True
for text in texts:
    refusals += sum(read(way, text) for way in ways)
watching = False
for panel in panels:
    panel.close()
print(json.dumps([refusals, len(ways) * len(texts), sorted(set(seen))]))
"""


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.sentinel,)


def payloads(sentinel: Path) -> list[str]:
    """Texts that would make the file `sentinel`, were any part of them run."""
    code = f"__import__('pathlib').Path({str(sentinel)!r}).touch()"
    shell = f"touch {sentinel}"
    pickled = base64.b64encode(pickle.dumps(Payload(sentinel))).decode()
    yaml_tag = f"!!python/object/apply:os.system [{shell}]"
    plain = [code, f"!{shell}", f"$({shell})", f"`{shell}`", pickled, f"{{{code}}}", yaml_tag]
    heads = [
        "weightlab1/descent/{}/momentum",
        "weightlab1/training/own:{}/own:{}/sgd,lr=0.1",
        "weightlab1/training/digits,seed={}",
        "weightlab1/panel/descent/{}",
        "weightlab1/panel/training/own={}",
        "{}/descent/quadratic",
    ]
    quoted = ["".join(c if c.isalnum() else f"~{ord(c):02X}" for c in text) for text in plain]
    return plain + [head.replace("{}", text) for head in heads for text in [*plain, *quoted]]


def test_a_state_text_with_a_payload_is_refused_and_runs_nothing(
    tmp_path: Path, record_property: Record
) -> None:
    sentinel = tmp_path / "ran"
    pickle.loads(pickle.dumps(Payload(sentinel)))
    assert sentinel.exists()  # the payload is one
    sentinel.unlink()
    given = json.dumps(payloads(sentinel))
    command = [sys.executable, "-c", READ_THEM]
    run = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    refused, read, seen = json.loads(run.stdout.splitlines()[-1])
    assert refused == read and seen == [] and not sentinel.exists()
    record_property("payloads_refused", refused)


def book_with_a_payload(folder: Path, sentinel: Path) -> Path:
    code = f"import pathlib\npathlib.Path({str(sentinel)!r}).touch()"
    pickled = base64.b64encode(pickle.dumps(Payload(sentinel))).decode()
    data = {"application/x-python-pickle": pickled, "text/plain": "✓ right: yes"}
    exercise = nbformat.v4.new_code_cell(
        f"answer = ...\n{code}\ncheck_number(answer, 2.0, 0.01)",
        metadata={"tags": ["exercise"], "weightlab": {"id": "payload", "wrong_answers": [code, code]}},
        outputs=[nbformat.v4.new_output("display_data", data=data)],
    )
    solution = f"<details><summary>Solution</summary>\n\n```python\nanswer = 2\n{code}\n```\n\n</details>"
    setup = nbformat.v4.new_code_cell(code, metadata={"tags": ["setup"]})
    cells = [setup, exercise, nbformat.v4.new_markdown_cell(solution)]
    path = folder / "99_payload.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_reading_a_learners_notebook_runs_nothing_unless_it_is_asked_to(tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"
    path = book_with_a_payload(tmp_path, sentinel)
    report = read_report(path, fresh=False, labs=tmp_path)
    write_course([path], tmp_path / "course")
    assert report.right == 1 and not sentinel.exists()
    read_report(path, fresh=True)  # this is what running it afresh means, and what the guide warns of
    assert sentinel.exists()


def test_the_guide_says_where_to_run_what_learners_wrote() -> None:
    text = " ".join((ROOT / "INSTRUCTORS.md").read_text(encoding="utf-8").split())
    assert "runs what students wrote with your rights: do it in an account or container that may be lost" in text


def test_a_report_shows_no_sign_that_moves_a_terminals_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = "wrong\x1b[1A\x1b[2K\r✓ right\x08\u202e"
    path = book_with_a_payload(tmp_path, tmp_path / "ran")
    book = nbformat.read(path, as_version=4)
    book.cells[1].metadata["weightlab"]["id"] = forged
    book.cells[1].outputs[0].data["text/plain"] = f"✗ {forged}"
    evil = tmp_path / "ada\x1b[1A.ipynb"
    nbformat.write(book, evil)
    report = read_report(evil, fresh=False)
    shown = f"{report!r}\n{summary([report, Report('b', 'outputs as saved', report.findings)])}"
    grade(["report", "--saved", str(evil), str(tmp_path / "\x1b[2Kgone.ipynb")])
    for text in (shown, capsys.readouterr().out):
        assert "wrong" in text and all(line.isprintable() for line in text.split("\n"))


def test_a_name_that_is_none_of_pythons_gets_into_no_program() -> None:
    evil = 'x():\n    pass\nimport os\nos.system("touch ran")\n"""'

    def bowl(w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
        return w1**2 + w2**2

    bowl.__name__ = evil
    own = landscape_from_function(bowl, ((-2, 2), (-2, 2)), name=evil)
    text = program_of(DescentExperiment(own, (optimizer("adam"),)))
    assert "os.system" not in text and "put your own loss here" in text
    with pytest.raises(ValueError, match="Python name"):
        optimizer(type(evil, (torch.optim.SGD,), {}))


def test_what_a_module_says_of_itself_is_not_run_for_its_program(tmp_path: Path) -> None:
    sentinel = tmp_path / "ran"

    class Says(int):
        def __str__(self) -> str:
            return f"__import__('pathlib').Path({str(sentinel)!r}).touch() or 2"

    data = dataset_from_tensors(torch.randn(40, 2), torch.arange(40) % 2)
    for inputs, written in ((2, True), (Says(2), False)):
        own = torch.nn.Linear(2, 2)
        own.in_features = inputs
        experiment = TrainingExperiment(model_from_module(own), data, optimizer("adam"), batch_size=8, steps=2)
        assert ("model = nn.Linear(" in program_of(experiment)) == written
    assert not sentinel.exists()
