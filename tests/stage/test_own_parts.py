"""A learner's own data, network and optimizer in the panels that train, one line each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from weightlab.ensembles.panel import EnsemblePanel
from weightlab.networks.datasets import dataset_from_tensors
from weightlab.networks.own_model import model_from_module
from weightlab.stage.own import own_parts
from weightlab.stage.panel import Panel
from weightlab.stopping.panel import EpochsPanel
from weightlab.surfaces.panel import SurfacePanel
from weightlab.surfaces.sharpness_panel import SharpnessPanel

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")
POINTS = torch.randn(240, 2, generator=torch.Generator().manual_seed(1))
DATA = dataset_from_tensors(POINTS, (POINTS[:, 0] * POINTS[:, 1] > 0).long(), name="quadrants")


class Bent(nn.Module):
    """A network of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(2, 7), nn.Linear(7, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.outer(torch.sin(self.inner(x)))
        return logits


class Slow(torch.optim.SGD):
    """An optimizer of one's own: SGD under another name."""


NETWORK = model_from_module(Bent)


def _parts(panel: Panel) -> Any:
    experiment = panel.experiment
    experiment = experiment[0] if isinstance(experiment, tuple) else experiment
    return getattr(experiment, "training", experiment)


@pytest.mark.parametrize(
    ("made", "own", "hidden"),
    [
        (EpochsPanel, (DATA, NETWORK, Slow), {"label_noise", "width"}),
        (SurfacePanel, (DATA, NETWORK, Slow), {"width", "momentum"}),
        (SharpnessPanel, (DATA, NETWORK), {"label_noise", "width"}),
        (EnsemblePanel, (DATA,), set()),
    ],
)
def test_a_panel_trains_what_a_learner_brings(made: type[Any], own: tuple[Any, ...], hidden: set[str]) -> None:
    settings = {"epochs": 3} if made is EpochsPanel else {"steps": 60}
    panel = made(own=own, **settings)
    experiment = _parts(panel)
    assert experiment.dataset == DATA and hidden <= set(panel.unused)
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
    panel.close()
    bare.close()


def test_what_has_no_place_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match="own may hold data .*, got 3"):
        own_parts([3])
    with pytest.raises(TypeError, match="own may hold data .*Slow"):
        SharpnessPanel(own=[Slow])
    with pytest.raises(ValueError, match="own may hold one dataset"):
        own_parts([DATA, DATA])
    with pytest.raises(ValueError, match="does not fit"):
        EpochsPanel(own=[model_from_module(lambda: nn.Linear(3, 2), name="narrow"), DATA])
