"""State texts that are right, and Hypothesis strategies for any descent and any small training there can be."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

import torch
from hypothesis import strategies as st

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import LANDSCAPES, Landscape, landscape
from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.datasets import DATASETS, Dataset, dataset
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, initialization
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import MODELS, READINGS, ModelSettings, model
from weightlab.rules.schedules import SCHEDULES, ScheduleSettings, schedule
from weightlab.rules.update_rules import LARGEST, SETTING_LIMITS, SWITCHES, UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.groups import ParameterGroup, group_names

VALID = (
    "weightlab1/descent/rotated_quadratic,kappa=50/momentum,lr=0.02/nesterov/start=-2.2,0.1/steps=400"
    "/from=100/momentum,lr=0.01/nesterov",
    "weightlab1/descent/quadratic/torch.Adagrad,lr=0.1/torch.LBFGS,lr=0.5,max_iter=3/seed=3/schedule=step,gamma=0.1",
    "weightlab1/training/mlp,depth=3,activation=tanh/moons,samples=60/adam,lr=0.01/initialization=normal,std=0.1"
    "/batch_size=none/device=cuda~3A0/clip_norm=1/from=10,lr=0.001,l2=0.1/from=20,clip_norm=none",
    "weightlab1/training/mlp,depth=3/moons,samples=60/muon,lr=0.02/rest=adamw,lr=0.003/group=biases,decay=0"
    "/group=layer~202,rate=0.1/group=first,frozen/steps=30/from=10,lr=0.001",
    "weightlab1/panel/epochs/width=64,noise=0.4,stop=true,title=two~20words",
)

SEEDS = st.integers(0, 2**53 - 1)
POSITIVE = st.floats(0, 1e300, exclude_min=True)
CLIPS = st.floats(0, LARGEST, exclude_min=True)


class Plain(torch.optim.Optimizer):
    """Plain descent as a learner writes it, with settings of its own; `kappa` is a short name elsewhere."""

    def __init__(self, params: Any, lr: float = 0.01, factor: float = 1.0, kappa: Any = None) -> None:
        super().__init__(params, {"lr": lr, "factor": factor, "kappa": kappa})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * group["factor"] * p.grad


def within(default: float, low: float, high: float) -> st.SearchStrategy[float]:
    """Values of a setting given as (default, low, high); the default often, for it need not be written."""
    inside = st.integers(int(low), int(high)) if isinstance(default, int) and low == int(low) else st.floats(low, high)
    return st.one_of(st.just(default), inside)


def some(settings: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=settings)


@st.composite
def landscapes(draw: st.DrawFn) -> Landscape:
    name = draw(st.sampled_from(sorted(LANDSCAPES)))
    return landscape(name, **draw(some({key: within(*limits) for key, limits in LANDSCAPES[name].settings.items()})))


@st.composite
def schedules(draw: st.DrawFn) -> ScheduleSettings:
    name = draw(st.sampled_from(sorted(SCHEDULES)))
    return schedule(name, **draw(some({key: within(*limits) for key, limits in SCHEDULES[name].settings.items()})))


def rule_setting(rule: str, name: str) -> st.SearchStrategy[Any]:
    low, high, open_low, open_high, _ = SETTING_LIMITS[name]
    if name in SWITCHES:
        return st.sampled_from((0.0, 1.0, True, False))
    if name == "ns_steps":
        return st.integers(0, 99)
    if rule == "nesterov" and name == "dampening":
        return st.just(0.0)
    open_low = open_low or (rule == "nesterov" and name == "momentum")
    high = min(high, 1e300)
    everyday = st.sampled_from([value for value in (0.02, 0.1, 0.5, 1.0) if value < high])
    return st.one_of(everyday, st.floats(low, high, exclude_min=open_low, exclude_max=open_high))


OWN_SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "learning_rate": st.floats(1e-3, 10.0),
    "factor": st.floats(0.1, 10.0) | st.integers(1, 10),
    "kappa": st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1e9, 1e9) | st.text(max_size=5)
    | st.lists(st.integers(0, 9) | st.text(max_size=3), max_size=3).map(tuple),
}  # fmt: skip


def settings_of(rule: str | type) -> dict[str, st.SearchStrategy[Any]]:
    if isinstance(rule, str):
        return {name: rule_setting(rule, name) for name in UPDATE_RULES[rule].defaults}
    if rule is Plain:
        return OWN_SETTINGS
    if rule is torch.optim.Muon:
        return {"learning_rate": st.floats(1e-3, 10.0), "nesterov": st.booleans(), "ns_steps": st.integers(0, 9)}
    return {"learning_rate": st.floats(1e-3, 10.0), "eps": st.floats(1e-12, 1.0), "maximize": st.booleans()}


RULES: tuple[str | type, ...] = (*UPDATE_RULES, torch.optim.Adagrad, torch.optim.Muon, Plain)


@st.composite
def optimizers(draw: st.DrawFn, rule: str | type | None = None) -> OptimizerSettings:
    chosen = draw(st.sampled_from(RULES)) if rule is None else rule
    rest = draw(rests(chosen))
    return optimizer(chosen, rest=rest, **draw(some(settings_of(chosen))))


@st.composite
def rests(draw: st.DrawFn, rule: str | type) -> OptimizerSettings | None:
    """A rule for what is not a matrix, for rules that may or must have one."""
    if isinstance(rule, str) and UPDATE_RULES[rule].sees == "elements":
        return None
    if rule is not torch.optim.Muon and draw(st.booleans()):
        return None
    others = [one for one in RULES if one is not torch.optim.Muon and one != "muon"]
    chosen = draw(st.sampled_from(others))
    return optimizer(chosen, **draw(some(settings_of(chosen))))


@st.composite
def descents(draw: st.DrawFn) -> DescentExperiment:
    rules = draw(st.lists(optimizers(), min_size=1, max_size=4))
    if draw(st.booleans()):  # as a panel has them: one learning rate for all
        rules = [one.replace(learning_rate=0.125) for one in rules]
    turns = sorted(draw(st.sets(st.integers(1, 100_000), max_size=2)))
    changes = tuple((step, tuple(draw(optimizers(one.rule)) for one in rules)) for step in turns)
    number = st.floats(-1e9, 1e9)
    return DescentExperiment(
        draw(landscapes()), tuple(rules), draw(st.none() | st.tuples(number, number)), draw(st.integers(1, 100_000)),
        draw(schedules()), draw(SEEDS), draw(st.just(1.0) | POSITIVE), changes,
    )  # fmt: skip


def _reads_pixels(name: str) -> ModelSettings:
    return model(name, **({"reading": "pixels"} if "reading" in MODELS[name].settings else {}))


@st.composite
def models(draw: st.DrawFn, shape: tuple[int, ...]) -> ModelSettings:
    name = draw(st.sampled_from([name for name in MODELS if not _reads_pixels(name).misfit(shape)]))
    entry = MODELS[name]
    options: dict[str, st.SearchStrategy[Any]] = {
        "depth": st.integers(entry.shallowest, 100),
        "width": st.integers(1, 4096),
        "activation": st.sampled_from([one for one in ACTIVATIONS if one in entry.activations]),
        "batch_norm": st.booleans(),
        "residual": st.booleans(),
    }
    given = draw(some({key: options[key] for key in entry.settings if key in options}))
    if "reading" in entry.settings:
        given["reading"] = draw(st.sampled_from(READINGS)) if len(shape) == 3 else "pixels"
    return model(name, **given)


@st.composite
def initializations(draw: st.DrawFn) -> InitializationSettings:
    name = draw(st.sampled_from(sorted(INITIALIZERS)))
    entry = INITIALIZERS[name]
    options: dict[str, st.SearchStrategy[Any]] = {
        key: st.sampled_from(one) if isinstance(one[0], str) else st.floats(*one[1:])
        for key, one in entry.ranges.items()
    }
    gains = st.just("auto") if entry.gain_from == "none" else st.just("activation") | st.floats(0, 100)
    given = draw(some(options | {"gain": gains}))
    return initialization(name, **given)


@cache
def _made(name: str, **settings: Any) -> Dataset:
    return dataset(name, **settings)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    name = draw(st.sampled_from([*DATASETS, *(name for name, entry in DATASETS.items() if not entry.real)]))
    options = {
        key: st.integers(30, 80) if key == "samples" else within(*limits)
        for key, limits in DATASETS[name].settings.items()
    }
    shared = {
        "seed": SEEDS, "validation_fraction": st.floats(0, 0.5), "label_noise": st.floats(0, 1)
    }
    return _made(name, **draw(some({**options, **shared})))


@st.composite
def with_groups(draw: st.DrawFn, experiment: TrainingExperiment) -> TrainingExperiment:
    """The experiment with some parameter groups, as far as each is left a parameter."""
    names = group_names(experiment.model, experiment.dataset.shape, experiment.outputs)
    for name in draw(st.lists(st.sampled_from(names), max_size=4, unique=True)):
        factors, decays = st.sampled_from((0.0, 0.1)) | st.floats(0, 1e3), st.none() | st.floats(0, 1e3)
        settings = some({"rate_factor": factors, "weight_decay": decays})
        group = ParameterGroup(name, frozen=True) if draw(st.booleans()) else ParameterGroup(name, **draw(settings))
        with contextlib.suppress(ValueError):
            experiment = experiment.replace(groups=(*experiment.groups, group))
    return experiment


@st.composite
def trainings(draw: st.DrawFn) -> TrainingExperiment:
    data, rule = draw(datasets()), draw(optimizers())
    losses = [name for name, loss in LOSSES.items() if data.classes == 2 or not loss.two_classes]
    clip = draw(st.sampled_from(("clip_norm", "clip_value")))
    changeable: dict[str, st.SearchStrategy[Any]] = {
        **{name: values for name, values in settings_of(rule.rule).items() if name in rule.settings},
        "l1": st.floats(0, 1e6), "l2": st.floats(0, 1e6), clip: st.none() | CLIPS,
    }  # fmt: skip
    steps = sorted(draw(st.lists(st.integers(0, 100_000), max_size=4)))
    changes = []
    for step in steps:
        name = draw(st.sampled_from(sorted(changeable)))
        changes.append((step, name, draw(changeable[name])))
    fields: dict[str, st.SearchStrategy[Any]] = {
        "initialization": initializations(), "schedule": schedules(), "loss": st.sampled_from(losses),
        "steps": st.integers(1, 100_000), "seed": SEEDS,
        "device": st.sampled_from(("auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps")),
        "dtype": st.sampled_from(("float32", "float64")), clip: st.none() | CLIPS, "l1": st.floats(0, 1e6),
        "l2": st.floats(0, 1e6), "weights_kept": st.integers(1, 100), "validate_every": st.integers(1, 100_000),
    }  # fmt: skip
    batch = draw(st.none() | st.integers(2, len(data.y_train)))
    plain = TrainingExperiment(
        draw(models(data.shape)), data, rule, batch_size=batch, changes=tuple(changes), **draw(some(fields))
    )
    return draw(with_groups(plain))
