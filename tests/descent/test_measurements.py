"""What is read off runs: each measurement against a case where it is known."""

from __future__ import annotations

import pytest
import torch

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import Landscape, landscape
from weightlab.descent.measurements import largest_curvature, loss_by_direction
from weightlab.descent.record import DescentRecord
from weightlab.descent.run import descend
from weightlab.rules.update_rules import optimizer

BOWL = landscape("rotated_quadratic", condition_number=10, angle=30)
CLIFF = landscape("cliff")


def descent(land: Landscape, learning_rate: float, steps: int = 30) -> DescentRecord:
    return descend(DescentExperiment(land, (optimizer("gradient_descent", learning_rate=learning_rate),), steps=steps))


def test_the_losses_of_the_directions_add_up_to_the_loss() -> None:
    record = descent(BOWL, 0.15)
    torch.testing.assert_close(loss_by_direction(record.weights[:, 0], BOWL).sum(-1), record.losses[:, 0])


def test_the_loss_of_a_curved_valley_does_not_split() -> None:
    with pytest.raises(ValueError, match="cliff is no quadratic.*choose a quadratic"):
        loss_by_direction(descent(CLIFF, 0.01).weights[:, 0], CLIFF)


def test_a_quadratic_has_the_same_curvature_all_along_the_path() -> None:
    curvature = largest_curvature(descent(BOWL, 0.15), BOWL, 0)
    torch.testing.assert_close(curvature, torch.full((31,), 10.0, dtype=torch.float64))


def test_curvature_at_the_foot_of_the_cliff_is_that_of_its_hessian() -> None:
    curvature = largest_curvature(descent(CLIFF, 0.01), CLIFF, 0)
    start = torch.linalg.eigvalsh(CLIFF.hessian(torch.tensor(CLIFF.start, dtype=torch.float64)))
    assert curvature[0] == pytest.approx(float(start[-1]))
    assert curvature[-1] > 1000 * curvature[0]


def test_curvature_is_nan_from_the_divergence_on() -> None:
    record = descent(CLIFF, 0.1)
    curvature = largest_curvature(record, CLIFF, 0)
    gone = int(record.diverged_at[0])
    assert gone > 0 and not curvature[:gone].isnan().any()
    assert curvature[gone + 1 :].isnan().all()
