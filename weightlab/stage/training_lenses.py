"""Lenses on a TrainingExperiment that panels share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from weightlab.networks.datasets import DATASETS, Dataset
from weightlab.networks.initializers import initialization
from weightlab.networks.models import MODELS, model
from weightlab.stage.lenses import Lens, Values
from weightlab.stage.own import has_momentum
from weightlab.training.experiment import TrainingExperiment


def rate(check: Callable[[Any], Any] = lambda value: value) -> Lens:
    """The learning rate, whose value `check` may refuse before."""
    return Lens(
        lambda experiment: experiment.optimizer.settings.get("learning_rate"),
        lambda experiment, value, values: experiment.replace(
            optimizer=experiment.optimizer.replace(learning_rate=check(value))
        ),
    )


def _put_momentum(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
    if not has_momentum(experiment.optimizer):
        return experiment
    return experiment.replace(optimizer=experiment.optimizer.replace(momentum=value))


def of_model(setting: str, check: Callable[[Any], Any] = lambda value: value) -> Lens:
    """A setting of the package's own networks."""

    def put(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
        now = experiment.model
        if now.name not in MODELS or setting not in dict(now.settings):
            return experiment
        return experiment.replace(model=model(now.name, **{**dict(now.settings), setting: check(value)}))

    return Lens(lambda experiment: dict(experiment.model.settings).get(setting), put)


def label_noise(read: Callable[[float, int], Dataset]) -> Lens:
    """The share of wrong labels in data of the package, which `read` gives for it and the experiment's seed."""

    def put(experiment: TrainingExperiment, value: Any, values: Values) -> TrainingExperiment:
        return experiment if is_own(experiment.dataset) else experiment.replace(dataset=read(value, experiment.seed))

    def get(experiment: TrainingExperiment) -> Any:
        return None if is_own(experiment.dataset) else dict(experiment.dataset.settings)["label_noise"]

    return Lens(get, put)


def is_own(data: Dataset) -> bool:
    """Whether the data are the learner's."""
    return data.name not in DATASETS


def live_settings(experiment: TrainingExperiment, names: Sequence[str]) -> Mapping[str, float | None]:
    """What a Training is to change midway, of these settings."""
    return {name: experiment.settings[name] for name in names if name in experiment.settings}


RATE = rate()
MOMENTUM = Lens(lambda one: one.optimizer.momentum if has_momentum(one.optimizer) else None, _put_momentum)
INITIALIZER = Lens(
    lambda experiment: experiment.initialization.name,
    lambda experiment, name, values: experiment.replace(initialization=initialization(name)),
)
BATCH_SIZE = Lens(
    lambda experiment: experiment.batch_size or len(experiment.dataset.y_train),
    lambda experiment, value, values: experiment.replace(batch_size=value),
)
