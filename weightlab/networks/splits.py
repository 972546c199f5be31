"""How examples are checked, split into training and validation, standardized, and their labels made noisy."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_CLASSES = 1000


def check_examples(x: Tensor, y: Tensor, image_shape: tuple[int, int, int] | None) -> None:
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


def stratified(y: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    training, validation = [], []
    for label in range(int(y.max()) + 1):
        members = (y == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        held_out = min(round(fraction * len(members)), len(members) - 1)  # every class is trained on
        validation.append(members[:held_out])
        training.append(members[held_out:])
    chosen = torch.cat(training)
    return chosen[torch.randperm(len(chosen), generator=generator)], torch.cat(validation)


def standardization(x: Tensor, per_pixel: bool) -> tuple[Tensor, Tensor]:
    """Mean and scale of the training split: per input for tables, one pair for all pixels of images.

    An image's pixels share one scale, or a corner that is lit once in a thousand pictures would count 30 deviations.
    """
    if per_pixel:
        mean, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    else:
        mean = x.mean().expand(x.shape[1]).clone()
        scale = x.std(correction=0).expand(x.shape[1]).clone()
    return mean, torch.where(scale > 0, scale, torch.ones_like(scale))


def with_label_noise(y: Tensor, noise: float, classes: int, generator: torch.Generator) -> Tensor:
    wrong = torch.randperm(len(y), generator=generator)[: round(noise * len(y))]
    noisy = y.clone()
    noisy[wrong] = (y[wrong] + torch.randint(1, classes, (len(wrong),), generator=generator)) % classes
    return noisy
