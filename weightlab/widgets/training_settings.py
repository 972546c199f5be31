"""The controls of a training panel, and the experiment that their values stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weightlab.activations import ACTIVATIONS
from weightlab.datasets import DATASETS, Dataset
from weightlab.experiments import TrainingExperiment
from weightlab.initializers import INITIALIZERS, initialization
from weightlab.models import MODELS, READINGS, model
from weightlab.schedules import SCHEDULES, schedule
from weightlab.training import RUN_SETTINGS
from weightlab.update_rules import UPDATE_RULES, optimizer
from weightlab.widgets.controls import Choice, Control, Slider, Toggle, logarithmic

PACES = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 250.0, 500.0, 1000.0)
OFF_OR = {"clip_norm": logarithmic(0.01, 100.0, 41), "clip_value": logarithmic(1e-4, 1.0, 41)}
PENALTIES = (0.0, *logarithmic(1e-6, 0.1, 41))
LIVE = ("learning_rate", "momentum", "pace", *RUN_SETTINGS)  # settings that act on the run that is going on
_NEW = "begins a new run"
_NOW = "acts while it runs"

DEFAULTS: Mapping[str, Any] = {
    "learning_rate": 0.05,
    "momentum": 0.9,
    "pace": 60.0,
    "rule": "gradient_descent",
    "schedule": "constant",
    "activation": "tanh",
    "initializer": "xavier_normal",
    "model": "mlp",
    "depth": 8,
    "width": 32,
    "reading": "rows",
    "batch_norm": False,
    "residual": False,
    "clip_norm": 0.0,
    "clip_value": 0.0,
    "l1": 0.0,
    "l2": 0.0,
    "batch_size": 64,
    "dataset": "digits",
    "label_noise": 0.0,
}
# What a panel shows unless told otherwise; the rest keeps its default, or what the constructor gave.
USUAL = (
    "learning_rate",
    "momentum",
    "pace",
    "rule",
    "activation",
    "initializer",
    "depth",
    "width",
    "batch_size",
    "dataset",
    "batch_norm",
    "residual",
)


def _labels(entries: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, entry.label) for name, entry in entries.items())


def training_controls() -> dict[str, Control]:
    """Every control by name, in the order in which a panel shows them."""
    data = tuple(
        (name, f"{name.replace('_', ' ')} ({'real' if entry.real else 'synthetic'})")
        for name, entry in DATASETS.items()
    )
    controls: tuple[Control, ...] = (
        Slider("learning_rate", "Learning rate η", logarithmic(1e-4, 10.0, 101), _NOW),
        Slider("momentum", "Momentum μ", (*(i / 50 for i in range(50)), 0.99), _NOW),
        Slider("pace", "Updates a second", PACES, "at most; slower lets you watch"),
        Choice("rule", "Update rule", _labels(UPDATE_RULES), _NEW),
        Choice("schedule", "Schedule", _labels(SCHEDULES), _NEW),
        Choice("activation", "Activation", _labels(ACTIVATIONS), _NEW),
        Choice("initializer", "Initialization", _labels(INITIALIZERS), _NEW),
        Choice("model", "Network", _labels(MODELS), _NEW),
        Slider("depth", "Hidden layers", tuple(range(1, 31)), _NEW),
        Slider("width", "Units a layer", (2, 4, 8, 16, 32, 48, 64, 96, 128), _NEW),
        Choice("reading", "Image read by", tuple((name, name) for name in READINGS), _NEW),
        Toggle("batch_norm", "Batch normalization", _NEW),
        Toggle("residual", "Residual connections", _NEW),
        Slider("clip_norm", "Clip gradient norm at", (0.0, *OFF_OR["clip_norm"]), f"0 switches it off; {_NOW}"),
        Slider("clip_value", "Clip each entry at", (0.0, *OFF_OR["clip_value"]), f"0 switches it off; {_NOW}"),
        Slider("l1", "L1 penalty", PENALTIES, _NOW),
        Slider("l2", "L2 penalty", PENALTIES, _NOW),
        Slider("batch_size", "Batch size", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), _NEW),
        Choice("dataset", "Data", data, _NEW),
        Slider("label_noise", "Wrong labels, share", tuple(i / 50 for i in range(31)), _NEW),
    )
    return {control.name: control for control in controls}


def has_momentum(rule: str) -> bool:
    """Whether the momentum slider sets something of this rule (RMSprop's own momentum stays at its default, 0)."""
    return "momentum" in UPDATE_RULES[rule].defaults and rule != "rmsprop"


def without_effect(values: Mapping[str, Any]) -> list[str]:
    """Names of settings that play no part in what the others choose."""
    unused = [
        name
        for name in ("activation", "batch_norm", "residual", "reading")
        if name not in MODELS[values["model"]].settings
    ]
    return unused if has_momentum(values["rule"]) else ["momentum", *unused]


def run_settings(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Settings that a Training can change midway, by the names it gives them."""
    chosen: dict[str, float | None] = {name: values[name] or None for name in ("clip_norm", "clip_value")}
    chosen |= {name: values[name] for name in ("l1", "l2", "learning_rate")}
    return {**chosen, "momentum": values["momentum"]} if has_momentum(values["rule"]) else chosen


def experiment_of(
    values: Mapping[str, Any], data: Callable[[str, float], Dataset], *, steps: int, seed: int, device: str
) -> TrainingExperiment:
    """The experiment that these values stand for; raises ValueError or TypeError where they are bad.

    `data(name, label_noise)` gives the dataset, so that the caller can keep what it has read.
    """
    kind = values["model"]
    shape = {name: values[name] for name in MODELS[kind].settings}
    shape |= {name: int(values[name]) for name in ("depth", "width")}
    rates = {
        name: values[name]
        for name in ("learning_rate", "momentum")
        if name == "learning_rate" or has_momentum(values["rule"])
    }
    return TrainingExperiment(
        model=model(kind, **shape),
        dataset=data(values["dataset"], values["label_noise"]),
        optimizer=optimizer(values["rule"], **rates),
        initialization=initialization(values["initializer"]),
        schedule=schedule(values["schedule"]),
        batch_size=int(values["batch_size"]),
        steps=steps,
        seed=seed,
        device=device,
        clip_norm=values["clip_norm"] or None,
        clip_value=values["clip_value"] or None,
        l1=values["l1"],
        l2=values["l2"],
    )
