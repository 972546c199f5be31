"""Old state texts: what a text of a version leaves out is still what it was when it was written."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.networks.datasets import dataset
from weightlab.networks.initializers import initialization
from weightlab.networks.models import model
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import optimizer
from weightlab.texts import experiments as state_text
from weightlab.texts.experiments import field_defaults, from_text, to_text
from weightlab.texts.parts import ENTRIES, defaults
from weightlab.training.experiment import TrainingExperiment

# What a text of version 1 means where it says nothing, as it was when texts were first written. A failing test here
# means that the texts that people have kept would run something else: do not edit a line, but add the next version to
# OLD_DEFAULTS of weightlab/texts/experiments.py, and to version 1 there what is written here. New entries may be added.
VERSION_1: Mapping[str, Mapping[str, Any]] = {
    "landscape quadratic": {"condition_number": 10.0},
    "landscape rotated_quadratic": {"condition_number": 10.0, "angle": 30.0},
    "landscape rosenbrock": {"steepness": 100.0},
    "landscape beale": {},
    "landscape himmelblau": {},
    "landscape saddle": {"falling_curvature": 0.1},
    "landscape rastrigin": {"amplitude": 10.0},
    "landscape plateau": {"width": 1.0},
    "landscape cliff": {"depth": 10},
    "landscape noisy_bowl": {"condition_number": 3.0, "noise": 0.5},
    "update rule gradient_descent": {"learning_rate": 0.001, "weight_decay": 0.0},
    "update rule momentum": {"learning_rate": 0.001, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0},
    "update rule classical_momentum": {"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0},
    "update rule averaged_momentum": {"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0},
    "update rule sutskever_momentum": {"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0},
    "update rule nesterov": {"learning_rate": 0.001, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0},
    "update rule sutskever_nesterov": {"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0},
    "update rule rmsprop": {"learning_rate": 0.01, "alpha": 0.99, "momentum": 0.0, "eps": 1e-08, "weight_decay": 0.0},
    "update rule adam": {
        "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999, "eps": 1e-08, "bias_correction": 1.0, "weight_decay": 0.0,
    },
    "update rule adamw": {
        "learning_rate": 0.001, "beta1": 0.9, "beta2": 0.999,
        "eps": 1e-08, "bias_correction": 1.0, "weight_decay": 0.01,
    },
    "update rule muon": {
        "learning_rate": 0.001, "momentum": 0.95, "weight_decay": 0.1,
        "nesterov": 1.0, "ns_steps": 5.0, "eps": 1e-07, "match_rms_adamw": 0.0,
    },
    "schedule constant": {},
    "schedule step": {"step_size": 100, "gamma": 0.5},
    "schedule exponential": {"gamma": 0.99},
    "schedule polynomial": {"total_steps": 300, "power": 1.0},
    "schedule triangular": {"half_cycle": 50, "lowest": 0.1},
    "schedule cosine": {"half_cycle": 300, "lowest": 0.0},
    "schedule warmup": {"warmup_steps": 20, "first": 0.1, "decay_steps": 0, "lowest": 0.0},
    "schedule plateau": {"factor": 0.5, "patience": 10, "threshold": 0.0001, "cooldown": 0, "lowest": 0.0},
    "model mlp": {"depth": 2, "width": 32, "activation": "relu", "batch_norm": False, "residual": False},
    "model cnn": {"depth": 2, "width": 16, "activation": "relu", "batch_norm": False},
    "model rnn": {"depth": 1, "width": 32, "reading": "rows", "activation": "tanh"},
    "model lstm": {"depth": 1, "width": 32, "reading": "rows"},
    "model gru": {"depth": 1, "width": 32, "reading": "rows"},
    "dataset digits": {"seed": 0, "validation_fraction": 0.25, "label_noise": 0.0},
    "dataset breast_cancer": {"seed": 0, "validation_fraction": 0.25, "label_noise": 0.0},
    "dataset moons": {"samples": 600, "noise": 0.15, "seed": 0, "validation_fraction": 0.25, "label_noise": 0.0},
    "dataset circles": {
        "samples": 600, "noise": 0.08, "factor": 0.5, "seed": 0, "validation_fraction": 0.25, "label_noise": 0.0,
    },
    "dataset spirals": {
        "samples": 600, "noise": 0.03, "arms": 2,
        "turns": 1.0, "seed": 0, "validation_fraction": 0.25, "label_noise": 0.0,
    },
    "initializer zeros": {"gain": "auto"},
    "initializer constant": {"gain": "auto", "value": 0.01},
    "initializer normal": {"gain": "auto", "std": 0.05},
    "initializer xavier_uniform": {"gain": "auto"},
    "initializer xavier_normal": {"gain": "auto"},
    "initializer he_uniform": {"gain": "auto", "mode": "fan_in"},
    "initializer he_normal": {"gain": "auto", "mode": "fan_in"},
    "initializer pytorch_default": {"gain": "auto"},
    "initializer orthogonal": {"gain": "auto"},
    "fields of descent": {
        "start": None,
        "steps": 300,
        "schedule": schedule("constant"),
        "seed": 0,
        "loss_scale": 1.0,
    },
    "fields of training": {
        "initialization": initialization("he_normal"),
        "schedule": schedule("constant"),
        "loss": "cross_entropy",
        "batch_size": 64,
        "steps": 500,
        "seed": 0,
        "device": "cpu",
        "dtype": "float32",
        "clip_norm": None,
        "clip_value": None,
        "l1": 0.0,
        "l2": 0.0,
        "weights_kept": 4,
        "validate_every": 50,
    },
}


def as_then(kind: str, now: Mapping[str, Any]) -> dict[str, Any]:
    return {**now, **state_text.OLD_DEFAULTS[1].get(kind, {})}


@pytest.mark.parametrize("thing", VERSION_1)
def test_a_text_of_version_1_means_what_it_meant_at_first(thing: str) -> None:
    kind, _, name = thing.rpartition(" ")
    now = field_defaults(name) if kind == "fields of" else defaults(kind, name)
    then = as_then(thing, now)
    assert {key: then[key] for key in VERSION_1[thing]} == VERSION_1[thing]


def test_every_entry_of_the_package_is_among_those_that_version_1_or_a_later_one_pins() -> None:
    present = {f"{kind} {name}" for kind, (entries, _) in ENTRIES.items() for name in entries}
    assert present | {"fields of descent", "fields of training"} == set(VERSION_1)


# A start that a text leaves out is the landscape's own.
STARTS = {
    "quadratic": (-2.0, 1.0),
    "rotated_quadratic": (-2.232050807568877, -0.13397459621556118),
    "rosenbrock": (-1.2, 1.0),
    "beale": (0.5, -1.5),
    "himmelblau": (-0.5, -1.0),
    "saddle": (-2.0, 0.01),
    "rastrigin": (-3.3, 2.2),
    "plateau": (-3.0, 2.0),
    "cliff": (0.7, 1.6),
    "noisy_bowl": (-2.0, 1.5),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_landscapes_own_start_is_still_the_one_that_texts_left_out(name: str) -> None:
    assert landscape(name).start == pytest.approx(STARTS[name], abs=1e-15)


def test_an_old_text_keeps_the_defaults_of_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"update rule momentum": {"momentum": 0.5}, "fields of descent": {"steps": 7, "schedule": schedule("cosine")}}
    monkeypatch.setattr(state_text, "OLD_DEFAULTS", MappingProxyType({1: old, 2: {}}))
    kept = from_text("weightlab1/descent/quadratic/momentum/from=3/momentum,momentum=0.25")
    assert isinstance(kept, DescentExperiment)
    assert (kept.steps, kept.schedule.name, kept.optimizers[0].momentum) == (7, "cosine", 0.5)
    assert from_text(to_text(kept)) == kept and to_text(kept).startswith("weightlab2/")
    assert from_text("weightlab2/descent/quadratic/momentum").steps == field_defaults("descent")["steps"]


def test_a_rule_for_matrices_keeps_the_rest_of_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"update rule adamw": {"weight_decay": 0.5}}
    monkeypatch.setattr(state_text, "OLD_DEFAULTS", MappingProxyType({1: old, 2: {}}))
    kept = from_text("weightlab1/training/mlp/moons/muon")
    assert isinstance(kept, TrainingExperiment)
    assert kept.optimizer.rest == optimizer("adamw", weight_decay=0.5) and from_text(to_text(kept)) == kept


def test_an_old_texts_initializer_and_data_keep_the_defaults_of_their_version(monkeypatch: pytest.MonkeyPatch) -> None:
    old = {"initializer normal": {"std": 0.5}, "dataset moons": {"noise": 0.3}, "model mlp": {"depth": 1}}
    monkeypatch.setattr(state_text, "OLD_DEFAULTS", MappingProxyType({1: old, 2: {}}))
    kept = from_text("weightlab1/training/mlp/moons/adam/initialization=normal")
    assert isinstance(kept, TrainingExperiment)
    assert kept.initialization == initialization("normal", std=0.5)
    assert kept.dataset == dataset("moons", noise=0.3) and kept.model == model("mlp", depth=1)
