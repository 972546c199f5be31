"""Update rules that torch.optim does not have, written out as an Optimizer class of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weightlab.program_text import call, indented, lines
from weightlab.rules.update_rules import UpdateRule, Written

Settings = Mapping[str, float]


@dataclass(frozen=True)
class RuleClass:
    """text: the class; group: settings -> the arguments it takes, which are the keys of its param_group."""

    name: str
    text: str
    group: Callable[[Settings], dict[str, Any]]


_LOOK_AHEAD = """
@torch.no_grad()
def look_ahead(self):
    \"\"\"Go where the gradient is to be taken; `step` comes back.\"\"\"
    for group in self.param_groups:
        for p in group["params"]:
            velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
            self.state[p]["weights"] = p.clone()
            p.add_(velocity, alpha=group["momentum"])"""


def rule_class(rule: UpdateRule, written: Written, stages: Sequence[Settings]) -> RuleClass:
    """The class for a rule whose settings are these in turn; a weight decay is written only if there is one."""
    decays = any(settings["weight_decay"] for settings in stages)
    names = ["lr", *written.settings, *(["weight_decay"] if decays else [])]
    text = lines(f"class {written.name}(torch.optim.Optimizer):", f'    """{written.summary}"""')
    first = indented(_constructor(names))
    steps = indented(_step(written, decays, rule.decoupled_decay))
    ahead = indented(_LOOK_AHEAD) + "\n" if rule.looks_ahead else ""
    return RuleClass(written.name, f"{text}\n\n{first}\n{ahead}\n{steps}", lambda settings: _group(settings, names))


def _constructor(names: list[str]) -> str:
    made = lines(
        call("defaults = dict", [f"{name}={name}" for name in names], 2),
        "super().__init__(params, defaults)",
    )
    return f"def __init__(self, params, {', '.join(names)}):\n{indented(made)}"


def _step(written: Written, decays: bool, decoupled: bool) -> str:
    coupled = decays and not decoupled
    body = lines(
        'p.mul_(1 - group["lr"] * group["weight_decay"])' if decays and decoupled else "",
        'gradient = p.grad.add(p, alpha=group["weight_decay"])' if coupled else "gradient = p.grad",
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
