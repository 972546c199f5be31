"""A data set in a program: loaded or drawn, split, standardized, its labels made noisy, as networks.datasets does."""

from __future__ import annotations

from dataclasses import dataclass

from weightlab.networks.datasets import DATASETS, Dataset, ExamplesCode
from weightlab.program_text import comment, indented, lines, literal


@dataclass(frozen=True)
class DataCode:
    """definitions: functions; load: the lines that leave x_train, y_train, x_validation, y_validation, in float64."""

    definitions: tuple[str, ...]
    load: str
    imports: tuple[str, ...] = ()


def data_label(data: Dataset) -> str:
    """What a program's first line calls it."""
    return DATASETS[data.name].label if data.name in DATASETS else "data of your own"


def data_code(data: Dataset) -> DataCode:
    """`load_data()` for this set; a learner's own tensors get a marked place."""
    settings = dict(data.settings)
    examples = DATASETS[data.name].program(settings) if data.name in DATASETS else _own(data)
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


def _own(data: Dataset) -> ExamplesCode:
    shape = f"x (example, {data.inputs}) and y (example,) with classes 0 to {data.classes - 1}"
    text = lines(
        comment(f"put your own data here: the tensors {shape} that you gave to dataset_from_tensors", 1),
        'x, y = torch.load("x.pt", weights_only=True), torch.load("y.pt", weights_only=True)',
        "x, y = x.flatten(start_dim=1).double(), y.long()",
    )
    return ExamplesCode(text)


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
