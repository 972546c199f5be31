"""TrainingExperiment: frozen, comparable, and clear about what cannot be run."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_support import data, small

from weightlab.networks.datasets import dataset_from_tensors
from weightlab.networks.models import model
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import train


def test_the_same_experiment_is_equal_and_hashes_alike() -> None:
    assert small() == small() and hash(small()) == hash(small())
    assert small() != small(seed=1) and small() != small(optimizer=optimizer("adam"))


def test_an_experiment_survives_copying_and_pickling() -> None:
    experiment = small()
    assert pickle.loads(pickle.dumps(experiment)) == copy.deepcopy(experiment) == experiment


def test_an_experiment_cannot_be_changed_only_replaced() -> None:
    experiment = small()
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment.steps = 3  # type: ignore[misc]
    assert experiment.replace(steps=3).steps == 3 and experiment.steps == 100


def test_three_parts_make_an_experiment() -> None:
    experiment = TrainingExperiment(model("mlp"), data(), optimizer("momentum"))
    assert (experiment.batch_size, experiment.steps, experiment.device) == (64, 500, "cpu")
    assert experiment.outputs == 10
    assert small(dataset=data("moons"), loss="bce_with_logits").outputs == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, r"steps must be in \[1, 100000\], got 0"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"batch_size": 0}, r"batch_size must be in \[1, 1347\], got 0; .* use None for all of them"),
        ({"batch_size": 5000}, r"batch_size must be in \[1, 1347\], got 5000; the training split has 1347 examples"),
        ({"seed": -1}, r"seed must be in \[0, .*\], got -1"),
        ({"l1": -0.1}, r"l1 must be in \[0, 1e\+06\], got -0.1; 0 switches the penalty off"),
        ({"l2": float("nan")}, "l2 must be in .* got nan; use a finite number"),
        ({"clip_norm": 0}, r"clip_norm must be in \(0, 1e\+20\], got 0; None switches clipping off"),
        ({"clip_value": float("inf")}, "clip_value must be in .* use a finite number"),
        ({"clip_norm": 1, "clip_value": 1}, "got clip_norm=1 and clip_value=1; set one of them to None"),
        ({"weights_kept": 0}, r"weights_kept must be in \[1, 100\]"),
        ({"validate_every": 0}, r"validate_every must be in \[1, 100000\]"),
        ({"loss": "cross_entrop"}, "unknown loss 'cross_entrop': did you mean 'cross_entropy'"),
        ({"loss": "bce_with_logits"}, "is for two classes, dataset 'digits' has 10; choose 'cross_entropy'"),
        ({"dtype": "float16"}, "unknown dtype 'float16': did you mean"),
        ({"device": "gpu"}, "device must be 'auto', 'cpu', 'cuda', 'cuda:0' or 'mps', got 'gpu'"),
        ({"step": 3}, "unknown setting of TrainingExperiment 'step': did you mean 'steps'"),
        ({"batch_size": 1, "model": model("mlp", batch_norm=True)}, "batch_size must be at least 2 with batch_norm"),
        ({"model": model("cnn"), "dataset": data("moons")}, "model 'cnn' does not fit dataset 'moons'"),
        ({"model": model("rnn"), "dataset": data("moons")}, "choose reading='pixels', or choose 'mlp'"),
    ],
)
def test_what_cannot_be_run_is_refused_with_value_range_and_remedy(changes: dict[str, Any], message: str) -> None:
    experiment = small()
    with pytest.raises(ValueError, match=message):
        experiment.replace(**changes)


@pytest.mark.parametrize("part", ["model", "dataset", "optimizer", "initialization", "schedule"])
def test_a_part_of_the_wrong_kind_says_what_makes_it(part: str) -> None:
    with pytest.raises(TypeError, match=rf"{part} must be made by {part}\(\.\.\.\), got 'something'"):
        small(**{part: "something"})


def test_true_is_no_number_of_steps() -> None:
    with pytest.raises(TypeError, match="steps must be a number, got True"):
        small(steps=True)


@settings(max_examples=20, deadline=None)
@given(
    batch_size=st.one_of(st.none(), st.integers(2, 40)),
    seed=st.sampled_from([0, 2**53 - 1]),
    kept=st.sampled_from([1, 100]),
    l2=st.floats(0, 1),
    clip=st.one_of(st.none(), st.floats(1e-6, 10)),
    width=st.sampled_from([1, 3]),
    depth=st.sampled_from([0, 1, 4]),
)
def test_every_corner_of_the_controls_runs(
    batch_size: int | None, seed: int, kept: int, l2: float, clip: float | None, width: int, depth: int
) -> None:
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    own = dataset_from_tensors(x, (x[:, 0] > 0).long())
    experiment = small(
        dataset=own,
        model=model("mlp", depth=depth, width=width),
        batch_size=batch_size,
        seed=seed,
        weights_kept=kept,
        l2=l2,
        clip_norm=clip,
        steps=3,
    )
    record = train(experiment)
    assert record.status.kind == "finished"
    assert torch.isfinite(record.losses).all()
    assert record.weight_paths.shape == (4, depth + 1, kept)
