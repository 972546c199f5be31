"""State texts: every experiment comes back as it was, links carry it, and a damaged text says where."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from state_strategies import VALID, Plain, descents, trainings
from torch import nn
from training_support import data, small

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import LANDSCAPES, Landscape, landscape, landscape_from_function
from weightlab.networks.datasets import dataset, dataset_from_tensors
from weightlab.networks.models import model
from weightlab.networks.own_model import model_from_module
from weightlab.rules.update_rules import UPDATE_RULES, optimizer
from weightlab.texts.experiments import from_text, panel_text, panel_values, to_text
from weightlab.texts.words import SAFE, write_value
from weightlab.toys.panel import DescentPanel
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.groups import ParameterGroup


@settings(max_examples=150, deadline=None)
@given(descents())
def test_every_descent_comes_back_from_its_text(experiment: DescentExperiment) -> None:
    text = to_text(experiment)
    back = from_text(text, own=(Plain,))
    assert back == experiment
    assert repr(back) == repr(experiment)  # 1, 1.0 and True are equal, but not the same
    assert quote(text, safe=SAFE) == text


@settings(max_examples=80, deadline=None)
@given(trainings())
def test_every_training_comes_back_from_its_text(experiment: TrainingExperiment) -> None:
    text = to_text(experiment)
    back = from_text(text, own=(Plain,))
    assert back == experiment
    assert repr(back) == repr(experiment)
    assert quote(text, safe=SAFE) == text
    assert isinstance(back, TrainingExperiment)
    torch.testing.assert_close(back.dataset.x_train, experiment.dataset.x_train, rtol=0, atol=0)
    torch.testing.assert_close(back.dataset.y_train, experiment.dataset.y_train, rtol=0, atol=0)


def test_a_network_that_reads_pictures_comes_back() -> None:
    experiment = small(model=model("cnn", depth=3), dataset=dataset("digits", seed=2, label_noise=0.1))
    assert from_text(to_text(experiment)) == experiment


def test_only_what_differs_from_the_defaults_is_written() -> None:
    plain = DescentExperiment(landscape("rotated_quadratic"), (optimizer("momentum"),))
    assert to_text(plain) == "weightlab1/descent/rotated_quadratic/momentum"
    three = tuple(optimizer(rule, learning_rate=0.02) for rule in ("gradient_descent", "momentum", "adam"))
    steep = plain.replace(landscape=landscape("rotated_quadratic", condition_number=50), optimizers=three, steps=400)
    rules = "gradient_descent/momentum/adam/each,lr=0.02"
    assert to_text(steep) == f"weightlab1/descent/rotated_quadratic,kappa=50/{rules}/steps=400"
    training = TrainingExperiment(model("mlp", depth=8), data("moons"), optimizer("adam", learning_rate=1e-5))
    assert to_text(training) == "weightlab1/training/mlp,depth=8/moons/adam,lr=1e-05"


def test_groups_and_the_rule_for_the_rest_read_plainly() -> None:
    chosen = optimizer("muon", learning_rate=0.02, rest=optimizer("adamw", learning_rate=0.003))
    groups = (
        ParameterGroup("biases", weight_decay=0.0),
        ParameterGroup("hidden", rate_factor=0.1),
        ParameterGroup("layer 1"),
        ParameterGroup("first", frozen=True),
    )
    experiment = TrainingExperiment(model("mlp"), data(), chosen, groups=groups[:2] + groups[3:], steps=40)
    assert to_text(experiment) == (
        "weightlab1/training/mlp/digits/muon,lr=0.02/rest=adamw,lr=0.003"
        "/group=biases,decay=0/group=hidden,rate=0.1/group=first,frozen/steps=40"
    )
    named = experiment.replace(groups=groups[2:3], optimizer=optimizer("muon"))
    assert to_text(named) == "weightlab1/training/mlp/digits/muon/group=layer~201/steps=40"
    for one in (experiment, named):
        assert from_text(to_text(one)) == one


def test_a_class_of_ones_own_for_the_rest_is_found_by_its_name() -> None:
    chosen = optimizer("muon", rest=optimizer(Plain, factor=2.0))
    experiment = small(optimizer=chosen)
    assert "/muon/rest=own:Plain,factor=2.0,lr=0.01/" in to_text(experiment)
    assert from_text(to_text(experiment), own=(Plain,)) == from_text(to_text(experiment), own=(chosen,)) == experiment
    with pytest.raises(ValueError, match="part 'rest=own:Plain,.*your own optimizer class 'Plain' is named there"):
        from_text(to_text(experiment))


def test_the_long_names_of_settings_are_read_too() -> None:
    long = "weightlab1/descent/quadratic,condition_number=7/momentum,learning_rate=0.02"
    assert to_text(from_text(long)) == "weightlab1/descent/quadratic,kappa=7/momentum,lr=0.02"


def longest(panel: DescentPanel) -> dict[str, Any]:
    """For every slider the position that is longest in a text."""
    return {
        control["name"]: max(control["positions"], key=lambda place: len(write_value("", float(place), short=True)))
        for control in panel.controls
        if control["kind"] == "slider"
    }


@pytest.mark.parametrize("name", LANDSCAPES)
def test_what_sliders_of_a_descent_panel_reach_with_three_rules_takes_at_most_200_characters(name: str) -> None:
    rules = sorted(UPDATE_RULES, key=len)[-3:]
    first = DescentPanel(name, rules, loss_scale=1.0)
    values = longest(first)
    panel = DescentPanel(name, rules, loss_scale=values.pop("loss_scale"), **values)
    assert panel.experiment is not None
    text = to_text(panel.experiment)
    assert len(text) <= 200, text
    assert from_text(text) == panel.experiment
    first.close()
    panel.close()


def test_a_text_survives_blanks_around_it_and_a_link_that_percent_encodes_it() -> None:
    for text in VALID[:3]:
        assert from_text(f"  {text}\n") == from_text(quote(text, safe="")) == from_text(text)
    assert panel_values(quote(VALID[4], safe=""), "epochs") == panel_values(f"{VALID[4]} ", "epochs")


# Things of the learner's own


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x)
        return out


def bowl(name: str = "bowl") -> Landscape:
    def function(w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
        return w1**2 + w2**2

    return landscape_from_function(function, ((-2, 2), (-2, 2)), name=name)


def points(scale: float = 1.0) -> Any:
    x = torch.linspace(-1, 1, 40, dtype=torch.float64).reshape(20, 2) * scale
    return dataset_from_tensors(x, torch.arange(20) % 2, name="my points")


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_a_thing_of_ones_own_may_be_called_anything(name: str) -> None:
    own = bowl(name)
    text = to_text(DescentExperiment(own, (optimizer("adam"),)))
    assert quote(text, safe=SAFE) == text
    back = from_text(text, own=(own,))
    assert isinstance(back, DescentExperiment) and back.landscape is own


def test_a_name_that_is_markup_is_written_as_plain_characters() -> None:
    own = bowl("<img src=x onerror=alert(1)> a/b é")
    experiment = DescentExperiment(own, (optimizer("adam"),))
    assert "own:~3Cimg~20src~3Dx~20onerror~3Dalert~281~29~3E~20a~2Fb~20~C3~A9/adam" in to_text(experiment)
    assert from_text(to_text(experiment), own=[own]) == experiment


def test_a_landscape_without_a_name_goes_by_its_functions() -> None:
    def valley(w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
        return w1**2 + w2**4

    named, unnamed = (landscape_from_function(one, ((-2, 2), (-2, 2))) for one in (valley, lambda w1, w2: w1**2 + w2))
    for own, part in ((named, "/own:valley/"), (unnamed, "/own:yours/")):
        experiment = DescentExperiment(own, (optimizer("adam"),))
        assert part in to_text(experiment)
        assert from_text(to_text(experiment), own=(named, unnamed)) == experiment


def test_all_kinds_of_own_things_are_found_by_their_names() -> None:
    own_model, own_data = model_from_module(Net), points()
    experiment = TrainingExperiment(own_model, own_data, optimizer(Plain, factor=2.0), batch_size=4, steps=10)
    text = to_text(experiment)
    assert from_text(text, own=(bowl(), Plain, own_data, own_model)) == experiment
    assert from_text(text, own=(optimizer(Plain), own_data, own_model)) == experiment
    lacking = {"Net": (Plain, own_data), "Plain": (own_model, own_data), "my points": (own_model, Plain)}
    for name, kept in lacking.items():
        with pytest.raises(ValueError, match=rf"{name!r} is named there, .* from_text\(text, own=\(…,\)\)"):
            from_text(text, own=kept)


def test_other_data_under_the_same_name_do_not_pass_for_the_learners_own() -> None:
    text = to_text(TrainingExperiment(model("mlp"), points(), optimizer("adam"), batch_size=4))
    with pytest.raises(ValueError, match="'my points' are other data: fingerprint is"):
        from_text(text, own=(points(2.0),))


def test_own_things_that_cannot_be_told_apart_or_are_none_are_refused() -> None:
    text = to_text(DescentExperiment(bowl(), (optimizer("adam"),)))
    with pytest.raises(ValueError, match="'bowl' is there twice"):
        from_text(text, own=(bowl(), bowl()))
    with pytest.raises(TypeError, match="own things may be landscapes, .* got 3"):
        from_text(text, own=(3,))
    with pytest.raises(TypeError, match="own must be a tuple"):
        from_text(text, own=bowl())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'bowl' is named there, .*; of that kind you gave 'hill'"):
        from_text(text, own=(bowl("hill"),))


def test_a_landscape_changed_by_hand_does_not_pass_for_the_packages() -> None:
    moved = Landscape("quadratic", "", landscape("quadratic").loss, ((-1.0, 1.0), (-1.0, 1.0)), (0.5, 0.5))
    experiment = DescentExperiment(moved, (optimizer("adam"),))
    assert to_text(experiment) == "weightlab1/descent/own:quadratic/adam/start=0.5,0.5"
    assert from_text(to_text(experiment), own=(moved,)) == experiment


def test_classes_of_pytorch_come_back_with_settings_of_every_type() -> None:
    chosen = (
        optimizer(torch.optim.Adam, betas=(0.5, 0.9), amsgrad=True),
        optimizer(torch.optim.LBFGS, max_iter=3, line_search_fn="strong_wolfe", max_eval=None),
        optimizer(torch.optim.Adafactor, eps=(None, 1e-3)),
    )
    experiment = DescentExperiment(landscape("beale"), chosen)
    text = to_text(experiment)
    assert "torch.Adam,amsgrad=true,betas=0.5:0.9,lr=0.001/" in text
    assert repr(from_text(text)) == repr(experiment)


# Panels


VALUES = st.one_of(
    st.booleans(), st.none(), st.integers(-(10**19), 10**19), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12), st.sampled_from(("1", "1.0", "1e5", "true", "None", "", "~", "-", "1e999", "12e45678")),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.text(min_size=1, max_size=8), st.dictionaries(st.text(min_size=1, max_size=8), VALUES, max_size=6))
def test_a_panels_values_come_back_with_their_types(kind: str, values: dict[str, Any]) -> None:
    text = panel_text(kind, values)
    assert quote(text, safe=SAFE) == text
    assert repr(panel_values(text, kind)) == repr(values)


def test_a_panels_text_reads_plainly() -> None:
    values: dict[str, Any] = {"width": 64, "noise": 0.4, "whole": 1.0, "stop": True, "rule": "adam", "digit": "1"}
    text = "weightlab1/panel/epochs/width=64,noise=0.4,whole=1.0,stop=true,rule=adam,digit=~31"
    assert panel_text("epochs", values) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weightlab1/panel/signal/width=3", "of a panel 'signal', this one is 'epochs'"),
        ("weightlab1/descent/quadratic/adam", "is a descent experiment, this panel's own begins with panel/epochs"),
        ("weightlab1/panel/epochs/width=3/depth=2", "ends with its settings, but 'depth=2' follows"),
        ("weightlab1/panel/epochs/width", "part 'width' of the text: 'width' is no setting"),
        ("weightlab2/panel/epochs/width=3", "of version 2"),
    ],
)
def test_a_panel_refuses_a_text_that_is_not_its_own(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        panel_values(text, "epochs")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**30, [1], ((1,),), {}])
def test_a_value_that_no_text_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="width is .*, which no text can hold: use a finite number"):
        panel_text("epochs", {"width": value})
