"""What is measured in every step of a real run, kept on the run's own device and moved only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weightlab.networks.architectures import Network
from weightlab.training.steppers import MEASURED, FlatParameters

LIMIT = 1e8  # of activations (root mean square), gradients and updates (norm); float32 overflows squares at 1e19
LOSS_LIMIT = 1e4  # times the first loss, or times 1 if that was smaller
FIRST_ROWS = 1024
STEPS_TOGETHER = 8  # whose norms are taken at once: an operation on small tensors costs more to start than to do
NUMBERS_TOGETHER = 2**19  # at most, in the copies kept for that: 2 MiB in float32

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Culprit:
    """What went out of bounds first: "activation", "loss", "gradient" or "update" of layer number `layer`."""

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
        self.weight_indices = _choose(flat.layers, kept, generator)  # (layer, kept) within the layer
        starts = torch.tensor([where.start for where in flat.layers])
        self._chosen = (self.weight_indices + starts[:, None]).flatten().to(flat.weights.device)
        self.first_weights = flat.weights[self._chosen]
        self._activations: list[Tensor] = [torch.empty(0)] * count
        self._sizes: list[int] = []  # numbers in each layer's activation, known after the first step
        runs = _even_runs(flat.layers)
        self._runs = [flat.layers[run] for run in runs]
        self._columns = _columns(runs, count, len(self._chosen))
        self._log = flat.weights.new_empty(FIRST_ROWS, len(self._columns))
        self._waiting: list[list[Tensor]] = []  # activations and loss of steps whose norms are still to be taken
        self._together = max(1, min(STEPS_TOGETHER, NUMBERS_TOGETHER // flat.measured.numel()))
        self._copies = flat.measured.new_empty(self._together, *flat.measured.shape)
        self._after = flat.weights.new_empty(self._together, len(self._chosen))
        self._validations = flat.weights.new_empty(FIRST_ROWS, 2)
        self.validation_steps: list[int] = []
        for number, module in enumerate(network.signals):
            self._watch(number, module)
        self._quantities = _in_order_of_computation(count)
        self._order = np.array([column for _, _, column in self._quantities])
        self._limits: Array = np.full(len(self._order), LIMIT)

    def _watch(self, number: int, module: nn.Module) -> None:
        activations = self._activations

        def keep(module: nn.Module, inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
            activations[number] = output[0] if isinstance(output, tuple) else output

        module.register_forward_hook(keep)

    def write(self, loss: Tensor) -> None:
        """Add the row of a step just taken; `loss` is a scalar on the run's device. Nothing waits for the device."""
        if not self._sizes:
            self._settle()
        waiting = len(self._waiting)
        self._waiting.append([*self._activations, loss])
        self._copies[waiting].copy_(self.flat.measured)
        torch.index_select(self.flat.weights, 0, self._chosen, out=self._after[waiting])
        self.rows += 1
        if waiting + 1 == self._together:
            self._take_norms()

    def may_be_beyond(self, loss: Tensor) -> bool:
        """Whether the step just taken may have gone out of bounds. Waits for the device; `find_culprit` knows for sure.

        A layer's gradient or update is no longer than all layers' together. Activations are not looked at: when they
        run away, so does the loss.
        """
        both = torch.linalg.vector_norm(self.flat.measured[: MEASURED.index("weight")])
        return not (float(both) <= LIMIT and float(loss) <= LOSS_LIMIT)

    def _settle(self) -> None:
        self._sizes = [activation.numel() for activation in self._activations]
        self._together = max(1, min(self._together, NUMBERS_TOGETHER // sum(self._sizes)))

    def _take_norms(self) -> None:
        """Write the rows of all steps that wait."""
        count = len(self._waiting)
        if not count:
            return
        if self.rows > len(self._log):
            self._log = _doubled(self._log)
        with torch.no_grad():
            losses = [step[-1] for step in self._waiting]
            norms = torch._foreach_norm([activation for step in self._waiting for activation in step[:-1]])
            copies = self._copies[:count]
            parts = [torch.linalg.vector_norm(_view(copies, run), dim=-1).view(count, -1) for run in self._runs]
            row = [torch.stack(norms).view(count, -1), torch.stack(losses).unsqueeze(1), *parts, self._after[:count]]
            torch.cat(row, dim=1, out=self._log[self.rows - count : self.rows])
        self._waiting.clear()  # lets go of the steps' graphs
        self._activations[:] = [losses[-1]] * self.layers

    def write_validation(self, loss: Tensor, accuracy: Tensor) -> None:
        """Add a validation made after `rows` steps."""
        number = len(self.validation_steps)
        if number == len(self._validations):
            self._validations = _doubled(self._validations)
        torch.stack([loss, accuracy], out=self._validations[number])
        self.validation_steps.append(self.rows)

    def read(self, start: int) -> tuple[Array, Array, list[int]]:
        """Rows from `start` on, validations made after `start` or more steps and their steps: one transfer for all."""
        self._take_norms()
        first = sum(step < start for step in self.validation_steps)
        steps = self.validation_steps[first:]
        rows, validations = self._log[start : self.rows], self._validations[first : first + len(steps)]
        together = torch.cat([rows.flatten(), validations.flatten()]).cpu().numpy()
        measured = together[: rows.numel()].reshape(rows.shape)[:, self._columns]
        return measured, together[rows.numel() :].reshape(-1, 2), steps

    def resume(self, other: Recorder, rows: int) -> None:
        """Take over what `other`, of a run of the same network, recorded in its first steps."""
        other._take_norms()
        self._log, self.rows, self._sizes = other._log.clone(), rows, list(other._sizes)
        self._validations = other._validations.clone()
        # the one at this very step, if there is one, is made by the step that follows
        self.validation_steps = [step for step in other.validation_steps if step < rows]

    def find_culprit(self, rows: Array) -> Culprit | None:
        """Look through rows `checked`, … as `read` gave them; if one is out of bounds, forget all after it."""
        if len(rows) == 0:
            return None
        if self.checked == 0:
            self._limits = self._limits_from(float(rows[0, self.layers]))
        limits = self._limits
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

    def _limits_from(self, first_loss: float) -> Array:
        first_loss = first_loss if np.isfinite(first_loss) else 1.0
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


_WHERE = {
    "activation": "the activation (root mean square) of",
    "gradient": "the gradient norm of",
    "update": "the update of",
}


def explain(
    culprit: Culprit,
    layers: Sequence[str],
    update_ratios: Array,  # (layer,) of the step before
    *,
    learning_rate: float | None,  # of that step, None if no step was taken before
    clipped: bool,
    first_weights: str,
) -> str:
    """A sentence that says which layer went out of bounds at which step, past which limit, and what to change."""
    if culprit.layer is not None:
        where = f"{_WHERE[culprit.quantity]} {layers[culprit.layer]}"
    else:
        most = int(np.argmax(np.nan_to_num(update_ratios, nan=-1)))
        size = f"{update_ratios[most]:.3g} times them"
        where = f"{layers[most]} took the largest update for its weights ({size}), the loss"
    value = f"reached {culprit.value:.3g}" if np.isfinite(culprit.value) else "became infinite"
    what = "became NaN" if np.isnan(culprit.value) else value
    if learning_rate is None:
        remedy = (
            f"no step was taken yet, so the first weights ({first_weights}) are too large; "
            "choose initialization 'he_normal' or 'xavier_normal' with gain 'auto'"
        )
    else:
        remedy = f"lower the learning rate (it was {learning_rate:.3g}; try {learning_rate / 10:.3g})"
        remedy += "" if clipped else " or clip the gradient (clip_norm=1)"
    return f"diverged at step {culprit.step}: {where} {what}, the limit is {culprit.limit:.3g}; {remedy}"


def _in_order_of_computation(count: int) -> list[tuple[str, int | None, int]]:
    """(quantity, layer, column): forward through the layers, the loss, backward, then the step."""
    return [
        *(("activation", layer, layer) for layer in range(count)),
        ("loss", None, count),
        *(("gradient", layer, count + 1 + layer) for layer in reversed(range(count))),
        *(("update", layer, 2 * count + 1 + layer) for layer in range(count)),
    ]


def _even_runs(layers: list[slice]) -> list[slice]:
    """Runs of neighbouring layers of one size at even distances.

    The norms of such a run are one operation, where torch._foreach_norm takes one for each tensor on the CPU: half the
    recorder's time in a deep network.
    """
    starts, sizes = [where.start for where in layers], [where.stop - where.start for where in layers]
    runs = [slice(0, 1)]
    for number in range(1, len(layers)):
        first = runs[-1].start
        spacing = starts[number] - starts[number - 1]
        even = number - first == 1 or spacing == starts[first + 1] - starts[first]
        if sizes[number] == sizes[first] and even and spacing > 0:  # parameter groups may lie in another order
            runs[-1] = slice(first, number + 1)
        else:
            runs.append(slice(number, number + 1))
    return runs


def _view(copies: Tensor, run: list[slice]) -> Tensor:
    """A view (step, measured, layers of the run, size) of `copies` (step, measured, weight)."""
    spacing = run[1].start - run[0].start if len(run) > 1 else 1
    shape = (*copies.shape[:2], len(run), run[0].stop - run[0].start)
    strides = (*copies.stride()[:2], spacing, 1)
    return copies.as_strided(shape, strides, copies.storage_offset() + run[0].start)


def _columns(runs: list[slice], count: int, chosen: int) -> NDArray[np.intp]:
    """Where the columns named in Recorder's docstring are in a row as it is written, run of layers by run of layers."""
    written = list(range(count + 1))
    for kind in range(len(MEASURED)):
        for run in runs:
            length, before = run.stop - run.start, count + 1 + len(MEASURED) * run.start
            written += range(before + kind * length, before + (kind + 1) * length)
    return np.array([*written, *range(len(written), len(written) + chosen)])


def _choose(layers: list[slice], kept: int, generator: torch.Generator) -> Tensor:
    chosen = []
    for where in layers:
        size = where.stop - where.start
        order = torch.randperm(size, generator=generator)
        chosen.append(order[torch.arange(kept) % size].sort().values)
    return torch.stack(chosen)


def _doubled(log: Tensor) -> Tensor:
    return torch.cat([log, torch.empty_like(log)])
