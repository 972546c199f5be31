"""Many networks trained at once, on the stage: each choice's median over its seeds, and every seed once it rests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from weightlab.ensembles.choices import Choices
from weightlab.ensembles.run import Ensemble, EnsembleRecord
from weightlab.pictures.picture import Axis, Picture, Reference, Series, View
from weightlab.stage.live_runs import Rows
from weightlab.stage.panel import Row, row, verdict
from weightlab.training.recorder import LIMIT, LOSS_LIMIT

TOP = 100.0  # losses above leave the picture
LOWEST = 0.01  # the loss axis begins here at the latest, and a decade lower whenever a median gets there
NEAR = 0.05  # choices whose share right is so close to the best one's count as good as that

Numbers = NDArray[np.float64]


class EnsembleFilm(Rows):
    """Rows for the stage: for every choice the median over its seeds of loss, share right and first : last gradient.

    Row t shows the networks before update t; shares right stand still between validations. A network that has diverged
    counts as an infinite loss, and as nothing right.

    gone: (choice, seed), who has diverged so far; shares: (choice, seed) as last validated
    """

    def __init__(self, ensemble: Ensemble, choices: Choices, trial: Ensemble) -> None:
        """`trial` holds the same networks and has taken the first step, so that there is a row before the start."""
        self._ensemble, self.choices = ensemble, choices
        self.gone = np.zeros((len(choices.labels), choices.seeds), dtype=bool)
        self._limits: Numbers | None = None
        self._lowest = 1.0
        self.shares = np.zeros(self.gone.shape)
        self.validate(ensemble.record())
        self._begin(*self._table(*trial.since(0), 0))

    def validate(self, record: EnsembleRecord) -> None:
        """Take the shares right from a record."""
        self.shares = self.choices.grouped(record.validation_accuracies.double().nan_to_num(0.0)).numpy()

    def _since(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        return self._table(*self._ensemble.since(step), step)

    def _table(self, losses: torch.Tensor, norms: torch.Tensor, first: int) -> tuple[np.ndarray, np.ndarray]:
        count = len(losses)
        loss, sizes = self._grouped(losses, norms)
        if count and self._limits is None:
            self._limits = LOSS_LIMIT * np.maximum(np.where(np.isfinite(loss[0]), loss[0], 1.0), 1.0)
        if count:
            beyond = self._beyond(loss, sizes)
            gone = np.logical_or.accumulate(np.concatenate([self.gone[None], beyond]))[1:]
            self.gone, loss = gone[-1], np.where(gone, np.inf, loss)
            self._lowest = min(self._lowest, max(float(np.median(loss, axis=-1).min()), 1e-12))
        columns = [_finite(np.median(loss, axis=-1)), np.tile(np.median(self.shares, axis=-1), (count, 1))]
        if self.choices.first_gradients is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = sizes[0] / sizes[-2]
            ratio = np.where(np.isfinite(loss) & np.isfinite(ratio), ratio, np.inf)
            columns.append(_finite(np.median(ratio, axis=-1)))
        table = np.concatenate(columns, axis=1)
        return table.astype(np.float32), np.arange(first, first + count, dtype=np.float32)

    def _grouped(self, losses: torch.Tensor, norms: torch.Tensor) -> tuple[Numbers, Numbers]:
        """(step, choice, seed) and (layer, step, choice, seed)."""
        grouped = self.choices.grouped
        return grouped(losses.double()).numpy(), grouped(norms.double().movedim(-1, 0)).numpy()

    def _beyond(self, loss: Numbers, sizes: Numbers) -> NDArray[np.bool_]:
        assert self._limits is not None
        return ~(loss <= self._limits) | ~(sizes <= LIMIT).all(axis=0)  # not ">": NaN is out of bounds too

    def nobody_is_left(self) -> bool:
        """Whether the last step took every network beyond the limits."""
        return bool(self._beyond(*self._grouped(*self._ensemble.since(self._ensemble.steps_done - 1))).all())

    # ---- read by the panel -----------------------------------------------------------------------------------------

    @property
    def losses(self) -> Numbers:
        """(choice,) median losses in the newest row; infinite where more than half of the seeds have diverged."""
        found = self._tables[-1][-1, : len(self.gone)].astype(np.float64)
        return np.where(np.isfinite(found), found, np.inf)

    @property
    def floor(self) -> float:
        """Where the loss axis begins now."""
        return min(LOWEST, 10.0 ** math.floor(math.log10(self._lowest)))

    def picture(self, last_step: int, *, with_seeds: bool) -> Picture:
        """All rows so far; `with_seeds` marks the newest loss and the share right of every single network."""
        choices, count = self.choices, len(self.gone)
        every = tuple(range(count))
        series = [
            Series("curves", "family", "median loss", every, groups=every),
            Series("now", "bars", "median loss", every),
            Series("share", "bars", "median share right", tuple(count + i for i in every)),
        ]
        classes = self._ensemble.experiments[0].dataset.classes
        guess = math.log(classes)
        references = [
            _level("curves", guess, last_step, "guessing"),
            _level("now", guess, count, ""),
            _level("share", 1 / classes, count, "guessing"),
        ]
        table = np.concatenate(self._tables)
        if with_seeds:
            table[:, count : 2 * count] = np.median(self.shares, axis=-1)  # the end's, whichever step is shown
            references += [
                _seeds("now", np.where(self.gone, np.nan, self._newest_losses())),
                _seeds("share", np.where(self.gone, np.nan, self.shares)),
            ]
        theory = choices.first_gradients
        if theory is not None:
            series.append(Series("gradient", "bars", "gradient", tuple(2 * count + i for i in every)))
            points = np.stack([np.arange(count), theory.numpy()], axis=1)
            references.append(Reference("gradient", "marks", "gradient at the start in theory", points))
        return Picture(
            self._views(),
            table,
            np.concatenate(self._steps),
            tuple(series),
            tuple(references),
            widths=(1.0, 1.5),
            summary=self.summary(),
            last_step=last_step,
            groups=choices.labels,
        )

    def _newest_losses(self) -> Numbers:
        losses, _ = self._ensemble.since(max(0, self._ensemble.steps_done - 1))
        return self.choices.grouped(losses[-1].double()).numpy() if len(losses) else np.full(self.gone.shape, np.nan)

    def _views(self) -> tuple[View, ...]:
        theory, choices = self.choices.first_gradients, self.choices
        loss = Axis("loss", "log", (self.floor, TOP))
        names = Axis(choices.axis, ticks=choices.ticks)
        tall = 2 if theory is None else 1
        views = [
            View("curves", "Median loss of each choice", Axis("update"), loss, (0, 0, 1, tall)),
            View("now", "Median loss now, batch", names, loss, (1, 0, 1, 1)),
            View("share", "Share right of the validation data", names,
                 Axis("share", limits=(0.0, 1.05)), (1, 1, 1, 1)),
        ]  # fmt: skip
        if theory is not None:
            sizes = np.concatenate([theory.numpy(), self._tables[0][0, 2 * len(self.gone) :]])
            sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
            low, high = math.floor(math.log10(sizes.min())), math.ceil(math.log10(sizes.max()))
            limits = 10.0 ** max(low, -12), 10.0 ** max(high + 1, 2)
            no_names = ("",) * len(choices.ticks)
            views.append(
                View("gradient", "Gradient, layer 1 : last hidden", Axis("the same choices", ticks=no_names),
                     Axis("ratio", "log", limits), (0, 1, 1, 1))
            )  # fmt: skip
        return tuple(views)

    # ---- in words ----------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """The newest row in words."""
        names, losses = self.choices.labels, self.losses
        lowest, highest = int(np.argmin(losses)), int(np.argmax(losses))
        return (
            f"{self._ensemble.steps_done} updates, {self.gone.size} networks: median loss lowest for {names[lowest]} "
            f"({_number(losses[lowest])}), highest for {names[highest]} ({_number(losses[highest])}). {self.diverged()}"
        )

    def rows_read(self) -> list[Row]:
        """Theory beside measurement, who does best, and who diverged."""
        names, middle = self.choices.labels, np.median(self.shares, axis=-1)
        best = int(np.argmax(middle))
        low, high = self.shares[best].min(), self.shares[best].max()
        rows = []
        theory = self.choices.first_gradients

        def told(some: Sequence[str]) -> str:
            return _names(some) if theory is None else f"{len(some)} of {len(names)} choices"

        if theory is not None:
            start = self._tables[0][0, 2 * len(names) :]
            for i in (0, len(names) // 2, len(names) - 1):
                rows.append(row(f"first gradient 1 : last, {names[i]}", f"{float(theory[i]):.1g}", f"{start[i]:.1g}"))
        rows.append(row(f"right most often: {names[best]}", "", f"{middle[best]:.0%} ({low:.0%} to {high:.0%})"))
        near = [name for name, share in zip(names, middle, strict=True) if share >= middle[best] - NEAR]
        rows.append(row(f"within {100 * NEAR:.0f} points of it", "", told(near)))
        guess = 1 / self._ensemble.experiments[0].dataset.classes + NEAR
        guessing = [name for name, share in zip(names, middle, strict=True) if share < guess]
        if 0 < len(guessing) < len(names):
            rows.append(row("no better than guessing", "", told(guessing)))
        done, last = self._ensemble.steps_done, self._ensemble.experiments[0].steps
        return [*rows, verdict(f"{done} of {last} updates, {self.gone.size} networks. {self.diverged()}")]

    def diverged(self) -> str:
        """Which networks have diverged, in words."""
        names, each = self.choices.labels, self.gone.sum(axis=-1)
        seeds = self.choices.seeds
        if not each.any():
            return "No network has diverged."
        if self.gone.all():
            return f"All {self.gone.size} networks have diverged."
        parts = [f"{count} of {seeds} of {name}" for name, count in zip(names, each, strict=True) if count]
        if self.choices.first_gradients is None and (each[int(each.argmax()) :] == seeds).all() and each.max() == seeds:
            some = [part for part, count in zip(parts, each[each > 0], strict=True) if count < seeds]
            last = f"all {seeds} from {names[int(each.argmax())]} on"
            parts = [*some, last]
        return f"Diverged: {', '.join(parts)}."


def _names(rates: Sequence[str]) -> str:
    """η = 0.1, 0.22."""
    return ", ".join([rates[0], *(name.removeprefix("η = ") for name in rates[1:])])


def _finite(values: np.ndarray) -> np.ndarray:
    """What is not finite leaves a gap."""
    return np.where(np.isfinite(values), values, np.nan)


def _number(loss: float) -> str:
    return f"{loss:.2g}" if math.isfinite(loss) else "diverged"


def _level(view: str, height: float, right: float, name: str) -> Reference:
    ends = np.array([[-1.0, height], [right, height]])
    return Reference(view, "line", name, ends)


def _seeds(view: str, values: Numbers) -> Reference:
    """One mark a network; values (choice, seed)."""
    place = np.repeat(np.arange(len(values)), values.shape[1])
    points = np.stack([place, values.ravel()], axis=1).astype(np.float64)
    return Reference(view, "marks", "each seed, newest update", points[np.isfinite(points[:, 1])])
