"""What can be set on a descent panel: each setting's control, its lens on the experiment, and where it begins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weightlab.descent.experiment import MAX_DESCENT_STEPS, DescentExperiment
from weightlab.descent.landscapes import LANDSCAPES, landscape
from weightlab.rules.update_rules import OptimizerSettings
from weightlab.stage.controls import Choice, Slider, Toggle, linear, logarithmic
from weightlab.stage.lenses import Lens, Setting, Values, field, view
from weightlab.validate import whole_number

START = ("start_x", "start_y")
MOST_STEPS = 10_000  # some seconds with every view
LEARNING_RATES = logarithmic(1e-4, 10.0, 101)
MOMENTA = (*linear(0.0, 0.9, 46), *linear(0.905, 0.99, 18), 0.995, 0.999)
_POSITIONS: Mapping[str, tuple[float, ...]] = {
    "condition_number": logarithmic(1.0, 1000.0, 61),
    "angle": linear(0.0, 90.0, 46),
    "noise": linear(0.0, 5.0, 51),
}


def newest(experiment: DescentExperiment) -> tuple[OptimizerSettings, ...]:
    """The settings that hold at the end, after all that changes midway: those that the controls show and set."""
    return experiment.optimizers_at(MAX_DESCENT_STEPS)


def _turned(experiment: DescentExperiment, optimizers: tuple[OptimizerSettings, ...]) -> DescentExperiment:
    if not experiment.changes:
        return experiment.replace(optimizers=optimizers)
    *before, (since, _) = experiment.changes
    return experiment.replace(changes=(*before, (since, optimizers)))


def optimizer_lens(name: str, learners: Sequence[int]) -> Lens:
    """A setting that some of the experiment's optimizers share."""

    def put(experiment: DescentExperiment, value: Any, values: Values) -> DescentExperiment:
        now = newest(experiment)
        return _turned(
            experiment, tuple(one.replace(**{name: value}) if i in learners else one for i, one in enumerate(now))
        )

    return Lens(lambda experiment: newest(experiment)[learners[-1]].settings.get(name), put)


def _put_landscape(experiment: DescentExperiment, name: str, values: Values) -> DescentExperiment:
    settings = {setting: values[setting] for setting in LANDSCAPES[name].settings if setting in values}
    return experiment.replace(landscape=landscape(name, **settings), start=None)


def _landscape_lens(setting: str) -> Lens:
    def put(experiment: DescentExperiment, value: Any, values: Values) -> DescentExperiment:
        land = experiment.landscape
        if setting not in land.settings:
            return experiment
        return experiment.replace(landscape=landscape(land.name, **{**land.settings, setting: value}))

    return Lens(lambda experiment: experiment.landscape.settings.get(setting), put)


def _start_lens(axis: int) -> Lens:
    def put(experiment: DescentExperiment, value: Any, values: Values) -> DescentExperiment:
        start = list(experiment.start or experiment.landscape.start)
        start[axis] = value
        return experiment.replace(start=tuple(start))

    return Lens(lambda experiment: experiment.start[axis], put)


def _spread(default: float, low: float, high: float) -> tuple[float, ...]:
    """Positions for a setting of a landscape: whole numbers where its default is one."""
    if not isinstance(default, int):
        return linear(low, high, 51)
    return tuple(range(int(low), int(high) + 1, max(1, int(high - low) // 50)))


def descent_settings(
    beginning: DescentExperiment,
    *,
    choose_landscape: bool,
    keeps_momentum: Sequence[bool],
    own_rates: bool,
    second: tuple[str, str] | None,
    loss_scale: float | None,
    arrows: bool | None,
) -> list[Setting]:
    """The settings in the order of the panel, see DescentPanel.

    keeps_momentum: for each rule whether its momentum is as given, and no control's. second: the setting beside the
    learning rate on the plane of the last rule, and its symbol.
    """
    land, rules = beginning.landscape, beginning.optimizers
    shown = list(LANDSCAPES) if choose_landscape else [land.name] if land.source is None else []
    found = []
    if choose_landscape:
        menu = Choice("landscape", "Landscape", tuple((name, LANDSCAPES[name].label) for name in shown))
        found.append(Setting(menu, Lens(lambda experiment: experiment.landscape.name, _put_landscape), land.name))
    found += _rates(rules, own_rates, [isinstance(one.rule, str) and not kept for one, kept in
                                       zip(rules, keeps_momentum, strict=True)])  # fmt: skip
    carriers = [
        i for i, one in enumerate(rules)
        if one.entry is not None and "momentum" in one.entry.sliders and not keeps_momentum[i]
    ]  # fmt: skip
    if carriers:
        momentum = Slider("momentum", "Momentum μ", MOMENTA, "share of the last velocity that is kept")
        found.append(Setting(momentum, optimizer_lens("momentum", carriers), 0.9))
    if second is not None and not any(one.name == second[0] for one in found):
        label = f"{rules[-1].label}'s {second[1]}"
        slider = Slider(second[0], label, MOMENTA, "how much of the past an average keeps")
        found.append(Setting(slider, optimizer_lens(second[0], [len(rules) - 1]), 0.9))
    found += _of_landscapes([name for name in shown if name in LANDSCAPES], land.settings)
    if loss_scale is not None:
        scale = Slider("loss_scale", "Loss times", logarithmic(1e-3, 1e3, 25), "multiplies every gradient")
        found.append(Setting(scale, field("loss_scale"), loss_scale))
    steps = Slider("steps", "Steps", (*range(10, 100, 10), *range(100, 1001, 25)))
    found.append(Setting(steps, field("steps", _checked_steps), 100))
    for axis, (name, (low, high)) in enumerate(zip(START, land.bounds, strict=True)):
        place = Slider(name, f"Start w{'₁₂'[axis]}", linear(low, high, 81), "or click on the landscape")
        found.append(Setting(place, _start_lens(axis), land.start[axis]))
    if arrows is not None:
        toggle = Toggle("arrows", "Show arrows: gradient step, carried velocity, their sum")
        found.append(Setting(toggle, view(), arrows))
    return found


def _rates(rules: Sequence[OptimizerSettings], own_rates: bool, usual: Sequence[bool]) -> Iterator[Setting]:
    words = "size of each step"
    if not own_rates:
        every = range(len(rules))
        one = Slider("learning_rate", "Learning rate η", LEARNING_RATES, words)
        yield Setting(one, optimizer_lens("learning_rate", every), 0.02)
        return
    for i, rule in enumerate(rules):
        label = f"η of {rule.label if usual[i] else rule.name}"
        one = Slider(f"learning_rate_{rule.name}", label, LEARNING_RATES, words)
        yield Setting(one, optimizer_lens("learning_rate", [i]), 0.02 if usual[i] else rule.learning_rate)


def _of_landscapes(names: Sequence[str], given: Mapping[str, float]) -> Iterator[Setting]:
    entries = {setting: LANDSCAPES[name] for name in reversed(names) for setting in LANDSCAPES[name].settings}
    for setting in dict.fromkeys(setting for name in names for setting in LANDSCAPES[name].settings):
        default, low, high = entries[setting].settings[setting]
        positions = tuple(p for p in _POSITIONS.get(setting, _spread(default, low, high)) if low <= p <= high)
        slider = Slider(setting, setting.replace("_", " ").capitalize(), positions)
        yield Setting(slider, _landscape_lens(setting), given.get(setting, default))


def _checked_steps(value: Any) -> int:
    return whole_number("steps", value, 1, MOST_STEPS, why="longer runs are for weightlab.descent.run.descend")
