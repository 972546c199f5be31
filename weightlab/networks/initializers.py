"""How weights are drawn before the first step: each way one entry of INITIALIZERS, with variance and call in a program.

Where `torch.nn.init` has the initializer, it is called. `initialization("he_normal")` makes frozen settings;
`.apply(model, activation, generator)` fills a model (or one weight) in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from weightlab.networks.activations import Activation
from weightlab.program_text import literal
from weightlab.validate import choose, number, registry

FAN_MODES = ("fan_in", "fan_out")
GAIN_NAMES = ("auto", "activation")
Settings = Mapping[str, Any]
Range = tuple[Any, ...]  # default, lowest, highest; or the words to choose from, the default first
Fill = Callable[[Tensor, float, torch.Generator | None, Settings], object]
Call = Callable[[Settings, str], tuple[str, ...]]


def fans(weight: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight as PyTorch counts them: (out, in, *kernel) -> (in*kernel, out*kernel)."""
    kernel = math.prod(weight.shape[2:])
    return weight.shape[1] * kernel, weight.shape[0] * kernel


def _matrix_sides(weight: Tensor) -> tuple[int, int]:
    # orthogonal_ flattens a kernel into columns, so a convolution's rows are its output channels alone
    return weight[0].numel(), weight.shape[0]


@dataclass(frozen=True)
class Initializer:
    """One way to draw weights.

    fill(weight, gain, generator, settings) works in place; variance(fan_in, fan_out, gain, settings) is the variance
    predicted for one weight about the mean `mean(settings)`. With `scaled` the weights are multiplied by the gain
    afterwards, in a run and in a program. `gain_from` says what gain="auto" means: "activation" (He: the activation's),
    "one" (Xavier, orthogonal: 1, PyTorch's default) or "none" (a gain plays no part). Biases are U(-b, b) with
    b = bias_bound(fan_in): zero but for PyTorch's default.

    call:       (settings, gain as text, "" for 1) -> a function of torch.nn.init and its arguments behind the weight;
                a generator comes behind them if the initializer `draws`
    bias_text:  bias_bound in a program, {} stands for fan_in
    ranges:     of its settings, by name
    sliders:    setting -> symbol, and the slider's lowest and highest position and their number, logarithmically spaced
    short, letter: for where few are compared
    """

    name: str
    label: str
    formula: str
    fill: Fill
    call: Call
    variance: Callable[[float, float, float, Settings], float]
    ranges: Mapping[str, Range] = field(default_factory=dict)
    gain_from: str = "none"
    scaled: bool = False
    draws: bool = True
    mean: Callable[[Settings], float] = lambda settings: 0.0
    fans: Callable[[Tensor], tuple[int, int]] = fans
    bias_bound: Callable[[float], float] = lambda fan_in: 0.0
    bias_text: str = ""
    sliders: Mapping[str, tuple[str, float, float, int]] = field(default_factory=dict)
    short: str = ""
    letter: str = ""

    @property
    def settings(self) -> Settings:
        """Name -> default."""
        return {name: given[0] for name, given in self.ranges.items()}

    @property
    def follows_size(self) -> bool:
        """Whether the weights of a larger layer have another spread."""
        return self.variance(1, 1, 1.0, self.settings) != self.variance(2, 2, 1.0, self.settings)

    def bias_variance(self, fan_in: float) -> float:
        """Predicted variance of one bias."""
        return self.bias_bound(fan_in) ** 2 / 3


def _he(function: Callable[..., Tensor]) -> tuple[Fill, Call]:
    # it takes an activation's name instead of a gain: with a=0, "linear" its own gain is 1
    mode: Mapping[str, tuple[str, ...]] = {"fan_in": (), "fan_out": ('mode="fan_out"',)}
    return (
        lambda weight, gain, generator, settings: function(
            weight, mode=settings["mode"], nonlinearity="linear", generator=generator
        ),
        lambda settings, gain: (function.__name__, *mode[settings["mode"]], 'nonlinearity="linear"'),
    )


def _he_variance(fan_in: float, fan_out: float, gain: float, settings: Settings) -> float:
    return gain**2 / {"fan_in": fan_in, "fan_out": fan_out}[settings["mode"]]


def _with_gain(function: Callable[..., Tensor]) -> tuple[Fill, Call]:
    return (
        lambda weight, gain, generator, settings: function(weight, gain, generator),
        lambda settings, gain: (function.__name__, *([f"gain={gain}"] if gain else [])),
    )


INITIALIZERS = registry(
    Initializer(
        "zeros", "zeros", "w = 0",
        lambda weight, gain, generator, settings: nn.init.zeros_(weight),
        lambda settings, gain: ("zeros_",),
        lambda fan_in, fan_out, gain, settings: 0.0,
        draws=False,
    ),
    Initializer(
        "constant", "constant", "w = value",
        lambda weight, gain, generator, settings: nn.init.constant_(weight, settings["value"]),
        lambda settings, gain: ("constant_", literal(settings["value"])),
        lambda fan_in, fan_out, gain, settings: 0.0,
        {"value": (0.01, -100.0, 100.0)},
        draws=False,
        mean=lambda settings: settings["value"],
    ),
    Initializer(
        "normal", "N(0, σ²)", "Var w = std²",
        lambda weight, gain, generator, settings: nn.init.normal_(
            weight, std=settings["std"], generator=generator
        ),
        lambda settings, gain: ("normal_", f"std={literal(settings['std'])}"),
        lambda fan_in, fan_out, gain, settings: settings["std"] ** 2,
        {"std": (0.05, 0.0, 100.0)},
        sliders={"std": ("σ", 1e-3, 1.0, 61)},
    ),
    *(
        Initializer(
            f"xavier_{kind}", f"Xavier {kind}", "Var w = gain²·2/(fan_in + fan_out)",
            *_with_gain(function),
            lambda fan_in, fan_out, gain, settings: gain**2 * 2 / (fan_in + fan_out),
            gain_from="one",
            short="Xavier",
            letter="X",
        )
        for kind, function in (("uniform", nn.init.xavier_uniform_), ("normal", nn.init.xavier_normal_))
    ),
    *(
        Initializer(
            f"he_{kind}", f"He {kind}", "Var w = gain²/fan",
            *_he(function),
            _he_variance,
            {"mode": FAN_MODES},
            gain_from="activation",
            scaled=True,
            short="He",
            letter="H",
        )
        for kind, function in (("uniform", nn.init.kaiming_uniform_), ("normal", nn.init.kaiming_normal_))
    ),
    Initializer(
        "pytorch_default", "nn.Linear default", "Var w = 1/(3·fan_in)",
        # nn.Linear.reset_parameters and nn.Conv2d's: a = sqrt(5) gives U(-1/sqrt(fan_in), 1/sqrt(fan_in))
        lambda weight, gain, generator, settings: nn.init.kaiming_uniform_(
            weight, a=math.sqrt(5), generator=generator
        ),
        lambda settings, gain: ("kaiming_uniform_", "a=math.sqrt(5)"),
        lambda fan_in, fan_out, gain, settings: 1 / (3 * fan_in),
        bias_bound=lambda fan_in: 1 / math.sqrt(fan_in),
        bias_text="1 / math.sqrt({})",
        short="nn.Linear default",
        letter="D",
    ),
    Initializer(
        "orthogonal", "orthogonal", "Var w = gain²/max(rows, columns)",
        *_with_gain(nn.init.orthogonal_),
        lambda fan_in, fan_out, gain, settings: gain**2 / max(fan_in, fan_out),
        gain_from="one",
        fans=_matrix_sides,
    ),
)


@dataclass(frozen=True)
class InitializationSettings:
    """An initializer with its settings; hashable, made and checked by `initialization(name, ...)`.

    gain: "auto" (see Initializer.gain_from), "activation" (the activation's gain, for any initializer that takes one)
    or a number. Settings can be read as attributes: `.std`, `.value`, `.mode`.
    """

    name: str
    gain: str | float = "auto"
    settings: tuple[tuple[str, float | str], ...] = ()

    def __post_init__(self) -> None:
        entry = INITIALIZERS[choose("initializer", self.name, INITIALIZERS)]
        given = dict(self.settings)
        for name in given:
            if not entry.settings:
                raise ValueError(f"initializer {self.name!r} has no setting {name!r}; leave it out")
            choose(f"setting of {self.name!r}", name, entry.settings)
        checked = {name: _checked(name, given.get(name, one[0]), one) for name, one in entry.ranges.items()}
        object.__setattr__(self, "settings", tuple(sorted(checked.items())))
        object.__setattr__(self, "gain", self._checked_gain(entry))

    def _checked_gain(self, entry: Initializer) -> str | float:
        if isinstance(self.gain, str):
            return choose("gain", self.gain, GAIN_NAMES)
        if entry.gain_from == "none":
            raise ValueError(f"initializer {self.name!r} takes no gain, got {self.gain!r}; leave gain at 'auto'")
        return number("gain", self.gain, 0, 100, why="use 'auto', 'activation' or a number such as 5/3")

    def __getattr__(self, name: str) -> float | str:
        # reached only where normal lookup fails; __dict__ because copy and pickle ask before fields exist
        for key, value in self.__dict__.get("settings", ()):
            if key == name:
                return value
        raise AttributeError(f"initialization has no setting {name!r}")

    @property
    def initializer(self) -> Initializer:
        return INITIALIZERS[self.name]

    @property
    def label(self) -> str:
        """Short text for legends, e.g. `He normal`, `N(0, σ²) std=0.05`, `Xavier normal gain=1.67`."""
        changed = [
            f"{key}={value:g}" if isinstance(value, float) else f"{value}"
            for key, value in self.settings
            if isinstance(value, float) or value != self.initializer.settings[key]
        ]
        if self.gain != "auto":
            changed.append(f"gain={self.gain:.3g}" if isinstance(self.gain, float) else "activation's gain")
        return " ".join([self.initializer.label, *changed])

    def replace(self, **changes: Any) -> InitializationSettings:
        """A copy with `gain` or settings changed, checked again."""
        gain = changes.pop("gain", self.gain)
        return initialization(self.name, gain=gain, **{**dict(self.settings), **changes})

    def gain_for(self, activation: Activation) -> float:
        """The gain that `apply` uses in front of `activation` (1 where the initializer takes none)."""
        if not hasattr(activation, "gain"):
            raise TypeError(
                f"activation must be an entry of weightlab.networks.activations.ACTIVATIONS, got {activation!r}; "
                f"use activation({activation!r})"
            )
        if isinstance(self.gain, float):
            return self.gain
        wanted = self.initializer.gain_from if self.gain == "auto" else "activation"
        if wanted == "activation" and self.initializer.gain_from != "none":
            return float(activation.gain)
        return 1.0

    def variance(self, weight: Tensor, activation: Activation) -> float:
        """Predicted variance of one entry of `weight` (out, in, *kernel)."""
        fan_in, fan_out = self.initializer.fans(weight)
        return self.initializer.variance(fan_in, fan_out, self.gain_for(activation), dict(self.settings))

    def apply(
        self, target: nn.Module | Tensor, activation: Activation, generator: torch.Generator | None = None
    ) -> None:
        """Fill a weight, or the weights of every linear, convolutional and recurrent layer of a model, in place.

        Biases become zero, except with pytorch_default, which draws them as nn.Linear does: U(-b, b) with
        b = 1/sqrt(fan_in) (for nn.RNN, nn.LSTM and nn.GRU every parameter with b = 1/sqrt(hidden_size)). Normalization
        layers keep their own start. In recurrent layers each gate's matrix counts as a weight of its own. Raises
        ValueError for a weight with fewer than two dimensions and for a model without any such layer.
        """
        gain = self.gain_for(activation)
        if isinstance(target, Tensor):
            return self._fill(target, gain, generator)
        modules = list(_modules_with_weights(target))
        if not modules:
            raise ValueError(
                f"{type(target).__name__} has no linear, convolutional or recurrent layer to initialize; "
                "pass a model with at least one, or a weight tensor"
            )
        for module in modules:
            self._fill_module(module, gain, generator)

    def _fill(self, weight: Tensor, gain: float, generator: torch.Generator | None) -> None:
        if weight.dim() < 2 or weight.numel() == 0:
            raise ValueError(
                f"a weight to initialize must have two or more dimensions (out, in, ...) and no empty one, "
                f"got shape {tuple(weight.shape)}; biases are set by apply(model, ...)"
            )
        self.initializer.fill(weight, gain, generator, dict(self.settings))
        if self.initializer.scaled:
            with torch.no_grad():
                weight.mul_(gain)

    def draw_bias(self, weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A bias for `weight` (out, in, *kernel), shape (out,)."""
        bound = self.initializer.bias_bound(fans(weight)[0])
        bias = weight.new_zeros(weight.shape[0])
        return bias.uniform_(-bound, bound, generator=generator) if bound else bias

    @torch.no_grad()
    def _fill_module(self, module: nn.Module, gain: float, generator: torch.Generator | None) -> None:
        recurrent = isinstance(module, nn.RNNBase | nn.RNNCellBase)
        hidden = int(module.hidden_size) if recurrent else 0  # type: ignore[arg-type]
        for name, parameter in module.named_parameters(recurse=False):
            if recurrent and (bound := self.initializer.bias_bound(hidden)):
                parameter.uniform_(-bound, bound, generator=generator)
            elif name.startswith("bias"):
                weight = parameter[:, None] if recurrent else cast(Tensor, module.weight)
                parameter.copy_(self.draw_bias(weight, generator))
            else:
                for gate in parameter.chunk(max(1, parameter.shape[0] // hidden) if recurrent else 1):
                    self._fill(gate, gain, generator)


def _modules_with_weights(model: nn.Module) -> Iterator[nn.Module]:
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase, nn.RNNCellBase)
    return (module for module in model.modules() if isinstance(module, kinds))


def _checked(name: str, value: object, given: Range) -> float | str:
    if isinstance(given[0], str):
        return choose("fan mode" if given is FAN_MODES else name, value, given)
    return number(name, value, *given[1:], why="weights this large overflow within a few layers")


def initialization(name: str, gain: str | float = "auto", **settings: float | str) -> InitializationSettings:
    """Checked settings of the initializer `name`, e.g. `initialization("normal", std=0.01)`.

    settings: `value` (constant), `std` (normal), `mode` "fan_in" or "fan_out" (He). Raises ValueError or TypeError that
    names value, range and remedy.

    Sources: Glorot & Bengio 2010, eq. 12 and 16 (Xavier); He et al. 2015, eq. 10 and 14; Saxe et al. 2014 (orthogonal);
    torch.nn.init and torch.nn.Linear's documentation.
    """
    return InitializationSettings(name, gain, tuple(settings.items()))


def as_settings(value: str | InitializationSettings) -> InitializationSettings:
    """What a name stands for by default."""
    return value if isinstance(value, InitializationSettings) else initialization(value)
