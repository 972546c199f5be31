"""A learner's own network: any nn.Module, with its layers found by watching a few examples pass through it.

    class Wide(nn.Module): ...
    mine = model_from_module(Wide)
    TrainingExperiment(mine, dataset("digits"), optimizer("adam"))
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from weightlab.networks.activations import Activation
from weightlab.networks.activations import activation as known_activation
from weightlab.networks.architectures import OUTPUT, Network, Shape
from weightlab.networks.initializers import initialization
from weightlab.networks.models import MODELS, ModelSettings, initialize

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase, nn.RNNCellBase)  # what initializers can draw
KINDS = "nn.Linear, a convolution or a recurrent module"
PROBES = 3  # examples passed through to look at a module

MakeModule = Callable[[], nn.Module]


class OwnNetwork(Network):
    """`module` as a Network: its layers are the modules of LAYERS that a pass of examples goes through, in that order.

    A layer's signal is what stands before the next layer's weights, behind normalization, activation and pooling where
    these are modules of their own; with functions instead (`torch.relu`) it is the layer's own output. Examples of
    data that have a shape reach the module in that shape. What it draws at random in training (dropout) comes from a
    stream of its own, so that runs repeat. Raises ValueError where the module cannot serve (see `model_from_module`).
    """

    def __init__(self, module: nn.Module, shape: Shape, outputs: int) -> None:
        super().__init__()
        self.module, self.shape = module, shape
        passed, draws = _watch(module, shape, outputs)
        modules = dict(module.named_modules())
        weighty = [name for name in dict.fromkeys(passed) if isinstance(modules[name], LAYERS)]
        if not weighty:
            raise ValueError(f"no layer that could be trained layer by layer is called in it; use {KINDS} as modules")
        times = Counter(passed)
        for number, name in enumerate(weighty):
            last = number == len(weighty) - 1
            end = None if last else passed.index(weighty[number + 1])
            behind = [one for one in passed[passed.index(name) + 1 : end] if times[one] == 1]
            signal = name if last or not behind or times[name] > 1 else behind[-1]
            self.name_layer(modules[name], modules[signal], OUTPUT if last else "")
        self.stream = torch.Generator().manual_seed(0).get_state() if draws else None

    def forward(self, x: Tensor) -> Tensor:  # (example, *shape) or (example, inputs) -> (example, outputs)
        x = x.reshape(-1, *self.shape)
        if self.stream is None or not self.training:
            logits: Tensor = self.module(x)
            return logits
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.stream)
            logits = self.module(x)
            self.stream = torch.get_rng_state()
        return logits

    def seed(self, generator: torch.Generator) -> None:
        if self.stream is not None:
            drawn = int(torch.randint(2**62, (), generator=generator))
            self.stream = torch.Generator().manual_seed(drawn).get_state()

    @property
    def has_modes(self) -> bool:
        return True  # dropout has no buffers to be known by


@dataclass(frozen=True, repr=False)
class OwnModel(ModelSettings):
    """A network of the learner's own where a model is asked for; made and checked by `model_from_module`.

    make: gives a new module at each call. activation: what its hidden units apply, for an initializer's gain.
    """

    make: MakeModule = nn.Identity
    activation: str = "relu"

    def __post_init__(self) -> None:
        known_activation(self.activation)
        if self.name in MODELS:
            raise ValueError(f"the package has a model called {self.name!r}; add name='my_{self.name}'")

    def __repr__(self) -> str:
        return f"model_from_module({self.name})"

    @property
    def hidden_activation(self) -> Activation:
        return known_activation(self.activation)

    def replace(self, **changes: object) -> ModelSettings:
        raise ValueError(f"{self.name!r} is your own network and has no settings, got {', '.join(changes)}; change it")

    def misfit(self, shape: Shape, outputs: int = 1) -> str:
        try:
            OwnNetwork(_made(self.make), shape, outputs)
        except ValueError as refusal:
            return str(refusal)
        return ""

    def build(self, inputs: int | Shape, outputs: int, generator: torch.Generator | None = None) -> Network:
        shape = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        network = OwnNetwork(_made(self.make), shape, outputs).double()
        initialize(network, initialization("pytorch_default"), self.hidden_activation, generator)
        return network


@dataclass(frozen=True)
class _Copies:
    """Makes copies of one module, so that no run changes it."""

    module: nn.Module

    def __call__(self) -> nn.Module:
        return copy.deepcopy(self.module)


def model_from_module(module: nn.Module | MakeModule, activation: str = "relu", name: str = "") -> OwnModel:
    """Your own network as a model: an nn.Module, or its class or a function without arguments that makes one.

    It gets examples (example, inputs), pictures (example, channels, height, width), and must return logits (example,
    classes). Its layers, which are nn.Linear, convolutions and recurrent modules, are recorded, and drawn anew by the
    run's initialization with the gain of `activation`; its other parameters are trained from where the module has them.
    name: in menus and messages, the class's name unless given.

    Raises TypeError for what is no module, ValueError for one without parameters to train or without such a layer, and,
    when it meets the data, for outputs of the wrong shape, NaN, or whatever it raises there.
    """
    if isinstance(module, nn.Module):
        make: MakeModule = _Copies(copy.deepcopy(module))
        called = type(module).__name__
    elif callable(module):
        make, called = module, getattr(module, "__name__", "yours")
    else:
        raise TypeError(f"an nn.Module, its class or a function that makes one is asked for, got {module!r}")
    if not called.isidentifier():
        called = "yours"  # a lambda
    _check_parts(_made(make))
    return OwnModel(name or called, (), make, activation)


def _made(make: MakeModule) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            module = make()
        except Exception as error:  # the learner's code may raise anything
            raise ValueError(
                f"making it raises {type(error).__name__}: {error}; if it needs arguments pass `lambda: Net(8)`"
            ) from error
    if not isinstance(module, nn.Module):
        raise TypeError(f"an nn.Module must be made, got {module!r}; derive the class from torch.nn.Module")
    return module


def _check_parts(module: nn.Module) -> None:
    kind = type(module).__name__
    if any(is_lazy(parameter) for parameter in module.parameters()):
        raise ValueError(f"{kind} has a lazy layer, whose size is not known yet; give its number of inputs")
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ValueError(f"{kind} has no parameters to train; give it {KINDS}, set in __init__ as `self.<name> = …`")
    layers = [part for part in module.modules() if isinstance(part, LAYERS)]
    if not layers:
        raise ValueError(f"{kind} has no layer that could be drawn and recorded; use {KINDS} for its matrices")
    for layer in layers:
        if isinstance(layer, nn.RNNBase) and (layer.num_layers > 1 or layer.bidirectional):
            raise ValueError(
                f"{kind} has an nn.{type(layer).__name__} of several layers or directions in one; make one module a "
                "layer, so that each can be recorded"
            )


def _watch(module: nn.Module, shape: Shape, outputs: int) -> tuple[list[str], bool]:
    """Names of the innermost modules in the order in which examples pass them, and whether it draws at random.

    Watches a copy: batch normalization counts what passes. Raises ValueError for a result that is not logits.
    """
    watched, passed = copy.deepcopy(module).float().train(), []

    def note(name: str) -> Callable[..., None]:
        return lambda *arguments: passed.append(name)

    for name, part in watched.named_modules():
        if isinstance(part, LAYERS) or not any(True for _ in part.children()):
            part.register_forward_hook(note(name))
    examples = torch.randn(PROBES, *shape, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        try:
            logits = watched(examples)
        except Exception as error:  # the learner's code may raise anything
            flat = "; begin with nn.Flatten() for layers on flat rows" if len(shape) > 1 else ""
            cause = str(error).removeprefix("addmm: ")  # which newer versions of PyTorch name
            raise ValueError(
                f"given examples of shape {tuple(examples.shape)} it raises {type(error).__name__}: {cause}{flat}"
            ) from error
        draws = not torch.equal(before, torch.get_rng_state())
    _check_logits(logits, outputs)
    return passed, draws


def _check_logits(logits: object, outputs: int) -> None:
    wanted = (PROBES, outputs)
    if not isinstance(logits, Tensor):
        kind = type(logits).__name__
        raise ValueError(f"it returns {kind}, a tensor of shape {wanted} is asked for; is `return` missing?")
    if tuple(logits.shape) != wanted:
        raise ValueError(
            f"for {PROBES} examples it returns shape {tuple(logits.shape)}, {wanted} is asked for: "
            f"{outputs} numbers (logits) an example"
        )
    if not logits.is_floating_point() or not logits.requires_grad:
        raise ValueError("what it returns has no gradient: no .detach(), argmax, .item() or torch.no_grad() on the way")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("it returns NaN or infinity for examples of ordinary size; look for log(0) or 0/0 in forward")
