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
from weightlab.stage.controls import Choice, Question, Slider, Toggle, logarithmic
from weightlab.stage.lenses import PACE, Lens, Setting, field, view
from weightlab.stage.live_runs import LivePanel
from weightlab.stage.own import labels
from weightlab.stage.panel import Row
from weightlab.validate import number

_NEW = "begins a new run"
RATIOS = (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0, 200.0)
PACES = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 5000.0)
THRESHOLDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85,
              0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999)  # fmt: skip


def _threshold(value: Any) -> float:
    return number("threshold", value, 0, 1, open_low=True, open_high=True, why="the ends decide unseen")


def imbalance_settings() -> list[Setting]:
    """What can be set on the panel; threshold, forest and pace ask for no new training."""
    words = "says “rare” from this probability on; nothing is trained again"
    batches, rates = (8, 16, 32, 64, 128, 256, 512), logarithmic(0.01, 1.0, 41)
    cost = Lens(lambda one: one.cost_ratio if one.technique == "cost_matrix" else None, field("cost_ratio").put)
    return [
        Setting(Slider("threshold", "Threshold", THRESHOLDS, words), view(_threshold), 0.5),
        Setting(Slider("ratio", "Common to each rare", RATIOS, _NEW), field("ratio"), 50.0),
        Setting(Choice("technique", "Technique", labels(TECHNIQUES)), field("technique"), "none"),
        Setting(Choice("task", "Data", labels(TASKS), _NEW), field("task"), "digits"),
        Setting(Slider("cost_ratio", "A miss costs", logarithmic(1.0, 1000.0, 31), "in false alarms"), cost, 50.0),
        Setting(Slider("batch_size", "Batch size", batches, _NEW), field("batch_size"), 64),
        Setting(Slider("learning_rate", "Learning rate η", rates, _NEW), field("learning_rate"), 0.2),
        Setting(Slider("pace", "Updates a second", PACES, "at most; slower lets you watch"), PACE, 200.0),
        Setting(Toggle("forest", "Random forest beside it", "another algorithm on the same data"), view(), False),
    ]


class ImbalancePanel(LivePanel):
    """Two small networks with the same first weights: "none" without any technique, the other with the one chosen.

    A new setting trains them in the panel's worker thread, `set` and the constructor in the calling one. A technique
    that is chosen while the run is paused acts from the next update on. steps: length of a run. seed: of the split, the
    weights and the batches; New seed counts it up. Values of all settings (task, ratio, …) may be given by name.
    """

    pictures_per_second = 12  # each is whole: the precision–recall curves move as training goes on

    heading, tall = "Imbalanced data", 540
    spelled = ("task", "ratio", "technique", "threshold", "cost_ratio", "batch_size", "learning_rate", "forest", "pace")

    def __init__(
        self, *, steps: int = 300, seed: int = 0, questions: Sequence[Question] = (), title: str = "", **values: Any
    ) -> None:
        self._beginning = ImbalanceExperiment(steps=steps, seed=seed)
        self._forest = self._cached(_forest)
        super().__init__(questions=questions, title=title, **values)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _declared(self) -> list[Setting]:
        return imbalance_settings()

    def _first(self) -> ImbalanceExperiment:
        return self._beginning

    def _apply(self, asked: ImbalanceExperiment, every: dict[str, Any], seq: int | None) -> None:
        before = self.asked
        alike = before.replace(technique=asked.technique, cost_ratio=asked.cost_ratio) == asked
        only_idle = before.replace(cost_ratio=asked.cost_ratio) == asked and asked.technique != "cost_matrix"
        if self._every and (before == asked or only_idle):
            self._draw(asked, every, seq)
        elif self._every and self._state == "paused" and alike:
            self._switch(asked, every, seq)
        else:
            self._train(asked, every, seq, at_once=seq is None)

    def _begin(self, asked: ImbalanceExperiment, every: dict[str, Any], seq: int | None) -> None:
        self._train(asked, every, seq, at_once=False)

    def _train(self, asked: ImbalanceExperiment, every: dict[str, Any], seq: int | None, at_once: bool) -> None:
        pair = (asked.replace(technique="none"), asked)
        training = make_training(pair)  # refuses what the data do not allow before anything changes
        self._training, self.asked, self._every = training, asked, every
        self._switches: tuple[tuple[int, str], ...] = ()
        self._starts = self._starting_shares(training)
        self._run += 1
        if at_once:
            self._run_on()
        else:
            self._start()
        self._draw(asked, every, seq)
        self._tell()

    def _switch(self, asked: ImbalanceExperiment, every: dict[str, Any], seq: int | None) -> None:
        """Another technique from the next update on, with the weights as they are."""
        self._training.change([self._training.sets[0], asked.training_set(asked.data())])
        done, label = self._training.steps_done, TECHNIQUES[asked.technique].label
        self._switches = (*(s for s in self._switches if s[0] != done), (done, label))
        text = f"Goes on with {label} from update {done}. Reset begins from the start."
        self._draw(asked, every, seq, {"kind": "info", "text": text})

    @staticmethod
    def _starting_shares(training: ImbalanceTraining) -> Tensor:
        """(run, 2): the rare class's share before the first update, theory's and the measured one of the whole set."""
        pulls, _ = training.whole_pulls()
        expected = torch.tensor([expected_share(one) for one in training.sets], dtype=torch.float64)
        return torch.stack([expected, pulls[:, 1] / pulls.sum(dim=1)], dim=1)

    @property
    def program(self) -> str:
        """A plain PyTorch program of both networks now shown, with their scores at the threshold."""
        return imbalance_program(
            self.asked,
            threshold=float(self._every["threshold"]),
            forest=bool(self._every["forest"]),
            switched=bool(self._switches),
        )

    # ---- the run -------------------------------------------------------------------------------------------------

    def _one_step(self) -> None:
        self._training.step()
        if self._training.steps_done >= self.asked.steps:
            self._state = "finished"

    def run(self, steps: int | None = None) -> ImbalanceRecord:
        """Train to the end (or `steps` more) in this thread and return the record; what cells use after a pause.

        A run that is over stays as it is: settings begin a new one.
        """
        with self._lock:
            if self._state != "finished":
                self._run_on(steps)
            self._draw(self.asked, self._every, None)
            self._tell()
            record: ImbalanceRecord = self.record
            return record

    def _show_progress(self) -> None:
        self._draw(self.asked, self._every, None)

    # ---- what the learner sees -----------------------------------------------------------------------------------

    def _draw(
        self, asked: ImbalanceExperiment, every: dict[str, Any], seq: int | None, notice: Row | None = None
    ) -> None:
        """The run as far as it has come, at the threshold that is set."""
        record, threshold = self._training.record(), float(every["threshold"])
        is_pair = self._is_pair(asked)
        picture = imbalance_picture(
            record if is_pair else record.of(slice(0, 1)),
            self._names(asked),
            asked.ratio,
            threshold,
            self._starts if is_pair else self._starts[:1],
            forest=self._forest(asked.task, asked.ratio, asked.seed) if every["forest"] else None,
            switches=self._switches,
            last_step=asked.steps,
        )
        reading = imbalance_reading(record, asked, self._training.sets, self._starts, threshold, is_pair)
        self.record = record
        self._publish(asked, every, picture, reading, seq, notice)

    @property
    def untrained_share(self) -> float:
        """The rare class's share of the gradient before the first update, measured on the whole training set."""
        return float(self._starts[1, 1])

    def best_threshold(self, candidates: Sequence[str]) -> str:
        """The threshold at which the network without any technique has the highest balanced accuracy now."""
        plain, ratio = self.record.of(slice(0, 1)), self.asked.ratio
        reached = {text: float(plain.scores(ratio, float(text)).balanced_accuracy) for text in candidates}
        return max(reached, key=lambda text: reached[text])

    def _is_pair(self, asked: ImbalanceExperiment) -> bool:
        """Whether the second network has had any technique."""
        return asked.technique != "none" or bool(self._switches)

    def _names(self, asked: ImbalanceExperiment) -> tuple[str, ...]:
        if not self._is_pair(asked):
            return ("no technique",)
        label = TECHNIQUES[asked.technique].label
        return ("no technique", label if asked.technique != "none" else "technique switched off")

    @property
    def _progress(self) -> str:
        return f"trained: {self.asked.steps} updates" if self._state == "finished" else super()._progress


def _forest(task: str, ratio: float, seed: int) -> Tensor:
    data = ImbalanceExperiment(task, ratio, seed=seed).data()
    return forest_logits(prepare("none", data), data.x_test, seed=seed)
