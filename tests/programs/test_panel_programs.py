"""Programs of the panels that measure more than one run: without weightlab they find what the panel shows.

float64 panels are met to 1e-10. Training panels run in float32, of which rounding leaves about 1e-7: programs and
panels take the same operations, but torch batches some of them in one and not in the other. TRAINED leaves room for the
rounding of a few dozen updates and for nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from panel_support import say
from program_support import WITHOUT_WEIGHTLAB, assert_clean
from torch import Tensor

from weightlab.cures.panel import TimeGradientsPanel
from weightlab.devices import settle_threads
from weightlab.ensembles.choices import INITIALIZERS_COMPARED
from weightlab.ensembles.panel import EnsemblePanel
from weightlab.imbalance.panel import ImbalancePanel
from weightlab.loop.panel import StepperPanel
from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import INITIALIZERS
from weightlab.scheduling.panel import SchedulePanel
from weightlab.signals.panel import SignalPanel
from weightlab.stage.panel import Panel
from weightlab.stopping.panel import EpochsPanel
from weightlab.surfaces.panel import SurfacePanel
from weightlab.surfaces.sharpness_panel import SharpnessPanel

EXACT, TRAINED = 1e-10, 1e-5
MOST_LINES = 150
# Runs the programs one after the other in a process without weightlab; keeps what they leave, or the exception.
RUNNER = WITHOUT_WEIGHTLAB + """found = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    names, raised = {"__name__": "__main__"}, ""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(compile(path.read_text(), str(path), "exec"), names)
        except (RuntimeError, TypeError) as error:
            raised = type(error).__name__
    kinds = (int, float, str, list, tuple, dict, torch.Tensor)
    kept = {name: value for name, value in names.items() if name in sys.argv[2:] and isinstance(value, kinds)}
    found[path.stem] = {**kept, "raised": raised, "printed": printed.getvalue()}
torch.save(found, pathlib.Path(sys.argv[1]) / "found.pt")
"""
KEPT = [
    "forward", "backward", "gradients", "sizes", "radius", "results", "history", "curve", "epoch", "best_epoch",
    "logits", "pulls", "path", "losses", "places", "plane_losses", "surface", "share", "rows", "first_value",
]  # fmt: skip


def changed_midway() -> SharpnessPanel:
    """A run whose learning rate and momentum were changed while it was paused."""
    panel = SharpnessPanel(steps=40, width=8, learning_rate=0.2, momentum=0.5)
    for _ in range(3):
        say(panel, type="command", name="step")
    panel.set(learning_rate=0.1, momentum=0.8)
    panel.run()
    assert len(panel._watch.training.changes) == 2
    return panel


def trained(panel: Any) -> Any:
    panel.run()
    return panel


MADE: dict[str, Callable[[], Panel]] = {
    "signal": lambda: SignalPanel(depth=12, width=32),
    "signal_tanh": lambda: SignalPanel(activation="tanh", initializer="xavier_uniform", gain=1.3, seed=5, width=16),
    "signal_silu": lambda: SignalPanel(activation="silu", initializer="pytorch_default", depth=30, width=16),
    "signal_zeros": lambda: SignalPanel(initializer="zeros", depth=3, width=8),
    "time_rnn": lambda: TimeGradientsPanel(width=16),
    "time_relu": lambda: TimeGradientsPanel(activation="relu", initializer="orthogonal", gain=1.2, width=8, seed=3),
    "time_lstm": lambda: TimeGradientsPanel(cell="lstm", keep_bias=2.0, width=8),
    "time_gru": lambda: TimeGradientsPanel(cell="gru", initializer="he_normal", gain=0.8, keep_bias=-1.0, width=8),
    "schedule": lambda: SchedulePanel("cosine", ("momentum", "sutskever_nesterov"), steps=40, half_cycle=30, move_at=9),
    "schedule_adam": lambda: SchedulePanel("warmup", ("adam",), steps=70, decay_steps=40, learning_rate=0.05, seed=7),
    "schedule_plateau": lambda: SchedulePanel("plateau", steps=12, patience=0, threshold=0.1, lowest=0.1),
    "stepper": lambda: StepperPanel("line", lines=75, momentum=0.5),
    "stepper_mistake": lambda: StepperPanel("confident_mistake", loss="cross_entropy", forget_zero_grad=True),
    "stepper_by_hand": lambda: StepperPanel("constant_slope", by_hand=True),
    "stepper_digits": lambda: StepperPanel("digits", seed=2, evaluate_in_train_mode=True, step_first=True),
    "stepper_no_grad": lambda: StepperPanel("line", without_no_grad=True, lines=10),
    "stepper_none": lambda: StepperPanel("digits", loss="mse", by_hand=True, step_first=True, lines=10),
    "stepper_changed": lambda: StepperPanel("digits", forget_zero_grad=True, step_first=True, lines=20),
    "epochs": lambda: EpochsPanel(epochs=8, width=12, patience=1, learning_rate=0.2),
    "epochs_l2": lambda: EpochsPanel(epochs=12, width=8, patience=2, min_delta=0.05, l2=0.01, budget=140, seed=3),
    "epochs_target": lambda: EpochsPanel(epochs=8, width=16, patience=0, target=0.6, label_noise=0.0),
    "imbalance": lambda: ImbalancePanel(steps=60, technique="smote", ratio=20.0),
    "imbalance_cost": lambda: ImbalancePanel(steps=40, technique="cost_matrix", threshold=0.1, forest=True, seed=2),
    "imbalance_even": lambda: ImbalancePanel(steps=40, task="breast_cancer", technique="undersample", ratio=1.0),
    "imbalance_shift": lambda: ImbalancePanel(steps=40, technique="shift", ratio=3.0, batch_size=32),
    "imbalance_none": lambda: ImbalancePanel(steps=40, task="breast_cancer", ratio=200.0),
    "surface": lambda: SurfacePanel(steps=60, width=8, momentum=0.5),
    "surface_zoomed": lambda: SurfacePanel(steps=120, width=4, batch_size=32, zoom=3.0, seed=2),
    "surface_random": lambda: SurfacePanel(steps=60, width=4, plane="random", plane_seed=3, zoom=2.0),
    "sharpness": lambda: trained(SharpnessPanel(steps=30, width=8)),
    "sharpness_nesterov": lambda: trained(
        SharpnessPanel(steps=20, width=4, rule="nesterov", momentum=0.7, learning_rate=0.1, batch_size=64, seed=1)
    ),
    "sharpness_changed": changed_midway,
    "ensemble": lambda: trained(EnsemblePanel(depth=2, width=4, seeds=2, steps=6, seed=3)),
    "ensemble_start": lambda: trained(EnsemblePanel(varies="start", rule="adam", learning_rate=0.01, depth=2, width=4,
                                                    seeds=2, steps=6)),
}  # fmt: skip


@cache
def panel_of(name: str) -> Any:
    settle_threads()
    return MADE[name]()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every program as a file; its panels close at the end."""
    where = tmp_path_factory.mktemp("programs")
    for name in MADE:
        (where / f"{name}.py").write_text(panel_of(name).program, encoding="utf-8")
    yield where
    for name in MADE:
        panel_of(name).close()
    panel_of.cache_clear()


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """What each program left behind."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER, str(folder), *KEPT], capture_output=True, text=True, timeout=250
    )
    assert run.returncode == 0, run.stderr
    ends: dict[str, Any] = torch.load(folder / "found.pt", weights_only=True)
    return ends


def assert_same(found: Any, expected: Tensor, tolerance: float, *, floor: bool = True) -> None:
    """Equal to `tolerance` of each number; with a floor, to that share of the largest number where one is small."""
    values = torch.as_tensor(found, dtype=torch.float64)
    expected = expected.double()
    least = tolerance * float(expected.abs().nan_to_num(posinf=0.0).max()) if floor else 0.0
    torch.testing.assert_close(values, expected, rtol=tolerance, atol=least, equal_nan=True)


def named(kind: str) -> list[str]:
    return [name for name in MADE if name.split("_")[0] == kind]


def test_programs_are_clean_short_and_need_no_weightlab(folder: Path) -> None:
    assert_clean(folder)
    for name in MADE:
        text = panel_of(name).program
        assert "import weightlab" not in text and "from weightlab" not in text
        assert len(text.splitlines()) <= MOST_LINES, name


@pytest.mark.parametrize("name", named("signal"))
def test_signals_forwards_and_backwards(name: str, found: dict[str, Any]) -> None:
    record = panel_of(name).record
    # float32; a derivative is one operation in autograd, and two in the package
    assert_same(found[name]["forward"], record.forward[0], 1e-6, floor=False)
    assert_same(found[name]["backward"], record.backward[0], 1e-6, floor=False)


@pytest.mark.parametrize("name", named("time"))
def test_the_gradient_of_every_time_step(name: str, found: dict[str, Any]) -> None:
    record = panel_of(name).record
    assert_same(found[name]["gradients"], record.gradients[0], EXACT, floor=False)
    assert_same(found[name]["sizes"], record.states[0], EXACT, floor=False)
    if panel_of(name).values["cell"] == "rnn":
        assert_same(found[name]["radius"], record.radii[0], EXACT)
    assert f"{float(record.ratios[0]):.3f}" in found[name]["printed"]


@pytest.mark.parametrize("name", named("schedule"))
def test_all_runs_under_a_schedule(name: str, found: dict[str, Any]) -> None:
    panel = panel_of(name)
    assert found[name]["results"].keys() == {rule.label for rule in panel.experiment.rules}
    for rule in panel.experiment.rules:
        weights, losses, rates = found[name]["results"][rule.label]
        runs = panel.record[str(rule.rule)]
        assert_same(weights.transpose(1, 2), runs.weights, EXACT)
        assert_same(losses, runs.losses, EXACT)
        assert_same(rates.reshape(runs.steps, -1).expand_as(runs.learning_rates), runs.learning_rates, EXACT)


@pytest.mark.parametrize("name", named("stepper"))
def test_the_loop_pass_by_pass_or_the_exception_that_ends_it(name: str, found: dict[str, Any]) -> None:
    panel, history = panel_of(name), torch.tensor(found[name]["history"], dtype=torch.float64)
    each = len(panel.experiment.order)
    passes = max(10, -(-int(len(panel.record.lines) - 1) // each))
    if panel.record.error:
        passes = len(history) - 1
        assert panel.record.error.split("raised ")[1].split(":")[0] == found[name]["raised"]
        assert f"raises {found[name]['raised']}" in panel.program
    else:
        assert not found[name]["raised"]
        panel.run(max(0, passes * each - (len(panel.record.lines) - 1)))
    shown = panel.record.weights[:, 0] if history.ndim == 1 else panel.record.accuracies
    assert len(history) == passes + 1
    assert_same(history, shown[::each][: len(history)], EXACT)


@pytest.mark.parametrize("name", named("epochs"))
def test_the_learning_curve_up_to_the_stop(name: str, found: dict[str, Any]) -> None:
    panel, rows = panel_of(name), torch.tensor(found[name]["curve"], dtype=torch.float64).T
    curves, stop = panel.record, panel.stop
    assert (found[name]["epoch"], found[name]["best_epoch"]) == (stop.index, stop.best)
    shown = (curves.validation.losses, curves.validation.accuracies, curves.training_losses, curves.training_accuracies)
    for row, values in zip(rows, shown, strict=True):
        assert_same(row, values[: stop.index + 1], TRAINED)


@pytest.mark.parametrize("name", named("imbalance"))
def test_both_networks_on_imbalanced_data(name: str, found: dict[str, Any]) -> None:
    panel = panel_of(name)
    pulls, logits = found[name]["pulls"], found[name]["logits"]
    assert len(pulls) == 1 + (panel.values["technique"] != "none")
    for run, label in enumerate(pulls):
        assert_same(logits[label], panel.record.logits[-1, run], EXACT)
        assert_same(pulls[label], panel.record.pulls[:, run], EXACT)
    scores = panel.record.scores(panel.experiment.ratio, panel.values["threshold"])
    assert f"recall {float(scores.recall[-1]):.2f}, alarms {float(scores.false_alarm_rate[-1]):.3f}" in (
        found[name]["printed"]
    )
    assert f"accuracy {float(scores.accuracy[-1]):.3f}" in found[name]["printed"]
    areas = panel.record.average_precision(panel.experiment.ratio)[-1]
    assert f"average precision {float(areas[-1]):.2f}" in found[name]["printed"]
    if panel.values["forest"]:
        asked = panel.asked
        assert_same(logits["random forest"], panel._forest(asked.task, asked.ratio, asked.seed), EXACT)


@pytest.mark.parametrize("name", named("surface"))
def test_the_path_and_the_loss_on_its_plane(name: str, found: dict[str, Any]) -> None:
    path, view = panel_of(name).record.path, panel_of(name).record.view
    ends = found[name]
    for values, shown in ((ends["path"], path.weights), (ends["losses"], path.losses), (ends["places"], view.places),
                          (ends["plane_losses"], view.plane_losses), (ends["surface"], view.losses)):  # fmt: skip
        assert_same(values, shown, TRAINED)
    assert ends["share"] == pytest.approx(view.share, rel=TRAINED)


@pytest.mark.parametrize("name", named("sharpness"))
def test_the_sharpness_beside_its_limit(name: str, found: dict[str, Any]) -> None:
    record = panel_of(name).record
    steps, losses, sharpnesses, limits, swings = torch.tensor(found[name]["rows"], dtype=torch.float64).T
    assert steps.tolist() == record.steps[1:].tolist()
    assert found[name]["first_value"] == pytest.approx(float(record.sharpnesses[0]), rel=TRAINED)
    for values, shown in ((losses, record.losses), (sharpnesses, record.sharpnesses), (limits, record.limits),
                          (swings, record.swings)):  # fmt: skip
        assert_same(values, shown[1:], 10 * TRAINED)  # through the second derivative of the loss


@pytest.mark.parametrize("name", named("ensemble"))
def test_every_network_of_an_ensemble(name: str, found: dict[str, Any]) -> None:
    panel = panel_of(name)
    labels, results = panel._film.choices.labels, found[name]["results"]
    if panel.values["varies"] == "start":
        results = {f"{ACTIVATIONS[f].label} + {start}": ends for (f, start), ends in results.items()}
        starts = {INITIALIZERS[name].short for name in INITIALIZERS_COMPARED}
        assert starts == {label.split(" + ")[1] for label in results}
    else:
        results = {f"η = {rate:g}": ends for rate, ends in results.items() if rate <= 0.1}  # beyond, rounding grows
    losses = panel._film.choices.grouped(panel.record.losses)  # (step, choice, seed)
    rights = panel._film.choices.grouped(panel.record.validation_accuracies)
    assert len(results) >= 7
    for label, ends in results.items():
        choice = labels.index(label)
        assert_same(ends[0].T, losses[:, choice], TRAINED)
        assert_same(ends[1], rights[choice], TRAINED)


def test_a_program_runs_alone_and_prints_what_it_found(folder: Path) -> None:
    path = folder / "signal_program.py"  # a file called signal.py would stand in for Python's own module
    (folder / "signal.py").rename(path)
    run = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    last = f"layer 12: signal {float(panel_of('signal').record.forward[0, -1]):.4g}"
    assert len(run.stdout.splitlines()) == 12 and last in run.stdout


def said(panel: Panel) -> str:
    """The program without line ends and remark signs."""
    return " ".join(panel.program.replace("# ", "").split())


def test_a_program_says_that_a_technique_was_changed_midway() -> None:
    panel = ImbalancePanel(steps=30)
    assert "changed midway" not in said(panel)
    say(panel, type="command", name="reset")
    panel._state = "paused"
    panel._training.steps_done = 5
    panel.set(technique="class_weights")
    assert panel._switches and "changed midway" in said(panel)
    panel.close()
