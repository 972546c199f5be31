"""The controls of a training panel, and the experiment that their values stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.datasets import DATASETS, Dataset
from weightlab.networks.initializers import INITIALIZERS, initialization
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import MODELS, READINGS, ModelSettings, model
from weightlab.rules.own_optimizer import class_name
from weightlab.rules.schedules import SCHEDULES, schedule
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.stage.controls import PACES, Choice, Control, Slider, Toggle, logarithmic
from weightlab.stage.own import _ENTRIES, NOTHING, Own, has_momentum
from weightlab.training.experiment import RUN_SETTINGS, TrainingExperiment

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
    "loss": "cross_entropy",
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


def training_controls(own: Own = NOTHING) -> dict[str, Control]:
    """Every control by name, in the order in which a panel shows them."""
    data = tuple(
        (name, f"{name.replace('_', ' ')} ({'real' if entry.real else 'synthetic'})")
        for name, entry in DATASETS.items()
    )
    controls: tuple[Control, ...] = (
        Slider("learning_rate", "Learning rate η", logarithmic(1e-4, 10.0, 101), _NOW),
        Slider("momentum", "Momentum μ", (*(i / 50 for i in range(50)), 0.99), _NOW),
        Slider("pace", "Updates a second", PACES, "at most; slower lets you watch"),
        Choice("rule", "Update rule", _labels(UPDATE_RULES) + own.options("rule"), _NEW),
        Choice("schedule", "Schedule", _labels(SCHEDULES) + own.options("schedule"), _NEW),
        Choice("activation", "Activation", _labels(ACTIVATIONS), _NEW),
        Choice("initializer", "Initialization", _labels(INITIALIZERS), _NEW),
        Choice("model", "Network", _labels(MODELS) + own.options("model"), _NEW),
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
        Choice("loss", "Loss", _labels({name: one for name, one in LOSSES.items() if not one.two_classes}), _NEW),
        Choice("dataset", "Data", data + own.options("dataset"), _NEW),
        Slider("label_noise", "Wrong labels, share", tuple(i / 50 for i in range(31)), _NEW),
    )
    return {control.name: control for control in controls}


def without_effect(values: Mapping[str, Any], own: Own = NOTHING) -> list[str]:
    """Names of settings that play no part in what the others choose."""
    unused = [] if has_momentum(values["rule"], own) else ["momentum"]
    if values["model"] in own.model:
        unused += ["activation", "depth", "width", "batch_norm", "residual", "reading"]
    else:
        settings = MODELS[values["model"]].settings
        unused += [name for name in ("activation", "batch_norm", "residual", "reading") if name not in settings]
    return [*unused, "label_noise"] if values["dataset"] in own.dataset else unused


def run_settings(values: Mapping[str, Any], own: Own = NOTHING) -> dict[str, float | None]:
    """Settings that a Training can change midway, by the names it gives them."""
    chosen: dict[str, float | None] = {name: values[name] or None for name in ("clip_norm", "clip_value")}
    chosen |= {name: values[name] for name in ("l1", "l2", "learning_rate")}
    return {**chosen, "momentum": values["momentum"]} if has_momentum(values["rule"], own) else chosen


def _model(values: Mapping[str, Any], own: Own) -> ModelSettings:
    kind = values["model"]
    if kind in own.model:
        return own.model[kind]
    return model(kind, **{name: values[name] for name in MODELS[kind].settings})


def _optimizer(values: Mapping[str, Any], own: Own) -> OptimizerSettings:
    rule = values["rule"]
    names = ("learning_rate", "momentum") if has_momentum(rule, own) else ("learning_rate",)
    rates = {name: values[name] for name in names}
    return own.rule[rule].replace(**rates) if rule in own.rule else optimizer(rule, **rates)


def experiment_of(
    values: Mapping[str, Any],
    data: Callable[[str, float], Dataset],
    *,
    steps: int,
    seed: int,
    device: str,
    own: Own = NOTHING,
    validate_every: int = 50,
) -> TrainingExperiment:
    """The experiment that these values stand for; raises ValueError or TypeError where they are bad.

    `data(name, label_noise)` gives the dataset, so that the caller can keep what it has read.
    """
    chosen = values["schedule"]
    return TrainingExperiment(
        model=_model(values, own),
        dataset=data(values["dataset"], values["label_noise"]),
        optimizer=_optimizer(values, own),
        initialization=initialization(values["initializer"]),
        schedule=own.schedule[chosen] if chosen in own.schedule else schedule(chosen),
        loss=values["loss"],
        batch_size=values["batch_size"],
        steps=steps,
        seed=seed,
        device=device,
        clip_norm=values["clip_norm"] or None,
        clip_value=values["clip_value"] or None,
        l1=values["l1"],
        l2=values["l2"],
        validate_every=validate_every,
    )


# Which settings decide a field of the experiment: as long as they stay, what a text gave for the field stays too.
_DECIDED_BY: Mapping[str, tuple[str, ...]] = {
    "model": ("model", "depth", "width", "activation", "batch_norm", "residual", "reading"),
    "dataset": ("dataset", "label_noise"),
    "optimizer": ("rule",),
    "initialization": ("initializer",),
    "schedule": ("schedule",),
    "batch_size": ("batch_size",),
    "dtype": (),
    "weights_kept": (),
    "loss": ("loss",),
    "changes": (),
}


@dataclass(frozen=True)
class Given:
    """What an experiment from a text says beyond the settings of a panel, by field, as long as those settings stay."""

    experiment: TrainingExperiment
    values: Mapping[str, Any]  # of all settings, when it was read

    def over(self, experiment: TrainingExperiment, values: Mapping[str, Any]) -> TrainingExperiment:
        """The experiment that the settings stand for, completed."""
        fields = {}
        for field_name, deciding in _DECIDED_BY.items():
            if all(values[name] == self.values[name] for name in deciding):
                fields[field_name] = getattr(self.experiment, field_name)
        if "optimizer" in fields:
            moved = {name: value for name, value in experiment.optimizer.settings.items() if name in LIVE}
            fields["optimizer"] = fields["optimizer"].replace(**moved)
        changes = fields.pop("changes")
        whole = experiment.replace(**fields)
        return whole.replace(changes=tuple(change for change in changes if change[1] in whole.settings))


def values_of(experiment: TrainingExperiment, values: Mapping[str, Any], own: Own = NOTHING) -> dict[str, Any]:
    """What the settings must be for this experiment, as far as they can say it; the rest of `values` as it is."""
    things = {"rule": experiment.optimizer, "model": experiment.model, "schedule": experiment.schedule,
              "dataset": experiment.dataset}  # fmt: skip
    found: dict[str, Any] = {menu: _entry_of(menu, thing, own) for menu, thing in things.items()}
    found |= {name: value for name, value in experiment.optimizer.settings.items() if name in LIVE}
    found |= {name: value for name, value in dict(experiment.model.settings).items() if name in DEFAULTS}
    found |= {name: getattr(experiment, name) or 0.0 for name in RUN_SETTINGS}
    found |= {"initializer": experiment.initialization.name, "loss": experiment.loss}
    found["label_noise"] = dict(experiment.dataset.settings).get("label_noise", 0.0)
    found["batch_size"] = experiment.batch_size or len(experiment.dataset.y_train)
    return {**values, **found}


def same_rule(thing: object, rule: object) -> bool:
    """Whether one of a learner's things is this optimizer class, as it is or with settings."""
    return thing is rule or (isinstance(thing, OptimizerSettings) and thing.rule is rule)


def own_in_texts(own: Own) -> list[object]:
    """The things that a text can only name: what the package has, it can say."""
    rules = [one for one in own.rule.values() if not isinstance(one.rule, str)]
    models = [one for one in own.model.values() if one.name not in MODELS]
    return [*rules, *models, *(one for one in own.dataset.values() if one.name not in DATASETS)]


def _entry_of(menu: str, thing: Any, own: Own) -> str:
    """Under which name a menu offers it; ValueError if it does not."""
    mine: Mapping[str, Any] = getattr(own, menu)
    for name, offered in mine.items():
        if offered == thing or (menu == "rule" and offered.rule == thing.rule):
            return name
    name = thing.rule if menu == "rule" else thing.name
    if isinstance(name, str) and name in _ENTRIES[menu]:
        return name
    called = name if isinstance(name, str) else class_name(name)
    raise ValueError(f"the menu of the {menu} does not have {called!r}; make the panel with own=[…] that holds it")
