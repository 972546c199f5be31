"""Runs programs in a process that has no weightlab, and says how far their last weights lie from the runs'."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weightlab.descent.run import descend
from weightlab.devices import settle_threads
from weightlab.networks.datasets import DATASETS, Dataset, dataset
from weightlab.programs.experiments import program_of
from weightlab.rules.schedules import ScheduleSettings, schedule
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training

TOLERANCE = 1e-10
STEPS = 25
RUFF = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,W,I", "--line-length", "100"]
# What a process does first that must have no weightlab.
WITHOUT_WEIGHTLAB = """
import contextlib, importlib.abc, io, pathlib, sys
import torch

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "weightlab":
            raise ImportError("weightlab is not here")

sys.meta_path.insert(0, Blocked())
"""
# Runs every program of a folder, each in names of its own, in such a process.
RUNNER = WITHOUT_WEIGHTLAB + """folder, ends = pathlib.Path(sys.argv[1]), {}
for path in sorted(folder.glob("*.py")):
    names = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(path.read_text(), str(path), "exec"), names)
    assert "loss" in printed.getvalue()
    if "model" in names:
        ends[path.stem] = torch.cat([p.detach().flatten() for p in names["model"].parameters()])
    else:
        found = [*names["results"].values()] if "results" in names else [names["w"].detach().flatten()]
        ends[path.stem] = torch.stack(found)
torch.save(ends, folder / "ends.pt")
"""


PACES: dict[str, ScheduleSettings] = {
    "constant": schedule("constant"),
    "step": schedule("step", step_size=7),
    "exponential": schedule("exponential", gamma=0.95),
    "polynomial": schedule("polynomial", total_steps=20, power=1.5),
    "triangular": schedule("triangular", half_cycle=6),
    "cosine": schedule("cosine", half_cycle=15, lowest=0.1),
    "warmup": schedule("warmup", warmup_steps=5),
    "warmup and decay": schedule("warmup", warmup_steps=5, decay_steps=15, lowest=0.05),
    "plateau": schedule("plateau", patience=0, cooldown=1, threshold=0.05, lowest=0.2),
}


class Lion(torch.optim.Optimizer):
    """The sign of a mean of gradients (Chen and others 2023)."""

    def __init__(self, params: Any, lr: float = 1e-3, betas: Any = (0.9, 0.99)) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p -= group["lr"] * torch.sign(beta1 * m + (1 - beta1) * p.grad)
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


def ends_of(programs: Mapping[str, str], folder: Path) -> dict[str, Tensor]:
    """Last weights of each program."""
    for name, text in programs.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-W", "error", "-c", RUNNER, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stderr
    ends: dict[str, Tensor] = torch.load(folder / "ends.pt", weights_only=True)
    return ends


def assert_clean(folder: Path) -> None:
    run = subprocess.run([*RUFF, str(folder)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def trained(experiment: TrainingExperiment) -> Tensor:
    training = Training(experiment)
    for _ in training:
        pass
    assert training.status is not None and training.status.kind == "finished", training.status
    return nn.utils.parameters_to_vector(training.network.parameters()).detach()


def differences(experiments: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """How far the programs' last weights lie from the runs', at most, name by name."""
    ends = ends_of({name: program_of(experiment) for name, experiment in experiments.items()}, folder)
    assert_clean(folder)
    found = {}
    for name, experiment in experiments.items():
        if isinstance(experiment, TrainingExperiment):
            expected = trained(experiment)
        else:
            record = descend(experiment)
            assert (record.diverged_at == -1).all(), (name, [status.message for status in record.statuses])
            expected = record.weights[-1]
        assert ends[name].shape == expected.shape
        found[name] = float((ends[name] - expected).abs().max())
    return found


@cache
def data_of(name: str) -> Dataset:
    settle_threads()  # before data is standardized: a sum over several threads is rounded differently
    if DATASETS[name].real:
        return dataset(name, seed=3, label_noise=0.1, validation_fraction=0.9)
    return dataset(name, seed=3, label_noise=0.1, samples=90)
