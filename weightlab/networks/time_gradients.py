"""Backpropagation through time, taken apart: how large the loss's gradient is at every time step of a recurrent net."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weightlab.devices import settle_threads
from weightlab.networks.activations import activation
from weightlab.networks.architectures import RecurrentNetwork
from weightlab.networks.datasets import Dataset
from weightlab.networks.initializers import InitializationSettings, as_settings
from weightlab.networks.models import MODELS, initialize, model
from weightlab.theory.signals import gaussian_nodes
from weightlab.validate import choose, number, whole_number

CELLS = tuple(name for name, entry in MODELS.items() if entry.cell)
MOST_KEEP_BIAS = 20.0


@dataclass(frozen=True, eq=False)
class TimeGradientRecord:
    """How large the gradient is at every time step, for several seeds, float64; step 1 is the first pixel.

    gradients: (seed, step) norm of the mean loss's gradient with respect to what the step hands on to the next one,
               over batch and units: the hidden state h, for an LSTM h and the memory c together
    states:    (seed, step) root mean square of h
    radii:     (seed,)      spectral radius of the recurrent matrix; NaN for gated cells, which have several
    """

    gradients: Tensor
    states: Tensor
    radii: Tensor

    @property
    def first_to_last(self) -> Tensor:
        """Gradient at the first time step over that at the last, (seed,): below 1 vanishing, above 1 exploding."""
        return self.gradients[:, 0] / self.gradients[:, -1]

    @property
    def ratios(self) -> Tensor:
        """Growth per time step backwards, (seed,): the geometric mean over all steps."""
        return self.first_to_last ** (1 / max(1, self.gradients.shape[1] - 1))


def time_gradients(network: RecurrentNetwork, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Norm of the loss's gradient and RMS of the hidden state at every time step, each (layer, step) float64.

    x: examples (example, ...), y: their classes (example,); the loss is their mean cross-entropy. The recurrent modules
    are driven one time step at a time and every state is kept, so that `backward()` leaves its gradient there
    (backpropagation through time; Werbos 1990). The network's own gradients stay as they were.
    """
    states: list[list[tuple[Tensor, ...]]] = []
    steps = x.reshape(len(x), -1, network.features)  # (example, step, feature)
    held: list[tuple[Tensor, ...] | None] = [None] * len(network.recurrent)
    for step in range(steps.shape[1]):
        h, kept = steps[:, step : step + 1], []
        for number_of_layer, layer in enumerate(network.recurrent):
            before = held[number_of_layer]
            given = None if before is None else (before if network.cell.memory else before[0])
            _, after = layer(h, given)
            now = after if isinstance(after, tuple) else (after,)
            held[number_of_layer] = now
            kept.append(now)
            h = now[0].transpose(0, 1)
        states.append(kept)
    loss = nn.functional.cross_entropy(network.output(h[:, -1]), y)
    flat = [part for kept in states for now in kept for part in now]
    found = torch.autograd.grad(loss, flat, allow_unused=True)  # an LSTM's last memory leads nowhere
    squares = iter([0.0 if one is None else float(one.double().square().sum()) for one in found])
    norms = [[sum(next(squares) for _ in now) ** 0.5 for now in kept] for kept in states]
    sizes = [[float(now[0].detach().double().square().mean()) ** 0.5 for now in kept] for kept in states]
    return torch.tensor(norms, dtype=torch.float64).T, torch.tensor(sizes, dtype=torch.float64).T


def explain_in_time(network: RecurrentNetwork, x: Tensor, y: Tensor, limit: float) -> str:
    """Where in time a recurrent network goes out of bounds on these examples: a clause that names the time step.

    limit: of the hidden states' root mean square.
    """
    gradients, states = time_gradients(network, x, y)
    steps = states.shape[1]
    beyond = ~(states <= limit)  # not "states > limit": NaN is beyond it too
    if beyond.any():
        step = int(beyond.any(dim=0).int().argmax())
        layer = int(beyond[:, step].int().argmax()) + 1
        return f"the hidden state of layer {layer} passes the limit first at time step {step + 1} of {steps}"
    sizes = gradients.nan_to_num(nan=torch.inf)
    layer, step = divmod(int(sizes.argmax()), steps)
    return (
        f"the gradient is largest at time step {step + 1} of {steps} in layer {layer + 1}, "
        f"{float(gradients[layer, step]):.2g} against {float(gradients[layer, -1]):.2g} at the last one"
    )


def open_keep_gates(network: RecurrentNetwork, bias: float) -> None:
    """Add `bias` to the gate that keeps the old state, in place: an LSTM's forget gate, a GRU's update gate.

    The gate then begins near σ(bias) instead of 1/2 (Gers et al. 2000; Jozefowicz et al. 2015). A plain RNN has none.
    """
    cell = network.cell
    if cell.keep_gate is not None:
        for layer in network.recurrent:
            layer.get_parameter("bias_ih_l0").data.chunk(cell.gates)[cell.keep_gate].add_(bias)


def measure_time_gradients(
    cell: str,
    initialization_settings: str | InitializationSettings,
    data: Dataset,
    *,
    activation_name: str = "tanh",
    width: int = 32,
    keep_bias: float = 0.0,
    seeds: int = 5,
    first_seed: int = 0,
    batch: int = 64,
) -> TimeGradientRecord:
    """Gradients over time of untrained networks that read the first `batch` training examples pixel by pixel.

    cell: one of CELLS; activation_name: "tanh" or "relu", of the plain RNN. Seed s draws the weights,
    s = first_seed, ... Raises ValueError or TypeError that names value, range and remedy.
    """
    entry = MODELS[choose("cell", cell, CELLS)]
    start = as_settings(initialization_settings)
    bias = number("keep_bias", keep_bias, -MOST_KEEP_BIAS, MOST_KEEP_BIAS, why="a gate at 20 is open to 2e-9")
    seeds, first_seed = whole_number("seeds", seeds, 1, 1000), whole_number("first_seed", first_seed, 0, 2**31)
    batch = whole_number("batch", batch, 1, len(data.y_train), why="the training split has no more examples")
    settings = {"activation": activation_name} if "activation" in entry.settings else {}
    chosen = model(entry.name, depth=1, width=width, reading="pixels", **settings)
    x, y = data.x_train[:batch].double(), data.y_train[:batch]
    settle_threads()
    gradients, states, radii = [], [], []
    for seed in range(first_seed, first_seed + seeds):
        network = chosen.build(data.shape, data.classes)
        assert isinstance(network, RecurrentNetwork)
        initialize(network, start, chosen.hidden_activation, torch.Generator().manual_seed(seed))
        open_keep_gates(network, bias)
        norms, sizes = time_gradients(network, x, y)
        gradients.append(norms[0])
        states.append(sizes[0])
        radii.append(spectral_radius(network) if network.cell.gates == 1 else torch.nan)
    return TimeGradientRecord(torch.stack(gradients), torch.stack(states), torch.tensor(radii, dtype=torch.float64))


def spectral_radius(network: RecurrentNetwork) -> float:
    """The largest modulus of an eigenvalue of the first recurrent layer's matrix."""
    matrix = network.recurrent[0].get_parameter("weight_hh_l0").detach()
    return float(torch.linalg.eigvals(matrix.double()).abs().max())


def predicted_radius(initialization_settings: str | InitializationSettings, width: int, activation_name: str) -> float:
    """The spectral radius that a wide random matrix has: √(width·Var w) (circular law; Ginibre 1965, Girko 1984)."""
    start, f = as_settings(initialization_settings), activation(activation_name)
    return (width * start.variance(torch.empty(width, width), f)) ** 0.5


def predict_time_gradients(
    initialization_settings: str | InitializationSettings,
    x: Tensor,  # (example, ...), read number by number
    *,
    activation_name: str = "tanh",
    width: int = 32,
) -> Tensor | None:
    """A plain RNN's gradient at every time step over that at the last one, (step,) float64, without drawing a weight.

    Mean field (Chen, Pennington & Schoenholz 2018): in a wide RNN the variance q of the pre-activations of
    one example obeys q[t] = n·Var(W)·E[f(√q[t-1] z)²] + Var(U)·x[t]² + Var(b), and the gradient's mean square changes
    by n·Var(W)·E[f'(√q[t] z)²] per step backwards. None where weights have a mean other than zero.
    """
    start, f = as_settings(initialization_settings), activation(activation_name)
    if start.initializer.mean(dict(start.settings)) != 0:
        return None
    # PyTorch draws all of a recurrent layer's parameters alike, two biases among them
    bias = start.initializer.bias_variance(width)
    read = bias or start.variance(torch.empty(width, 1), f)
    gain = width * start.variance(torch.empty(width, width), f)
    nodes, weights = gaussian_nodes()
    steps = x.reshape(len(x), -1).double()  # (example, step)
    passed = torch.zeros(len(x), dtype=torch.float64)  # mean square of the state handed on
    factors = []
    for step in steps.T:
        q = gain * passed + read * step.square() + 2 * bias
        z = q.sqrt()[:, None] * nodes
        passed = f.function(z).square() @ weights
        factors.append(gain * (f.derivative(z).square() @ weights))
    squares = [torch.ones_like(passed)]
    for factor in reversed(factors[1:]):
        squares.append(squares[-1] * factor)
    return torch.stack(squares[::-1]).mean(dim=1).sqrt()


def gate_alone(keep_bias: float, steps: int) -> Tensor:
    """What a gate lets through by itself: σ(keep_bias) per step backwards, 1 at the last one, (steps,) float64."""
    bias = number("keep_bias", keep_bias, -MOST_KEEP_BIAS, MOST_KEEP_BIAS)
    gate = torch.sigmoid(torch.tensor(bias, dtype=torch.float64))
    return gate ** torch.arange(whole_number("steps", steps, 1, 100_000) - 1, -1, -1, dtype=torch.float64)
