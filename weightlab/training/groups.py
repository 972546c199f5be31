"""Parameter groups: settings of their own for some of a network's parameters, as PyTorch's optimizers take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from weightlab.networks.models import OUTPUT, ModelSettings, Network, Shape
from weightlab.rules.own_optimizer import check_takes_groups
from weightlab.rules.update_rules import LARGEST, OptimizerSettings
from weightlab.validate import choose, number, shown

BIASES, NORMS, FIRST, HIDDEN = "biases", "norms", "first", "hidden"
KINDS: Mapping[str, str] = {
    BIASES: "every bias, those of normalization too",
    NORMS: "all parameters of normalization",
    FIRST: "the first layer",
    HIDDEN: "the layers between the first and the output",
    OUTPUT: "the last layer",
}
NORMALIZATION = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class ParameterGroup:
    """Settings of their own for some parameters; what is left out is the optimizer's.

    parameters:   "biases", "norms", "first", "hidden", "output" (see KINDS) or a layer's name, such as "layer 3". A
                  layer has its weights and biases, and what stands in network.parameters() between it and the next
                  layer, such as its normalization
    rate_factor:  times the learning rate, also as it is changed midway or scheduled
    weight_decay: instead of the optimizer's own, also where that is changed midway; None for the optimizer's own
    frozen:       the parameters stay as they were drawn: no gradient, no step, no decay, no penalty, and no part in
                  clipping, as after `requires_grad_(False)`

    Raises ValueError or TypeError that names value, range and remedy.
    """

    parameters: str
    rate_factor: float = 1.0
    weight_decay: float | None = None
    frozen: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, str) or not self.parameters:
            named = f"{', '.join(map(repr, KINDS))} or a layer's name"
            raise TypeError(f"parameters of a group must be {named}, got {shown(self.parameters)}")
        if not isinstance(self.frozen, bool):
            raise TypeError(f"frozen must be True or False, got {shown(self.frozen)}")
        factor = number("rate_factor", self.rate_factor, 0, LARGEST, why="1 is the optimizer's own learning rate")
        object.__setattr__(self, "rate_factor", factor)
        if self.weight_decay is not None:
            decay = number("weight_decay", self.weight_decay, 0, LARGEST, why="None is the optimizer's own")
            object.__setattr__(self, "weight_decay", decay)
        if self.frozen and (factor != 1 or self.weight_decay is not None):
            raise ValueError(
                f"the group {self.parameters!r} is frozen, so it takes no step of rate_factor={factor:g}, "
                f"weight_decay={self.weight_decay}; leave both out or set frozen=False"
            )


@dataclass(frozen=True)
class Block:
    """Parameters that are moved with the same settings.

    group:      None for those in no group
    parameters: their numbers in network.parameters()
    of_rest:    whether the optimizer's `rest` moves them
    """

    group: ParameterGroup | None
    parameters: tuple[int, ...]
    of_rest: bool = False

    @property
    def frozen(self) -> bool:
        return self.group is not None and self.group.frozen

    def settings(self, optimizer: OptimizerSettings, factor: float = 1.0) -> dict[str, Any]:
        """What holds for them, with the schedule's factor on the learning rate."""
        one = optimizer.rest if self.of_rest and optimizer.rest is not None else optimizer
        settings, rate = dict(one.settings), one.learning_rate
        if self.group is not None:
            rate *= self.group.rate_factor
            if self.group.weight_decay is not None:
                settings["weight_decay"] = self.group.weight_decay
        settings["learning_rate"] = rate * factor
        return settings


def blocks_of(
    network: nn.Module, groups: Sequence[ParameterGroup] = (), *, apart: bool = False
) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """The trained blocks and the frozen ones: group by group, those in none last, in each the network's own order.

    apart: what is not a matrix is moved by the optimizer's rest; such blocks come behind the others. A parameter
    belongs to the first group that names it. Blocks without parameters are left out.
    """
    parameters = list(network.parameters())
    if not groups and not apart:
        return (Block(None, tuple(range(len(parameters)))),), ()
    owners, found = _owners(network, groups), []
    for of_rest in (False, True) if apart else (False,):
        here = [i for i, one in enumerate(parameters) if not apart or (one.ndim != 2) is of_rest]
        for number_of_group, group in enumerate((*groups, None)):
            if members := tuple(i for i in here if owners[i] == number_of_group):
                found.append(Block(group, members, of_rest))
    return tuple(one for one in found if not one.frozen), tuple(one for one in found if one.frozen)


def _owners(network: nn.Module, groups: Sequence[ParameterGroup]) -> list[int]:
    """The number of each parameter's group, len(groups) for none."""
    if not groups:
        return [0 for _ in network.parameters()]
    assert isinstance(network, Network)
    wanted = [group.parameters for group in groups]
    return [next((i for i, name in enumerate(wanted) if name in names), len(wanted)) for names in _names(network)]


def _names(network: Network) -> Iterator[frozenset[str]]:
    """The names under which a group can have each parameter."""
    layers = [name for name, _ in network.layers]
    of_layer = {parameter: name for name, layer in reversed(network.layers) for parameter in layer.parameters()}
    norms = {one for module in network.modules() if isinstance(module, NORMALIZATION) for one in module.parameters()}
    layer = ""
    for name, parameter in network.named_parameters():
        layer = of_layer.get(parameter, layer)
        found = {layer}
        if layer:
            found.add(FIRST if layer == layers[0] else HIDDEN if layer != layers[-1] else OUTPUT)
        if name.rpartition(".")[2].startswith("bias"):
            found.add(BIASES)
        if parameter in norms:
            found.add(NORMS)
        yield frozenset(found)


def check_groups(
    groups: object, optimizer: OptimizerSettings, model: ModelSettings, shape: Shape, outputs: int
) -> tuple[ParameterGroup, ...]:
    """The groups as a tuple, of which each has a parameter of the model; at least one parameter must be trained.

    Raises TypeError for what is no tuple of groups, ValueError for groups that do not fit model or optimizer.
    """
    if not isinstance(groups, (tuple, list)) or not all(isinstance(one, ParameterGroup) for one in groups):
        form = 'write groups=(ParameterGroup("biases", weight_decay=0),)'
        raise TypeError(f"groups must be a tuple of ParameterGroup, got {shown(groups)}; {form}")
    apart = optimizer.rest is not None
    if not groups and not apart:
        return ()
    network = _laid_out(model, shape, outputs)
    trained, _ = blocks_of(network, groups, apart=apart)
    for number_of_group, group in enumerate(groups):
        if number_of_group not in _owners(network, groups):
            raise ValueError(_nothing_left(group, network))
    if not trained:
        raise ValueError("every parameter is frozen, so there is nothing to train; leave out a group with frozen=True")
    if apart and all(block.of_rest for block in trained):
        raise ValueError(
            f"no matrix is left to train for {optimizer.name}: choose its rest, {optimizer.rest!r}, as the optimizer"
        )
    if len(trained) > 1 and not apart and not isinstance(optimizer.rule, str):
        check_takes_groups(optimizer.rule, optimizer.arguments)
    for block in trained:
        _check_settings(block, optimizer)
    return tuple(groups)


def laid_out_blocks(
    groups: Sequence[ParameterGroup], optimizer: OptimizerSettings, model: ModelSettings, shape: Shape, outputs: int
) -> tuple[tuple[Block, ...], tuple[Block, ...], int]:
    """What `blocks_of` gives for a network of this model, and how many parameters that has."""
    network = _laid_out(model, shape, outputs)
    return *blocks_of(network, groups, apart=optimizer.rest is not None), sum(1 for _ in network.parameters())


def group_names(model: ModelSettings, shape: Shape, outputs: int) -> tuple[str, ...]:
    """What a group may name in such a network: those of KINDS that have a parameter there, then its layers."""
    network = _laid_out(model, shape, outputs)
    known = {name for names in _names(network) for name in names}
    return tuple(name for name in dict.fromkeys([*KINDS, *(name for name, _ in network.layers)]) if name in known)


def _laid_out(model: ModelSettings, shape: Shape, outputs: int) -> Network:
    """The network to look at; one of the package without any numbers in it, as its size may be anything."""
    if type(model) is not ModelSettings:
        return model.build(shape, outputs)
    with torch.device("meta"):
        return model.entry.build(shape, outputs, dict(model.settings))


def _nothing_left(group: ParameterGroup, network: Network) -> str:
    """Why the group has no parameter; ValueError for a name that no group can have."""
    layers = [name for name, _ in network.layers]
    choose("parameters of a group", group.parameters, [*KINDS, *layers])
    if any(group.parameters in names for names in _names(network)):
        return f"the group {group.parameters!r} comes too late: others before it have its parameters; move it up"
    what = KINDS.get(group.parameters, "a layer")
    return f"the group {group.parameters!r} ({what}) has no parameter in this network; leave it out"


def _check_settings(block: Block, optimizer: OptimizerSettings) -> None:
    one = optimizer.rest if block.of_rest and optimizer.rest is not None else optimizer
    group = block.group
    if group is None:
        return
    if group.weight_decay is not None and not one.takes("weight_decay"):
        raise ValueError(
            f"{one.label} has no weight_decay, but the group {group.parameters!r} sets it to "
            f"{group.weight_decay:g}; leave it out"
        )
    rate = f"learning_rate times rate_factor of the group {group.parameters!r}"
    number(rate, one.learning_rate * group.rate_factor, 0, LARGEST, why="lower one of them")
