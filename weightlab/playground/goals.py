"""A goal under a budget: right answers on several seeds, by an experiment that keeps to what it may spend."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import train
from weightlab.validate import number, whole_number


def accuracies(experiment: TrainingExperiment, seeds: range = range(5)) -> Tensor:
    """Share of right answers on the validation split after all steps, (seed,) float64; 0 for a run that diverged.

    A seed draws first weights and batches. In float64, so that the shares repeat on other processors too. Raises
    ValueError for data without a validation split.
    """
    if not len(experiment.dataset.y_validation):
        raise ValueError(f"dataset {experiment.dataset.name!r} has no validation split; give validation_fraction=0.25")
    found = []
    for seed in seeds:
        record = train(experiment.replace(seed=seed, dtype="float64", validate_every=experiment.steps))
        done = record.status.kind == "finished"
        found.append(float(record.validation_accuracies[-1]) if done else 0.0)
    return torch.tensor(found, dtype=torch.float64)


def spread_text(shares: Tensor) -> str:
    """Mean and spread of shares (seed,), and the worst of them, as `96.8% ± 0.4%, worst 96.4%`."""
    return f"{shares.mean():5.1%} ± {shares.std():4.1%}, worst {shares.min():5.1%}"


@dataclass(frozen=True)
class Goal:
    """So many right answers (a share) with at most so many updates, examples a batch, and parameters.

    The dataset is that of the experiment `base`. Raises ValueError or TypeError for a budget out of range.
    """

    base: TrainingExperiment
    accuracy: float
    updates: int
    batch_size: int
    parameters: int

    def __post_init__(self) -> None:
        number("accuracy", self.accuracy, 0, 1, why="it is a share of right answers")
        for name in ("updates", "batch_size", "parameters"):
            whole_number(name, getattr(self, name), 1, 10**9)

    def refuse_overspending(self, experiment: object) -> None:
        """Raise TypeError for what is no experiment, ValueError that names the first budget it exceeds."""
        if not isinstance(experiment, TrainingExperiment):
            raise TypeError(f"a TrainingExperiment is asked for, got {experiment!r}; use start.replace(…)")
        if experiment.dataset != self.base.dataset:
            raise ValueError(
                f"the goal is on {self.base.dataset.name!r} split as in the start, got another dataset or split; "
                "leave the dataset as it is"
            )
        batch = experiment.batch_size or len(experiment.dataset.y_train)
        network = experiment.model.build(experiment.dataset.shape, experiment.outputs)
        size = sum(parameter.numel() for parameter in network.parameters())
        spent = {"updates": experiment.steps, "examples a batch": batch, "parameters": size}
        allowed = {"updates": self.updates, "examples a batch": self.batch_size, "parameters": self.parameters}
        for name, much in spent.items():
            if much > allowed[name]:
                raise ValueError(f"the budget is {allowed[name]} {name}, got {much}; spend less")

    def worst(self, experiment: TrainingExperiment, seeds: range = range(5)) -> float:
        """The lowest share of right answers among the seeds, once the experiment keeps to the budget."""
        self.refuse_overspending(experiment)
        return float(accuracies(experiment, seeds).min())
