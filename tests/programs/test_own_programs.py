"""What is the learner's own is copied into a program, or its place is marked; and a program runs all by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from program_support import STEPS, TOLERANCE, Lion, assert_clean, data_of, differences
from torch import Tensor, nn
from torch.nn import functional as F

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape, landscape_from_function
from weightlab.networks.datasets import dataset_from_tensors
from weightlab.networks.models import model
from weightlab.networks.own_model import model_from_module
from weightlab.programs.experiments import program_of
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import train

WIDTH = 9
SQUARE = ((-2.0, 2.0), (-2.0, 2.0))


def steep(z: Tensor) -> Tensor:
    return 3 * z.square()


def of_two(w1: Tensor, w2: Tensor) -> Tensor:
    """Uses another function and a number of this file."""
    return steep(w1) + torch.sin(w2) * WIDTH


def of_many(w: Tensor) -> Tensor:
    return (w[..., 0] - 1) ** 2 + w[..., 1].cosh()


def of_a_row(w: Tensor) -> Tensor:
    return torch.logsumexp(w, dim=1) + w.square().sum(dim=1)


class Own(nn.Module):
    """Registered in another order than examples pass; normalization, dropout, an idle part."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(WIDTH, 10)
        self.first = nn.Conv2d(1, 3, 3, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.middle = nn.Linear(108, WIDTH)
        self.shift = nn.Parameter(torch.randn(WIDTH))
        self.idle = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.norm(self.first(x)))
        h = F.dropout(torch.tanh(self.middle(h.flatten(1)) + self.shift), 0.2, self.training)
        logits: Tensor = self.last(h)
        return logits


class Reads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRU(8, 5, batch_first=True)
        self.out = nn.Linear(5, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.out(self.cell(x.flatten(1, 2))[0][:, -1])
        return logits


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 10))


def training(**changes: Any) -> TrainingExperiment:
    settings: dict[str, Any] = {
        "model": model("mlp", width=8),
        "dataset": data_of("digits"),
        "optimizer": optimizer("momentum", learning_rate=0.02),
        "batch_size": 16,
        "steps": STEPS,
        "dtype": "float64",
        "validate_every": 10,
    }
    return TrainingExperiment(**{**settings, **changes})


def test_own_functions_classes_and_modules_are_in_the_program(tmp_path: Path) -> None:
    places = {
        "two": landscape_from_function(of_two, SQUARE),
        "many": landscape_from_function(of_many, SQUARE),
        "row": landscape_from_function(of_a_row, SQUARE),
        "lambda": landscape_from_function(lambda a, b: a**2 + F.softplus(b) + b**2, SQUARE),
        "local": landscape_from_function(made_inside(2.5), SQUARE),
    }
    rule = optimizer(Lion, learning_rate=0.01)
    experiments: dict[str, Any] = {
        name: DescentExperiment(place, (rule, optimizer("adam", learning_rate=0.01)), steps=50)
        for name, place in places.items()
    }
    ready = nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 10, bias=False))
    for name, module in {"own": Own, "reads": Reads, "function": perceptron, "ready": ready}.items():
        own = model_from_module(module)  # type: ignore[arg-type]
        experiments[f"{name}_sgd"] = training(model=own, l2=1e-3)
        experiments[f"{name}_own"] = training(model=own, optimizer=rule, clip_value=0.1)
        experiments[f"{name}_decay"] = training(model=own, optimizer=optimizer("adamw", learning_rate=1e-3))
    found = differences(experiments, tmp_path)
    assert max(found.values()) <= TOLERANCE, found


def made_inside(factor: float) -> Any:
    def bowl(w1: Tensor, w2: Tensor) -> Tensor:
        return factor * w1**2 + w2**2

    return bowl


def test_what_has_no_source_gets_a_marked_place(tmp_path: Path) -> None:
    names: dict[str, Any] = {"torch": torch, "nn": nn}
    exec("def bowl(w1, w2):\n    return w1**2 + w2**2", names)
    exec("class Net(nn.Linear):\n    def __init__(self):\n        super().__init__(64, 10)", names)
    exec("class Plain(torch.optim.SGD):\n    pass", names)
    place = landscape_from_function(names["bowl"], SQUARE)
    flat = dataset_from_tensors(data_of("digits").x_train, data_of("digits").y_train, name="scans")
    texts = {
        "loss": program_of(DescentExperiment(place, (optimizer("momentum"),))),
        "optimizer": program_of(DescentExperiment(landscape("beale"), (optimizer(names["Plain"]),))),
        "data": program_of(training(model=model_from_module(lambda: nn.Linear(64, 10)), dataset=flat)),
        "network": program_of(training(model=model_from_module(names["Net"]), dataset=flat)),
    }
    for name, text in texts.items():
        assert f"# put your own {name} here" in text
        compile(text, name, "exec")
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    assert_clean(tmp_path)


def test_own_tensors_put_in_their_place_give_the_run(tmp_path: Path) -> None:
    digits = data_of("digits")
    picture = (1, 8, 8)
    experiment = training(dataset=dataset_from_tensors(digits.x_train, digits.y_train, image_shape=picture))
    text = program_of(experiment)
    torch.save(digits.x_train, tmp_path / "x.pt")
    torch.save(digits.y_train, tmp_path / "y.pt")
    shown = run_alone(text, tmp_path)
    assert f"loss of the last step {train(experiment).losses[-1]:.6g}," in shown


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_program_alone_prints_the_runs_last_loss_and_accuracy(dtype: str, tmp_path: Path) -> None:
    experiment = training(dtype=dtype)
    record = train(experiment)
    shown = run_alone(program_of(experiment), tmp_path)
    found = re.search(r"loss of the last step (\S+), validation accuracy (\S+)%", shown)
    assert found is not None, shown
    assert float(found[1]) == pytest.approx(float(record.losses[-1]), rel=1e-5)
    assert float(found[2]) == pytest.approx(100 * float(record.validation_accuracies[-1]), abs=0.051)


def run_alone(text: str, folder: Path) -> str:
    """What `python program.py` prints where importing weightlab fails."""
    (folder / "weightlab").mkdir()
    (folder / "weightlab" / "__init__.py").write_text("raise ImportError('weightlab is not here')")
    (folder / "program.py").write_text(text, encoding="utf-8")
    surroundings = {**os.environ, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", "program.py"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder, env=surroundings)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("device", ["cuda", "mps", "auto"])
def test_the_device_is_in_the_program(device: str) -> None:
    text = program_of(training(device=device, dtype="float32"))
    compile(text, device, "exec")
    assert "model.to(device)" in text and "x_train = x_train.float().to(device)" in text
    assert text.index("model.float()") < text.index("model.to(device)")  # MPS has no float64


def test_only_experiments_have_a_program() -> None:
    with pytest.raises(TypeError, match="a DescentExperiment or TrainingExperiment has a program"):
        program_of(model("mlp"))  # type: ignore[arg-type]
