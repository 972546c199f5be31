"""What can be set on a training panel: each setting's control, its lens on the experiment, and where it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.datasets import DATASETS, Dataset
from weightlab.networks.initializers import INITIALIZERS
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import MODELS, READINGS, model
from weightlab.rules.schedules import SCHEDULES, schedule
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.stage.controls import PACES, Choice, Slider, Toggle, logarithmic
from weightlab.stage.lenses import PACE, Lens, Setting, Values, field
from weightlab.stage.own import Own, entry_of, has_momentum, labels
from weightlab.stage.training_lenses import BATCH_SIZE, INITIALIZER, MOMENTUM, RATE, of_model
from weightlab.training.experiment import RUN_SETTINGS, TrainingExperiment
from weightlab.training.groups import BIASES, KINDS, NORMS, ParameterGroup
from weightlab.validate import choose

OFF_OR = {"clip_norm": logarithmic(0.01, 100.0, 41), "clip_value": logarithmic(1e-4, 1.0, 41)}
PENALTIES = (0.0, *logarithmic(1e-6, 0.1, 41))
LIVE = ("learning_rate", "momentum", "pace", *RUN_SETTINGS)  # settings that act on the run that is going on
_NEW = "begins a new run"
_NOW = "acts while it runs"
NO_GROUP = "none"
NO_DECAY = "_without_decay"
GROUPS = (
    (NO_GROUP, "none"),
    *((name, f"{name}: {words}") for name, words in KINDS.items()),
    *((f"{name}{NO_DECAY}", f"{name}, without weight decay") for name in (BIASES, NORMS)),
)
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


def training_settings(own: Own, read: Callable[[str, float], Dataset], shown: Sequence[str] | None) -> list[Setting]:
    """Every setting, menus first; `shown`: those that have a control, None for all.

    read: (name, label noise) -> a dataset of the package, so that the caller can keep what it has read.
    """
    data = tuple((name, f"{name.replace('_', ' ')} ({'real' if entry.real else 'synthetic'})")
                 for name, entry in DATASETS.items())  # fmt: skip
    losses = {name: one for name, one in LOSSES.items() if not one.two_classes}
    settings = (
        Setting(Slider("learning_rate", "Learning rate η", logarithmic(1e-4, 10.0, 101), _NOW), RATE, 0.05),
        Setting(Slider("momentum", "Momentum μ", (*(i / 50 for i in range(50)), 0.99), _NOW), MOMENTUM, 0.9),
        Setting(Slider("pace", "Updates a second", PACES, "at most; slower lets you watch"), PACE, 60.0),
        Setting(Choice("rule", "Update rule", labels(UPDATE_RULES) + own.options("rule"), _NEW), _rule(own),
                "gradient_descent"),
        Setting(Slider("rest_rate", "Learning rate of the rest", logarithmic(1e-4, 1.0, 81), f"biases …; {_NEW}"),
                REST_RATE, 1e-3),
        Setting(Choice("schedule", "Schedule", labels(SCHEDULES) + own.options("schedule"), _NEW), _schedule(own),
                "constant"),
        Setting(Choice("activation", "Activation", labels(ACTIVATIONS), _NEW), of_model("activation"), "tanh"),
        Setting(Choice("initializer", "Initialization", labels(INITIALIZERS), _NEW), INITIALIZER, "xavier_normal"),
        Setting(Choice("model", "Network", labels(MODELS) + own.options("model"), _NEW), _model(own, read),
                "mlp"),
        Setting(Slider("depth", "Hidden layers", tuple(range(1, 31)), _NEW), of_model("depth"), 8),
        Setting(Slider("width", "Units a layer", (2, 4, 8, 16, 32, 48, 64, 96, 128), _NEW), of_model("width"),
                32),
        Setting(Choice("reading", "Image read by", tuple((name, name) for name in READINGS), _NEW),
                of_model("reading"), "rows"),
        Setting(Toggle("batch_norm", "Batch normalization", _NEW), of_model("batch_norm"), False),
        Setting(Toggle("residual", "Residual connections", _NEW), of_model("residual"), False),
        Setting(Slider("clip_norm", "Clip gradient norm at", (0.0, *OFF_OR["clip_norm"]), f"0 switches it off; {_NOW}"),
                _bound("clip_norm"), 0.0),
        Setting(Slider("clip_value", "Clip each entry at", (0.0, *OFF_OR["clip_value"]), f"0 switches it off; {_NOW}"),
                _bound("clip_value"), 0.0),
        Setting(Slider("l1", "L1 penalty", PENALTIES, _NOW), field("l1"), 0.0),
        Setting(Slider("l2", "L2 penalty", PENALTIES, _NOW), field("l2"), 0.0),
        Setting(Choice("group", "Parameters apart", GROUPS, _NEW), Lens(_group_name, _put_group), NO_GROUP),
        Setting(Slider("group_rate", "Their rate times", logarithmic(0.01, 100.0, 41), _NEW), _of_group("rate_factor"),
                1.0),
        Setting(Toggle("group_frozen", "They are frozen", _NEW), _of_group("frozen"), False),
        Setting(Slider("batch_size", "Batch size", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512), _NEW), BATCH_SIZE, 64),
        Setting(Choice("loss", "Loss", labels(losses), _NEW), field("loss"), "cross_entropy"),
        Setting(Choice("dataset", "Data", data + own.options("dataset"), _NEW), _dataset(own, read), "digits"),
        Setting(Slider("label_noise", "Wrong labels, share", tuple(i / 50 for i in range(31)), _NEW),
                _label_noise(own, read), 0.0),
    )  # fmt: skip
    names = [setting.name for setting in settings]
    wanted = names if shown is None else [choose("control", name, names) for name in shown]
    return [Setting(one.control, one.lens, one.default, one.name in wanted) for one in settings]


# ---- lenses ------------------------------------------------------------------------------------------------------


def _rule(own: Own) -> Lens:
    """The update rule; it takes over what the sliders say, and of the changes midway those that it has, too."""

    def put(experiment: TrainingExperiment, name: str, values: Values) -> TrainingExperiment:
        chosen: OptimizerSettings = own.rule[name] if name in own.rule else optimizer(name)
        names = ("learning_rate", "momentum") if has_momentum(chosen) else ("learning_rate",)
        rest = None if chosen.rest is None else chosen.rest.replace(learning_rate=values["rest_rate"])
        chosen = chosen.replace(rest=rest, **{setting: values[setting] for setting in names})
        kept = tuple(one for one in experiment.changes if one[1] in {*chosen.settings, *RUN_SETTINGS})
        return experiment.replace(optimizer=chosen, changes=kept)

    return Lens(lambda experiment: entry_of("rule", experiment.optimizer, own), put)


def _put_rest(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
    rest = experiment.optimizer.rest
    if rest is None:
        return experiment
    chosen = experiment.optimizer.replace(rest=rest.replace(learning_rate=value))
    return experiment.replace(optimizer=chosen)


REST_RATE = Lens(lambda one: one.optimizer.rest and one.optimizer.rest.settings.get("learning_rate"), _put_rest)


def _put_group(experiment: TrainingExperiment, name: str, values: Values) -> TrainingExperiment:
    others = experiment.groups[1:]
    if name == NO_GROUP:
        return experiment.replace(groups=others)
    frozen, decay = bool(values["group_frozen"]), 0.0 if name.endswith(NO_DECAY) else None
    group = ParameterGroup(name.removesuffix(NO_DECAY), frozen=frozen, **({} if frozen else {
        "rate_factor": values["group_rate"], "weight_decay": decay}))  # fmt: skip
    return experiment.replace(groups=(group, *others))


def _group_name(experiment: TrainingExperiment) -> str:
    """The first of the experiment's groups; others, which a text may give it, stay as they are."""
    if not experiment.groups:
        return NO_GROUP
    first = experiment.groups[0]
    known = f"{first.parameters}{NO_DECAY}" in dict(GROUPS)
    return f"{first.parameters}{NO_DECAY}" if first.weight_decay == 0 and known else first.parameters


def _of_group(name: str) -> Lens:
    """How fast its parameters learn, and whether they do at all."""

    def put(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
        if not experiment.groups:
            return experiment
        if name == "frozen":
            return _put_group(experiment, _group_name(experiment), values)
        first, *others = experiment.groups
        return experiment if first.frozen else experiment.replace(groups=(replace(first, **{name: value}), *others))

    def get(experiment: TrainingExperiment) -> Any:
        if not experiment.groups or (name != "frozen" and experiment.groups[0].frozen):
            return None
        return getattr(experiment.groups[0], name)

    return Lens(get, put)


def _schedule(own: Own) -> Lens:
    def put(experiment: TrainingExperiment, name: str, values: Values) -> TrainingExperiment:
        return experiment.replace(schedule=own.schedule[name] if name in own.schedule else schedule(name))

    return Lens(lambda experiment: entry_of("schedule", experiment.schedule, own), put)


def _model(own: Own, read: Callable[[str, float], Dataset]) -> Lens:
    """The network, with the data that are chosen now: one may not fit what the other was before."""

    def put(experiment: TrainingExperiment, name: str, values: Values) -> TrainingExperiment:
        chosen = own.model.get(name)
        if chosen is None:
            chosen = model(name, **{setting: values[setting] for setting in MODELS[name].settings})
        return experiment.replace(model=chosen, dataset=_data(experiment, own, read, values))

    return Lens(lambda experiment: entry_of("model", experiment.model, own), put)


def _bound(name: str) -> Lens:
    """A bound that 0 switches off."""
    return Lens(
        lambda experiment: getattr(experiment, name) or 0.0,
        lambda experiment, value, values: experiment.replace(**{name: value or None}),
    )


def _data(experiment: TrainingExperiment, own: Own, read: Callable[[str, float], Dataset], values: Values) -> Dataset:
    """What the menu says: the experiment's own data as long as it is those that it says."""
    name = values["dataset"]
    if entry_of("dataset", experiment.dataset, own) == name:
        return experiment.dataset
    return own.dataset[name] if name in own.dataset else read(name, values["label_noise"])


def _dataset(own: Own, read: Callable[[str, float], Dataset]) -> Lens:
    def put(experiment: TrainingExperiment, name: str, values: Values) -> TrainingExperiment:
        return experiment.replace(dataset=_data(experiment, own, read, values))

    return Lens(lambda experiment: entry_of("dataset", experiment.dataset, own), put)


def _label_noise(own: Own, read: Callable[[str, float], Dataset]) -> Lens:
    def put(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
        data = experiment.dataset
        return experiment if data in own.dataset.values() else experiment.replace(dataset=read(data.name, value))

    def get(experiment: TrainingExperiment) -> Any:
        mine = experiment.dataset in own.dataset.values()
        return None if mine else dict(experiment.dataset.settings).get("label_noise", 0.0)

    return Lens(get, put)


def same_rule(thing: object, rule: object) -> bool:
    """Whether one of a learner's things is this optimizer class, as it is or with settings."""
    return thing is rule or (isinstance(thing, OptimizerSettings) and thing.rule is rule)
