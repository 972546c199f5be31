"""The examples of a run in batches, in an order that its generator draws anew for every epoch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """Where in the order of the batches a run stands: the generator as the epoch was drawn, and batches taken of it."""

    generator: Tensor
    taken: int


class Batches:
    """Batches of one size on the run's device; every epoch in a new order, which `generator` draws."""

    def __init__(self, x: Tensor, y: Tensor, batch_size: int | None, generator: torch.Generator) -> None:
        self._x, self._y = x, y
        self._generator = generator
        self._size = batch_size
        self.per_epoch = 1 if batch_size is None else len(x) // batch_size
        self._left: list[tuple[Tensor, Tensor]] = []
        self._drawn_from = generator.get_state()

    def next(self) -> tuple[Tensor, Tensor]:
        if self._size is None:
            return self._x, self._y
        if not self._left:
            self._drawn_from = self._generator.get_state()
            order = torch.randperm(len(self._x), generator=self._generator)[: self.per_epoch * self._size]
            order = order.to(self._x.device)
            # the whole epoch is gathered at once, so that a batch is a view and costs no copy
            pairs = zip(self._x[order].split(self._size), self._y[order].split(self._size), strict=True)
            self._left = list(pairs)[::-1]
        return self._left.pop()

    @property
    def place(self) -> Place:
        """Where the run stands; setting it goes there."""
        if not self._left:
            return Place(self._generator.get_state(), 0)
        return Place(self._drawn_from, self.per_epoch - len(self._left))

    @place.setter
    def place(self, place: Place) -> None:
        self._generator.set_state(place.generator)
        self._left = []
        for _ in range(place.taken):
            self.next()
