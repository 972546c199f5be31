"""Programs without weightlab end with the run's weights, for every pair of settings."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from program_support import PACES, STEPS, TOLERANCE, Lion, data_of, differences
from reliability import Record

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, initialization
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import MODELS, ModelSettings, model
from weightlab.rules.update_rules import OptimizerSettings, optimizer
from weightlab.training.experiment import TrainingExperiment

RULES: dict[str, OptimizerSettings] = {
    "gradient_descent": optimizer("gradient_descent", learning_rate=0.02),
    "momentum": optimizer("momentum", learning_rate=0.01, momentum=0.8, dampening=0.2, weight_decay=1e-3),
    "classical_momentum": optimizer("classical_momentum", learning_rate=0.01, weight_decay=1e-3),
    "averaged_momentum": optimizer("averaged_momentum", learning_rate=0.05, momentum=0.7),
    "sutskever_momentum": optimizer("sutskever_momentum", learning_rate=0.01),
    "nesterov": optimizer("nesterov", learning_rate=0.01, momentum=0.8),
    "sutskever_nesterov": optimizer("sutskever_nesterov", learning_rate=0.01, weight_decay=1e-3),
    "rmsprop": optimizer("rmsprop", learning_rate=0.001, weight_decay=1e-3),
    "rmsprop with momentum": optimizer("rmsprop", learning_rate=0.001, momentum=0.5),
    "adam": optimizer("adam", learning_rate=0.002, beta1=0.8),
    "adam uncorrected": optimizer("adam", learning_rate=0.001, bias_correction=0, weight_decay=1e-3),
    "adamw": optimizer("adamw", learning_rate=0.002),
    "adamw uncorrected": optimizer("adamw", learning_rate=0.001, bias_correction=0),
    "torch's NAdam": optimizer(torch.optim.NAdam, learning_rate=0.002),
    "own": optimizer(Lion, learning_rate=0.001),
}
STARTS: dict[str, InitializationSettings] = {
    **{name: initialization(name) for name in INITIALIZERS},
    "he_normal, fan_out": initialization("he_normal", mode="fan_out", gain=1.2),
    "xavier_uniform with gain": initialization("xavier_uniform", gain="activation"),
}
NETWORKS: dict[str, tuple[ModelSettings, str]] = {
    "mlp": (model("mlp", depth=2, width=8), "digits"),
    "softmax regression": (model("mlp", depth=0), "breast_cancer"),
    "residual": (model("mlp", depth=5, width=8, residual=True), "moons"),
    "residual with batch norm": (model("mlp", depth=3, width=8, residual=True, batch_norm=True), "circles"),
    "cnn": (model("cnn", depth=2, width=4), "digits"),
    "deep cnn with batch norm": (model("cnn", depth=6, width=2, batch_norm=True), "digits"),
    "rnn": (model("rnn", width=8), "digits"),
    "lstm": (model("lstm", width=6, depth=2), "digits"),
    "gru": (model("gru", width=6, reading="pixels"), "spirals"),
}
DIVIDING = ("rmsprop", "rmsprop with momentum", "adam", "adam uncorrected", "adamw", "adamw uncorrected",
            "torch's NAdam", "own")  # fmt: skip
FACTORS: dict[str, list[str]] = {
    "optimizer": list(RULES),
    "schedule": list(PACES),
    "initialization": list(STARTS),
    "activation": list(ACTIVATIONS),
    "model": list(NETWORKS),
    "clipping": ["none", "norm", "value"],
    "penalty": ["none", "l1", "l2", "both"],
    "changed": ["nothing", "rate", "rule", "run"],
    "loss": list(LOSSES),
    "batch": ["part", "all"],
}


Pair = tuple[tuple[str, str], tuple[str, str]]  # of (factor, choice), in alphabetical order


def is_possible(chosen: Mapping[str, str]) -> bool:
    """Whether the package has such an experiment."""
    if "model" not in chosen:
        return True
    network = chosen["model"]
    settings, data = NETWORKS[network]
    if "activation" in chosen and settings.name != "mlp":
        known = MODELS[settings.name].activations if "activation" in dict(settings.settings) else ("tanh",)
        if chosen["activation"] not in known:
            return False
    return "loss" not in chosen or data_of(data).classes == 2 or not LOSSES[chosen["loss"]].two_classes


def is_decided_by_rounding(chosen: Mapping[str, str]) -> bool:
    """Whether the path hangs on the last digits, so that only the same operations in the same order come to its end.

    In front of batch normalization a bias has no gradient but rounding: rules that divide by the gradient's size, and
    L1, make steps of it.
    """
    jumps = chosen.get("optimizer") in DIVIDING or chosen.get("penalty") in ("l1", "both")
    return "batch norm" in chosen.get("model", "") and jumps


def goes_with(one: tuple[str, str], other: tuple[str, str]) -> bool:
    both = dict([one, other])
    return is_possible(both) and not is_decided_by_rounding(both)


def covering() -> list[dict[str, str]]:
    """Combinations in which each pair of choices that go together occurs: the greediest choice, factor by factor."""
    open_pairs = {pair for pair in possible_pairs() if goes_with(*pair)}
    source, found = random.Random(0), []
    while open_pairs:
        chosen = dict(min(open_pairs))
        for factor in source.sample(list(FACTORS), len(FACTORS)):
            if factor in chosen:
                continue
            options = [v for v in FACTORS[factor] if all(goes_with((factor, v), one) for one in chosen.items())]
            counts = {v: sum(pair_of((factor, v), one) in open_pairs for one in chosen.items()) for v in options}
            chosen[factor] = max(source.sample(options, len(options)), key=counts.__getitem__)
        open_pairs -= set(pairs_in(chosen))
        found.append(chosen)
    return found


def pair_of(one: tuple[str, str], other: tuple[str, str]) -> Pair:
    return (one, other) if one < other else (other, one)


def pairs_in(chosen: Mapping[str, str]) -> list[Pair]:
    return [pair_of(one, other) for one, other in itertools.combinations(chosen.items(), 2)]


@cache
def possible_pairs() -> tuple[Pair, ...]:
    choices = [(factor, value) for factor, values in FACTORS.items() for value in values]
    pairs = [pair_of(a, b) for a, b in itertools.combinations(choices, 2) if a[0] != b[0]]
    return tuple(pair for pair in pairs if is_possible(dict(pair)))


def exact_combinations() -> list[dict[str, str]]:
    """The pairs whose path hangs on the last digits, where program and run do the same operations in the same order."""
    plain = {factor: values[0] for factor, values in FACTORS.items()} | {"activation": "tanh"}
    return [{**plain, **dict(pair)} for pair in possible_pairs() if is_decided_by_rounding(dict(pair))]


def experiment_of(chosen: Mapping[str, str], number: int) -> TrainingExperiment:
    settings, data = NETWORKS[chosen["model"]]
    if "activation" in dict(settings.settings):
        settings = settings.replace(activation=chosen["activation"])
    rule, penalty = RULES[chosen["optimizer"]], chosen["penalty"]
    clips: dict[str, Any] = {"none": {}, "norm": {"clip_norm": 0.5}, "value": {"clip_value": 0.02}}[chosen["clipping"]]
    return TrainingExperiment(
        settings, data_of(data), rule, STARTS[chosen["initialization"]], PACES[chosen["schedule"]],
        loss=chosen["loss"], batch_size=16 if chosen["batch"] == "part" else None, steps=STEPS, seed=number,
        dtype="float64", l1=1e-4 if penalty in ("l1", "both") else 0.0, l2=1e-3 if penalty in ("l2", "both") else 0.0,
        validate_every=8, changes=changes_of(chosen["changed"], rule, chosen["clipping"]), **clips,
    )  # fmt: skip


def changes_of(kind: str, rule: OptimizerSettings, clipping: str) -> tuple[tuple[int, str, Any], ...]:
    if kind == "rate":
        return (9, "learning_rate", rule.learning_rate / 2), (17, "learning_rate", rule.learning_rate)
    if kind == "rule":
        name = next((name for name in ("momentum", "beta1", "weight_decay") if name in rule.settings), "learning_rate")
        return (9, name, 0.6 * rule.settings[name]), (12, "learning_rate", rule.learning_rate / 3)
    if kind == "run":
        bound = {"none": "clip_norm", "norm": "clip_norm", "value": "clip_value"}[clipping]
        return (7, "l2", 2e-3), (9, bound, 0.1), (9, "l1", 0.0), (20, bound, None)
    return ()


@pytest.mark.long
def test_programs_end_with_the_runs_weights_for_every_pair_of_choices(
    tmp_path: Path, record_property: Record
) -> None:
    combinations = covering() + exact_combinations()
    occurring = {pair for chosen in combinations for pair in pairs_in(chosen)}
    assert occurring == set(possible_pairs()) and len(occurring) > 1000
    experiments = {f"run_{number:03d}": experiment_of(chosen, number) for number, chosen in enumerate(combinations)}
    found = differences(experiments, tmp_path)
    too_far = {name: (gap, combinations[int(name[4:])]) for name, gap in found.items() if not gap <= TOLERANCE}
    assert not too_far, too_far
    record_property("pairs", len(occurring))
    record_property("programs", len(found))
    record_property("difference", max(found.values()))




def test_an_optimizer_that_searches_along_a_line_gets_a_closure(tmp_path: Path) -> None:
    """L-BFGS divides by differences of gradients, which makes rounding grow: here all operations are the run's own."""
    plain = {factor: values[0] for factor, values in FACTORS.items()} | {"activation": "tanh", "clipping": "value"}
    search = optimizer(torch.optim.LBFGS, learning_rate=0.02, max_iter=3)
    experiments = {
        f"run_{number}": experiment_of({**plain, "model": name, "penalty": "both"}, number).replace(optimizer=search)
        for number, name in enumerate(NETWORKS)
    }
    found = differences(experiments, tmp_path)
    assert max(found.values()) <= TOLERANCE, found
