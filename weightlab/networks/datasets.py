"""Real data that ships with scikit-learn, synthetic two-dimensional sets, and your own tensors: split and standardized.

Each set is one entry of DATASETS. `dataset("digits", seed=0)` makes a Dataset; nothing is ever fetched from a network.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from weightlab.devices import settle_threads
from weightlab.networks.splits import check_examples, standardization, stratified, with_label_noise
from weightlab.program_text import INDENT, lines, times
from weightlab.validate import MAX_SEED, choose, number, registry, whole_number

Setting = tuple[float, float, float]  # default, lowest, highest
Settings = Mapping[str, float]


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
class ExamplesCode:
    """Lines that leave all examples in x (example, inputs) and y (example,), drawn from `generator`.

    class_sizes: how many each class has, empty where nobody knows; helper: a function that the lines call
    """

    lines: str
    class_sizes: tuple[int, ...] = ()
    imports: tuple[str, ...] = ()
    helper: str = ""


Make = Callable[[Settings, torch.Generator], Examples]
Program = Callable[[Mapping[str, Any]], ExamplesCode]


@dataclass(frozen=True)
class DatasetEntry:
    """A named set: make(settings, generator) -> Examples, program(settings) -> the same in a program.

    `settings` are name -> (default, lowest, highest), of whole numbers where the default is one. The seed of `dataset`
    feeds the generator: synthetic sets are drawn from it, real ones only split and shuffled by it.
    """

    name: str
    label: str
    real: bool
    source: str
    make: Make
    program: Program
    settings: Mapping[str, Setting] = field(default_factory=dict)


def _of_sklearn(
    loader: str, *sizes: int, image_shape: tuple[int, int, int] | None = None
) -> tuple[Make, Program]:
    """What a function of sklearn.datasets loads, with that many examples of each class."""

    def make(settings: Settings, generator: torch.Generator) -> Examples:
        from sklearn import datasets  # here: importing scikit-learn costs a second

        found = getattr(datasets, loader)()
        names = tuple(str(name) for name in found.target_names)
        return Examples(torch.from_numpy(found.data), torch.from_numpy(found.target).long(), names, image_shape)

    text = f"x, y = (torch.from_numpy(part) for part in {loader}(return_X_y=True))"
    return make, lambda settings: ExamplesCode(text, sizes, (f"from sklearn.datasets import {loader}",))


def _moons(settings: Settings, generator: torch.Generator) -> Examples:
    upper, lower = _counts(settings)
    first, second = torch.linspace(0, math.pi, upper).double(), torch.linspace(0, math.pi, lower).double()
    x = torch.cat([_circle(first), torch.stack([1 - second.cos(), 0.5 - second.sin()], 1)])
    return Examples(_noisy(x, settings, generator), _labels(upper, lower), ("upper moon", "lower moon"))


def _circles(settings: Settings, generator: torch.Generator) -> Examples:
    outer, inner = _counts(settings)
    # one point short of the full turn: the last would lie on the first
    first = torch.arange(outer).double() * (2 * math.pi / outer)
    second = torch.arange(inner).double() * (2 * math.pi / inner)
    x = torch.cat([_circle(first), settings["factor"] * _circle(second)])
    return Examples(_noisy(x, settings, generator), _labels(outer, inner), ("outer circle", "inner circle"))


def _spirals(settings: Settings, generator: torch.Generator) -> Examples:
    arms = int(settings["arms"])
    counts = _counts(settings, arms)
    parts = []
    for arm, count in enumerate(counts):
        radius = torch.linspace(0.1, 1, count).double()
        parts.append(radius[:, None] * _circle(2 * math.pi * (settings["turns"] * radius + arm / arms)))
    return Examples(
        _noisy(torch.cat(parts), settings, generator), _labels(*counts), tuple(f"arm {arm + 1}" for arm in range(arms))
    )


def _counts(settings: Settings, classes: int = 2) -> tuple[int, ...]:
    """Examples of each class."""
    samples = int(settings["samples"])
    return tuple(samples // classes + (number < samples % classes) for number in range(classes))


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def _noisy(x: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
    return x + settings["noise"] * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def _labels(*counts: int) -> Tensor:
    return torch.repeat_interleave(torch.tensor(counts))


def _moons_code(settings: Settings) -> ExamplesCode:
    upper, lower = _counts(settings)
    text = lines(
        f"upper = torch.linspace(0, math.pi, {upper}).double()",
        f"lower = torch.linspace(0, math.pi, {lower}).double()",
        "x = torch.cat([circle(upper), torch.stack([1 - lower.cos(), 0.5 - lower.sin()], dim=1)])",
    )
    return _on_circles(text, settings, (upper, lower))


def _circles_code(settings: Settings) -> ExamplesCode:
    outer, inner = _counts(settings)
    text = lines(
        f"outer = circle(torch.arange({outer}).double() * (2 * math.pi / {outer}))",
        f"inner = circle(torch.arange({inner}).double() * (2 * math.pi / {inner}))",
        f"x = torch.cat([outer, {times(settings['factor'], 'inner')}])",
    )
    return _on_circles(text, settings, (outer, inner))


def _spirals_code(settings: Settings) -> ExamplesCode:
    arms = int(settings["arms"])
    sizes = _counts(settings, arms)
    text = lines(
        "arms = []",
        f"for arm, size in enumerate({list(sizes)}):",
        "    radius = torch.linspace(0.1, 1, size).double()",
        f"    angle = 2 * math.pi * ({times(settings['turns'], 'radius')} + arm / {arms})",
        "    arms.append(radius[:, None] * circle(angle))",
        "x = torch.cat(arms)",
    )
    return _on_circles(text, settings, sizes)


def _on_circles(x: str, settings: Settings, sizes: tuple[int, ...]) -> ExamplesCode:
    """Lines that leave x, which call circle(angle), then noise and classes."""
    drawn = "torch.randn(x.shape, generator=generator, dtype=x.dtype)"
    noisy = f"x = x + {times(settings['noise'], drawn)}" if settings["noise"] else drawn
    labelled = f"y = torch.repeat_interleave(torch.tensor({list(sizes)}))"
    helper = f"def circle(angle):\n{INDENT}return torch.stack([angle.cos(), angle.sin()], dim=1)"
    return ExamplesCode(lines(x, noisy, labelled), sizes, ("import math",), helper)


SAMPLES: Setting = (600, 20, 100_000)

DATASETS = registry(
    DatasetEntry(
        "digits", "Handwritten digits, 8×8", True,
        "1,797 handwritten digits of 8×8 pixels from 43 people (Alpaydin & Kaynak 1998), "
        "sklearn.datasets.load_digits",
        *_of_sklearn(
            "load_digits", 178, 182, 177, 183, 181, 182, 181, 179, 174, 180, image_shape=(1, 8, 8)
        ),
    ),
    DatasetEntry(
        "breast_cancer", "Breast cancer, 30 measurements", True,
        "569 tumours with 30 measurements each (Wolberg et al. 1995), sklearn.datasets.load_breast_cancer",
        *_of_sklearn("load_breast_cancer", 212, 357),
    ),
    DatasetEntry(
        "moons", "Two moons", False,
        "two interleaved half circles, as sklearn.datasets.make_moons draws them",
        _moons,
        _moons_code,
        {"samples": SAMPLES, "noise": (0.15, 0, 2)},
    ),
    DatasetEntry(
        "circles", "Two circles", False,
        "a circle inside a circle, as sklearn.datasets.make_circles draws them",
        _circles,
        _circles_code,
        {"samples": SAMPLES, "noise": (0.08, 0, 2), "factor": (0.5, 0, 0.99)},
    ),
    DatasetEntry(
        "spirals", "Spirals", False,
        "interleaved Archimedean spirals, one class an arm",
        _spirals,
        _spirals_code,
        {"samples": SAMPLES, "noise": (0.03, 0, 1), "arms": (2, 2, 10), "turns": (1.0, 0.1, 4)},
    ),
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
        default, low, high = entry.settings[choose(f"setting of {name!r}", key, entry.settings)]
        whole = isinstance(default, int)
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
    check_examples(x, y, image_shape)
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
    training, validation = stratified(examples.y, fraction, generator)
    x_train, x_validation = examples.x[training].double(), examples.x[validation].double()
    mean, scale = standardization(x_train, per_pixel=examples.image_shape is None)
    settings = {**made_by, "validation_fraction": fraction, "label_noise": noise}
    return Dataset(
        name=name,
        settings=tuple(sorted(settings.items())),
        real=real,
        source=source,
        x_train=(x_train - mean) / scale,
        y_train=with_label_noise(examples.y[training], noise, len(examples.class_names), generator),
        x_validation=(x_validation - mean) / scale,
        y_validation=examples.y[validation],
        mean=mean,
        scale=scale,
        class_names=examples.class_names,
        image_shape=examples.image_shape,
    )
