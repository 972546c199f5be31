"""The gradient of a batch, split by class: networks side by side that hand out both parts, and the record of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from weightlab.imbalance.scores import Scores, average_precision, score
from weightlab.networks.architectures import flat_weights
from weightlab.networks.initializers import initialization
from weightlab.networks.models import initialize, model

WINDOW = 20  # updates over which a share is taken: single batches scatter


@dataclass(frozen=True, eq=False)
class ImbalanceRecord:
    """What a pass leaves, on the CPU.

    pulls:       (step, run, 2) length of the common and the rare examples' part of the batch's gradient
    bias_pulls:  (step, run, 2) the same for the output bias alone
    rare_seen:   (step, run) rare examples in the batch
    evaluated:   (evaluation,) updates done before each evaluation; the last is after the last update
    logits:      (evaluation, run, test)
    test_labels: (run, test) 0 or 1
    """

    pulls: Tensor
    bias_pulls: Tensor
    rare_seen: Tensor
    evaluated: Tensor
    logits: Tensor
    test_labels: Tensor

    @property
    def shares(self) -> Tensor:
        """(step, run): the rare class's part of what both classes pull, over the last WINDOW updates."""
        return windowed_share(self.pulls)

    def scores(self, ratio: float, threshold: float = 0.5) -> Scores:
        """Of the last evaluation, (run,) each, when the classes stand at 1:ratio."""
        return score(self.logits[-1], self.test_labels, ratio, threshold)

    def average_precision(self, ratio: float) -> Tensor:
        """(evaluation, run)."""
        return average_precision(self.logits, self.test_labels, ratio)

    def of(self, runs: slice) -> ImbalanceRecord:
        """Some of the runs alone."""
        by_step = {name: getattr(self, name)[:, runs] for name in ("pulls", "bias_pulls", "rare_seen", "logits")}
        return replace(self, **by_step, test_labels=self.test_labels[runs])

    def share(self, first: int, last: int) -> Tensor:
        """(run,): the same over updates first <= step < last."""
        summed = self.pulls[first:last].sum(dim=0)
        return summed[:, 1] / summed.sum(dim=-1)


def windowed_share(pulls: Tensor, window: int = WINDOW) -> Tensor:
    """Share of the rare class (step, run) of pulls (step, run, 2), summed over the last `window` updates."""
    mean = windowed_mean(pulls, window)
    return mean[..., 1] / mean.sum(dim=-1)


def windowed_mean(values: Tensor, window: int = WINDOW) -> Tensor:
    """Mean of values (step, ...) over the last `window` steps, over fewer at the start."""
    total = values.cumsum(dim=0)
    earlier = torch.cat([torch.zeros_like(total[:window]), total[:-window]])[: len(total)]
    counts = torch.arange(1, len(total) + 1).clamp(max=window).double()
    return (total - earlier) / counts.view(-1, *[1] * (values.dim() - 1))


class Networks:
    """`run` networks inputs -> width ReLUs -> 1 logit as one flat tensor of weights (run, weight).

    The order is that of weightlab's MLP of depth 1, the output bias comes last. Each network starts undecided: He
    normal hidden weights from its own seed, an output layer of zeros, so that every first prediction is 1/2.
    """

    def __init__(self, inputs: int, width: int, seeds: Sequence[int]) -> None:
        self.inputs, self.width = inputs, width
        settings = model("mlp", depth=1, width=width)
        rows = []
        for seed in seeds:
            network = settings.build(inputs, 1)
            source = torch.Generator().manual_seed(seed)
            initialize(network, initialization("he_normal"), settings.hidden_activation, source)
            _, output = network.layers[-1]
            with torch.no_grad():
                for parameter in output.parameters():
                    parameter.zero_()
            rows.append(flat_weights(network))
        self.weights = torch.stack(rows).requires_grad_()

    def logits(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """(run, example) of x (run, example, inputs)."""
        weights = self.weights if weights is None else weights
        matrix, bias, output, last = weights.split([self.inputs * self.width, self.width, self.width, 1], dim=1)
        hidden = torch.baddbmm(bias[:, None], x, matrix.view(-1, self.width, self.inputs).transpose(1, 2)).relu()
        return torch.baddbmm(last[:, None], hidden, output[:, :, None]).squeeze(2)

    def parts(self, x: Tensor, y: Tensor, counts: Tensor, run: int | None = None) -> tuple[Tensor, Tensor]:
        """Gradients (run, weight) of the common and the rare examples' part of the batch's mean loss.

        x (run, example, inputs), y (run, example) 0 or 1, counts (run, example) how much each example counts. The parts
        add up to the batch's gradient. `run` takes one network alone.
        """
        weights = self.weights if run is None else self.weights[run : run + 1]
        losses = functional.binary_cross_entropy_with_logits(self.logits(x, weights), y, reduction="none") * counts
        losses = losses / y.shape[1]
        (common,) = torch.autograd.grad((losses * (1 - y)).sum(), weights, retain_graph=True)
        (rare,) = torch.autograd.grad((losses * y).sum(), weights)
        return common, rare
