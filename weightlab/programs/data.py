"""A data set in a program: loaded or drawn, split, standardized, its labels made noisy, as networks.datasets does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from weightlab.networks.datasets import DATASETS, Dataset
from weightlab.program_text import INDENT, comment, indented, lines, literal, times


@dataclass(frozen=True)
class DataCode:
    """definitions: functions; load: the lines that leave x_train, y_train, x_validation, y_validation, in float64."""

    definitions: tuple[str, ...]
    load: str
    imports: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Examples:
    """Lines that leave all examples in x (example, inputs) and y (example,), and how many each class has."""

    lines: str
    class_sizes: tuple[int, ...] = ()  # empty where nobody knows
    imports: tuple[str, ...] = ()
    helper: str = ""


def _of_sklearn(loader: str, sizes: tuple[int, ...]) -> Callable[[Mapping[str, Any]], _Examples]:
    text = f"x, y = (torch.from_numpy(part) for part in {loader}(return_X_y=True))"
    return lambda settings: _Examples(text, sizes, (f"from sklearn.datasets import {loader}",))


_CIRCLE = f'''def circle(angle):
{INDENT}return torch.stack([angle.cos(), angle.sin()], dim=1)'''


def _labelled(settings: Mapping[str, Any], sizes: tuple[int, ...]) -> str:
    drawn = times(settings["noise"], "torch.randn(x.shape, generator=generator, dtype=x.dtype)")
    return lines(
        f"x = x + {drawn}" if settings["noise"] else "torch.randn(x.shape, generator=generator, dtype=x.dtype)",
        f"y = torch.repeat_interleave(torch.tensor({list(sizes)}))",
    )


def _halves(settings: Mapping[str, Any]) -> tuple[int, int]:
    samples = int(settings["samples"])
    return samples - samples // 2, samples // 2


def _moons(settings: Mapping[str, Any]) -> _Examples:
    upper, lower = _halves(settings)
    text = lines(
        f"upper = torch.linspace(0, math.pi, {upper}).double()",
        f"lower = torch.linspace(0, math.pi, {lower}).double()",
        "x = torch.cat([circle(upper), torch.stack([1 - lower.cos(), 0.5 - lower.sin()], dim=1)])",
        _labelled(settings, (upper, lower)),
    )
    return _Examples(text, (upper, lower), ("import math",), _CIRCLE)


def _circles(settings: Mapping[str, Any]) -> _Examples:
    outer, inner = _halves(settings)
    text = lines(
        f"outer = circle(torch.arange({outer}).double() * (2 * math.pi / {outer}))",
        f"inner = circle(torch.arange({inner}).double() * (2 * math.pi / {inner}))",
        f"x = torch.cat([outer, {times(settings['factor'], 'inner')}])",
        _labelled(settings, (outer, inner)),
    )
    return _Examples(text, (outer, inner), ("import math",), _CIRCLE)


def _spirals(settings: Mapping[str, Any]) -> _Examples:
    arms, samples = int(settings["arms"]), int(settings["samples"])
    sizes = tuple(samples // arms + (arm < samples % arms) for arm in range(arms))
    text = lines(
        "arms = []",
        f"for arm, size in enumerate({list(sizes)}):",
        "    radius = torch.linspace(0.1, 1, size).double()",
        f"    angle = 2 * math.pi * ({times(settings['turns'], 'radius')} + arm / {arms})",
        "    arms.append(radius[:, None] * circle(angle))",
        "x = torch.cat(arms)",
        _labelled(settings, sizes),
    )
    return _Examples(text, sizes, ("import math",), _CIRCLE)


# Class sizes of the sets that ship with scikit-learn.
_DIGITS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
_TUMOURS = (212, 357)
_EXAMPLES: Mapping[str, Callable[[Mapping[str, Any]], _Examples]] = MappingProxyType({
    "digits": _of_sklearn("load_digits", _DIGITS),
    "breast_cancer": _of_sklearn("load_breast_cancer", _TUMOURS),
    "moons": _moons,
    "circles": _circles,
    "spirals": _spirals,
})


def data_label(data: Dataset) -> str:
    """What a program's first line calls it."""
    return DATASETS[data.name].label if data.name in DATASETS else "data of your own"


def data_code(data: Dataset) -> DataCode:
    """`load_data()` for this set; a learner's own tensors get a marked place."""
    settings = dict(data.settings)
    examples = _EXAMPLES[data.name](settings) if data.name in _EXAMPLES else _own(data)
    fraction, noise = float(settings["validation_fraction"]), float(settings["label_noise"])
    returned = "x_train, y_train, x_validation, y_validation" if fraction else "x_train, y_train"
    body = lines(
        '"""Standardized examples and their classes: for training, then for validation."""'
        if fraction
        else '"""Standardized examples and their classes."""',
        f"generator = torch.Generator().manual_seed({settings['seed']})",
        examples.lines,
        split_lines(data.classes, fraction, examples.class_sizes),
        _standardization(data),
        _label_noise(noise, data.classes),
        _returned(fraction, noise),
    )
    load = f"{returned} = load_data()"
    return DataCode((examples.helper, f"def load_data():\n{indented(body)}"), load, examples.imports)


def _own(data: Dataset) -> _Examples:
    shape = f"x (example, {data.inputs}) and y (example,) with classes 0 to {data.classes - 1}"
    text = lines(
        comment(f"put your own data here: the tensors {shape} that you gave to dataset_from_tensors", 1),
        'x, y = torch.load("x.pt", weights_only=True), torch.load("y.pt", weights_only=True)',
        "x, y = x.flatten(start_dim=1).double(), y.long()",
    )
    return _Examples(text)


def split_lines(classes: int, fraction: float, sizes: tuple[int, ...]) -> str:
    """Lines that leave the places of the examples for training and for validation."""
    chosen = lines(
        f"for label in range({classes}):",
        "    members = (y == label).nonzero().flatten()",
        "    members = members[torch.randperm(len(members), generator=generator)]",
    )
    shuffled = "training = training[torch.randperm(len(training), generator=generator)]"
    if not fraction:
        joined = "training = torch.cat(training)"
        return lines("training = []", chosen, "    training.append(members)", joined, shuffled)
    held_out = f"round({literal(fraction)} * len(members))"
    if not sizes or any(round(fraction * size) >= size for size in sizes):
        held_out = f"min({held_out}, len(members) - 1)"  # every class is trained on
    return lines(
        "training, validation = [], []",
        chosen,
        f"    held_out = {held_out}  # the same share of each class",
        "    validation.append(members[:held_out])",
        "    training.append(members[held_out:])",
        "training, validation = torch.cat(training), torch.cat(validation)",
        shuffled,
    )


def _standardization(data: Dataset) -> str:
    if data.image_shape is not None:
        mean, scale = "x[training].mean()", "x[training].std(correction=0)"
        remark = ", one pair for all pixels"
    else:
        mean, scale = "x[training].mean(dim=0)", "x[training].std(dim=0, correction=0)"
        remark = ""
    own = data.name not in DATASETS
    return lines(
        comment(f"of the training examples only{remark}", 1),
        f"mean, scale = {mean}, {scale}",
        "scale = torch.where(scale > 0, scale, 1.0)  # what is the same in all examples stays 0" if own else "",
        "x = (x - mean) / scale",
    )


def _label_noise(noise: float, classes: int) -> str:
    if not noise:
        return ""
    return lines(
        comment(f"a share of {noise:g} of the training labels becomes another class; validation labels stay true", 1),
        "y_train = y[training]",
        f"wrong = torch.randperm(len(y_train), generator=generator)[: round({literal(noise)} * len(y_train))]",
        f"shift = torch.randint(1, {classes}, (len(wrong),), generator=generator)",
        f"y_train[wrong] = (y_train[wrong] + shift) % {classes}",
    )


def _returned(fraction: float, noise: float) -> str:
    trained = "x[training], " + ("y_train" if noise else "y[training]")
    return f"return {trained}, x[validation], y[validation]" if fraction else f"return {trained}"
