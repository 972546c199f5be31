"""First weights in a program: torch.nn.init on every layer, from the run's own stream of random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from weightlab.networks.activations import ACTIVATIONS, Activation
from weightlab.networks.initializers import InitializationSettings
from weightlab.program_text import call, comment, indented, lines, literal
from weightlab.programs.models import ModelCode

_FROM = "generator=weights_stream"
_LINEAR = ACTIVATIONS["linear"]


def draws_weights(chosen: InitializationSettings) -> bool:
    """Whether the first weights are random."""
    return chosen.name not in ("zeros", "constant")


def initialization_lines(chosen: InitializationSettings, activation: Activation, model: ModelCode) -> str:
    """Lines that draw the weights of `model` (in float64) anew; `activation`: of the hidden units."""
    if model.own is not None:
        return _own(chosen, activation, model)
    if model.recurrent:
        return _recurrent(chosen, activation, model)
    if not model.depth or _same_everywhere(chosen, activation):
        return lines(
            "for layer in model.modules():",
            f"    if isinstance(layer, {model.kinds}):",
            indented(_layer("layer", chosen, _LINEAR, depth=2), 2),
        )
    return lines(
        f"*hidden, output = {model.layers}",
        "for layer in hidden:",
        indented(_layer("layer", chosen, activation)),
        _layer("output", chosen, _LINEAR),
    )


def _same_everywhere(chosen: InitializationSettings, activation: Activation) -> bool:
    return chosen.gain_for(activation) == chosen.gain_for(_LINEAR)


def _layer(
    layer: str, chosen: InitializationSettings, activation: Activation, bias: bool = True, depth: int = 1
) -> str:
    """Lines that fill weight and bias of a linear or convolutional layer."""
    if chosen.name == "pytorch_default":
        drawn = f"bound = 1 / math.sqrt({layer}.weight[0].numel())\n{_uniform(f'{layer}.bias')}"
    else:
        drawn = f"nn.init.zeros_({layer}.bias)"
    return lines(weight_lines(f"{layer}.weight", chosen, activation, depth), drawn if bias else "")


def _uniform(target: str) -> str:
    return f"nn.init.uniform_({target}, -bound, bound, {_FROM})"


def weight_lines(target: str, chosen: InitializationSettings, activation: Activation, depth: int = 1) -> str:
    """Lines that fill the parameter called `target` from `weights_stream`, in front of `activation`.

    depth: at most how far they will be indented.
    """
    gain = chosen.gain_for(activation)
    name, parts, scaled = _CALLS[chosen.name](chosen, gain, activation)
    filled = call(f"nn.init.{name}", [target, *parts], depth)
    return lines(filled, f"{target}.data.mul_({_gain_text(gain, activation)})" if scaled else "")


Call = tuple[str, list[str], bool]  # function of torch.nn.init, arguments, whether to multiply by the gain afterwards


def _gain_text(gain: float, activation: Activation) -> str:
    if activation.has_torch_gain and gain == activation.gain != 1:
        return f'nn.init.calculate_gain("{activation.name}")'
    return literal(gain)


def _he(kind: str) -> Callable[[InitializationSettings, float, Activation], Call]:
    def made(chosen: InitializationSettings, gain: float, activation: Activation) -> Call:
        mode = [] if chosen.mode == "fan_in" else [f'mode="{chosen.mode}"']
        # drawn without a gain and multiplied by it, as the run does: the same to the last bit
        return f"kaiming_{kind}_", [*mode, 'nonlinearity="linear"', _FROM], gain != 1

    return made


def _with_gain(name: str) -> Callable[[InitializationSettings, float, Activation], Call]:
    def made(chosen: InitializationSettings, gain: float, activation: Activation) -> Call:
        return name, [*([f"gain={_gain_text(gain, activation)}"] if gain != 1 else []), _FROM], False

    return made


_CALLS: Mapping[str, Callable[[InitializationSettings, float, Activation], Call]] = MappingProxyType({
    "zeros": lambda chosen, gain, activation: ("zeros_", [], False),
    "constant": lambda chosen, gain, activation: ("constant_", [literal(chosen.value)], False),
    "normal": lambda chosen, gain, activation: ("normal_", [f"std={literal(chosen.std)}", _FROM], False),
    "xavier_uniform": _with_gain("xavier_uniform_"),
    "xavier_normal": _with_gain("xavier_normal_"),
    "he_uniform": _he("uniform"),
    "he_normal": _he("normal"),
    "pytorch_default": lambda chosen, gain, activation: ("kaiming_uniform_", ["a=math.sqrt(5)", _FROM], False),
    "orthogonal": _with_gain("orthogonal_"),
})


def _recurrent(chosen: InitializationSettings, activation: Activation, model: ModelCode) -> str:
    module = f"model.{model.recurrent}"
    return lines(
        _recurrent_module(module, chosen, activation, model.gates),
        _layer("model.output", chosen, _LINEAR),
    )


def _recurrent_module(module: str, chosen: InitializationSettings, activation: Activation, gates: int) -> str:
    if chosen.name == "pytorch_default":
        return lines(
            f"bound = 1 / math.sqrt({module}.hidden_size)",
            f"for parameter in {module}.parameters():",
            indented(_uniform("parameter")),
        )
    matrix = weight_lines("parameter", chosen, activation, 2)
    if gates > 1:
        loop = f"for gate in parameter.data.chunk({gates}):  # each gate has a matrix of its own"
        matrix = lines(loop, indented(weight_lines("gate", chosen, activation, 3)))
    return lines(
        f"for name, parameter in {module}.named_parameters():",
        '    if name.startswith("bias"):',
        "        nn.init.zeros_(parameter)",
        "    else:",
        indented(matrix, 2),
    )


def _own(chosen: InitializationSettings, activation: Activation, model: ModelCode) -> str:
    assert model.own is not None
    modules = model.own.modules
    plain = not any(isinstance(module, nn.RNNBase | nn.RNNCellBase) for module in modules)
    if plain and _same_everywhere(chosen, activation) and all(_has_bias(module) for module in modules):
        return lines(f"for layer in {model.layers}:", indented(_layer("layer", chosen, _LINEAR)))
    parts = []
    for number, (layer, module) in enumerate(zip(model.own.layers, modules, strict=True)):
        before = _LINEAR if number == model.depth else activation
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            hidden = int(module.hidden_size)
            gates = max(1, next(module.parameters()).shape[0] // hidden)
            parts.append(_recurrent_module(layer, chosen, before, gates))
        else:
            parts.append(_layer(layer, chosen, before, _has_bias(module)))
    return lines(comment("the first weights of each layer, in the order in which examples pass them"), *parts)


def _has_bias(module: Any) -> bool:
    return getattr(module, "bias", None) is not None


