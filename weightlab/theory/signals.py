"""Closed forms for a deep network before training: how large its signals and gradients are, layer by layer.

Mean-field theory (Poole et al. 2016; Schoenholz et al. 2017): with independent weights of mean zero in wide layers the
pre-activations are Gaussian, so that their variance q obeys q[l+1] = fan_in·Var(w)·E[f(√q[l] z)²] + Var(b) with
z ~ N(0, 1), and a gradient's mean square shrinks by fan_out·Var(w)·E[f'(√q z)²] per layer towards the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightlab.validate import number, whole_number

Function = Callable[[Tensor], Tensor]
NODES = 400  # even and symmetric: expectations of ReLU's squares come out exact
FINEST = 1e-6  # the nodes nearest to zero, in standard deviations: resolves a tanh saturated a million times over
WIDEST = 12.0  # the Gaussian's tail beyond is below 1e-31


@dataclass(frozen=True)
class SignalPrediction:
    """Predicted root mean squares, float64, in the order of the layers.

    forward:  (layer,) RMS of the pre-activations z = W h + b
    backward: (layer,) RMS of the loss's gradient with respect to those pre-activations
    source:   which theory holds
    """

    forward: Tensor
    backward: Tensor
    source: str

    @property
    def forward_ratio(self) -> float:
        """Growth of `forward` per layer towards the output, without the first two layers; NaN below four layers.

        The counterpart of `SignalRecord.forward_ratios`.
        """
        return float(growth_per_layer(self.forward))

    @property
    def backward_ratio(self) -> float:
        """Growth of `backward` per layer towards the input: below 1 vanishing, above 1 exploding gradients."""
        return 1 / float(growth_per_layer(self.backward))


def growth_per_layer(magnitudes: Tensor) -> Tensor:
    """Growth of magnitudes (..., layer) per layer, (...): the geometric mean without the first two layers.

    NaN for fewer than four layers and where a magnitude is zero.
    """
    settled = magnitudes[..., 2:].double()  # the input is not yet what the layers make of it
    if settled.shape[-1] < 2:
        return torch.full(settled.shape[:-1], torch.nan, dtype=torch.float64)
    first, last = settled[..., 0], settled[..., -1]
    growth = (last / first) ** (1 / (settled.shape[-1] - 1))
    return torch.where((first > 0) & (last > 0), growth, torch.nan)


def gaussian_nodes() -> tuple[Tensor, Tensor]:
    """(nodes, weights) for E[F(z)], z ~ N(0, 1): the trapezoidal rule in u with z = FINEST·sinh(u), (NODES,) each.

    Not Gauss-Hermite: its nodes lie too far apart to see the derivative of a saturated sigmoid, a narrow spike at zero.
    """
    end = math.asinh(WIDEST / FINEST)
    u = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES * 2 * end - end
    u = (u - u.flip(0)) / 2  # symmetric to the last bit
    nodes = FINEST * torch.sinh(u)
    weights = torch.exp(-nodes.square() / 2) * torch.cosh(u)
    return nodes, weights / weights.sum()


def signal_propagation(
    function: Function,
    derivative: Function,
    *,
    variance: float,
    depth: int,
    width: int,
    mean: float = 0.0,
    bias_variance: float = 0.0,
) -> SignalPrediction | None:
    """What `depth` layers h = f(W h + b), all `width` wide, do to a unit-normal input and to a gradient on top.

    The gradient with respect to the last layer's output is unit normal. function and derivative are f and f' on float64
    tensors; variance and mean are those of one weight. Weights that are all the same (variance 0) make each layer of
    rank one: every unit repeats its neighbour, mean field does not hold, and one Gaussian number, the sum of the
    inputs, decides all; that case is exact for any width (NaN where inputs too rare to be met in a run make up the
    average, see `_typical_square`). None where neither theory holds: random weights about a mean other
    than zero, or equal weights with random biases.

    Raises ValueError or TypeError for a negative or non-finite variance and for depth or width below 1.
    """
    depth, width = whole_number("depth", depth, 1, 10_000), whole_number("width", width, 1, 1_000_000)
    variance, mean = number("variance", variance, 0), number("mean", mean)
    bias_variance = number("bias_variance", bias_variance, 0)
    if mean == 0:
        return _mean_field(function, derivative, width * variance, bias_variance, depth)
    if variance == 0 and bias_variance == 0:
        return _rank_one(function, derivative, mean, depth, width)
    return None


def _upwards(
    f: Function, gains: Sequence[float], bias_variances: Sequence[float], square: float
) -> tuple[list[float], list[float]]:
    """Layer by layer the variance of the pre-activations, and the mean square of what is handed on; first `square`."""
    nodes, weights = gaussian_nodes()
    variances, squares = [], []
    for gain, bias_variance in zip(gains, bias_variances, strict=True):
        variances.append(gain * square + bias_variance)
        square = float(weights @ f(math.sqrt(variances[-1]) * nodes).square())
        squares.append(square)
    return variances, squares


def _slopes(derivative: Function, variances: Sequence[float]) -> list[float]:
    """E[f'(√q z)²] layer by layer."""
    nodes, weights = gaussian_nodes()
    return [float(weights @ derivative(math.sqrt(variance) * nodes).square()) for variance in variances]


def _mean_field(f: Function, slope: Function, gain: float, bias_variance: float, depth: int) -> SignalPrediction:
    variances, _ = _upwards(f, [gain] * depth, [bias_variance] * depth, 1.0)  # the input is unit normal
    slopes = _slopes(slope, variances)
    backward = [slopes[-1]]
    for value in reversed(slopes[:-1]):
        backward.append(backward[-1] * gain * value)
    return SignalPrediction(
        torch.tensor(variances, dtype=torch.float64).sqrt(),
        torch.tensor(backward[::-1], dtype=torch.float64).sqrt(),
        "mean field",
    )


def _rank_one(f: Function, slope: Function, value: float, depth: int, width: int) -> SignalPrediction:
    nodes, weights = gaussian_nodes()
    forward, slopes = [], []
    z = value * math.sqrt(width) * nodes  # `value` times the sum of `width` unit-normal inputs
    for _ in range(depth):
        forward.append(_typical_square(z, weights))
        slopes.append(slope(z))
        z = value * width * f(z)
    backward = [_typical_square(slopes[-1], weights)]
    # one step down sums `width` independent gradients; from there on they are equal, and sums grow by `width`
    carried = value * math.sqrt(width) * slopes[-1]
    for layer in reversed(slopes[:-1]):
        backward.append(_typical_square(carried * layer, weights))
        carried = value * width * carried * layer
    return SignalPrediction(torch.stack(forward).sqrt(), torch.stack(backward[::-1]).sqrt(), "rank one")


def _typical_square(values: Tensor, weights: Tensor) -> Tensor:
    """E[values²], or NaN where fewer than one input in 20 decides it (by the participation ratio E[v²]²/E[v⁴])."""
    scale = values.abs().max()
    squares = torch.where(scale > 0, values / scale, 0.0).square()  # scaled: fourth powers must not overflow
    mean, fourth = weights @ squares, weights @ squares.square()
    return torch.where((mean.square() >= 0.05 * fourth), mean * scale.square(), torch.nan)


def activation_sizes(
    function: Function, gains: Sequence[float], bias_variances: Sequence[float], input_square: float
) -> Tensor:
    """RMS of what each layer of a perceptron hands on before training, (layer,) float64; the last layer is linear.

    gains: fan_in·Var(w) of each layer, first to last, whatever the widths; input_square: mean square of the inputs.
    The same mean field as in `signal_propagation`, for layers of unequal width.
    """
    variances, squares = _upwards(function, gains, bias_variances, number("input_square", input_square, 0))
    return torch.tensor([*squares[:-1], variances[-1]], dtype=torch.float64).sqrt()


def weight_gradient_sizes(
    function: Function,
    derivative: Function,
    sides: Sequence[tuple[int, int]],
    variances: Sequence[float],
    bias_variances: Sequence[float],
    input_square: float,
) -> Tensor:
    """Norm of the gradient of each layer's weights before training, (layer,) float64, up to one common factor.

    sides: (fan_in, fan_out) of each layer, first to last; the last is linear. variances, bias_variances: of one weight
    and one bias. The gradient of a weight is δ·h: mean field's RMS of what comes from above times that of what comes
    from below (Glorot & Bengio 2010, eq. 6), over fan_in·fan_out weights. What examples of a batch have in common is
    left out.
    """
    gains = [fan_in * variance for (fan_in, _), variance in zip(sides, variances, strict=True)]
    square = number("input_square", input_square, 0)
    hidden, squares = _upwards(function, gains[:-1], bias_variances[:-1], square)
    below, slopes = [square, *squares], _slopes(derivative, hidden)
    above = [1.0]
    for (_, fan_out), variance, slope in zip(sides[:0:-1], variances[:0:-1], slopes[::-1], strict=True):
        above.append(above[-1] * fan_out * variance * slope)
    squares = [
        a * b * fan_in * fan_out for a, b, (fan_in, fan_out) in zip(above[::-1], below, sides, strict=True)
    ]
    return torch.tensor(squares, dtype=torch.float64).sqrt()
