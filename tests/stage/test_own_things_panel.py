"""What a learner brings joins the panels' menus: optimizer classes, networks, data, schedules, landscapes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ipywidgets.widgets.widget import _instances
from own_classes import QUADRANTS, Bent, KeepsItsRateToItself, Plain
from panel_support import say, settings_of_training
from refusals import refusals
from torch import nn

from weightlab.descent.landscapes import landscape_from_function
from weightlab.descent.run import descend
from weightlab.ensembles.panel import EnsemblePanel
from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.networks.own_model import model_from_module
from weightlab.playground.panel import TrainingPanel
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import optimizer
from weightlab.stage.own import own_parts, own_things
from weightlab.stage.panel import Panel
from weightlab.stopping.panel import EpochsPanel
from weightlab.surfaces.panel import SurfacePanel
from weightlab.surfaces.sharpness_panel import SharpnessPanel
from weightlab.toys.panel import DescentPanel
from weightlab.training.run import train

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


def own_panel(**changes: Any) -> TrainingPanel:
    mine: dict[str, Any] = {"rule": Plain, "model": model_from_module(Bent), "dataset": QUADRANTS, "steps": 5}
    return TrainingPanel(**{"controls": "all", **mine, **changes})


def test_one_panel_runs_a_learners_own_rule_network_and_data() -> None:
    panel = own_panel(schedule=schedule("cosine", half_cycle=5))
    assert (panel.values["rule"], panel.values["model"], panel.values["dataset"]) == ("Plain", "Bent", "quadrants")
    assert panel.values["schedule"] == "cosine (yours)" and panel.experiment.schedule.half_cycle == 5
    record = panel.run()
    assert torch.equal(record.losses, train(panel.experiment).losses)
    assert len(panel._shown.rasters) == 1  # type: ignore[union-attr]


def test_menus_name_what_is_ones_own() -> None:
    panel = own_panel(own=(torch.optim.Adagrad, schedule("step", step_size=3)))
    menus = {spec["name"]: dict(spec["options"]) for spec in panel.controls if spec["kind"] == "choice"}
    assert menus["rule"]["Plain"] == "Plain (yours)"
    assert menus["rule"]["torch.optim.Adagrad"] == "torch.optim.Adagrad"
    assert menus["schedule"]["step (yours)"] == "Step (yours)" and menus["dataset"]["quadrants"] == "quadrants (yours)"


def test_the_rules_own_learning_rate_is_taken_unless_one_is_given() -> None:
    assert own_panel().values["learning_rate"] == 0.01
    assert own_panel(rule=optimizer(Plain, learning_rate=0.3)).values["learning_rate"] == 0.3
    assert own_panel(learning_rate=0.2).experiment.optimizer.learning_rate == 0.2
    assert own_panel(rule="Plain", own=(optimizer(Plain, factor=0.5),)).experiment.optimizer.factor == 0.5


def test_controls_without_a_part_in_ones_own_things_are_hidden() -> None:
    panel = own_panel()
    hidden = {"momentum", "activation", "depth", "width", "batch_norm", "residual", "reading", "label_noise"}
    assert hidden <= set(panel.unused)
    panel.set(model="mlp", rule="momentum", dataset="moons")
    assert not {"momentum", "activation", "depth", "width", "label_noise"} & set(panel.unused)


def test_momentum_of_a_class_is_a_control_where_it_was_given_one() -> None:
    bare, given = own_panel(rule=torch.optim.SGD), own_panel(rule=optimizer(torch.optim.SGD, momentum=0.5))
    assert "momentum" in bare.unused and "momentum" not in given.unused and given.values["momentum"] == 0.5
    given.set(momentum=0.8)
    assert given.run().steps == 5 and given._training.settings["momentum"] == 0.8


def test_choosing_data_that_ones_network_cannot_read_is_explained_and_changes_nothing() -> None:
    panel = own_panel()
    training = panel._training
    say(panel, type="set", values={"dataset": "digits"}, seq=1)
    assert "model 'Bent' does not fit dataset 'digits'" in panel.notice["text"]
    assert panel._training is training and panel.values["dataset"] == "quadrants"


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"own": (3,)}, TypeError, "your own things may be optimizer classes .* got 3"),
        ({"rule": "Lion"}, ValueError, "unknown update rule 'Lion'"),
        ({"rule": KeepsItsRateToItself}, ValueError, "keeps no \"lr\""),
        ({"own": (Plain, optimizer(Plain, factor=2.0))}, ValueError, "two of your own things are called 'Plain'"),
        ({"model": model_from_module(lambda: nn.Linear(2, 3))}, ValueError, "model 'yours' does not fit"),
        ({"batch_size": 500}, ValueError, "batch_size must be in"),
    ],
)
def test_what_cannot_be_run_leaves_no_panel(values: dict[str, Any], kind: type[Exception], message: str) -> None:
    widgets = set(_instances)
    with pytest.raises(kind, match=message):
        own_panel(**values)
    assert set(_instances) == widgets


def test_things_named_as_the_packages_are_told_apart() -> None:
    own, values = own_things((dataset("digits", seed=3), model("mlp", depth=4)), {"rule": optimizer("adam", beta1=0.5)})
    assert list(own.dataset) == ["digits (yours)"] and list(own.model) == ["mlp (yours)"]
    assert values == {"rule": "adam (yours)", "learning_rate": 0.001}
    assert ("adam (yours)", "Adam (yours)") in settings_of_training(own)["rule"].control.options  # type: ignore[union-attr]


def test_all_controls_are_there_and_a_question_knows_whether_its_run_was_made() -> None:
    panel = TrainingPanel(controls="all", steps=4, depth=1, width=4)
    assert set(panel.values) == set(settings_of_training())
    wanted = panel.experiment
    assert panel.accuracy_of(wanted) is None
    record = panel.run()
    assert panel.accuracy_of(wanted) == pytest.approx(float(record.validation_accuracies[-1]))
    assert panel.accuracy_of(wanted.replace(steps=5)) is None
    panel.set(learning_rate=0.5)
    say(panel, type="command", name="reset", seq=1)
    panel.run()
    assert panel.accuracy_of(wanted) is None
    assert panel.accuracy_of(wanted.replace(optimizer=optimizer("gradient_descent", learning_rate=0.5))) is not None


def test_a_run_changed_midway_answers_no_question() -> None:
    panel = TrainingPanel(controls="all", steps=4, depth=1, width=4)
    panel.run(2)
    say(panel, type="set", values={"learning_rate": 0.5}, seq=1)
    say(panel, type="command", name="start", seq=2)
    assert panel.transport["state"] == "finished" and panel.accuracy_of(panel.experiment) is None
    assert panel.accuracy_of(panel._training.now) is None


def test_a_descent_panel_runs_classes_beside_rules_each_at_its_own_rate() -> None:
    land = landscape_from_function(lambda w1, w2: w1**2 + 3 * w2**2, ((-2, 2), (-2, 2)), name="mine")
    rules = ("gradient_descent", Plain, torch.optim.Adagrad)
    panel = DescentPanel(land, rules, own_rates=True, learning_rate_Plain=0.02)
    assert panel.record.labels == ("Gradient descent", "Plain", "Adagrad")
    torch.testing.assert_close(panel.record.weights[:, 0], panel.record.weights[:, 1])
    say(panel, type="set", values={"learning_rate_Adagrad": 0.5}, seq=1)
    assert panel.experiment.optimizers[2].learning_rate == 0.5
    assert torch.equal(panel.record.weights, descend(panel.experiment).weights)


def test_a_descent_panel_shares_one_rate_and_keeps_the_other_settings() -> None:
    panel = DescentPanel("quadratic", ("momentum", optimizer(Plain, factor=0.5)), learning_rate=0.04)
    assert [one.learning_rate for one in panel.experiment.optimizers] == [0.04, 0.04]
    assert panel.experiment.optimizers[1].factor == 0.5 and "momentum" in panel.values
    with pytest.raises(ValueError, match="settings_map needs a rule with two settings, 'Plain' has one"):
        DescentPanel("quadratic", (Plain,), settings_map=True)


# ---- panels that take a learner's own in one line ----------------------------------------------------------------


class Slow(torch.optim.SGD):
    """SGD under another name."""


NETWORK = model_from_module(Bent)


def _parts(panel: Panel) -> Any:
    experiment = panel.experiment
    experiment = experiment[0] if isinstance(experiment, tuple) else experiment
    return getattr(experiment, "training", experiment)


@pytest.mark.parametrize(
    ("made", "own", "hidden"),
    [
        (EpochsPanel, (QUADRANTS, NETWORK, Slow), {"label_noise", "width"}),
        (SurfacePanel, (QUADRANTS, NETWORK, Slow), {"width", "momentum"}),
        (SharpnessPanel, (QUADRANTS, NETWORK), {"label_noise", "width"}),
        (EnsemblePanel, (QUADRANTS,), set()),
    ],
)
def test_a_panel_trains_what_a_learner_brings(made: type[Any], own: tuple[Any, ...], hidden: set[str]) -> None:
    settings = {"epochs": 3} if made is EpochsPanel else {"steps": 60}
    panel = made(own=own, **settings)
    experiment = _parts(panel)
    assert experiment.dataset == QUADRANTS and hidden <= set(panel.unused)
    if NETWORK in own:
        assert experiment.model == NETWORK
    if Slow in own:
        assert experiment.optimizer.rule is Slow
        panel.set(learning_rate=0.02)
        assert _parts(panel).optimizer.learning_rate == 0.02
    if hasattr(panel, "run"):
        panel.run()
        assert panel.record is not None
    assert "import torch" in panel.program
    text = panel.text
    panel.load(text)
    bare = made(**settings)
    with pytest.raises(ValueError, match="quadrants"):
        bare.load(text)
    with pytest.raises(ValueError, match="own things"):
        panel.load(bare.text)


test_what_has_no_place_is_refused_in_words = refusals({
    "own may hold data .*, got 3": lambda: own_parts([3]),
    "own may hold data .*Slow": lambda: SharpnessPanel(own=[Slow]),
    "own may hold one dataset": lambda: own_parts([QUADRANTS, QUADRANTS]),
    "does not fit": lambda: EpochsPanel(own=[model_from_module(lambda: nn.Linear(3, 2), name="narrow"), QUADRANTS]),
})
