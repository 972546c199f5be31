"""CONTRIBUTING's recipes for toys and panels touch one file each; what they add has all that the others have."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipe_support import Copy, copy_with, recipes

KINDS = {"landscape": "booth", "rule": "lion", "schedule": "inverse_root", "panel": "HopPanel"}
# Of each: run, picture, fan, plane, branch, text there and back, its program without weightlab, a replay page.
EVERYTHING = """
import tempfile
from pathlib import Path
import torch
from all_panels import PANELS
from panel_support import say
from program_support import TOLERANCE, differences, ends_of, trained
from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.descent.run import descend, descend_all
from weightlab.networks.datasets import dataset
from weightlab.networks.models import model
from weightlab.playground.panel import TrainingPanel
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import optimizer
from weightlab.scheduling.panel import SchedulePanel
from weightlab.stage.replay import replay_html
from weightlab.texts.experiments import from_text, to_text
from weightlab.toys.panel import DescentPanel
from weightlab.training.experiment import TrainingExperiment

booth, lion = landscape("booth"), optimizer("lion", learning_rate=0.05, weight_decay=0.01)
assert torch.allclose(booth.gradient(torch.tensor([booth.minima[0]], dtype=torch.float64)), torch.zeros(1, 2).double())
runs = {
    "landscape": DescentExperiment(booth, (optimizer("momentum", learning_rate=0.01),), steps=60),
    "rule": DescentExperiment(landscape("rosenbrock"), (lion, optimizer("adam")), steps=60),
    "rule_midway": DescentExperiment(booth, (lion,), steps=40, changes=((20, (lion.replace(beta1=0.5),)),)),
    "schedule": DescentExperiment(booth, (lion,), steps=60, schedule=schedule("inverse_root", decay_time=20)),
    "network": TrainingExperiment(model("mlp", width=6), dataset("digits"), optimizer("lion"), batch_size=8, steps=15,
                                  schedule=schedule("inverse_root"), dtype="float64", validate_every=5),
}
for one in runs.values():
    assert from_text(to_text(one)) == one, to_text(one)
found = differences(runs, Path(tempfile.mkdtemp()))
assert max(found.values()) <= TOLERANCE, found

panel = DescentPanel("booth", ("momentum", "lion"), choose_landscape=True, settings_map=True, learning_rate=0.01)
fan = panel._fan("learning_rate")
position = fan.positions.index(panel.values["learning_rate"])
assert (fan.tables[position] == panel._shown.table).all()
now = panel.experiment
apart = [now.replace(optimizers=tuple(one.replace(learning_rate=rate) for one in now.optimizers))
         for rate in (0.001, 0.02)]
for place, one in enumerate(apart):
    torch.testing.assert_close(descend_all(apart).record(place).weights, descend(one).weights, rtol=0, atol=1e-9)
panel.branch(30, learning_rate=0.02)
assert from_text(panel.text) == panel.experiment and "booth" in panel.text and "lion" in panel.text
assert DescentPanel.from_text(panel.text).experiment == panel.experiment
assert panel.still().png and "Lion" in replay_html(panel) and "Booth" in replay_html(panel)
for each in (TrainingPanel(rule="lion", schedule="inverse_root", controls="all", steps=20),):
    each.run()
    assert TrainingPanel.from_text(each.text, controls="all").values["rule"] == "lion" and "Lion" in replay_html(each)
slow = SchedulePanel("inverse_root", ("lion",), decay_time=20)
assert slow.record and "inverse_root" in slow.text and slow.program

hop = PANELS["HopPanel"]()
say(hop, type="set", values={"learning_rate": 2.2}, seq=1)
assert hop.values["learning_rate"] == 2.2 and hop.reading[0]["theory"] == hop.reading[0]["measured"] == "1.2"
hop.load(PANELS["HopPanel"](curvature=2.0).text)
assert hop.values == {"learning_rate": 0.5, "curvature": 2.0} and hop.still().png and replay_html(hop)
assert hop._fan("curvature").pictures([1.0, 2.0])[0]["positions"] == [1.0, 2.0]
hop.set(curvature=1.5)
end = ends_of({"hop": hop.program}, Path(tempfile.mkdtemp()))["hop"]
assert abs(float(end) - hop.record[-1]) < 1e-6
print("all there")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_recipe_touches_one_file(kind: str, tmp_path: Path) -> None:
    assert copy_with(recipes()[kind], tmp_path).changed() == [recipes()[kind][0].file]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return copy_with([block for kind in KINDS for block in recipes()[kind]], tmp_path_factory.mktemp("copy"))


def test_what_a_recipe_adds_has_everything(copy: Copy) -> None:
    assert copy.run(EVERYTHING).split() == ["all", "there"]


def test_what_a_recipe_adds_keeps_the_contract_of_its_kind(copy: Copy) -> None:
    """The tests that walk the registries, as far as they are about the new entries."""
    names = ("booth", "lion", "inverse_root")
    told = copy.test("tests/rules", "tests/descent", "-vv", "-k", " or ".join(names))
    assert all(told.count(name) > 2 for name in names), told
