"""The plain PyTorch program that an experiment stands for: `print(program_of(experiment))`."""

from __future__ import annotations

from weightlab.descent.experiment import DescentExperiment
from weightlab.programs.descent import descent_program
from weightlab.programs.training import training_program
from weightlab.training.experiment import TrainingExperiment


def program_of(experiment: DescentExperiment | TrainingExperiment) -> str:
    """A program that needs torch (and scikit-learn for its data) only and ends with the run's weights.

    The final weights are those of `descend(experiment)` or of a Training of it up to rounding: the same random numbers,
    batches and updates. What is the learner's own is copied in where its source can be had; otherwise a line that
    begins with `# put your` says what belongs there. A run that diverges is not stopped. Raises TypeError for other
    experiments.
    """
    if isinstance(experiment, DescentExperiment):
        return descent_program(experiment)
    if isinstance(experiment, TrainingExperiment):
        return training_program(experiment)
    raise TypeError(f"a DescentExperiment or TrainingExperiment has a program, got {experiment!r}")
