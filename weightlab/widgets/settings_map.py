"""The (learning rate, momentum) plane as a view: the measured rate of thousands of runs under theory's lines."""

from __future__ import annotations

import numpy as np
import torch

from weightlab import theory
from weightlab.landscapes import Landscape
from weightlab.measurements import RateMap, rate_map
from weightlab.pictures import Axis, Reference, View
from weightlab.plots import map_backdrop

COLUMNS, ROWS = 121, 100  # 12,100 runs
LARGEST_MOMENTUM = 0.99


class SettingsMap:
    """Measures the plane once for each landscape, and gives the view and the lines drawn over it.

    Quadratics only: elsewhere there is no rate that the whole run shares.
    """

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self._landscape: Landscape | None = None
        self._view: View | None = None
        self.measured: RateMap | None = None

    def view(self, landscape: Landscape, cell: tuple[int, int, int, int]) -> View:
        """The map as a pad that sets learning rate and momentum."""
        if self._view is None or landscape != self._landscape:
            assert landscape.eigenvalues is not None
            right = 4.2 / landscape.eigenvalues[1]  # the heavy ball's largest limit is 4/λ
            rates = torch.linspace(right / COLUMNS, right, COLUMNS, dtype=torch.float64)
            momenta = torch.linspace(0.0, LARGEST_MOMENTUM, ROWS, dtype=torch.float64)
            self.measured = rate_map(landscape, self.rule, rates, momenta)
            self._landscape = landscape
            shown = self.measured.rates.clone()
            shown[~torch.isfinite(shown) | (shown >= 1)] = torch.nan
            measured = shown[~torch.isnan(shown)]
            fastest = float(measured.quantile(0.002)) if len(measured) else 0.0  # a lone outlier must not set the scale
            self._view = View(
                "settings",
                "Measured rate (bright: fast)",
                Axis("learning rate η", limits=(0.0, right)),
                Axis("momentum μ", limits=(0.0, LARGEST_MOMENTUM)),
                cell,
                map_backdrop(shown.numpy(), low=min(fastest, 0.99), high=1.0, reverse=True),
                pad=("learning_rate", "momentum"),
            )
        return self._view

    def references(self) -> tuple[Reference, ...]:
        """Theory's limit, its line of critical damping, and its best point."""
        assert self._landscape is not None and self._landscape.eigenvalues is not None
        low, high = self._landscape.eigenvalues
        momenta = torch.linspace(0.0, LARGEST_MOMENTUM, 100, dtype=torch.float64)
        limit = torch.as_tensor(theory.learning_rate_limit(self.rule, momenta, high))
        lines = [Reference("settings", "line", "theory: limits", _points(limit, momenta), "diverges beyond")]
        if self.rule in {"momentum", "classical_momentum", "sutskever_momentum"}:
            for eigenvalue, words in ((low, f"λ = {low:.3g} critical"), (high, "")):
                shares = torch.linspace(0.0, 1.0, 100, dtype=torch.float64).square()  # the curve is steep at the left
                rates = min(4.2 / high, 1 / eigenvalue) * shares
                critical = torch.as_tensor(theory.critical_momentum(rates, eigenvalue))
                lines.append(Reference("settings", "line", "theory: limits", _points(rates, critical), words))
            rate, momentum, _ = theory.best_heavy_ball(low, high)
        elif self.rule in {"nesterov", "sutskever_nesterov"}:
            rate, momentum, _ = theory.best_nesterov(low, high)
        else:
            return tuple(lines)
        best = Reference("settings", "points", "theory: best", np.array([[rate, momentum]]))
        return (*lines, best)


def _points(x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    return torch.stack([x, y], dim=1).numpy()
