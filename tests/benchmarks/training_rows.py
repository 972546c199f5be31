"""Live training with everything recorded, against the bare PyTorch loop and against other recorders."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from benchmarks.side_by_side import Row, Timed, absent, in_turn, is_there, row
from torch import nn
from torch.nn import functional

from weightlab.networks.datasets import dataset
from weightlab.networks.models import ModelSettings, model
from weightlab.playground.film import Film
from weightlab.playground.panel import TrainingPanel
from weightlab.rules.update_rules import optimizer
from weightlab.stage.live_runs import BYTES_PER_MESSAGE
from weightlab.stage.stage import Stage
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training
from weightlab.training.steppers import FlatParameters, make_stepper

NETWORKS = {
    "8-layer MLP": model("mlp", depth=8, width=32, activation="tanh"),
    "CNN": model("cnn"),
    "LSTM": model("lstm"),
}
Step = Callable[[], object]
AfterStep = Callable[[nn.Module, int], None]


def experiment_with(network: ModelSettings, steps: int) -> TrainingExperiment:
    return TrainingExperiment(network, dataset("digits"), optimizer("momentum", learning_rate=0.01), steps=steps)


def bare_loop(experiment: TrainingExperiment, after: AfterStep | None = None) -> Step:
    """A step of the loop that any PyTorch page shows; `after` records."""
    batches = Training(experiment).batches
    network = experiment.model.build(experiment.dataset.shape, experiment.outputs).float()
    moving = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    steps = iter(range(10**9))

    def step() -> None:
        x, y = batches.next()
        moving.zero_grad()
        functional.cross_entropy(network(x), y).backward()
        moving.step()
        if after is not None:
            after(network, next(steps))

    return step


def without_recorder(experiment: TrainingExperiment) -> Step:
    """A step of weightlab's training with the recorder, its hooks and its copies left out."""
    batches = Training(experiment).batches
    network = experiment.model.build(experiment.dataset.shape, experiment.outputs).float()
    flat = FlatParameters(network)
    stepper, settings = make_stepper(experiment.optimizer, flat), [dict(experiment.optimizer.settings)]

    def step() -> None:
        x, y = batches.next()
        flat.gradient.zero_()
        loss = functional.cross_entropy(network(x), y)
        loss.backward()
        stepper.step(settings, lambda: loss)

    return step


class LiveTraining:
    """What a training panel's worker does: steps, and 30 times a second a message."""

    def __init__(self, experiment: TrainingExperiment) -> None:
        self.training = Training(experiment)
        self.film = Film(self.training)
        self.stage = Stage(self.film.picture(experiment.steps))
        self.next_message = 0.0

    def step(self) -> None:
        self.training.step()
        if time.perf_counter() >= self.next_message:
            self.next_message = time.perf_counter() + 1 / TrainingPanel.pictures_per_second
            self.send()

    def send(self) -> None:
        first = self.film.rows
        self.stage.append_rows(*self.film.take(BYTES_PER_MESSAGE), first)


def rows(quick: bool = False) -> Iterator[Row]:
    count, repetitions = (2, 1) if quick else (60, 15)
    for name, network in NETWORKS.items():
        experiment = experiment_with(network, steps=count * (repetitions + 2) + 1)
        live, recording = LiveTraining(experiment), Training(experiment)
        steps: dict[str, Step] = {
            "live": live.step,
            "bare": bare_loop(experiment),
            "recording": recording.step,
            "not recording": without_recorder(experiment),
        }
        with ExitStack() as opened:
            for peer, step in _recorders(experiment, opened).items():
                steps[peer] = step
            times = in_turn({key: _taking(count, step) for key, step in steps.items()}, repetitions)
        live.stage.close()
        for what, ours, theirs, against, wanted in (
            ("live, all recorded", "live", "bare", "the bare PyTorch loop", "≥ 0.9"),
            ("recording alone", "recording", "not recording", "the same without the recorder", "≥ 0.95"),
            *(("live, all recorded", "live", peer, peer, "> 1") for peer in list(steps)[4:]),
        ):
            what = f"{name}, {what}: a step"
            yield row(what, times, ours, theirs, against, wanted, ours_each=count, theirs_each=count)
    yield from (absent("recording", peer) for peer in ("tensorboard", "wandb") if not is_there(peer))


def _taking(count: int, step: Step) -> Timed:
    def run() -> None:
        for _ in range(count):
            step()

    return run


def _recorders(experiment: TrainingExperiment, opened: ExitStack) -> dict[str, Step]:
    """Steps of the bare loop with other recorders of gradients, as far as they are installed."""
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
    found: dict[str, Step] = {}
    if is_there("tensorboard"):
        from torch.utils.tensorboard import SummaryWriter

        for every in (1, 10):
            writer = SummaryWriter(str(folder / f"every{every}"))
            opened.callback(writer.close)
            name = f"TensorBoard histograms of gradients, {'every step' if every == 1 else 'each 10th step'}"
            found[name] = bare_loop(experiment, _histograms(writer, every))
    if is_there("wandb"):
        found["wandb watch (offline), every step"] = _watched(experiment, folder, opened)
    return found


def _histograms(writer: Any, every: int) -> AfterStep:
    def write(network: nn.Module, step: int) -> None:
        if step % every == 0:
            for name, parameter in network.named_parameters():
                writer.add_histogram(name, parameter.grad, step)

    return write


def _watched(experiment: TrainingExperiment, folder: Path, opened: ExitStack) -> Step:
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    import wandb

    run = wandb.init(mode="offline", dir=str(folder), project="benchmark", settings=wandb.Settings(console="off"))
    opened.callback(run.finish)
    watched: list[nn.Module] = []

    def log(network: nn.Module, step: int) -> None:
        if not watched:
            watched.append(network)
            run.watch(network, log="gradients", log_freq=1)
        run.log({"step": step})

    return bare_loop(experiment, log)
