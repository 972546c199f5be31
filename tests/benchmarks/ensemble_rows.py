"""Sixteen small networks trained at once, against training one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.side_by_side import Row, in_turn, row

from weightlab.ensembles.run import Ensemble, variations
from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training

TOGETHER = 16
NETWORKS = (  # data set, depth, width, batch, examples a batch
    ("moons", 2, 4, 10),
    ("digits", 2, 16, 32),
    ("digits", 2, 32, 32),
    ("digits", 8, 32, 64),
)


def rows(quick: bool = False) -> Iterator[Row]:
    steps, repetitions = (2, 1) if quick else (40, 15)
    for data, depth, width, batch in NETWORKS[:1] if quick else NETWORKS:
        experiment = TrainingExperiment(
            model("mlp", depth=depth, width=width, activation="tanh"),
            dataset(data),
            optimizer("momentum", learning_rate=0.01),
            batch_size=batch,
            steps=steps * (repetitions + 1),
        )
        together = Ensemble(variations(experiment, seed=range(TOGETHER)))
        one = Training(experiment)
        times = in_turn({"together": taking(steps, together.step), "one": taking(steps, one.step)}, repetitions)
        what = f"{TOGETHER} networks at once, {depth} × {width} on {data}, batch {batch}: a step of all"
        yield row(
            what, times, "together", "one", "one run of weightlab.training.run, 16 times its step", "≥ 5.3 (16/3)",
            ours_each=steps, theirs_each=steps / TOGETHER,
        )  # fmt: skip


def taking(steps: int, step: Callable[[], bool]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(steps):
            if not step():
                raise AssertionError("the run ended before it was timed")

    return run
