"""First weights in a program: torch.nn.init on every layer, from the run's own stream of random numbers."""

from __future__ import annotations

from typing import Any

from torch import nn

from weightlab.networks.activations import IDENTITY, Activation
from weightlab.networks.initializers import InitializationSettings
from weightlab.networks.model_programs import ModelCode
from weightlab.program_text import call, comment, indented, lines, literal

_FROM = "generator=weights_stream"


def initialization_lines(chosen: InitializationSettings, activation: Activation, model: ModelCode) -> str:
    """Lines that draw the weights of `model` (in float64) anew; `activation`: of the hidden units."""
    if model.own:
        return _own(chosen, activation, model)
    if model.recurrent:
        return _recurrent(chosen, activation, model)
    if not model.depth or _same_everywhere(chosen, activation):
        return lines(
            "for layer in model.modules():",
            f"    if isinstance(layer, {model.kinds}):",
            indented(_layer("layer", chosen, IDENTITY, depth=2), 2),
        )
    return lines(
        f"*hidden, output = {model.layers}",
        "for layer in hidden:",
        indented(_layer("layer", chosen, activation)),
        _layer("output", chosen, IDENTITY),
    )


def _same_everywhere(chosen: InitializationSettings, activation: Activation) -> bool:
    return chosen.gain_for(activation) == chosen.gain_for(IDENTITY)


def _layer(
    layer: str, chosen: InitializationSettings, activation: Activation, bias: bool = True, depth: int = 1
) -> str:
    """Lines that fill weight and bias of a linear or convolutional layer."""
    drawn = f"nn.init.zeros_({layer}.bias)"
    if bound := chosen.initializer.bias_text:
        drawn = lines(f"bound = {bound.format(f'{layer}.weight[0].numel()')}", _uniform(f"{layer}.bias"))
    return lines(weight_lines(f"{layer}.weight", chosen, activation, depth), drawn if bias else "")


def _uniform(target: str) -> str:
    return f"nn.init.uniform_({target}, -bound, bound, {_FROM})"


def weight_lines(target: str, chosen: InitializationSettings, activation: Activation, depth: int = 1) -> str:
    """Lines that fill the parameter called `target` from `weights_stream`, in front of `activation`.

    depth: at most how far they will be indented.
    """
    entry, gain = chosen.initializer, _gain_text(chosen.gain_for(activation), activation)
    name, *parts = entry.call(dict(chosen.settings), gain)
    filled = call(f"nn.init.{name}", [target, *parts, *([_FROM] if entry.draws else [])], depth)
    return lines(filled, f"{target}.data.mul_({gain})" if entry.scaled and gain else "")


def _gain_text(gain: float, activation: Activation) -> str:
    if gain == 1:
        return ""
    if activation.has_torch_gain and gain == activation.gain:
        return f'nn.init.calculate_gain("{activation.name}")'
    return literal(gain)


def _recurrent(chosen: InitializationSettings, activation: Activation, model: ModelCode) -> str:
    module = f"model.{model.recurrent}"
    return lines(
        _recurrent_module(module, chosen, activation, model.gates),
        _layer("model.output", chosen, IDENTITY),
    )


def _recurrent_module(module: str, chosen: InitializationSettings, activation: Activation, gates: int) -> str:
    if bound := chosen.initializer.bias_text:
        return lines(
            f"bound = {bound.format(f'{module}.hidden_size')}",
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
    modules = [module for _, module in model.own]
    plain = not any(isinstance(module, nn.RNNBase | nn.RNNCellBase) for module in modules)
    if plain and _same_everywhere(chosen, activation) and all(_has_bias(module) for module in modules):
        return lines(f"for layer in {model.layers}:", indented(_layer("layer", chosen, IDENTITY)))
    parts = []
    for number, (layer, module) in enumerate(model.own):
        before = IDENTITY if number == model.depth else activation
        if isinstance(module, nn.RNNBase | nn.RNNCellBase):
            hidden = int(module.hidden_size)
            gates = max(1, next(module.parameters()).shape[0] // hidden)
            parts.append(_recurrent_module(layer, chosen, before, gates))
        else:
            parts.append(_layer(layer, chosen, before, _has_bias(module)))
    return lines(comment("the first weights of each layer, in the order in which examples pass them"), *parts)


def _has_bias(module: Any) -> bool:
    return getattr(module, "bias", None) is not None


