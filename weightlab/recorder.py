"""What is measured in every step of a real run, kept on the run's own device and moved only when asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weightlab.models import Network
from weightlab.steppers import MEASURED, FlatParameters

LIMIT = 1e8  # of activations (root mean square), gradients and updates (norm); float32 overflows squares at 1e19
LOSS_LIMIT = 1e4  # times the first loss, or times 1 if that was smaller
FIRST_ROWS = 1024

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Culprit:
    """What went out of bounds first: `quantity` "activation", "loss", "gradient" or "update" of layer number `layer`."""

    step: int
    quantity: str
    layer: int | None
    value: float
    limit: float


class Recorder:
    """Rows of measurements of `network`, one a step, on its device; the table doubles when full.

    Columns: norms of the layers' activations, the loss, norms of the layers' gradients, updates and weights, then the
    chosen weights, `kept` of each layer, drawn by `generator` without repetition where a layer has that many.
    """

    def __init__(self, network: Network, flat: FlatParameters, kept: int, generator: torch.Generator) -> None:
        self.flat = flat
        self.layers = count = len(network.layers)
        self.kept = kept
        self.rows = 0
        self.checked = 0  # rows known to be within bounds
        self.first_loss = 1.0
        self.weight_indices = _choose(flat.layers, kept, generator)  # (layer, kept) within the layer
        starts = torch.tensor([where.start for where in flat.layers])
        self._chosen = (self.weight_indices + starts[:, None]).flatten().to(flat.weights.device)
        self.first_weights = flat.weights[self._chosen]
        self._activations: list[Tensor] = [torch.empty(0)] * count
        self._sizes: list[int] = []  # numbers in each layer's activation, known after the first step
        self._measured = _by_layer(flat.measured, flat.layers)
        self._norms = count + 1 + len(MEASURED) * count
        self._log = flat.weights.new_empty(FIRST_ROWS, self._norms + len(self._chosen))
        self._validations = flat.weights.new_empty(FIRST_ROWS, 2)
        self.validation_steps: list[int] = []
        for number, module in enumerate(network.signals):
            self._watch(number, module)
        self._quantities = _in_order_of_computation(count)
        self._order = np.array([column for _, _, column in self._quantities])

    def _watch(self, number: int, module: nn.Module) -> None:
        activations = self._activations

        def keep(module: nn.Module, inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            activations[number] = output[0] if isinstance(output, tuple) else output

        module.register_forward_hook(keep)

    def write(self, loss: Tensor) -> None:
        """Add the row of a step just taken; `loss` is a scalar on the run's device. Nothing waits for the device."""
        if self.rows == len(self._log):
            self._log = _doubled(self._log)
        if not self._sizes:
            self._sizes = [activation.numel() for activation in self._activations]
        row, count = self._log[self.rows], self.layers
        with torch.no_grad():
            torch.stack([*torch._foreach_norm(self._activations), loss], out=row[: count + 1])
            norms = [torch.linalg.vector_norm(part, dim=-1) for part in self._measured]  # each (measured, layers)
            torch.cat(norms, dim=1, out=row[count + 1 : self._norms].view(len(MEASURED), count))
            torch.index_select(self.flat.weights, 0, self._chosen, out=row[self._norms :])
        self.rows += 1

    def write_validation(self, loss: Tensor, accuracy: Tensor) -> None:
        """Add a validation made after `rows` steps."""
        number = len(self.validation_steps)
        if number == len(self._validations):
            self._validations = _doubled(self._validations)
        torch.stack([loss, accuracy], out=self._validations[number])
        self.validation_steps.append(self.rows)

    def read(self, start: int) -> tuple[Array, Array, list[int]]:
        """Rows from `start` on, validations made after `start` or more steps and their steps: one transfer for all."""
        first = sum(step < start for step in self.validation_steps)
        steps = self.validation_steps[first:]
        rows, validations = self._log[start : self.rows], self._validations[first : first + len(steps)]
        together = torch.cat([rows.flatten(), validations.flatten()]).cpu().numpy()
        return together[: rows.numel()].reshape(rows.shape), together[rows.numel() :].reshape(-1, 2), steps

    def find_culprit(self, rows: Array) -> Culprit | None:
        """Look through rows `checked`, … as `read` gave them; if one is out of bounds, forget all after it."""
        if len(rows) == 0:
            return None
        if self.checked == 0:
            self.first_loss = float(rows[0, self.layers])
        limits = self._limits()
        beyond = ~(rows[:, self._order] <= limits)  # not "rows > limits": NaN is out of bounds too
        if not beyond.any():
            self.checked += len(rows)
            return None
        row = int(beyond.any(axis=1).argmax())
        first = int(beyond[row].argmax())
        quantity, layer, column = self._quantities[first]
        step = self.checked + row
        self.rows = self.checked = step + 1
        self.validation_steps = [done for done in self.validation_steps if done <= step]
        scale = self._sizes[column] ** 0.5 if quantity == "activation" else 1.0
        return Culprit(step, quantity, layer, float(rows[row, column]) / scale, float(limits[first]) / scale)

    def _limits(self) -> Array:
        first_loss = self.first_loss if np.isfinite(self.first_loss) else 1.0
        limit = {
            "activation": lambda layer: LIMIT * self._sizes[layer] ** 0.5,
            "loss": lambda layer: LOSS_LIMIT * max(first_loss, 1.0),
        }
        return np.array([limit.get(quantity, lambda layer: LIMIT)(layer) for quantity, layer, _ in self._quantities])

    def split(self, rows: Array) -> dict[str, Array]:
        """The columns of rows as `read` gave them, under the names of TrainingRecord's fields."""
        count = self.layers
        activations, loss, gradients, updates, weights, paths = np.split(
            rows, np.cumsum([count, 1, count, count, count]), axis=1
        )
        ratios = np.full_like(updates, np.nan)
        with np.errstate(invalid="ignore", over="ignore"):  # the last row of a run that diverged
            np.divide(updates, weights, out=ratios, where=weights > 0)
        return {
            "losses": loss[:, 0],
            "gradient_norms": gradients,
            "weight_norms": weights,
            "update_ratios": ratios,
            "activation_rms": activations / np.sqrt(np.array(self._sizes or [1] * count, dtype=rows.dtype)),
            "weight_paths": paths.reshape(len(rows), count, self.kept),
        }


def _in_order_of_computation(count: int) -> list[tuple[str, int | None, int]]:
    """(quantity, layer, column): forward through the layers, the loss, backward, then the step."""
    return [
        *(("activation", layer, layer) for layer in range(count)),
        ("loss", None, count),
        *(("gradient", layer, count + 1 + layer) for layer in reversed(range(count))),
        *(("update", layer, 2 * count + 1 + layer) for layer in range(count)),
    ]


def _by_layer(measured: Tensor, layers: list[slice]) -> list[Tensor]:
    """Views (measured, layers, size) of `measured` (measured, weight), one for each run of evenly spaced equal layers.

    The norms of a deep network's equal layers are then one operation on the CPU too, where torch._foreach_norm is one
    for each tensor.
    """
    runs: list[list[slice]] = []
    for where in layers:
        run = runs[-1] if runs else []
        equal = bool(run) and where.stop - where.start == run[-1].stop - run[-1].start
        if equal and (len(run) == 1 or where.start - run[-1].start == run[-1].start - run[-2].start):
            run.append(where)
        else:
            runs.append([where])
    views = []
    for run in runs:
        spacing = run[1].start - run[0].start if len(run) > 1 else 1
        shape, strides = (len(measured), len(run), run[0].stop - run[0].start), (measured.stride(0), spacing, 1)
        views.append(measured.as_strided(shape, strides, measured.storage_offset() + run[0].start))
    return views


def _choose(layers: list[slice], kept: int, generator: torch.Generator) -> Tensor:
    chosen = []
    for where in layers:
        size = where.stop - where.start
        order = torch.randperm(size, generator=generator)
        chosen.append(order[torch.arange(kept) % size].sort().values)
    return torch.stack(chosen)


def _doubled(log: Tensor) -> Tensor:
    return torch.cat([log, torch.empty_like(log)])
