"""Update rules that torch.optim does not have, written out as an Optimizer class of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from weightlab.program_text import call, indented, lines

Settings = Mapping[str, float]


@dataclass(frozen=True)
class RuleClass:
    """text: the class; group: settings -> the arguments it takes, which are the keys of its param_group."""

    name: str
    text: str
    group: Callable[[Settings], dict[str, Any]]


@dataclass(frozen=True)
class _Written:
    """summary: what the class says it does; state: names that start at zero; body: the update of one parameter `p`."""

    name: str
    summary: str
    settings: tuple[str, ...]
    state: tuple[str, ...]
    body: str


_RULES: Mapping[str, _Written] = MappingProxyType({
    "classical_momentum": _Written(
        "ClassicalMomentum",
        "v <- momentum * v - lr * gradient;  w <- w + v (Rumelhart, Hinton, Williams 1986).",
        ("momentum",), ("velocity",),
        'velocity.mul_(group["momentum"]).sub_(gradient, alpha=group["lr"])\np.add_(velocity)',
    ),
    "averaged_momentum": _Written(
        "AveragedMomentum",
        "m <- momentum * m + (1 - momentum) * gradient;  w <- w - lr * m.",
        ("momentum",), ("average",),
        'average.mul_(group["momentum"]).add_(gradient, alpha=1 - group["momentum"])\n'
        'p.sub_(average, alpha=group["lr"])',
    ),
    "sutskever_momentum": _Written(
        "SutskeverMomentum",
        "v <- momentum * v + lr * gradient;  w <- w - v.",
        ("momentum",), ("velocity",),
        'velocity.mul_(group["momentum"]).add_(gradient, alpha=group["lr"])\np.sub_(velocity)',
    ),
    "sutskever_nesterov": _Written(
        "SutskeverNesterov",
        "v <- momentum * v - lr * gradient at w + momentum * v;  w <- w + v.",
        ("momentum",), ("velocity",),
        'velocity.mul_(group["momentum"]).sub_(gradient, alpha=group["lr"])\n'
        'p.copy_(self.state[p]["weights"] + velocity)',
    ),
    "rmsprop": _Written(
        "RMSprop",
        "torch.optim.RMSprop, but with a velocity to begin with, as momentum is switched on midway.",
        ("momentum", "alpha", "eps"), ("squares", "velocity"),
        'squares.mul_(group["alpha"]).addcmul_(gradient, gradient, value=1 - group["alpha"])\n'
        'direction = gradient / (squares.sqrt() + group["eps"])\n'
        'if group["momentum"] > 0:\n'
        '    direction = velocity.mul_(group["momentum"]).add_(direction)\n'
        'p.sub_(direction, alpha=group["lr"])',
    ),
    "adam": _Written(
        "UncorrectedAdam",
        "Adam without bias correction: both averages start at 0 and are used as they are.",
        ("betas", "eps"), ("mean", "squares"),
        'beta1, beta2 = group["betas"]\n'
        "mean.lerp_(gradient, 1 - beta1)\n"
        "squares.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)\n"
        'p.addcdiv_(mean, squares.sqrt() + group["eps"], value=-group["lr"])',
    ),
    "switched_adam": _Written(
        "Adam",
        "Adam whose bias correction can be switched on and off between steps.",
        ("betas", "eps", "corrected"), ("mean", "squares"),
        'state["step"] = state.get("step", 0) + 1\n'
        'beta1, beta2 = group["betas"]\n'
        "mean.lerp_(gradient, 1 - beta1)\n"
        "squares.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)\n"
        "mean_share = squares_share = 1.0\n"
        'if group["corrected"]:\n'
        '    mean_share = 1 - beta1 ** state["step"]\n'
        '    squares_share = 1 - beta2 ** state["step"]\n'
        'size = squares.sqrt() / squares_share**0.5 + group["eps"]\n'
        'p.addcdiv_(mean, size, value=-group["lr"] / mean_share)',
    ),
})

_LOOK_AHEAD = """
@torch.no_grad()
def look_ahead(self):
    \"\"\"Go where the gradient is to be taken; `step` comes back.\"\"\"
    for group in self.param_groups:
        for p in group["params"]:
            velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
            self.state[p]["weights"] = p.clone()
            p.add_(velocity, alpha=group["momentum"])"""


def rule_class(rule: str, stages: Sequence[Settings]) -> RuleClass:
    """The class for a rule whose settings are these in turn; a weight decay is written only if there is one."""
    variant = rule.replace("adamw", "adam")
    if variant == "adam" and any(settings["bias_correction"] for settings in stages):
        variant = "switched_adam"
    written, decays = _RULES[variant], any(settings["weight_decay"] for settings in stages)
    name = written.name + ("W" if rule == "adamw" else "")
    names = ["lr", *written.settings, *(["weight_decay"] if decays else [])]
    text = lines(
        f"class {name}(torch.optim.Optimizer):",
        f'    """{written.summary.replace("Adam", "AdamW") if rule == "adamw" else written.summary}"""',
    )
    first = indented(_constructor(names))
    steps = indented(_step(rule, written, decays))
    ahead = indented(_LOOK_AHEAD) + "\n" if rule == "sutskever_nesterov" else ""
    return RuleClass(name, f"{text}\n\n{first}\n{ahead}\n{steps}", lambda settings: _group(settings, names))


def _constructor(names: list[str]) -> str:
    made = lines(
        call("defaults = dict", [f"{name}={name}" for name in names], 2),
        "super().__init__(params, defaults)",
    )
    return f"def __init__(self, params, {', '.join(names)}):\n{indented(made)}"


def _step(rule: str, written: _Written, decays: bool) -> str:
    gradient = "gradient = p.grad"
    if decays and rule != "adamw":
        gradient = 'gradient = p.grad.add(p, alpha=group["weight_decay"])'
    body = lines(
        'p.mul_(1 - group["lr"] * group["weight_decay"])' if decays and rule == "adamw" else "",
        gradient,
        "state = self.state[p]" if 'state["' in written.body else "",
        *(f'{name} = self.state[p].setdefault("{name}", torch.zeros_like(p))' for name in written.state),
        written.body,
    )
    return (
        "@torch.no_grad()\ndef step(self):\n    for group in self.param_groups:\n"
        f'        for p in group["params"]:\n{indented(body, 3)}'
    )


def _group(settings: Settings, names: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"lr": settings["learning_rate"], **settings}
    if "betas" in names:
        values["betas"] = (settings["beta1"], settings["beta2"])
    if "corrected" in names:
        values["corrected"] = bool(settings["bias_correction"])
    return {name: values[name] for name in names}
