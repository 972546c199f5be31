"""What a panel gives to take along: its settings as a text that any panel of its kind loads, and the program."""

from __future__ import annotations

import pytest
import torch

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape_from_function
from weightlab.networks.datasets import dataset_from_tensors
from weightlab.playground.panel import TrainingPanel
from weightlab.signals.panel import SignalPanel
from weightlab.texts.experiments import from_text
from weightlab.toys.panel import DescentPanel
from weightlab.training.run import train

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


def test_a_text_of_another_kind_of_panel_is_refused() -> None:
    toy, network, signals = DescentPanel(), TrainingPanel(), SignalPanel()
    with pytest.raises(ValueError, match="TrainingPanel.from_text"):
        toy.load(network.text)
    with pytest.raises(ValueError, match="DescentPanel.from_text"):
        network.load(toy.text)
    with pytest.raises(ValueError, match="signal"):
        toy.load(signals.text)
    with pytest.raises(ValueError, match="descent"):
        signals.load(toy.text)


def test_a_branched_toy_travels_with_its_branches() -> None:
    panel = DescentPanel("rotated_quadratic", ("momentum", "adam"), steps=60)
    panel.branch(20, learning_rate=0.1)
    panel.branch(40, momentum=0.3)
    other = DescentPanel("rotated_quadratic", ("momentum", "adam"))
    other.load(panel.text)
    assert other.experiment == panel.experiment and torch.equal(other.record.weights, panel.record.weights)
    other.set(momentum=0.9)  # the controls stand for the last branch
    assert other.experiment.changes[0] == panel.experiment.changes[0]
    made = DescentPanel.from_text(panel.text)
    assert made.experiment == panel.experiment


def test_a_text_that_says_more_than_the_controls_can_is_shown_whole() -> None:
    text = "weightlab1/descent/rosenbrock,steepness=30/momentum,lr=0.001/adam,lr=0.1,beta1=0.3/schedule=cosine/seed=3"
    panel = DescentPanel.from_text(text)
    assert panel.experiment == from_text(text) and from_text(panel.text) == panel.experiment
    panel.set(learning_rate_adam=0.2)
    adam = panel.experiment.optimizers[1]
    assert (adam.learning_rate, adam.beta1, panel.experiment.schedule.name) == (0.2, 0.3, "cosine")


def test_a_panel_says_what_it_cannot_show_and_who_can() -> None:
    panel = DescentPanel("rotated_quadratic", ("momentum",))
    for text in ("weightlab1/descent/rosenbrock/momentum", "weightlab1/descent/rotated_quadratic/adam"):
        with pytest.raises(ValueError, match=r"DescentPanel.from_text\(text\) makes a panel"):
            panel.load(text)
    assert panel.experiment.landscape.name == "rotated_quadratic"


def test_own_things_are_named_in_the_text_and_given_to_whoever_reads_it() -> None:
    land = landscape_from_function(lambda a, b: a**2 + 2 * b**2, ((-2, 2), (-2, 2)), name="my <bowl>/1")
    panel = DescentPanel(land, ("momentum",))
    text = panel.text
    with pytest.raises(ValueError, match="own"):
        DescentPanel.from_text(text)
    other = DescentPanel.from_text(text, own=(land,))
    assert other.experiment == panel.experiment
    panel.load(text)


class Slow(torch.optim.SGD):
    """An optimizer of one's own."""


def test_a_run_with_own_things_travels_too() -> None:
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    data = dataset_from_tensors(x, (x[:, 0] > 0).long(), name="mine")
    panel = TrainingPanel(own=[Slow, data], dataset="mine", rule="Slow", depth=2, width=4, batch_size=16)
    text = panel.text
    panel.set(depth=3)
    panel.load(text)
    assert panel.text == text and panel.values["depth"] == 2
    other = TrainingPanel.from_text(text, own=[Slow, data])
    assert other.experiment == panel.experiment


def test_settings_changed_while_a_run_went_on_are_in_its_text_and_repeat_the_run() -> None:
    panel = TrainingPanel(dataset="moons", depth=2, width=6, batch_size=16, steps=80, rule="momentum")
    panel.set(learning_rate=0.02)  # before the first update: no change midway
    panel.run(30)
    panel.set(learning_rate=0.2)
    record = panel.run()
    experiment = from_text(panel.text)
    assert not isinstance(experiment, DescentExperiment)
    assert experiment.optimizer.learning_rate == 0.02 and experiment.changes == ((30, "learning_rate", 0.2),)
    assert torch.equal(train(experiment).weight_paths, record.weight_paths)
    other = TrainingPanel.from_text(panel.text)
    assert other.text == panel.text and torch.equal(other.run().weight_paths, record.weight_paths)


def test_what_a_text_gives_beyond_the_controls_goes_when_its_control_moves() -> None:
    text = (
        "weightlab1/training/cnn,depth=1,width=4/digits/adam,lr=0.01,beta1=0.5"
        "/initialization=orthogonal/schedule=cosine,half_cycle=70/batch_size=none/steps=20/dtype=float64"
    )
    panel = TrainingPanel.from_text(text, controls="all")
    assert panel.experiment == from_text(text)
    panel.set(width=8)
    assert panel.experiment.batch_size is None and panel.experiment.optimizer.beta1 == 0.5
    panel.set(schedule="step", batch_size=64, rule="momentum")
    assert panel.experiment.schedule.name == "step" and panel.experiment.batch_size == 64
    assert panel.experiment.optimizer.rule == "momentum" and panel.experiment.dtype == "float64"
