"""Epochs, against the network code of tensorflow/playground under Node, on the same data and batches.

Its code is not part of this repository. In a clone of it:
    npx esbuild src/nn.ts --bundle --platform=node --format=cjs --outfile=nn.js
and set WEIGHTLAB_PLAYGROUND to that nn.js.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from benchmarks.side_by_side import Row, absent, in_turn, row

from weightlab.networks.datasets import Dataset, dataset, dataset_from_tensors
from weightlab.networks.models import model
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training

VARIABLE = "WEIGHTLAB_PLAYGROUND"
HERE = Path(__file__).resolve().parent


def two_circles() -> Dataset:
    """250 training examples of two inputs, as many as on its page."""
    made = dataset("circles", validation_fraction=0)
    return dataset_from_tensors(made.x_train[:250], made.y_train[:250], name="circles", validation_fraction=0)


def odd_digits() -> Dataset:
    """Digits, 64 inputs each: odd or even."""
    made = dataset("digits")
    return dataset_from_tensors(made.x_train, made.y_train % 2, name="odd digits", validation_fraction=0)


# its shape, our depth and width (all hidden layers of one width), batch, what is wanted
NETWORKS = (
    ([2, 4, 2, 1], 2, 4, 10, two_circles, ""),
    ([2, *[8] * 6, 1], 6, 8, 10, two_circles, ""),
    ([64, 32, 32, 32, 1], 3, 32, 32, odd_digits, "≥ 3"),
)


class Node:
    """The peer's process, which builds and trains networks on request."""

    def __init__(self, code: str) -> None:
        command = ["node", str(HERE / "playground_network.cjs"), code]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **what: Any) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.communicate()


def rows(quick: bool = False) -> Iterator[Row]:
    code = os.environ.get(VARIABLE, "")
    if not code or not shutil.which("node"):
        how = f"install Node and set {VARIABLE}, see playground_rows.py"
        yield absent("epochs", "playground's network code under Node", how)
        return
    node = Node(code)
    try:
        for shape, depth, width, batch, make, wanted in NETWORKS:
            yield _row(node, shape, depth, width, batch, make(), wanted, quick)
    finally:
        node.close()


def _row(
    node: Node, shape: list[int], depth: int, width: int, batch: int, data: Dataset, wanted: str, quick: bool
) -> Row:
    epochs, repetitions = (1, 1) if quick else (4, 15)
    training = own_training(data, depth, width, batch, epochs * (repetitions + 1))
    signs = (2 * data.y_train - 1).tolist()
    number = int(node.ask(shape=shape, batch=batch, x=data.x_train.tolist(), y=signs))
    if not quick:
        node.ask(network=number, epochs=30)  # until its compiler has warmed up

    def ours() -> None:
        for _ in range(epochs * training.batches.per_epoch):
            training.step()

    times = in_turn({"ours": ours, "node": lambda: node.ask(network=number, epochs=epochs) / 1e3}, repetitions)
    ours_shape = "-".join(str(n) for n in (shape[0], *[width] * depth, 1))
    what = f"an epoch of {len(data.y_train)} examples, batch {batch}, {ours_shape}, gradients of each layer recorded"
    against = f"playground's network code under Node, {'-'.join(map(str, shape))}"
    return row(what, times, "ours", "node", against, wanted, ours_each=epochs, theirs_each=epochs)


def own_training(data: Dataset, depth: int, width: int, batch: int, epochs: int) -> Training:
    torch.set_num_threads(1)
    return Training(
        TrainingExperiment(
            model("mlp", depth=depth, width=width, activation="tanh"),
            data,
            optimizer("gradient_descent", learning_rate=0.03),
            loss="bce_with_logits",
            batch_size=batch,
            steps=epochs * (len(data.y_train) // batch),
        )
    )
