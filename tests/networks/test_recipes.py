"""CONTRIBUTING's recipes add an entry in one file, and it has everything: run, text, program, panels, replay page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recipe_support import Copy, copy_with, recipes

# kind -> name of the new entry, and what to give `experiment` below
RECIPES = {
    "initializer": ("truncated_normal", "start=initialization('truncated_normal', std=0.2)"),
    "dataset": ("checkerboard", "data=dataset('checkerboard', squares=3, samples=90)"),
    "activation": ("softplus", "network=model('mlp', width=6, activation='softplus')"),
    "loss": ("smoothed", "loss='smoothed'"),
    "model": ("wide_and_deep", "network=model('wide_and_deep', width=6)"),
}
# Of each: a run, its text there and back, its program without weightlab, panels that offer it, a replay page.
EVERYTHING = """
import json, sys, tempfile
from pathlib import Path
from program_support import TOLERANCE, differences, trained
from weightlab.networks.datasets import dataset
from weightlab.networks.initializers import initialization
from weightlab.networks.models import model
from weightlab.playground.panel import TrainingPanel
from weightlab.rules.update_rules import optimizer
from weightlab.signals.panel import SignalPanel
from weightlab.stage.replay import replay_html
from weightlab.texts.experiments import from_text, to_text
from weightlab.training.experiment import TrainingExperiment

def experiment(network=None, data=None, start=None, loss="cross_entropy"):
    return TrainingExperiment(
        network or model("mlp", width=6), data or dataset("digits"), optimizer("adam", learning_rate=0.01),
        start or initialization("he_normal"), loss=loss, batch_size=8, steps=15, dtype="float64", validate_every=5,
    )

def shown(panel, kind, name):
    label = dict(panel._controls[kind].options)[name]
    assert panel.values[kind] == name and label in replay_html(panel)
    panel.close()

experiments = {}
for kind, (name, arguments) in json.loads(sys.argv[1]).items():
    one = experiments[kind] = eval(f"experiment({arguments})")
    assert bool(trained(one).isfinite().all())
    assert from_text(to_text(one)) == one and name in to_text(one), to_text(one)
    panel = TrainingPanel(controls="all", steps=20, **{kind: name})
    panel.run()
    assert TrainingPanel.from_text(panel.text, controls="all").values[kind] == name
    shown(panel, kind, name)
    if kind in ("initializer", "activation"):
        shown(SignalPanel(**{kind: name}), kind, name)
    print(name)
found = differences(experiments, Path(tempfile.mkdtemp()))
assert max(found.values()) <= TOLERANCE, found
"""


@pytest.mark.parametrize("kind", RECIPES)
def test_a_recipe_touches_one_file(kind: str, tmp_path: Path) -> None:
    assert copy_with(recipes()[kind], tmp_path).changed() == [recipes()[kind][0].file]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """With what all five recipes add, each in its file, so that two processes see to all."""
    return copy_with([block for kind in RECIPES for block in recipes()[kind]], tmp_path_factory.mktemp("copy"))


def test_what_a_recipe_adds_has_everything(copy: Copy) -> None:
    assert copy.run(EVERYTHING, json.dumps(RECIPES)).split() == [name for name, _ in RECIPES.values()]


def test_what_a_recipe_adds_keeps_the_contract_of_its_kind(copy: Copy) -> None:
    """The tests that walk the registries, as far as they are about the new entries."""
    names = [name for name, _ in RECIPES.values()]
    told = copy.test("tests/networks", "--ignore", __file__, "-vv", "-k", " or ".join(names))
    assert all(told.count(name) > 2 for name in names), told


def test_every_recipe_of_these_registries_is_carried_out() -> None:
    files = {kind: blocks[0].file for kind, blocks in recipes().items()}
    assert {kind for kind, file in files.items() if file.startswith("weightlab/networks/")} == RECIPES.keys()


def test_a_recipe_whose_place_is_gone_is_noticed() -> None:
    (block,) = recipes()["loss"]
    with pytest.raises(AssertionError, match=r"has 0 lines that begin with 'LOSSES = registry\('"):
        block.put_into("LOSSES = ()")
