"""TrainingExperiment: everything that decides a real run, frozen and checked when made; nothing here runs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from weightlab.devices import check_device_name
from weightlab.networks.datasets import Dataset
from weightlab.networks.initializers import InitializationSettings
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import ModelSettings
from weightlab.rules.schedules import CONSTANT, ScheduleSettings
from weightlab.rules.update_rules import LARGEST, OptimizerSettings
from weightlab.training.groups import ParameterGroup, check_groups
from weightlab.validate import MAX_SEED, choose, number, pairs, whole_number

HE_NORMAL = InitializationSettings("he_normal")
DTYPES = ("float32", "float64")
RUN_SETTINGS = ("clip_norm", "clip_value", "l1", "l2")  # changeable midway, like the optimizer's own
_TRAINING_PARTS: Mapping[str, type] = MappingProxyType(
    {
        "model": ModelSettings,
        "dataset": Dataset,
        "optimizer": OptimizerSettings,
        "initialization": InitializationSettings,
        "schedule": ScheduleSettings,
    }
)
_TRAINING_COUNTS: Mapping[str, tuple[int, int, str]] = MappingProxyType(
    {
        "steps": (1, 100_000, "a longer run does not fit a lab"),
        "seed": (0, MAX_SEED, ""),
        "weights_kept": (1, 100, "each one is recorded in every step"),
        "validate_every": (1, 100_000, ""),
    }
)


@dataclass(frozen=True)
class TrainingExperiment:
    """A real network trained on data; the same experiment gives the same run, bit for bit.

    model, dataset, optimizer, initialization, schedule: made by the functions of these names
    loss:           one of LOSSES
    batch_size:     examples a step, drawn without repetition within an epoch (the rest that does not fill a batch is
                    left out); None for all examples at once, in fixed order
    steps:          1 to 100,000
    seed:           first weights, order of the examples and choice of the weights kept; each from a stream of its own
    device:         "cpu", "cuda", "cuda:0", "mps" or "auto"; looked for when the run starts
    dtype:          "float32" or "float64"
    clip_norm, clip_value: bound on the gradient as a whole or on each entry (torch.nn.utils.clip_grad_norm_, _value_);
                    the whole is that of all groups together
    l1, l2:         the gradient of l1·Σ|w| + l2/2·Σw² is added, over all parameters as PyTorch's weight_decay, whatever
                    their group
    weights_kept:   weights per layer whose path is recorded
    validate_every: steps from one validation to the next; schedule "plateau" reads the validation loss then
    changes:        (step, setting, value) in ascending order: from that step on, counted from 0, a setting of the
                    optimizer (not of its rest) or one of RUN_SETTINGS has this value; in every group, a learning rate
                    times its rate_factor, except a weight_decay that is the group's own
    groups:         ParameterGroup(s) with settings of their own; a parameter belongs to the first that names it. What
                    is frozen has no gradient: neither penalties nor clipping know of it
    """

    model: ModelSettings
    dataset: Dataset
    optimizer: OptimizerSettings
    initialization: InitializationSettings = HE_NORMAL
    schedule: ScheduleSettings = CONSTANT
    loss: str = "cross_entropy"
    batch_size: int | None = 64
    steps: int = 500
    seed: int = 0
    device: str = "cpu"
    dtype: str = "float32"
    clip_norm: float | None = None
    clip_value: float | None = None
    l1: float = 0.0
    l2: float = 0.0
    weights_kept: int = 4
    validate_every: int = 50
    changes: tuple[tuple[int, str, float | None], ...] = ()
    groups: tuple[ParameterGroup, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in _TRAINING_PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} must be made by {name}(...), got {getattr(self, name)!r}")
        self._check_fit()
        check_device_name(self.device)
        choose("dtype", self.dtype, DTYPES)
        for name, (low, high, why) in _TRAINING_COUNTS.items():
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low, high, why))
        for name in ("l1", "l2"):
            object.__setattr__(self, name, number(name, getattr(self, name), 0, 1e6, why="0 switches the penalty off"))
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                bound = number(name, getattr(self, name), 0, LARGEST, open_low=True, why="None switches clipping off")
                object.__setattr__(self, name, bound)
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError(
                f"clip by norm or by value, got clip_norm={self.clip_norm:g} and clip_value={self.clip_value:g}; "
                "set one of them to None"
            )
        object.__setattr__(self, "changes", self._checked_changes())

    def _checked_changes(self) -> tuple[tuple[int, str, float | None], ...]:
        """Those of a step are tried together on what holds by then: a bad one is refused before the run begins."""
        now = dataclasses.replace(self, changes=()) if self.changes else self
        steps: dict[int, dict[str, float | None]] = {}
        for step, name, value in pairs(self.changes, 3, "(step, setting, value)"):
            low = max(steps, default=0)
            at = whole_number("step of a change", step, low, 100_000, why="changes come one after the other")
            steps.setdefault(at, {})[name] = value
        checked: list[tuple[int, str, float | None]] = []
        for at, changes in steps.items():
            now = now.with_settings(**changes)
            checked += [(at, name, now.settings[name]) for name in changes]
        return tuple(checked)

    @property
    def settings(self) -> dict[str, Any]:
        """What may change while a run goes on, by name."""
        return {**self.optimizer.settings, **{name: getattr(self, name) for name in RUN_SETTINGS}}

    def with_settings(self, **changes: float | None) -> TrainingExperiment:
        """A copy with some of `settings` changed, checked again."""
        for name in changes:
            choose("setting of a run", name, self.settings)
        rule = {name: value for name, value in changes.items() if name not in RUN_SETTINGS}
        run = {name: value for name, value in changes.items() if name in RUN_SETTINGS}
        return self.replace(optimizer=self.optimizer.replace(**rule) if rule else self.optimizer, **run)

    def _check_fit(self) -> None:
        data, examples = self.dataset, len(self.dataset.y_train)
        if LOSSES[choose("loss", self.loss, LOSSES)].two_classes and data.classes != 2:
            raise ValueError(
                f"loss {self.loss!r} is for two classes, dataset {data.name!r} has {data.classes}; "
                "choose 'cross_entropy'"
            )
        if reason := self.model.misfit(data.shape, self.outputs):
            raise ValueError(f"model {self.model.name!r} does not fit dataset {data.name!r}: {reason}")
        groups = check_groups(self.groups, self.optimizer, self.model, data.shape, self.outputs)
        object.__setattr__(self, "groups", groups)
        if self.batch_size is not None:
            why = f"the training split has {examples} examples; use None for all of them"
            object.__setattr__(self, "batch_size", whole_number("batch_size", self.batch_size, 1, examples, why))
        if (self.batch_size or examples) == 1 and dict(self.model.settings).get("batch_norm"):
            raise ValueError("batch_size must be at least 2 with batch_norm, got 1; one example has no spread")

    @property
    def outputs(self) -> int:
        """Logits per example."""
        return LOSSES[self.loss].outputs(self.dataset.classes)

    def replace(self, **changes: Any) -> TrainingExperiment:
        """A copy with fields changed, checked again."""
        for name in changes:
            choose("setting of TrainingExperiment", name, [field.name for field in dataclasses.fields(self)])
        return dataclasses.replace(self, **changes)
