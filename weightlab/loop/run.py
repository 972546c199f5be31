"""The training loop one line at a time: six real lines of PyTorch, run one a step, with what each has left behind.

    loop = UpdateLoop(LoopExperiment("line", learning_rate=0.1))
    while loop.step() and loop.lines_done < 12:
        print(loop.record().notes[-1])

The text of a line is what is executed. Nothing is simulated: the optimizer is torch.optim.SGD, and a mistake does here
what it does in a script, an exception included.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from weightlab.devices import settle_threads
from weightlab.loop.experiment import (
    BACKWARD,
    GET_BATCH,
    LOSS,
    PREDICT,
    UPDATE,
    USUAL_ORDER,
    ZERO_GRAD,
    LoopExperiment,
    LoopRecord,
)
from weightlab.loop.problems import mixed_order, share_right
from weightlab.validate import whole_number


def load_optimizers() -> str:
    """Make and use one torch.optim object: the first one in a session loads PyTorch's compiler, which takes seconds."""
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return "torch.optim is ready"


class UpdateLoop:
    """A loop of `experiment` that waits between lines: `step()` runs exactly one; `record()` is all so far.

    names: the script's own variables (model, optimizer, loss, x, …), which the lines read and write.
    """

    def __init__(self, experiment: LoopExperiment) -> None:
        settle_threads()
        self.experiment = experiment
        assert experiment.loss is not None
        self._bench = experiment.entry.build(experiment.loss, experiment.seed, experiment.start)
        model = self._bench.model
        optimizer = torch.optim.SGD(
            model.parameters(), lr=experiment.learning_rate, momentum=experiment.momentum
        )
        self.names: dict[str, Any] = {
            "torch": torch,
            "model": model,
            "optimizer": optimizer,
            "loss_fn": self._bench.loss_fn,
            "batches": self._bench.batches,
            "learning_rate": experiment.learning_rate,
        }
        if experiment.entry.one_weight:
            self.names["w"] = model.w
        self._code = {line: compile(experiment.text(line), f"<line {line}>", "exec") for line in USUAL_ORDER}
        self.error = ""
        self._batches = self._updates = self._summed = 0
        self._changes = [torch.full_like(weight, math.nan) for _, weight in self._bench.layers]
        self._accuracies = (math.nan, math.nan)
        self._drift = math.nan
        self._rows: list[tuple[Any, ...]] = []
        self._notes: list[str] = []
        self._evaluate()
        self._write(0, "nothing has run yet")

    @property
    def lines_done(self) -> int:
        return len(self._rows) - 1

    @property
    def next_line(self) -> int:
        """Number of the line that `step` runs next."""
        return self.experiment.order[self.lines_done % len(self.experiment.order)]

    def step(self) -> bool:
        """Run the next line; False, and nothing changed, once a line has raised an exception."""
        if self.error:
            return False
        line = self.next_line
        before = [weight.detach().clone() for _, weight in self._bench.layers] if line == UPDATE else []
        try:
            exec(self._code[line], self.names)
        except Exception as error:  # what it says is the lesson
            words = " ".join(str(error).split()).split(" Hint:")[0]
            self.error = f"line {line} raised {type(error).__name__}: {words}"
            return False
        if line == UPDATE:
            self._changes = [
                weight.detach() - old for (_, weight), old in zip(self._bench.layers, before, strict=True)
            ]
        self._count(line)
        self._write(line, _NOTES[line](self))
        return True

    def _count(self, line: int) -> None:
        if line == GET_BATCH:
            self._batches += 1
        elif line == ZERO_GRAD:
            self._summed = 0
        elif line == BACKWARD:
            self._summed += 1
        elif line == UPDATE:
            self._updates += 1
            if self._updates % self.experiment.validate_every == 0:
                self._evaluate()

    def _evaluate(self) -> None:
        if self._bench.validation is None:
            return
        train_mode = self.experiment.evaluate_in_train_mode
        model, (x, y) = self._bench.model, self._bench.validation
        before = [buffer.clone() for name, buffer in model.named_buffers() if name.endswith("running_mean")]
        mixed, sorted_by_class = (
            share_right(model, x[order], y[order], train_mode=train_mode) for order in (mixed_order(y), y.argsort())
        )
        self._accuracies = mixed, sorted_by_class
        after = [buffer for name, buffer in model.named_buffers() if name.endswith("running_mean")]
        self._drift = max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True))

    def _followed(self, number: int, weight: nn.Parameter) -> tuple[Tensor | None, ...]:
        state = self.names["optimizer"].state.get(weight, {})
        change = None if self._updates == 0 else self._changes[number]
        return weight.detach(), weight.grad, state.get("momentum_buffer"), change

    def _write(self, line: int, note: str) -> None:
        layers = [self._followed(number, weight) for number, (_, weight) in enumerate(self._bench.layers)]
        places = [next(i for i, (_, w) in enumerate(self._bench.layers) if w is of) for _, of, _ in self._bench.watched]
        watched = [
            [math.nan if part is None else float(part.flatten()[index]) for part in layers[place]]
            for place, (_, _, index) in zip(places, self._bench.watched, strict=True)
        ]
        sizes = [[math.nan if part is None else float(part.norm()) for part in parts] for parts in layers]
        loss = self.names.get("loss")
        value = math.nan if loss is None else float(loss.detach())
        counts = line, self._updates, self._batches, self._summed
        self._rows.append((*counts, value, watched, sizes, self._accuracies, self._drift))
        self._notes.append(note)

    def record(self) -> LoopRecord:
        """All rows so far; the loop can go on afterwards."""
        lines, updates, batches, summed, losses, watched, sizes, accuracies, drift = zip(*self._rows, strict=True)
        return LoopRecord(
            experiment=self.experiment,
            lines=torch.tensor(lines),
            updates=torch.tensor(updates),
            batches=torch.tensor(batches),
            summed=torch.tensor(summed),
            losses=_exact(losses),
            watched=_exact(watched),
            sizes=_exact(sizes),
            accuracies=_exact(accuracies),
            drift=_exact(drift),
            notes=tuple(self._notes),
            layers=tuple(name for name, _ in self._bench.layers),
            watched_names=tuple(name for name, _, _ in self._bench.watched),
            error=self.error,
        )


def _exact(rows: tuple[Any, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def run_loop(experiment: LoopExperiment, lines: int) -> LoopRecord:
    """Run `lines` lines of a new loop, fewer if one raises an exception, and return the record."""
    wanted = whole_number("lines", lines, 0, 1_000_000)
    loop = UpdateLoop(experiment)
    while loop.lines_done < wanted and loop.step():
        pass
    return loop.record()


def run_updates(experiment: LoopExperiment, updates: int) -> LoopRecord:
    """Run whole passes over the lines until `updates` updates are done, fewer if a line raises an exception."""
    each = experiment.order.count(UPDATE)
    if not each:
        raise ValueError(f"order must hold line {UPDATE}, the update, got {experiment.order}; add it")
    return run_loop(experiment, math.ceil(whole_number("updates", updates, 0, 100_000) / each) * len(experiment.order))


def as_text(value: float) -> str:
    """Four digits as the stepper shows them; None for NaN."""
    return "None" if math.isnan(value) else f"{value:.4g}".replace("-", "−")


def _numbers(values: Tensor) -> str:
    return ", ".join(as_text(float(value)) for value in values)


def _note_batch(loop: UpdateLoop) -> str:
    each, epoch = loop.experiment.entry.batches, (loop._batches - 1) // loop.experiment.entry.batches
    return f"batch {(loop._batches - 1) % each + 1} of {each}, epoch {epoch + 1}"


def _note_prediction(loop: UpdateLoop) -> str:
    prediction = loop.names["prediction"].detach()
    if loop.experiment.entry.one_weight:
        return f"prediction {_numbers(prediction)}"
    right = int((prediction.argmax(dim=-1) == loop.names["y"]).sum())
    return f"{right} of {len(prediction)} right"


def _note_gradient(loop: UpdateLoop) -> str:
    grads = [weight.grad for _, weight in loop._bench.layers]
    if any(gradient is None for gradient in grads):
        return "w.grad is None"
    if loop.experiment.entry.one_weight:
        return f"w.grad = {as_text(float(grads[0]))}"  # type: ignore[arg-type]
    return "|w.grad| " + ", ".join(as_text(float(gradient.norm())) for gradient in grads if gradient is not None)


def _note_update(loop: UpdateLoop) -> str:
    if loop.experiment.entry.one_weight:
        return f"Δw = {as_text(float(loop._changes[0]))}"
    return "|Δw| " + ", ".join(as_text(float(change.norm())) for change in loop._changes)


_NOTES = {
    GET_BATCH: _note_batch,
    PREDICT: _note_prediction,
    LOSS: lambda loop: f"loss {as_text(float(loop.names['loss'].detach()))}",
    ZERO_GRAD: _note_gradient,
    BACKWARD: _note_gradient,
    UPDATE: _note_update,
}
