"""The update rules, written out: pure functions that move a whole batch of learners one step.

To add a rule: write its `step` (and `init`, where its state starts as something) and give it one entry in _RULES.
A rule sees elements, all weights in one flat vector, or matrices, each in its shape (weightlab.rules.matrix_rules);
what is not a matrix then goes to a second rule, `rest`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from weightlab.rules.matrix_rules import muon, muon_start, torch_muon
from weightlab.rules.own_optimizer import checked_class_settings, class_name, needs_closure
from weightlab.validate import choose, number, shown

State = dict[str, Tensor]
Settings = Mapping[str, Any]  # name -> float, or Tensor that broadcasts to w
Step = Callable[[Tensor, Tensor, State, Settings], tuple[Tensor, State]]

# (low, high, low excluded, high excluded, why)
LARGEST = 1e20  # with what Adam divides it by, still a number in float32
SETTING_LIMITS: Mapping[str, tuple[float, float, bool, bool, str]] = MappingProxyType({
    "learning_rate": (0.0, LARGEST, False, False, "a negative one climbs the loss; use a small positive number"),
    "momentum": (0.0, 1.0, False, True, "at 1 or more the velocity never decays"),
    "dampening": (0.0, 1.0, False, False, "it is the share of each new gradient that is left out"),
    "weight_decay": (0.0, LARGEST, False, False, "a negative one pushes the weights away from zero"),
    "alpha": (0.0, 1.0, False, True, "at 1 the average of squared gradients never starts"),
    "beta1": (0.0, 1.0, False, True, "at 1 the average of gradients never starts"),
    "beta2": (0.0, 1.0, False, True, "at 1 the average of squared gradients never starts"),
    "eps": (0.0, LARGEST, True, False, "it keeps the division by the gradient's size finite"),
    "bias_correction": (0.0, 1.0, False, False, "1 switches it on, 0 off"),
    "nesterov": (0.0, 1.0, False, False, "1 switches it on, 0 off"),
    "ns_steps": (0.0, 99.0, False, False, "five are usual, and torch.optim.Muon takes less than 100"),
    "match_rms_adamw": (0.0, 1.0, False, False, "1 switches it on, 0 off"),
})
SWITCHES = ("bias_correction", "nesterov", "match_rms_adamw")
SEES = ("elements", "matrices")
REST = "adamw"  # the rule for what is not a matrix, unless another is given


@dataclass(frozen=True)
class Written:
    """A rule as an Optimizer class of a program, where no class of torch.optim takes its steps or shows them.

    summary: what the class says it does; settings: its arguments besides `lr`, as its param_group holds them;
    state: names of what starts at zero; body: the update of one parameter `p` from its `gradient`.
    """

    name: str
    summary: str
    settings: tuple[str, ...]
    state: tuple[str, ...]
    body: str


def _no_state(w: Tensor) -> State:
    return {}


def _at_the_weights(w: Tensor, state: State, settings: Settings) -> Tensor:
    return w


@dataclass(frozen=True, kw_only=True)
class UpdateRule:
    """One way to turn a gradient into a step, with all that others must know of it.

    w and gradient are (learner, n), or (..., rows, columns) for a rule that sees matrices; settings are floats, or
    tensors that broadcast against w, such as (learner, 1) or (learner, 1, 1).
    defaults:         settings -> their defaults; each is among SETTING_LIMITS
    step:             (w, gradient, state, settings) -> new weights and new state; changes neither argument and keeps
                      no reference to `gradient`
    init:             w -> the state before the first step
    gradient_point:   (w, state, settings) -> where the gradient must be taken
    torch_equivalent: settings -> name of the torch.optim class and its arguments that walk the same path, None where
                      there is none; `relation` says under which condition
    written:          the settings of a run in turn -> the class that a program defines, None where it takes PyTorch's
    theory:           the closed form of theory.quadratic.RECURRENCES that speaks of it, None for none
    buffer:           what its velocity holds, one of theory.noise.BUFFERS, None for rules that are not linear
    gradient_share:   settings -> how much of a step is -ηg of the present gradient, None where no such split exists
    sliders:          the settings that a panel's sliders for all rules set
    second:           the setting that stands beside η on the plane, and how its axis is called; None for none
    rates:            the learning rates among which the plane looks where theory has no limit
    sees:             one of SEES
    decoupled_decay:  whether weight decay shrinks the weights apart from the gradient
    check:            refuses settings that are each in range but not together
    """

    name: str
    label: str
    formula: str
    defaults: Mapping[str, float]
    step: Step
    init: Callable[[Tensor], State] = _no_state
    gradient_point: Callable[[Tensor, State, Settings], Tensor] = _at_the_weights
    torch_equivalent: Callable[[Settings], tuple[str, dict[str, Any]] | None] = lambda settings: None
    relation: str = "the same weights, step by step"
    written: Callable[[Sequence[Settings]], Written | None] = lambda stages: None
    theory: str | None = None
    buffer: str | None = None
    gradient_share: Callable[[Settings], float] | None = None
    sliders: tuple[str, ...] = ("learning_rate",)
    second: tuple[str, str] | None = None
    rates: tuple[float, float] = (1e-4, 10.0)
    sees: str = "elements"
    decoupled_decay: bool = False
    check: Callable[[Settings], object] = lambda settings: None

    @property
    def looks_ahead(self) -> bool:
        """Whether the gradient is taken elsewhere than at the weights."""
        return self.gradient_point is not _at_the_weights


def _add_scaled(base: Tensor, direction: Tensor, scale: float | Tensor, sign: float = 1.0) -> Tensor:
    """base + sign·scale·direction as one operation, rounded as torch.optim rounds it."""
    if isinstance(scale, Tensor):
        return torch.addcmul(base, direction, scale, value=sign)
    return torch.add(base, direction, alpha=sign * scale)


def _with_decay(gradient: Tensor, w: Tensor, settings: Settings) -> Tensor:
    decay = settings["weight_decay"]
    return gradient if _is_zero(decay) else _add_scaled(gradient, w, decay)


def _is_zero(setting: float | Tensor) -> bool:
    return not isinstance(setting, Tensor) and setting == 0


def _gradient_descent(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    gradient = _with_decay(gradient, w, settings)
    return _add_scaled(w, gradient, settings["learning_rate"], -1.0), {}


def _pytorch_velocity(gradient: Tensor, state: State, settings: Settings) -> Tensor:
    """b = μb + (1 − dampening)·g; the first b is g itself, undamped, as in torch.optim.SGD."""
    if "velocity" not in state:
        return gradient.clone()
    momentum, dampening = settings["momentum"], settings.get("dampening", 0.0)
    if isinstance(momentum, Tensor) and _is_zero(dampening):
        return torch.addcmul(gradient, state["velocity"], momentum)  # one operation where below are two
    carried = state["velocity"] * momentum
    if _is_zero(dampening):
        return carried.add_(gradient)
    if isinstance(momentum, Tensor):  # torch.optim.SGD keeps no velocity at momentum 0 and then ignores the dampening
        dampening = dampening * (momentum > 0).to(momentum.dtype)  # a truth value alone would make a float32 of it
    return _add_scaled(carried, gradient, 1 - dampening)


def _momentum(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    gradient = _with_decay(gradient, w, settings)
    if _is_zero(settings["momentum"]):  # torch.optim.SGD then leaves the velocity as it was, if there is one
        return _add_scaled(w, gradient, settings["learning_rate"], -1.0), state
    velocity = _pytorch_velocity(gradient, state, settings)
    return _add_scaled(w, velocity, settings["learning_rate"], -1.0), {"velocity": velocity}


def _nesterov(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    gradient = _with_decay(gradient, w, settings)
    velocity = _pytorch_velocity(gradient, state, settings)
    direction = _add_scaled(gradient, velocity, settings["momentum"])
    return _add_scaled(w, direction, settings["learning_rate"], -1.0), {"velocity": velocity}


def _classical_momentum(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    gradient = _with_decay(gradient, w, settings)
    change = _add_scaled(state["velocity"] * settings["momentum"], gradient, settings["learning_rate"], -1.0)
    return w + change, {"velocity": change}


def _averaged_momentum(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    gradient = _with_decay(gradient, w, settings)
    momentum = settings["momentum"]
    average = _add_scaled(state["velocity"] * momentum, gradient, 1 - momentum)
    return _add_scaled(w, average, settings["learning_rate"], -1.0), {"velocity": average}


def _sutskever_momentum(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    gradient = _with_decay(gradient, w, settings)
    velocity = _add_scaled(state["velocity"] * settings["momentum"], gradient, settings["learning_rate"])
    return w - velocity, {"velocity": velocity}


def _look_ahead(w: Tensor, state: State, settings: Settings) -> Tensor:
    return _add_scaled(w, state["velocity"], settings["momentum"])


def _sutskever_nesterov(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    if not _is_zero(settings["weight_decay"]):  # the penalty's gradient is taken at the look-ahead point too
        gradient = _with_decay(gradient, _look_ahead(w, state, settings), settings)
    velocity = _add_scaled(state["velocity"] * settings["momentum"], gradient, settings["learning_rate"], -1.0)
    return w + velocity, {"velocity": velocity}


def _average_of_squares(average: Tensor, gradient: Tensor, decay: float | Tensor) -> Tensor:
    if isinstance(decay, Tensor):
        return (average * decay).addcmul_(gradient * (1 - decay), gradient)
    return (average * decay).addcmul_(gradient, gradient, value=1 - decay)


def _step_along(w: Tensor, direction: Tensor, size: Tensor, rate: float | Tensor) -> Tensor:
    """w − rate·direction/size."""
    if isinstance(rate, Tensor):
        return torch.addcdiv(w, direction * rate, size, value=-1.0)
    return torch.addcdiv(w, direction, size, value=-rate)


def _rmsprop(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    gradient = _with_decay(gradient, w, settings)
    rate, momentum = settings["learning_rate"], settings["momentum"]
    squares = _average_of_squares(state["squares"], gradient, settings["alpha"])
    size = squares.sqrt().add_(settings["eps"])
    if _is_zero(momentum):
        return _step_along(w, gradient, size, rate), {"squares": squares, "velocity": state["velocity"]}
    velocity = (state["velocity"] * momentum).addcdiv_(gradient, size)
    return _add_scaled(w, velocity, rate, -1.0), {"squares": squares, "velocity": velocity}


def _adam_step(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    beta1, beta2, corrected = settings["beta1"], settings["beta2"], settings["bias_correction"]
    step = state["step"] + 1
    count = step.item()  # the counter lives on the CPU, so this waits for no other device
    mean = torch.lerp(state["mean"], gradient, 1 - beta1)
    squares = _average_of_squares(state["squares"], gradient, beta2)
    mean_share = 1 - corrected * beta1**count
    squares_share = 1 - corrected * beta2**count
    size = squares.sqrt().div_(squares_share**0.5).add_(settings["eps"])
    new_w = _step_along(w, mean, size, settings["learning_rate"] / mean_share)
    return new_w, {"step": step, "mean": mean, "squares": squares}


def _adam(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    return _adam_step(w, _with_decay(gradient, w, settings), state, settings)


def _adamw(w: Tensor, gradient: Tensor, state: State, settings: Settings) -> tuple[Tensor, State]:
    if not _is_zero(settings["weight_decay"]):
        w = w * (1 - settings["learning_rate"] * settings["weight_decay"])
    return _adam_step(w, gradient, state, settings)


def _at_rest(w: Tensor) -> State:
    return {"velocity": torch.zeros_like(w)}


def _rmsprop_start(w: Tensor) -> State:
    return {"squares": torch.zeros_like(w), "velocity": torch.zeros_like(w)}


def _adam_start(w: Tensor) -> State:
    counter = torch.zeros((), dtype=torch.float64, device="cpu")
    return {"step": counter, "mean": torch.zeros_like(w), "squares": torch.zeros_like(w)}


def _sgd(settings: Settings) -> tuple[str, dict[str, Any]]:
    given = {name: settings[name] for name in ("weight_decay", "momentum", "dampening") if name in settings}
    return "SGD", {"lr": settings["learning_rate"], **given}


def _sgd_nesterov(settings: Settings) -> tuple[str, dict[str, Any]]:
    name, arguments = _sgd(settings)
    if settings["momentum"] > 0:  # without momentum it is plain descent, and torch refuses the flag
        arguments["nesterov"] = True
    return name, arguments


def _averaged_as_sgd(settings: Settings) -> tuple[str, dict[str, Any]]:
    name, arguments = _sgd(settings)
    return name, {**arguments, "lr": settings["learning_rate"] * (1 - settings["momentum"])}


def _torch_rmsprop(settings: Settings) -> tuple[str, dict[str, Any]]:
    names = ("alpha", "eps", "momentum", "weight_decay")
    return "RMSprop", {"lr": settings["learning_rate"], **{name: settings[name] for name in names}}


def _torch_adam(name: str, settings: Settings) -> tuple[str, dict[str, Any]] | None:
    if settings["bias_correction"] != 1:
        return None
    betas = (settings["beta1"], settings["beta2"])
    kept = {key: settings[key] for key in ("eps", "weight_decay")}
    return name, {"lr": settings["learning_rate"], "betas": betas, **kept}


def _nesterov_needs_momentum(settings: Settings) -> None:
    if settings["momentum"] == 0 or settings["dampening"] != 0:
        raise ValueError(
            "Nesterov momentum requires a momentum and zero dampening (torch.optim.SGD's own words): got momentum "
            f"{settings['momentum']:g} and dampening {settings['dampening']:g}; "
            "set momentum in (0, 1) and dampening 0, or choose 'gradient_descent'"
        )


def _switches_are_on_or_off(settings: Settings) -> None:
    for name in SWITCHES:
        if settings.get(name, 0.0) not in (0.0, 1.0):
            raise ValueError(f"{name} must be 0 (off) or 1 (on), got {settings[name]:g}")


def _check_muon(settings: Settings) -> None:
    _switches_are_on_or_off(settings)
    if settings["ns_steps"] % 1:
        raise ValueError(f"ns_steps must be a whole number in [0, 99], got {settings['ns_steps']:g}; five are usual")


def _carried(name: str, summary: str, body: str, state: str = "velocity") -> Callable[[Sequence[Settings]], Written]:
    """torch.optim.SGD's steps are these rules' only while rate or momentum stay constant, so they are written out."""
    written = Written(name, summary, ("momentum",), (state,), body)
    return lambda stages: written


def _rmsprop_written(stages: Sequence[Settings]) -> Written | None:
    if stages[0]["momentum"] > 0 or all(settings["momentum"] == 0 for settings in stages):
        return None
    return Written(
        "RMSprop",
        "torch.optim.RMSprop, but with a velocity to begin with, as momentum is switched on midway.",
        ("momentum", "alpha", "eps"), ("squares", "velocity"),
        'squares.mul_(group["alpha"]).addcmul_(gradient, gradient, value=1 - group["alpha"])\n'
        'direction = gradient / (squares.sqrt() + group["eps"])\n'
        'if group["momentum"] > 0:\n'
        '    direction = velocity.mul_(group["momentum"]).add_(direction)\n'
        'p.sub_(direction, alpha=group["lr"])',
    )


def _adam_written(name: str, stages: Sequence[Settings]) -> Written | None:
    """torch.optim's Adam and AdamW always correct their averages."""
    if all(settings["bias_correction"] == 1 for settings in stages):
        return None
    averages = (
        'beta1, beta2 = group["betas"]\n'
        "mean.lerp_(gradient, 1 - beta1)\n"
        "squares.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)\n"
    )
    if not any(settings["bias_correction"] for settings in stages):
        return Written(
            f"Uncorrected{name}",
            f"{name} without bias correction: both averages start at 0 and are used as they are.",
            ("betas", "eps"), ("mean", "squares"),
            averages + 'p.addcdiv_(mean, squares.sqrt() + group["eps"], value=-group["lr"])',
        )
    return Written(
        name,
        f"{name} whose bias correction can be switched on and off between steps.",
        ("betas", "eps", "corrected"), ("mean", "squares"),
        'state["step"] = state.get("step", 0) + 1\n' + averages +
        "mean_share = squares_share = 1.0\n"
        'if group["corrected"]:\n'
        '    mean_share = 1 - beta1 ** state["step"]\n'
        '    squares_share = 1 - beta2 ** state["step"]\n'
        'size = squares.sqrt() / squares_share**0.5 + group["eps"]\n'
        'p.addcdiv_(mean, size, value=-group["lr"] / mean_share)',
    )


_CONSTANT = "the same weights as long as the learning rate stays constant"
_PLAIN = MappingProxyType({"learning_rate": 1e-3, "weight_decay": 0.0})
# torch.optim.SGD's own default is momentum 0, which would be no momentum at all
_HEAVY = MappingProxyType({"learning_rate": 1e-3, "momentum": 0.9, "weight_decay": 0.0})
_DAMPED = MappingProxyType({"learning_rate": 1e-3, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0})
_RMSPROP = MappingProxyType({"learning_rate": 1e-2, "alpha": 0.99, "momentum": 0.0, "eps": 1e-8, "weight_decay": 0.0})
_ADAM = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "bias_correction": 1.0}
_MUON = MappingProxyType({
    "learning_rate": 1e-3, "momentum": 0.95, "weight_decay": 0.1, "nesterov": 1.0, "ns_steps": 5.0, "eps": 1e-7,
    "match_rms_adamw": 0.0,
})  # fmt: skip
_BOTH = ("learning_rate", "momentum")
_BESIDE_RATE = ("momentum", "momentum μ")

_RULES = (
    UpdateRule(
        name="gradient_descent", label="Gradient descent", formula="w ← w − ηg",
        defaults=_PLAIN, step=_gradient_descent, torch_equivalent=_sgd,
        theory="gradient_descent", buffer="gradients", gradient_share=lambda settings: 1.0,
    ),
    # torch.optim.SGD: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    UpdateRule(
        name="momentum", label="Momentum", formula="b ← μb + (1 − dampening)g (first b = g);  w ← w − ηb",
        defaults=_DAMPED, step=_momentum, torch_equivalent=_sgd,
        theory="momentum", buffer="gradients", gradient_share=lambda settings: 1.0, sliders=_BOTH, second=_BESIDE_RATE,
    ),
    # Rumelhart, Hinton, Williams 1986, "Learning representations by back-propagating errors", eq. 9
    UpdateRule(
        name="classical_momentum", label="Classical momentum", formula="Δw ← −ηg + μΔw;  w ← w + Δw",
        defaults=_HEAVY, step=_classical_momentum, init=_at_rest, torch_equivalent=_sgd, relation=_CONSTANT,
        theory="momentum", buffer="steps", gradient_share=lambda settings: 1.0, sliders=_BOTH, second=_BESIDE_RATE,
        written=_carried(
            "ClassicalMomentum",
            "v <- momentum * v - lr * gradient;  w <- w + v (Rumelhart, Hinton, Williams 1986).",
            'velocity.mul_(group["momentum"]).sub_(gradient, alpha=group["lr"])\np.add_(velocity)',
        ),
    ),
    UpdateRule(
        name="averaged_momentum", label="Averaged momentum", formula="m ← μm + (1 − μ)g;  w ← w − ηm",
        defaults=_HEAVY, step=_averaged_momentum, init=_at_rest, torch_equivalent=_averaged_as_sgd,
        relation="the same weights, step by step, at η(1 − μ)",
        theory="averaged_momentum", buffer="average", gradient_share=lambda settings: 1 - settings["momentum"],
        sliders=_BOTH, second=_BESIDE_RATE,
        written=_carried(
            "AveragedMomentum",
            "m <- momentum * m + (1 - momentum) * gradient;  w <- w - lr * m.",
            'average.mul_(group["momentum"]).add_(gradient, alpha=1 - group["momentum"])\n'
            'p.sub_(average, alpha=group["lr"])',
            state="average",
        ),
    ),
    # Sutskever and others as PyTorch's SGD page writes it (its note on other frameworks)
    UpdateRule(
        name="sutskever_momentum", label="Sutskever momentum", formula="v ← μv + ηg;  w ← w − v",
        defaults=_HEAVY, step=_sutskever_momentum, init=_at_rest, torch_equivalent=_sgd, relation=_CONSTANT,
        theory="momentum", buffer="steps", gradient_share=lambda settings: 1.0, sliders=_BOTH, second=_BESIDE_RATE,
        written=_carried(
            "SutskeverMomentum",
            "v <- momentum * v + lr * gradient;  w <- w - v.",
            'velocity.mul_(group["momentum"]).add_(gradient, alpha=group["lr"])\np.sub_(velocity)',
        ),
    ),
    UpdateRule(
        name="nesterov", label="Nesterov", formula="b ← μb + g (first b = g);  w ← w − η(g + μb)",
        defaults=_DAMPED, step=_nesterov, torch_equivalent=_sgd_nesterov, check=_nesterov_needs_momentum,
        theory="nesterov", gradient_share=lambda settings: 1 + settings["momentum"], sliders=_BOTH, second=_BESIDE_RATE,
    ),
    # Sutskever, Martens, Dahl, Hinton 2013, "On the importance of initialization and momentum", eqs. 3 and 4
    UpdateRule(
        name="sutskever_nesterov", label="Sutskever Nesterov", formula="v ← μv − η∇E(w + μv);  w ← w + v",
        defaults=_HEAVY, step=_sutskever_nesterov, init=_at_rest, gradient_point=_look_ahead,
        torch_equivalent=_sgd_nesterov,
        relation="PyTorch stores w + μv, this rule's look-ahead point: the same points while the learning rate stays "
        "constant",
        theory="nesterov", gradient_share=lambda settings: 1.0, sliders=_BOTH, second=_BESIDE_RATE,
        written=_carried(
            "SutskeverNesterov",
            "v <- momentum * v - lr * gradient at w + momentum * v;  w <- w + v.",
            'velocity.mul_(group["momentum"]).sub_(gradient, alpha=group["lr"])\n'
            'p.copy_(self.state[p]["weights"] + velocity)',
        ),
    ),
    # Tieleman, Hinton 2012, lecture 6.5; torch.optim.RMSprop
    UpdateRule(
        name="rmsprop", label="RMSprop", formula="s ← αs + (1 − α)g²;  b ← μb + g/(√s + ε);  w ← w − ηb",
        defaults=_RMSPROP, step=_rmsprop, init=_rmsprop_start, torch_equivalent=_torch_rmsprop,
        second=("alpha", "α"), written=_rmsprop_written,
    ),
    # Kingma, Ba 2015, algorithm 1; torch.optim.Adam
    UpdateRule(
        name="adam", label="Adam",
        formula="m ← β₁m + (1 − β₁)g;  s ← β₂s + (1 − β₂)g²;  w ← w − η m/(1 − β₁ᵗ) / (√(s/(1 − β₂ᵗ)) + ε)",
        defaults=MappingProxyType({**_ADAM, "weight_decay": 0.0}), step=_adam, init=_adam_start,
        torch_equivalent=partial(_torch_adam, "Adam"), check=_switches_are_on_or_off,
        second=("beta1", "β₁"), written=partial(_adam_written, "Adam"),
    ),
    # Loshchilov, Hutter 2019, "Decoupled weight decay regularization", algorithm 2; torch.optim.AdamW
    UpdateRule(
        name="adamw", label="AdamW",
        formula="w ← (1 − ηλ)w, then Adam's step from the gradient without λw (λ the weight decay)",
        defaults=MappingProxyType({**_ADAM, "weight_decay": 1e-2}), step=_adamw, init=_adam_start,
        torch_equivalent=partial(_torch_adam, "AdamW"), check=_switches_are_on_or_off,
        second=("beta1", "β₁"), written=partial(_adam_written, "AdamW"), decoupled_decay=True,
    ),
    # Jordan 2024, https://kellerjordan.github.io/posts/muon/; torch.optim.Muon
    UpdateRule(
        name="muon", label="Muon",
        formula="M ← μM + (1 − μ)G;  O ≈ UVᵀ of USVᵀ = μM + (1 − μ)G;  W ← (1 − ηλ)W − η √max(1, rows/columns) O",
        defaults=_MUON, step=muon, init=muon_start, torch_equivalent=torch_muon, check=_check_muon,
        sliders=_BOTH, second=_BESIDE_RATE, decoupled_decay=True, sees="matrices",
    ),
)
UPDATE_RULES: Mapping[str, UpdateRule] = MappingProxyType({rule.name: rule for rule in _RULES})


@dataclass(frozen=True)
class OptimizerSettings:
    """A rule by name, or any torch.optim.Optimizer class, PyTorch's or your own, with its settings; checked when made.

    Settings are also attributes: `.learning_rate`. For a class they are its arguments, `lr` being `learning_rate`.
    rest: what moves all that is not a matrix (biases, normalization, kernels of convolutions), as Muon is used in
    practice; the rule then gets the matrices (2-D parameters) alone. A rule that sees matrices has one in any case,
    REST unless another is given; a class has one if it is given one; other rules take none. `rest` keeps its settings
    while a run goes on: a learning rate changed midway is the matrices' one, a schedule scales both.

    Raises ValueError or TypeError for an unknown rule or setting, for a value outside SETTING_LIMITS, for a class
    that fails its trial (see weightlab.rules.own_optimizer), and for a rest that cannot be one.
    """

    rule: str | type[torch.optim.Optimizer]
    settings: Mapping[str, Any]
    rest: OptimizerSettings | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rule, str):
            values: dict[str, Any] = _checked(choose("update rule", self.rule, UPDATE_RULES), self.settings)
            if UPDATE_RULES[self.rule].sees == "matrices" and self.rest is None:
                object.__setattr__(self, "rest", OptimizerSettings(REST, {}))
        elif isinstance(self.rule, type) and issubclass(self.rule, torch.optim.Optimizer):
            apart = self.rest is not None
            values = checked_class_settings(self.rule, self.settings, SETTING_LIMITS["learning_rate"], apart)
        else:
            raise TypeError(f"rule must be a name or a torch.optim.Optimizer class, got {self.rule!r}")
        object.__setattr__(self, "settings", MappingProxyType(dict(sorted(values.items()))))
        if self.rest is not None:
            _check_rest(self.rule, self.rest)

    def __hash__(self) -> int:
        return hash((self.rule, tuple(self.settings.items()), self.rest))

    def __reduce__(self) -> tuple[Any, ...]:
        return OptimizerSettings, (self.rule, dict(self.settings), self.rest)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name != "settings" and name in self.settings:
            return self.settings[name]
        raise AttributeError(f"{type(self).__name__} has no setting {name!r}")

    def __repr__(self) -> str:
        rule = repr(self.rule) if isinstance(self.rule, str) else class_name(self.rule)
        rest = {} if self.rest is None else {"rest": self.rest}
        given = (f"{name}={value!r}" for name, value in {**self.settings, **rest}.items())
        return f"optimizer({', '.join([rule, *given])})"

    @property
    def entry(self) -> UpdateRule | None:
        """The rule's entry; None for a class."""
        return UPDATE_RULES[self.rule] if isinstance(self.rule, str) else None

    @property
    def name(self) -> str:
        """The rule's name, a class's own."""
        return self.rule if isinstance(self.rule, str) else self.rule.__name__

    @property
    def label(self) -> str:
        return UPDATE_RULES[self.rule].label if isinstance(self.rule, str) else self.rule.__name__

    @property
    def theory(self) -> str | None:
        """The closed form that speaks of the rule, see UpdateRule; None for a class."""
        return UPDATE_RULES[self.rule].theory if isinstance(self.rule, str) else None

    def replace(self, *, rest: Any = None, **changes: Any) -> OptimizerSettings:
        """A copy with settings changed, checked again; it keeps its rest unless another is given."""
        return OptimizerSettings(self.rule, {**self.settings, **changes}, self.rest if rest is None else rest)

    @property
    def arguments(self) -> dict[str, Any]:
        """The settings as torch.optim calls them: the learning rate is `lr`."""
        return {"lr" if name == "learning_rate" else name: value for name, value in self.settings.items()}

    def takes(self, setting: str) -> bool:
        """Whether it has such a setting, for a class also one that was not given."""
        if isinstance(self.rule, str):
            return setting in self.settings
        parameters = inspect.signature(self.rule).parameters
        return setting in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())

    def build(self, parameters: list[torch.nn.Parameter] | list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The torch.optim object of a rule given as a class, for parameters or groups of them as PyTorch takes them."""
        if isinstance(self.rule, str):
            raise TypeError(f"{self.rule!r} is one of our own rules; use UPDATE_RULES[{self.rule!r}].step")
        return self.rule(parameters, **self.arguments)


def optimizer(rule: str | type[torch.optim.Optimizer], *, rest: Any = None, **settings: Any) -> OptimizerSettings:
    """`optimizer("momentum", learning_rate=0.1)`; settings left out take the rule's defaults.

    `optimizer("muon", learning_rate=0.02, rest=optimizer("adamw", learning_rate=3e-3))`: a rule for the matrices and
    one, made by optimizer too, for the rest.
    """
    return OptimizerSettings(rule, settings, rest)


def _checked(rule: str, settings: Mapping[str, Any]) -> dict[str, float]:
    values = dict(UPDATE_RULES[rule].defaults)
    for name, value in settings.items():
        choose(f"setting of {rule}", name, values)
        low, high, open_low, open_high, why = SETTING_LIMITS[name]
        if isinstance(value, bool):
            value = float(value)
        values[name] = number(name, value, low, high, open_low=open_low, open_high=open_high, why=why)
    UPDATE_RULES[rule].check(values)
    return values


def _check_rest(rule: str | type[torch.optim.Optimizer], rest: object) -> None:
    if not isinstance(rest, OptimizerSettings):
        raise TypeError(f'rest must be made by optimizer(...), got {shown(rest)}; write rest=optimizer("{REST}")')
    if isinstance(rule, str) and UPDATE_RULES[rule].sees != "matrices":
        raise ValueError(f"{rule!r} moves every parameter, so nothing is left for rest={rest.name}; leave rest out")
    if rest.rest is not None:
        raise ValueError(f'rest must be a rule for all that is not a matrix, got {rest.name}; use optimizer("{REST}")')
    for one in (rule, rest.rule):
        if not isinstance(one, str) and needs_closure(one):
            raise ValueError(
                f"{class_name(one)} evaluates the loss anew within a step, so it cannot move one part of a network "
                "while another rule moves the rest; let it move all of it"
            )
