"""A real run on real data, one step at a time: pausable, changeable midway, recorded layer by layer.

    training = Training(TrainingExperiment(model("mlp", depth=8), dataset("digits"), optimizer("momentum")))
    for step in training:
        if step == 100:
            training.change(learning_rate=0.01)
    record = training.record()
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weightlab.devices import find_device, settle_threads
from weightlab.networks.architectures import RecurrentNetwork
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import initialize
from weightlab.networks.time_gradients import explain_in_time
from weightlab.rules.status import RunStatus
from weightlab.training.batches import Batches
from weightlab.training.checkpoints import Checkpoint, Checkpoints
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.record import TrainingRecord
from weightlab.training.recorder import LIMIT, Culprit, Recorder, explain
from weightlab.training.steppers import FlatParameters, make_stepper
from weightlab.validate import whole_number

CHECK_EVERY = 32  # steps from one look at the recorded rows for divergence to the next


class DecisionMap(NamedTuple):
    """What a network says on a grid: probabilities (y, x, class) at the points x (x,) and y (y,), float32, CPU."""

    x: Tensor
    y: Tensor
    probabilities: Tensor


class Training:
    """A run of `experiment` (which stays as it was): `step()`, `change(...)`, `since(step)`, `record()`.

    A new Training of the same experiment starts from the same weights, bit for bit, and sees the same batches. Drive
    one Training from one thread at a time. Raises ValueError where the experiment's device is absent.

    network:    the weightlab.networks.architectures.Network that is trained
    batches:    where its batches come from
    steps_done: steps taken
    status:     None while the run goes on, then how it ended (a divergence is noticed within CHECK_EVERY steps, at once
                by `since` and `record`; steps after it are forgotten)
    changes:    (step from which it holds, setting, new value)

    keep_checkpoints: keep weights and the rule's memory now and then, so that `branch` need not begin at the start.
    """

    def __init__(self, experiment: TrainingExperiment, *, keep_checkpoints: bool = False) -> None:
        self.experiment = experiment
        self._checkpoints = Checkpoints() if keep_checkpoints else None
        self.status: RunStatus | None = None
        self.changes: list[tuple[int, str, float | None]] = []
        self._now = experiment.replace(changes=())  # with the changes made midway
        settle_threads()
        self._device = find_device(experiment.device)
        self._dtype = getattr(torch, experiment.dtype)
        if self._device.type == "mps" and self._dtype == torch.float64:
            raise ValueError("device 'mps' has no float64; use dtype='float32' or device='cpu'")
        weights, order, chosen = streams(experiment.seed)
        data = experiment.dataset
        self.network = experiment.model.build(data.shape, experiment.outputs)
        initialize(self.network, experiment.initialization, experiment.model.hidden_activation, weights)
        self.network.to(self._dtype).to(self._device)
        self._flat = FlatParameters(self.network, experiment.groups, apart=experiment.optimizer.rest is not None)
        self._stepper = make_stepper(experiment.optimizer, self._flat)
        self._schedule = experiment.schedule.start()
        self._loss = LOSSES[experiment.loss]
        x, y = self._here(data.x_train), data.y_train.to(self._device)
        self.batches = Batches(x, y, experiment.batch_size, order)
        self._validation = self._here(data.x_validation), data.y_validation.to(self._device)
        self._recorder = Recorder(self.network, self._flat, experiment.weights_kept, chosen)
        self._learning_rates: list[float] = []
        self._last_loss: Tensor | None = None
        self._last_batch: tuple[Tensor, Tensor] | None = None

    def _here(self, x: Tensor) -> Tensor:
        return x.to(self._dtype).to(self._device)  # in this order: MPS has no float64

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.network.layers)

    @property
    def steps_done(self) -> int:
        return self._recorder.rows

    @property
    def epoch(self) -> int:
        """Complete passes through the training examples."""
        return self.steps_done // self.batches.per_epoch

    @property
    def now(self) -> TrainingExperiment:
        """The experiment with the changes made midway."""
        return self._now

    @property
    def settings(self) -> dict[str, Any]:
        """What `change` can change, by name, with the values now in force."""
        return self._now.settings

    def step(self) -> bool:
        """Take one step; False, and nothing done, once the run has ended."""
        if self.status is not None:
            return False
        if self._checkpoints is not None and self._checkpoints.is_due(self.steps_done):
            self._checkpoints.keep(self._checkpoint())
        due = {name: value for step, name, value in self.experiment.changes if step == self.steps_done}
        if due:
            self.change(**due)
        if self.steps_done % self.experiment.validate_every == 0 and not self._validated_here:
            self._validate()
        flat, factor = self._flat, self._schedule.factor()
        settings = [block.settings(self._now.optimizer, factor) for block in flat.blocks]
        x, y = self.batches.next()
        flat.before.copy_(flat.weights)
        ahead = self._stepper.look_ahead(settings)
        loss = self._gradient(x, y)
        if ahead:
            flat.weights.copy_(flat.before)
        self._stepper.step(settings, lambda: self._gradient(x, y))
        torch.sub(flat.weights, flat.before, out=flat.update)
        flat.restore_gradient()
        self._recorder.write(loss)
        self._learning_rates.append(self._now.optimizer.learning_rate * factor)
        self._last_loss = loss
        self._last_batch = x, y
        if not self.experiment.schedule.needs_losses:
            self._schedule.observe(0.0)
        self._end_if_due(loss)
        return True

    def _gradient(self, x: Tensor, y: Tensor) -> Tensor:
        """Loss at the weights as they are, its gradient left in the flat buffer, penalized and clipped."""
        now, flat = self._now, self._flat
        flat.gradient.zero_()
        loss = self._loss.value(self.network(x), y, now.dataset.classes)
        loss.backward()
        flat.shape_gradient(now.l1, now.l2, now.clip_norm, now.clip_value)
        return loss.detach()

    @property
    def _validated_here(self) -> bool:
        return self._recorder.validation_steps[-1:] == [self.steps_done]

    def validate(self) -> tuple[float, float]:
        """Loss and share of right answers on the validation split now; recorded once for a number of steps.

        For whoever decides whether to go on (see weightlab.stopping.rules). NaN where there is no validation split.
        """
        if len(self._validation[1]) and not self._validated_here and self.status is None:
            self._validate()
        read = self._read(self.steps_done)
        if not len(read["validation_losses"]):
            return math.nan, math.nan
        return float(read["validation_losses"][-1]), float(read["validation_accuracies"][-1])

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss and share of right answers on examples x (example, inputs), y (example,), as scalars."""
        with torch.no_grad():
            logits = self._evaluate(self._here(x))
            labels = y.to(self._device)
            loss = self._loss.value(logits, labels, self.experiment.dataset.classes)
            right = self._loss.probabilities(logits).argmax(dim=-1) == labels
        return loss, right.to(self._dtype).mean()

    def _validate(self) -> None:
        if len(self._validation[1]):
            loss, right = self.evaluate(*self._validation)
            self._recorder.write_validation(loss, right)
            self._last_loss = loss
        if self.experiment.schedule.needs_losses and self._last_loss is not None:
            self._schedule.observe(float(self._last_loss))  # the one schedule that has to wait for the device

    def _evaluate(self, x: Tensor) -> Tensor:
        if self.network.has_modes:
            self.network.eval()
        logits: Tensor = self.network(x)
        if self.network.has_modes:
            self.network.train()
        return logits

    def _end_if_due(self, loss: Tensor) -> None:
        finished = self.steps_done == self.experiment.steps
        if finished:
            self._validate()
        # the divergence of a recurrent network is explained on its own batch, so it is looked for at once
        at_once = isinstance(self.network, RecurrentNetwork) and self._recorder.may_be_beyond(loss)
        if finished or self.steps_done % CHECK_EVERY == 0 or at_once:
            self._check()
        if finished and self.status is None:
            self.status = RunStatus("finished", self.steps_done, f"took all {self.steps_done} steps")

    def _check(self) -> None:
        self._note(self._recorder.read(self._recorder.checked)[0])

    def _note(self, unchecked: NDArray[np.floating]) -> None:
        culprit = self._recorder.find_culprit(unchecked)
        if culprit is not None:
            del self._learning_rates[self.steps_done :]
            self.changes = [change for change in self.changes if change[0] <= culprit.step]
            self.status = RunStatus("diverged", culprit.step, self._explanation(culprit))

    def _explanation(self, culprit: Culprit) -> str:
        # activations, loss and gradient at a step come of the step before, its update of its own learning rate
        cause = culprit.step - (culprit.quantity != "update")
        before = self._recorder.split(self._recorder.read(max(cause, 0))[0][:1])
        sentence = explain(
            culprit,
            self.layers,
            before["update_ratios"][0],
            learning_rate=self._learning_rates[cause] if cause >= 0 else None,
            clipped=self._now.clip_norm is not None or self._now.clip_value is not None,
            first_weights=self.experiment.initialization.label,
        )
        if not isinstance(self.network, RecurrentNetwork) or self._last_batch is None:
            return sentence
        flat, now = self._flat, self._flat.weights.clone()
        flat.weights.copy_(flat.before)  # with which the last batch was read
        frozen = [parameter for parameter in self.network.parameters() if not parameter.requires_grad]
        self.network.requires_grad_(True)  # its hidden states have gradients whether or not its weights are trained
        place = explain_in_time(self.network, *self._last_batch, LIMIT)
        for parameter in frozen:
            parameter.requires_grad_(False)
        flat.weights.copy_(now)
        return f"{sentence}. In time: {place}"

    def stop(self) -> None:
        """End the run here, if it has not ended."""
        if self.status is None:
            self._check()
        if self.status is None:
            self.status = RunStatus("stopped", self.steps_done, self._stopped_after())

    def _stopped_after(self) -> str:
        return f"stopped after {self.steps_done} of {self.experiment.steps} steps"

    def change(self, **settings: Any) -> None:
        """Change settings from the next step on: any of `settings`, e.g. `change(learning_rate=0.01, clip_norm=1)`.

        All or nothing: raises ValueError or TypeError that names value, range and remedy, and changes nothing then.
        """
        if self.status is not None:
            raise RuntimeError(f"the run has ended ({self.status.message}); start a new one with the new settings")
        known, self._now = self.settings, self._now.with_settings(**settings)
        now = self.settings
        self.changes += [(self.steps_done, name, now[name]) for name in settings if now[name] != known[name]]

    def branch(self, step: int, **settings: Any) -> Training:
        """A run that is this one until `step` and has other settings from there on; it stands at that step.

        To the last bit what a Training of its `experiment`, which holds the changes, would come to. Raises ValueError
        for a step that this run has not reached and for bad settings.
        """
        step = whole_number("step", step, 0, self.steps_done, why="the run has not come further")
        before = tuple(change for change in self.changes if change[0] < step)
        until = {**self.experiment.settings, **{name: value for _, name, value in before}}
        wanted = {name: value for at, name, value in self.changes if at == step} | settings
        later = tuple((step, name, value) for name, value in wanted.items() if until.get(name, self) != value)
        branched = Training(
            self.experiment.replace(changes=before + later), keep_checkpoints=self._checkpoints is not None
        )
        nearest = None if self._checkpoints is None else self._checkpoints.before(step)
        if nearest is not None:
            branched._resume(nearest, self._recorder, self._learning_rates)
        while branched.steps_done < step and branched.step():
            pass
        return branched

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.steps_done, self._flat.weights.clone(), [value.clone() for value in self.network.buffers()],
            self._stepper.memory(), copy.copy(self._schedule), self._last_loss, self.batches.place, self.network.stream,
        )  # fmt: skip

    def _resume(self, checkpoint: Checkpoint, recorder: Recorder, learning_rates: list[float]) -> None:
        """Stand where another run of this experiment stood."""
        self._flat.weights.copy_(checkpoint.weights)
        for value, kept in zip(self.network.buffers(), checkpoint.buffers, strict=True):
            value.copy_(kept)
        self._stepper.remember(checkpoint.memory)
        self._schedule, self._last_loss = copy.copy(checkpoint.schedule), checkpoint.last_loss
        self.batches.place = checkpoint.place
        self.network.stream = checkpoint.stream
        self._recorder.resume(recorder, checkpoint.step)
        self._learning_rates = learning_rates[: checkpoint.step]
        self.changes = [change for change in self.experiment.changes if change[0] < checkpoint.step]
        for at in dict.fromkeys(step for step, _, _ in self.changes):
            self._now = self._now.with_settings(**{name: value for step, name, value in self.changes if step == at})

    def since(self, step: int) -> dict[str, NDArray[np.float32]]:
        """What is new from step number `step` on, for a live picture: float32 arrays, one transfer from the device.

        Fields of TrainingRecord, of which `weight_paths` (rows, layer, kept) is after each step, and `steps` (rows,);
        validations made after `step` or more steps. Raises ValueError for a step that has not been reached.
        """
        with np.errstate(over="ignore"):  # float64 beyond float32's range becomes infinite
            return {name: values.astype(np.float32) for name, values in self._read(step).items()}

    def _read(self, step: int) -> dict[str, NDArray[Any]]:
        step = whole_number("step", step, 0, self.steps_done, why="the run has not come further")
        checked = self._recorder.checked
        start = min(step, checked)
        rows, validations, validation_steps = self._recorder.read(start)
        self._note(rows[checked - start :])
        done = max(self.steps_done, step)
        kept = [number for number, at in enumerate(validation_steps) if step <= at <= done]
        return {
            "steps": np.arange(step, done),
            **self._recorder.split(rows[step - start : done - start]),
            "learning_rates": np.array(self._learning_rates[step:done], dtype=np.float64),
            "validation_steps": np.array([validation_steps[number] for number in kept], dtype=np.int64),
            "validation_losses": validations[kept, 0],
            "validation_accuracies": validations[kept, 1],
        }

    def record(self) -> TrainingRecord:
        """All that has been recorded so far; the run can go on afterwards."""
        fields = {name: torch.from_numpy(values.copy()) for name, values in self._read(0).items() if name != "steps"}
        first = self._recorder.first_weights.cpu().reshape(1, len(self.layers), -1)
        fields["weight_paths"] = torch.cat([first, fields["weight_paths"]])
        return TrainingRecord(
            **fields,
            weight_indices=self._recorder.weight_indices,
            layers=self.layers,
            status=self.status or RunStatus("stopped", self.steps_done, self._stopped_after()),
            changes=tuple(self.changes),
        )

    def __iter__(self) -> Iterator[int]:
        """Take steps until the run has ended; yields the number of steps taken, after each."""
        while self.step():
            yield self.steps_done

    def decision_map(self, resolution: int = 64, margin: float = 0.15) -> DecisionMap:
        """Class probabilities on a (resolution × resolution) grid over the examples and `margin` of their extent.

        For datasets of two inputs; otherwise ValueError. Coordinates are the dataset's standardized ones.
        """
        data = self.experiment.dataset
        if data.inputs != 2:
            raise ValueError(
                f"a decision map needs a dataset of two inputs, {data.name!r} has {data.inputs}; "
                "choose 'moons', 'circles' or 'spirals'"
            )
        points = whole_number("resolution", resolution, 2, 1024)
        low, high = data.x_train.amin(dim=0), data.x_train.amax(dim=0)
        room = margin * (high - low)
        x, y = (torch.linspace(float(a), float(b), points) for a, b in zip(low - room, high + room, strict=True))
        grid = torch.cartesian_prod(y, x).flip(1)  # x runs fastest: rows of the map are y
        with torch.no_grad():
            probabilities = self._loss.probabilities(self._evaluate(self._here(grid)))
        return DecisionMap(x, y, probabilities.float().cpu().reshape(points, points, -1))


def streams(seed: int) -> tuple[torch.Generator, torch.Generator, torch.Generator]:
    """Sources of a run's randomness: its first weights, the order of its batches, the choice of weights kept."""
    # streams of their own: another batch size must not change the first weights
    seeds = torch.randint(2**62, (3,), generator=torch.Generator().manual_seed(seed)).tolist()
    weights, order, chosen = (torch.Generator().manual_seed(number) for number in seeds)
    return weights, order, chosen


def train(experiment: TrainingExperiment) -> TrainingRecord:
    """Run `experiment` to its end (all its steps, or divergence). Raises ValueError where its device is absent."""
    training = Training(experiment)
    for _ in training:
        pass
    return training.record()
