"""Imbalanced data: a network with a technique trains beside its twin without one; ratio and threshold to move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from weightlab.imbalance.class_gradients import ImbalanceRecord
from weightlab.imbalance.picture import imbalance_picture, imbalance_reading
from weightlab.imbalance.program import imbalance_program
from weightlab.imbalance.run import ImbalanceExperiment, ImbalanceTraining, expected_share, make_training
from weightlab.imbalance.techniques import TASKS, TECHNIQUES, forest_logits, prepare
from weightlab.stage.controls import Choice, Control, Question, Slider, Toggle, logarithmic
from weightlab.stage.live_runs import LivePanel
from weightlab.stage.panel import Row
from weightlab.validate import choose, number

RATIOS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0, 200.0)
PACES = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0)
THRESHOLDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85,
              0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999)  # fmt: skip
DEFAULTS: dict[str, Any] = {
    "task": "digits",
    "ratio": 50.0,
    "technique": "none",
    "threshold": 0.5,
    "cost_ratio": 50.0,
    "batch_size": 64,
    "learning_rate": 0.2,
    "forest": False,
    "pace": 200.0,
}


def imbalance_controls() -> list[Control]:
    """The panel's controls; threshold, forest and pace ask for no new training."""
    return [
        Slider("threshold", "Threshold", THRESHOLDS, "says “rare” from this probability on; nothing is trained again"),
        Slider("ratio", "Common to each rare", RATIOS, "begins a new run"),
        Choice("technique", "Technique", tuple((name, entry.label) for name, entry in TECHNIQUES.items())),
        Choice("task", "Data", tuple((name, task.label) for name, task in TASKS.items()), "begins a new run"),
        Slider("cost_ratio", "A miss costs", logarithmic(1.0, 1000.0, 31), "in false alarms"),
        Slider("batch_size", "Batch size", (8, 16, 32, 64, 128, 256, 512), "begins a new run"),
        Slider("learning_rate", "Learning rate η", logarithmic(0.01, 1.0, 41), "begins a new run"),
        Slider("pace", "Updates a second", PACES, "at most; slower lets you watch"),
        Toggle("forest", "Random forest beside it", "another algorithm on the same data"),
    ]


class ImbalancePanel(LivePanel):
    """Two small networks with the same first weights: "none" without any technique, the other with the one chosen.

    A new setting trains them in the panel's worker thread, `set` and the constructor in the calling one. A technique
    that is chosen while the run is paused acts from the next update on. steps: length of a run. seed: of the split, the
    weights and the batches; New seed counts it up. Values of all settings (task, ratio, …) may be given by name.
    """

    pictures_per_second = 12  # each is whole: the precision–recall curves move as training goes on

    def __init__(
        self,
        *,
        steps: int = 300,
        seed: int = 0,
        questions: Sequence[Question] = (),
        title: str = "Imbalanced data",
        **values: Any,
    ) -> None:
        for name in values:
            choose("setting", name, DEFAULTS)
        self._steps = steps
        self._training: ImbalanceTraining | None = None
        self._forests: dict[tuple[str, float, int], Tensor] = {}
        values = {**DEFAULTS, **values}
        super().__init__(imbalance_controls(), values, seed=seed, title=title, questions=questions, height=540)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _build(self, values: dict[str, Any]) -> ImbalanceExperiment:
        return ImbalanceExperiment(
            task=values["task"],
            ratio=values["ratio"],
            technique=values["technique"],
            cost_ratio=values["cost_ratio"],
            learning_rate=values["learning_rate"],
            batch_size=values["batch_size"],
            steps=self._steps,
            seed=self._seed,
        )

    def _apply(self, values: dict[str, Any], seq: int | None) -> None:
        number("threshold", values["threshold"], 0, 1, open_low=True, open_high=True, why="the ends decide unseen")
        number("pace", values["pace"], 0, open_low=True)
        experiment = self._build(values)
        if self._training is None or experiment != self.experiment:
            technique_only = self.experiment is not None and experiment == self.experiment.replace(
                technique=experiment.technique, cost_ratio=experiment.cost_ratio
            )
            if self._state == "paused" and technique_only:
                self._switch(experiment, values, seq)
                return
            unused = self.experiment is not None and experiment == self.experiment.replace(
                cost_ratio=experiment.cost_ratio
            )
            if not (unused and experiment.technique != "cost_matrix"):
                self._begin(experiment, values, seq, at_once=seq is None)
                return
            self.experiment = experiment
        self._show(values, seq)

    def _begin(self, experiment: ImbalanceExperiment, values: dict[str, Any], seq: int | None, at_once: bool) -> None:
        pair = (experiment.replace(technique="none"), experiment)
        training = make_training(pair)  # refuses what the data do not allow before anything changes
        self._training, self.experiment = training, experiment
        self._switches: tuple[tuple[int, str], ...] = ()
        self._starts = self._starting_shares(training)
        self._run += 1
        if at_once:
            self._run_on()
        else:
            self._start()
        self._show(values, seq)
        self._tell()

    def _switch(self, experiment: ImbalanceExperiment, values: dict[str, Any], seq: int | None) -> None:
        """Another technique from the next update on, with the weights as they are."""
        assert self._training is not None
        data = experiment.data()
        self._training.change([self._training.sets[0], experiment.training_set(data)])
        done, label = self._training.steps_done, TECHNIQUES[experiment.technique].label
        self._switches = (*(s for s in self._switches if s[0] != done), (done, label))
        self.experiment = experiment
        text = f"Goes on with {label} from update {done}. Reset begins from the start."
        self._show(values, seq, {"kind": "info", "text": text})

    @staticmethod
    def _starting_shares(training: ImbalanceTraining) -> Tensor:
        """(run, 2): the rare class's share before the first update, theory's and the measured one of the whole set."""
        pulls, _ = training.whole_pulls()
        expected = torch.tensor([expected_share(one) for one in training.sets], dtype=torch.float64)
        return torch.stack([expected, pulls[:, 1] / pulls.sum(dim=1)], dim=1)

    def _unused(self, values: dict[str, Any]) -> list[str]:
        return [] if values["technique"] == "cost_matrix" else ["cost_ratio"]

    @property
    def program(self) -> str:
        """A plain PyTorch program of both networks now shown, with their scores at the threshold."""
        return imbalance_program(
            self.experiment,
            threshold=float(self.values["threshold"]),
            forest=bool(self.values["forest"]),
            switched=bool(self._switches),
        )

    # ---- the run -------------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self._begin(self._build(self.values), self.values, None, at_once=False)

    def _one_step(self) -> None:
        assert self._training is not None
        self._training.step()
        if self._training.steps_done >= self._steps:
            self._state = "finished"

    def run(self) -> ImbalanceRecord:
        """Train to the end in this thread and return the record; what cells use after a pause."""
        with self._lock:
            if self._state != "finished":
                self._run_on()
            self._show(self.values, None)
            self._tell()
            assert isinstance(self.record, ImbalanceRecord)
            return self.record

    def _show_progress(self) -> None:
        self._show(self.values, None)

    # ---- what the learner sees -----------------------------------------------------------------------------------

    def _show(self, values: dict[str, Any], seq: int | None, notice: Row | None = None) -> None:
        """Draw the run as far as it has come, at the threshold of `values`."""
        assert self._training is not None and self.experiment is not None
        record = self._training.record()
        self.record = record
        threshold = float(values["threshold"])
        picture = imbalance_picture(
            record if self._is_pair else record.of(slice(0, 1)),
            self._names,
            self.experiment.ratio,
            threshold,
            self._starts if self._is_pair else self._starts[:1],
            forest=self._forest(values),
            switches=self._switches,
            last_step=self._steps,
        )
        sets = self._training.sets
        reading = imbalance_reading(record, self.experiment, sets, self._starts, threshold, self._is_pair)
        self._publish(values, picture, reading, seq, notice)

    def show(self, picture: Any, *, seq: int | None = None, follow: bool = False) -> None:
        """As the stage does; a picture of a run that is going on is followed to its end."""
        super().show(picture, seq=seq, follow=follow or self._state == "running")

    @property
    def untrained_share(self) -> float:
        """The rare class's share of the gradient before the first update, measured on the whole training set."""
        return float(self._starts[1, 1])

    def best_threshold(self, candidates: Sequence[str]) -> str:
        """The threshold at which the network without any technique has the highest balanced accuracy now."""
        assert isinstance(self.record, ImbalanceRecord)
        plain = self.record.of(slice(0, 1))
        ratio = self.experiment.ratio
        reached = {text: float(plain.scores(ratio, float(text)).balanced_accuracy) for text in candidates}
        return max(reached, key=lambda text: reached[text])

    @property
    def _is_pair(self) -> bool:
        """Whether the second network has had any technique."""
        return self.experiment.technique != "none" or bool(self._switches)

    @property
    def _names(self) -> tuple[str, ...]:
        label = TECHNIQUES[self.experiment.technique].label
        if not self._is_pair:
            return ("no technique",)
        return ("no technique", label if self.experiment.technique != "none" else "technique switched off")

    def _forest(self, values: dict[str, Any]) -> Tensor | None:
        if not values["forest"]:
            return None
        key = (self.experiment.task, self.experiment.ratio, self._seed)
        if key not in self._forests:
            data = self.experiment.data()
            self._forests[key] = forest_logits(prepare("none", data), data.x_test, seed=self._seed)
        return self._forests[key]

    @property
    def _progress(self) -> str:
        return f"trained: {self._steps} updates" if self._state == "finished" else super()._progress
