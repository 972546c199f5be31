"""Real data that ships with scikit-learn, synthetic two-dimensional sets, and your own tensors: split and standardized.

Each set is one entry of DATASETS. `dataset("digits", seed=0)` makes a Dataset; nothing is ever fetched from a network.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from weightlab.devices import settle_threads
from weightlab.validate import MAX_SEED, choose, number, whole_number

Setting = tuple[float, float, float]  # default, lowest, highest
Settings = Mapping[str, float]
MAX_CLASSES = 1000


@dataclass(frozen=True)
class Dataset:
    """Examples with labels, split into training and validation; two are equal if name and settings are.

    x_train, x_validation: (example, inputs) float64, standardized with the training split's mean and scale only
    y_train, y_validation: (example,) int64 in 0..classes-1
    mean, scale:           (inputs,) what was subtracted and divided by
    image_shape:           (channels, height, width) where the inputs are an image's pixels, else None
    source:                where the data come from
    real:                  measured on something, rather than drawn from a formula
    settings:              what made it, name and value in the names' order
    """

    name: str
    settings: tuple[tuple[str, float | str], ...]
    real: bool = field(compare=False)
    source: str = field(compare=False)
    x_train: Tensor = field(compare=False, repr=False)
    y_train: Tensor = field(compare=False, repr=False)
    x_validation: Tensor = field(compare=False, repr=False)
    y_validation: Tensor = field(compare=False, repr=False)
    mean: Tensor = field(compare=False, repr=False)
    scale: Tensor = field(compare=False, repr=False)
    class_names: tuple[str, ...] = field(compare=False, repr=False)
    image_shape: tuple[int, int, int] | None = field(compare=False, default=None)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def inputs(self) -> int:
        """Numbers per example."""
        return self.x_train.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width) of an image, else (inputs,)."""
        return self.image_shape or (self.inputs,)


@dataclass(frozen=True)
class Examples:
    """All examples before splitting: x (example, inputs), y (example,) int64."""

    x: Tensor
    y: Tensor
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class DatasetEntry:
    """A named set: make(settings, generator) -> Examples; settings name -> (default, lowest, highest).

    `whole` names the settings that are whole numbers. The seed of `dataset` feeds the generator: synthetic sets are
    drawn from it, real ones only split and shuffled by it.
    """

    name: str
    label: str
    real: bool
    source: str
    make: Callable[[Settings, torch.Generator], Examples]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    whole: tuple[str, ...] = ()


def _digits(settings: Settings, generator: torch.Generator) -> Examples:
    from sklearn.datasets import load_digits  # here: importing scikit-learn costs a second

    x, y = load_digits(return_X_y=True)
    return Examples(torch.from_numpy(x), torch.from_numpy(y).long(), tuple("0123456789"), (1, 8, 8))


def _breast_cancer(settings: Settings, generator: torch.Generator) -> Examples:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    names = tuple(str(name) for name in bunch.target_names)
    return Examples(torch.from_numpy(bunch.data), torch.from_numpy(bunch.target).long(), names)


def _moons(settings: Settings, generator: torch.Generator) -> Examples:
    upper, lower = _halves(settings)
    first, second = torch.linspace(0, math.pi, upper).double(), torch.linspace(0, math.pi, lower).double()
    x = torch.cat([_circle(first), torch.stack([1 - second.cos(), 0.5 - second.sin()], 1)])
    return Examples(_noisy(x, settings, generator), _labels(upper, lower), ("upper moon", "lower moon"))


def _circles(settings: Settings, generator: torch.Generator) -> Examples:
    outer, inner = _halves(settings)
    # one point short of the full turn: the last would lie on the first
    first = torch.arange(outer).double() * (2 * math.pi / outer)
    second = torch.arange(inner).double() * (2 * math.pi / inner)
    x = torch.cat([_circle(first), settings["factor"] * _circle(second)])
    return Examples(_noisy(x, settings, generator), _labels(outer, inner), ("outer circle", "inner circle"))


def _spirals(settings: Settings, generator: torch.Generator) -> Examples:
    arms = int(settings["arms"])
    counts = [int(settings["samples"]) // arms + (arm < int(settings["samples"]) % arms) for arm in range(arms)]
    parts = []
    for arm, count in enumerate(counts):
        radius = torch.linspace(0.1, 1, count).double()
        parts.append(radius[:, None] * _circle(2 * math.pi * (settings["turns"] * radius + arm / arms)))
    return Examples(
        _noisy(torch.cat(parts), settings, generator), _labels(*counts), tuple(f"arm {arm + 1}" for arm in range(arms))
    )


def _halves(settings: Settings) -> tuple[int, int]:
    samples = int(settings["samples"])
    return samples - samples // 2, samples // 2


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def _noisy(x: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
    return x + settings["noise"] * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def _labels(*counts: int) -> Tensor:
    return torch.repeat_interleave(torch.tensor(counts))


SAMPLES: Setting = (600, 20, 100_000)

DATASETS: Mapping[str, DatasetEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            DatasetEntry(
                "digits",
                "Handwritten digits, 8×8",
                True,
                "1,797 handwritten digits of 8×8 pixels from 43 people (Alpaydin & Kaynak 1998), "
                "sklearn.datasets.load_digits",
                _digits,
            ),
            DatasetEntry(
                "breast_cancer",
                "Breast cancer, 30 measurements",
                True,
                "569 tumours with 30 measurements each (Wolberg et al. 1995), sklearn.datasets.load_breast_cancer",
                _breast_cancer,
            ),
            DatasetEntry(
                "moons",
                "Two moons",
                False,
                "two interleaved half circles, as sklearn.datasets.make_moons draws them",
                _moons,
                {"samples": SAMPLES, "noise": (0.15, 0, 2)},
                ("samples",),
            ),
            DatasetEntry(
                "circles",
                "Two circles",
                False,
                "a circle inside a circle, as sklearn.datasets.make_circles draws them",
                _circles,
                {"samples": SAMPLES, "noise": (0.08, 0, 2), "factor": (0.5, 0, 0.99)},
                ("samples",),
            ),
            DatasetEntry(
                "spirals",
                "Spirals",
                False,
                "interleaved Archimedean spirals, one class an arm",
                _spirals,
                {"samples": SAMPLES, "noise": (0.03, 0, 1), "arms": (2, 2, 10), "turns": (1.0, 0.1, 4)},
                ("samples", "arms"),
            ),
        )
    }
)


def dataset(
    name: str, seed: int = 0, validation_fraction: float = 0.25, label_noise: float = 0.0, **settings: float
) -> Dataset:
    """The set `name` of DATASETS, split by `seed` into training and validation, each class in the same proportion.

    validation_fraction is in [0, 0.9]; with 0 there is no validation split. label_noise is the share of training labels
    replaced by another class drawn evenly (validation labels stay true). `settings`: see the entry. Raises ValueError
    or TypeError that names value, range and remedy.
    """
    entry = DATASETS[choose("dataset", name, DATASETS)]
    values: dict[str, float] = {key: default for key, (default, _, _) in entry.settings.items()}
    for key, value in settings.items():
        if not entry.settings:
            raise ValueError(f"dataset {name!r} has no setting {key!r}; leave it out")
        _, low, high = entry.settings[choose(f"setting of {name!r}", key, entry.settings)]
        whole = key in entry.whole
        values[key] = whole_number(key, value, int(low), int(high)) if whole else number(key, value, low, high)
    seed = whole_number("seed", seed, 0, MAX_SEED)
    generator = torch.Generator().manual_seed(seed)
    examples = entry.make(values, generator)
    made_by = {**values, "seed": seed}
    return _split(name, entry.real, entry.source, examples, made_by, validation_fraction, label_noise, generator)


def dataset_from_tensors(
    x: Tensor,
    y: Tensor,
    *,
    name: str = "yours",
    seed: int = 0,
    validation_fraction: float = 0.25,
    label_noise: float = 0.0,
    image_shape: tuple[int, int, int] | None = None,
    class_names: tuple[str, ...] | None = None,
) -> Dataset:
    """A Dataset of your own examples: x (example, inputs) or (example, channels, height, width), y (example,) classes.

    Labels are whole numbers 0..classes-1. Images of shape (example, channels, height, width) set image_shape by
    themselves. Raises ValueError for an empty or single-class set, shapes that do not fit, values that are not finite.
    """
    x, y = torch.as_tensor(x), torch.as_tensor(y)
    if x.dim() == 4 and image_shape is None:
        image_shape = (x.shape[1], x.shape[2], x.shape[3])
    if x.dim() > 2:
        x = x.flatten(start_dim=1)
    _check_examples(x, y, image_shape)
    classes = int(y.max()) + 1
    names = class_names or tuple(str(label) for label in range(classes))
    if len(names) < classes:
        raise ValueError(f"class_names must name all {classes} classes, got {len(names)}: {names!r}")
    x, y = x.detach().cpu().double(), y.detach().cpu().long()
    fingerprint = hashlib.sha256(x.numpy().tobytes() + y.numpy().tobytes()).hexdigest()[:16]
    seed = whole_number("seed", seed, 0, MAX_SEED)
    generator = torch.Generator().manual_seed(seed)
    made_by: dict[str, float | str] = {"fingerprint": fingerprint, "seed": seed}
    examples = Examples(x, y, names, image_shape)
    return _split(name, False, "your own tensors", examples, made_by, validation_fraction, label_noise, generator)


def _check_examples(x: Tensor, y: Tensor, image_shape: tuple[int, int, int] | None) -> None:
    if x.dim() != 2 or y.dim() != 1 or len(x) != len(y):
        raise ValueError(
            f"x must be (example, inputs) and y (example,) with as many examples, got {tuple(x.shape)} and "
            f"{tuple(y.shape)}; reshape them"
        )
    if x.numel() == 0:
        raise ValueError(f"the dataset is empty: x has shape {tuple(x.shape)}; pass some examples of each class")
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).sum())
        raise ValueError(f"x must be finite, got {bad} values that are NaN or infinite; remove or replace them")
    if y.is_floating_point() and bool((y != y.round()).any()):
        raise ValueError("y must be whole numbers 0..classes-1, got fractions; number the classes")
    low, high = int(y.min()), int(y.max())
    if low < 0 or not 1 <= high < MAX_CLASSES:
        raise ValueError(
            f"y must hold at least two classes numbered 0..classes-1 (at most {MAX_CLASSES}), "
            f"got labels from {low} to {high}; number the classes from 0"
        )
    if image_shape is not None and math.prod(image_shape) != x.shape[1]:
        raise ValueError(
            f"image_shape {image_shape} has {math.prod(image_shape)} pixels but an example has {x.shape[1]} numbers; "
            "make channels × height × width equal to it"
        )


def _split(
    name: str,
    real: bool,
    source: str,
    examples: Examples,
    made_by: Mapping[str, float | str],
    validation_fraction: float,
    label_noise: float,
    generator: torch.Generator,
) -> Dataset:
    settle_threads()  # mean and scale are sums, which several threads round differently
    fraction = number("validation_fraction", validation_fraction, 0, 0.9, why="keep examples to train on")
    noise = number("label_noise", label_noise, 0, 1)
    training, validation = _stratified(examples.y, fraction, generator)
    x_train, x_validation = examples.x[training].double(), examples.x[validation].double()
    mean, scale = _standardization(x_train, per_pixel=examples.image_shape is None)
    settings = {**made_by, "validation_fraction": fraction, "label_noise": noise}
    return Dataset(
        name=name,
        settings=tuple(sorted(settings.items())),
        real=real,
        source=source,
        x_train=(x_train - mean) / scale,
        y_train=_with_label_noise(examples.y[training], noise, len(examples.class_names), generator),
        x_validation=(x_validation - mean) / scale,
        y_validation=examples.y[validation],
        mean=mean,
        scale=scale,
        class_names=examples.class_names,
        image_shape=examples.image_shape,
    )


def _stratified(y: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    training, validation = [], []
    for label in range(int(y.max()) + 1):
        members = (y == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        held_out = min(round(fraction * len(members)), len(members) - 1)  # every class is trained on
        validation.append(members[:held_out])
        training.append(members[held_out:])
    chosen = torch.cat(training)
    return chosen[torch.randperm(len(chosen), generator=generator)], torch.cat(validation)


def _standardization(x: Tensor, per_pixel: bool) -> tuple[Tensor, Tensor]:
    """Mean and scale of the training split: per input for tables, one pair for all pixels of images.

    An image's pixels share one scale, or a corner that is lit once in a thousand pictures would count 30 deviations.
    """
    if per_pixel:
        mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    else:
        mean = x.mean().expand(x.shape[1]).clone()
        scale = x.std(correction=0).expand(x.shape[1]).clone()
    return mean, torch.where(scale > 0, scale, torch.ones_like(scale))


def _with_label_noise(y: Tensor, noise: float, classes: int, generator: torch.Generator) -> Tensor:
    wrong = torch.randperm(len(y), generator=generator)[: round(noise * len(y))]
    noisy = y.clone()
    noisy[wrong] = (y[wrong] + torch.randint(1, classes, (len(wrong),), generator=generator)) % classes
    return noisy
