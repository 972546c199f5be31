"""The (learning rate, momentum) plane as a view: thousands of measured runs, under theory's lines where it has any.

On a quadratic with rules that theory covers the plane shows the rate that the whole run shares. Anywhere else, and for
any rule with a second setting, it shows how low the runs end.
"""

from __future__ import annotations

import numpy as np
import torch

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import Landscape
from weightlab.descent.measurements import RateMap, height_map, rate_map
from weightlab.pictures.contours import map_backdrop
from weightlab.pictures.picture import Axis, Reference, View
from weightlab.rules.update_rules import UPDATE_RULES
from weightlab.theory import quadratic as theory

COLUMNS, ROWS = 121, 100  # 12,100 runs
LARGEST = 0.99  # of the second setting


class SettingsMap:
    """Measures the plane of one rule when what it stands for has changed, and gives the view and the lines over it."""

    def __init__(self, rule: str) -> None:
        entry = UPDATE_RULES.get(rule)
        if entry is None or entry.second is None:
            having = ", ".join(name for name, one in UPDATE_RULES.items() if one.second)
            raise ValueError(f"settings_map needs a rule with two settings, {rule!r} has one; choose from {having}")
        self.rule, self.entry = rule, entry
        self.setting, self.symbol = entry.second
        self._measured_for: object = None
        self._view: View | None = None
        self.measured: RateMap | None = None

    def shows_rates(self, landscape: Landscape) -> bool:
        """Whether one rate tells how a whole run goes, and theory has lines for it."""
        quadratic = landscape.eigenvalues is not None and landscape.eigenvalues[0] > 0
        return quadratic and not landscape.gradient_noise and self.entry.theory is not None

    def view(self, experiment: DescentExperiment, cell: tuple[int, int, int, int]) -> View:
        """The map as a pad that sets the learning rate and the second setting."""
        landscape = experiment.landscape
        rates = self.shows_rates(landscape)
        wanted = landscape if rates else (landscape, experiment.start, experiment.steps, experiment.seed)
        if self._view is None or wanted != self._measured_for:
            self._view = self._rate_view(landscape, cell) if rates else self._height_view(experiment, cell)
            self._measured_for = wanted
        return self._view

    def _rate_view(self, landscape: Landscape, cell: tuple[int, int, int, int]) -> View:
        assert landscape.eigenvalues is not None
        right = 4.2 / landscape.eigenvalues[1]  # the heavy ball's largest limit is 4/λ
        rates = torch.linspace(right / COLUMNS, right, COLUMNS, dtype=torch.float64)
        self.measured = rate_map(landscape, self.rule, rates, _second_values())
        shown = self.measured.rates.clone()
        shown[~torch.isfinite(shown) | (shown >= 1)] = torch.nan
        measured = shown[~torch.isnan(shown)]
        fastest = float(measured.quantile(0.002)) if len(measured) else 0.0  # a lone outlier must not set the scale
        backdrop = map_backdrop(shown.numpy(), low=min(fastest, 0.99), high=1.0, reverse=True)
        return View(
            "settings",
            "Measured rate (bright: fast)",
            Axis("learning rate η", limits=(0.0, right)),
            Axis(self.symbol, limits=(0.0, LARGEST)),
            cell,
            backdrop,
            pad=("learning_rate", self.setting),
        )

    def _height_view(self, experiment: DescentExperiment, cell: tuple[int, int, int, int]) -> View:
        slowest, fastest = self.entry.rates
        rates = torch.logspace(np.log10(slowest), np.log10(fastest), COLUMNS, dtype=torch.float64)
        self.measured = None
        heights = height_map(experiment, self.rule, rates, self.setting, _second_values())
        shown = heights.clamp(min=1e-12).log10() if experiment.landscape.minimum_loss is not None else heights
        found = shown[torch.isfinite(shown)]
        low, high = (float(found.quantile(share)) for share in (0.002, 0.98)) if len(found) else (0.0, 1.0)
        backdrop = map_backdrop(shown.numpy(), low=low, high=max(high, low + 1e-9), reverse=True)
        return View(
            "settings",
            f"Loss after {experiment.steps} steps (bright: low)",
            Axis("learning rate η", "log", limits=(slowest, fastest)),
            Axis(self.symbol, limits=(0.0, LARGEST)),
            cell,
            backdrop,
            pad=("learning_rate", self.setting),
        )

    def references(self, landscape: Landscape) -> tuple[Reference, ...]:
        """Theory's limit, its line of critical damping, and its best point; nothing where theory is silent."""
        form = self.entry.theory
        if not self.shows_rates(landscape) or landscape.eigenvalues is None or form is None:
            return ()
        low, high = landscape.eigenvalues
        momenta = torch.linspace(0.0, LARGEST, 100, dtype=torch.float64)
        limit = torch.as_tensor(theory.learning_rate_limit(form, momenta, high))
        lines = [Reference("settings", "line", "theory: limits", _points(limit, momenta), "diverges beyond")]
        best = theory.best_settings(form, low, high)
        if best is not None and theory.RECURRENCES[form].kind == "heavy_ball":
            for eigenvalue, words in ((low, f"λ = {low:.3g} critical"), (high, "")):
                shares = torch.linspace(0.0, 1.0, 100, dtype=torch.float64).square()  # the curve is steep at the left
                rates = min(4.2 / high, 1 / eigenvalue) * shares
                critical = torch.as_tensor(theory.critical_momentum(rates, eigenvalue))
                lines.append(Reference("settings", "line", "theory: limits", _points(rates, critical), words))
        if best is not None:
            lines.append(Reference("settings", "points", "theory: best", np.array([best])))
        return tuple(lines)


def _second_values() -> torch.Tensor:
    return torch.linspace(0.0, LARGEST, ROWS, dtype=torch.float64)


def _points(x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    return torch.stack([x, y], dim=1).numpy()
