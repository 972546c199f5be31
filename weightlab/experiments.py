"""Experiments: everything that decides a run, frozen and checked when made; nothing here runs them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from weightlab.datasets import Dataset
from weightlab.devices import check_device_name
from weightlab.initializers import InitializationSettings
from weightlab.landscapes import Landscape
from weightlab.losses import LOSSES
from weightlab.models import ModelSettings
from weightlab.schedules import ScheduleSettings, schedule
from weightlab.update_rules import LARGEST, OptimizerSettings
from weightlab.validate import choose, number, whole_number

MAX_DESCENT_STEPS = 100_000
MAX_OPTIMIZERS = 64
MAX_SEED = 2**53 - 1  # what a float, and so a link text, still holds exactly
CONSTANT = schedule("constant")
_SYMBOLS = {"learning_rate": "η", "momentum": "μ", "weight_decay": "weight decay"}
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
class DescentExperiment:
    """One learner per optimizer on a landscape, all from the same start, all seeing the same gradient noise.

    start: (w1, w2), the landscape's own where None. schedule: scales every optimizer's learning rate.
    seed: of the gradient noise. loss_scale: the loss and its gradients are multiplied by it.
    changes: (step, optimizers) in ascending order: from that step on, counted from 0, these settings hold; the rules
    stay the same and keep their velocities and averages. A change beyond the last step has no effect.
    Raises TypeError or ValueError for anything out of range, with the range.
    """

    landscape: Landscape
    optimizers: tuple[OptimizerSettings, ...]
    start: tuple[float, float] | None = None
    steps: int = 300
    schedule: ScheduleSettings = CONSTANT
    seed: int = 0
    loss_scale: float = 1.0
    changes: tuple[tuple[int, tuple[OptimizerSettings, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.landscape, Landscape):
            raise TypeError(f"landscape must be a Landscape, got {self.landscape!r}; make one with landscape(name)")
        if not isinstance(self.schedule, ScheduleSettings):
            raise TypeError(f"schedule must be ScheduleSettings, got {self.schedule!r}; make it with schedule(name)")
        start = self.landscape.start if self.start is None else self.start
        if not isinstance(start, (tuple, list)) or len(start) != 2:
            raise ValueError(f"start must be two numbers (w1, w2), got {start!r}")
        checked = {
            "optimizers": _checked_optimizers(self.optimizers),
            "start": (number("start w1", start[0]), number("start w2", start[1])),
            "steps": whole_number("steps", self.steps, 1, MAX_DESCENT_STEPS),
            "seed": whole_number("seed", self.seed, 0, MAX_SEED),
            "loss_scale": number("loss_scale", self.loss_scale, 0, open_low=True, why="scale by a positive number"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "changes", _checked_turns(self.changes, self.optimizers))

    def optimizers_at(self, step: int) -> tuple[OptimizerSettings, ...]:
        """The settings in force when that step is taken."""
        return next((later for since, later in reversed(self.changes) if since <= step), self.optimizers)

    def replace(self, **changes: Any) -> DescentExperiment:
        """The same experiment with some fields changed, checked again."""
        if "landscape" in changes and "start" not in changes and self.start == self.landscape.start:
            changes["start"] = None  # a start that was the landscape's own follows the landscape
        return dataclasses.replace(self, **changes)

    @property
    def labels(self) -> tuple[str, ...]:
        """One name an optimizer for legends; with the settings that tell it from others, or that changed last."""
        seen: dict[object, dict[str, list[object]]] = {}
        for one in self.optimizers:
            for name, value in one.settings.items():
                seen.setdefault(one.rule, {}).setdefault(name, []).append(value)
        differing = {
            rule: {name for name, values in settings.items() if any(value != values[0] for value in values)}
            for rule, settings in seen.items()
        }
        names = [_label(one, differing.get(one.rule, set())) for one in self.optimizers]
        return tuple(name + self._last_turn(i) for i, name in enumerate(names))

    def _last_turn(self, i: int) -> str:
        """What the last change of optimizer `i` was and when, for its label."""
        for step, later in reversed(self.changes):
            before = self.optimizers_at(step - 1)[i]
            changed = {name for name, value in later[i].settings.items() if before.settings.get(name) != value}
            if changed:
                return f", from step {step} {_named(later[i], changed)}"
        return ""


def _label(optimizer: OptimizerSettings, differing: set[str]) -> str:
    named = _named(optimizer, differing)
    return f"{optimizer.label} ({named})" if named else optimizer.label


def _named(optimizer: OptimizerSettings, names: set[str]) -> str:
    return ", ".join(
        f"{_SYMBOLS.get(name, name)} = {value:g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in optimizer.settings.items()
        if name in names
    )


def _checked_optimizers(optimizers: object) -> tuple[OptimizerSettings, ...]:
    found = (optimizers,) if isinstance(optimizers, OptimizerSettings) else optimizers
    if not isinstance(found, (tuple, list)) or not all(isinstance(one, OptimizerSettings) for one in found):
        raise TypeError(f"optimizers must be a tuple of OptimizerSettings, got {optimizers!r}; use optimizer(name)")
    if not found:
        raise ValueError("optimizers must hold at least one, got none; add one, such as optimizer('momentum')")
    if len(found) > MAX_OPTIMIZERS:
        raise ValueError(f"optimizers must hold at most {MAX_OPTIMIZERS}, got {len(found)}; use sweep() for a crowd")
    return tuple(found)


def _checked_turns(
    changes: object, optimizers: tuple[OptimizerSettings, ...]
) -> tuple[tuple[int, tuple[OptimizerSettings, ...]], ...]:
    turns: list[tuple[int, tuple[OptimizerSettings, ...]]] = []
    for step, later in _pairs(changes, 2, "(step, optimizers)"):
        low = turns[-1][0] + 1 if turns else 1
        at = whole_number("step of a change", step, low, MAX_DESCENT_STEPS, why="changes come one after the other")
        turns.append((at, _checked_optimizers(later)))
        if [one.rule for one in turns[-1][1]] != [one.rule for one in optimizers]:
            rules = ", ".join(one.label for one in optimizers)
            raise ValueError(f"a change keeps the rules ({rules}) and their order, got {later!r}; change settings only")
    return tuple(turns)


def _pairs(changes: object, parts: int, form: str) -> tuple[Any, ...]:
    listed = isinstance(changes, (tuple, list))
    if not listed or not all(isinstance(one, (tuple, list)) and len(one) == parts for one in changes):  # type: ignore
        raise TypeError(f"changes must be a tuple of {form}, got {changes!r}")
    return tuple(changes)  # type: ignore[arg-type]


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
    clip_norm, clip_value: bound on the gradient as a whole or on each entry (torch.nn.utils.clip_grad_norm_, _value_)
    l1, l2:         the gradient of l1·Σ|w| + l2/2·Σw² is added, over all parameters as PyTorch's weight_decay
    weights_kept:   weights per layer whose path is recorded
    validate_every: steps from one validation to the next; schedule "plateau" reads the validation loss then
    changes:        (step, setting, value) in ascending order: from that step on, counted from 0, a setting of the
                    optimizer or one of RUN_SETTINGS has this value
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
        for step, name, value in _pairs(self.changes, 3, "(step, setting, value)"):
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
