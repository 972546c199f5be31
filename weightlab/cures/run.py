"""Two diseases of gradients, each in a deep and in a recurrent network, and what each cure does about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from weightlab.networks.architectures import RecurrentNetwork
from weightlab.networks.datasets import Dataset
from weightlab.networks.initializers import InitializationSettings, initialization
from weightlab.networks.models import MODELS, model
from weightlab.networks.time_gradients import open_keep_gates, time_gradients
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training
from weightlab.validate import choose, registry, whole_number

PROBE = 64  # training examples on which gradients over time are measured
CLIP_NORM, CLIP_VALUE, KEEP_BIAS, L1, L2 = 1.0, 0.01, 3.0, 1e-3, 0.1


@dataclass(frozen=True)
class Disease:
    """A network whose gradients vanish or explode, and the values that its own cures take.

    start: the bad initialization; better_start, better_activation: what the cures of these names choose instead.
    """

    name: str
    label: str
    network: Mapping[str, str | int]
    start: InitializationSettings
    better_start: InitializationSettings
    better_activation: str
    updates: int

    @property
    def recurrent(self) -> bool:
        return MODELS[str(self.network["name"])].cell is not None

    def experiment(self, data: Dataset, seed: int = 0) -> TrainingExperiment:
        """The untreated run: plain gradient descent at η = 0.1."""
        settings = dict(self.network)
        return TrainingExperiment(
            model(str(settings.pop("name")), **settings),
            data,
            optimizer("gradient_descent", learning_rate=0.1),
            self.start,
            steps=self.updates,
            seed=seed,
            batch_size=16 if self.recurrent else 64,
            dtype="float64",
            validate_every=self.updates,
        )


_DEEP: dict[str, str | int] = {"name": "mlp", "depth": 8, "width": 32}
_RECURRENT: dict[str, str | int] = {**_DEEP, "name": "rnn", "depth": 1, "reading": "pixels", "activation": "tanh"}
_LEVEL = initialization("orthogonal", gain=1.3)

DISEASES = registry(
    Disease(
        "deep_vanishing", "deep, vanishing", {**_DEEP, "activation": "sigmoid"},
        initialization("xavier_normal"), initialization("xavier_normal", gain=6.0), "tanh", 100,
    ),
    Disease(
        "deep_exploding", "deep, exploding", {**_DEEP, "activation": "relu"},
        initialization("normal", std=0.5), initialization("he_normal"), "tanh", 100,
    ),
    Disease(
        "recurrent_vanishing", "recurrent, vanishing", _RECURRENT,
        initialization("pytorch_default"), _LEVEL, "relu", 5,
    ),
    Disease(
        "recurrent_exploding", "recurrent, exploding", _RECURRENT,
        initialization("orthogonal", gain=2.0), _LEVEL, "relu", 5,
    ),
)


@dataclass(frozen=True)
class Cure:
    """One change to a run. `needs` names the setting that a network must have for it."""

    name: str
    label: str
    change: Callable[[TrainingExperiment, Disease], TrainingExperiment]
    needs: str = ""
    keep_bias: float = 0.0

    def fits(self, disease: Disease) -> bool:
        """Whether the network of `disease` can be treated so."""
        gated = self.needs == "gates"
        return disease.recurrent if gated else self.needs in ("", *MODELS[str(disease.network["name"])].settings)


def _switch(name: str) -> Callable[[TrainingExperiment, Disease], TrainingExperiment]:
    return lambda run, disease: run.replace(model=run.model.replace(**{name: True}))


def _gated(kind: str) -> Callable[[TrainingExperiment, Disease], TrainingExperiment]:
    return lambda run, disease: run.replace(model=model(kind, depth=1, width=run.model.width, reading="pixels"))


def _slower(run: TrainingExperiment, disease: Disease) -> TrainingExperiment:
    return run.replace(optimizer=run.optimizer.replace(learning_rate=run.optimizer.learning_rate / 1000))


def _other_activation(run: TrainingExperiment, disease: Disease) -> TrainingExperiment:
    return run.replace(model=run.model.replace(activation=disease.better_activation))


CURES = registry(
    Cure("none", "untreated", lambda run, disease: run),
    Cure("clip_norm", f"clip norm at {CLIP_NORM:g}", lambda run, disease: run.replace(clip_norm=CLIP_NORM)),
    Cure("clip_value", f"clip value {CLIP_VALUE:g}", lambda run, disease: run.replace(clip_value=CLIP_VALUE)),
    Cure("initialization", "initialization", lambda run, disease: run.replace(initialization=disease.better_start)),
    Cure("activation", "activation", _other_activation),
    Cure("batch_norm", "batch norm", _switch("batch_norm"), "batch_norm"),
    Cure("residual", "residual", _switch("residual"), "residual"),
    Cure("lstm", "LSTM", _gated("lstm"), "gates"),
    Cure("gru", "GRU", _gated("gru"), "gates"),
    Cure("open_lstm", f"LSTM, keep {KEEP_BIAS:g}", _gated("lstm"), "gates", KEEP_BIAS),
    Cure("open_gru", f"GRU, keep {KEEP_BIAS:g}", _gated("gru"), "gates", KEEP_BIAS),
    Cure("slower", "η / 1000", _slower),
    Cure("l1", f"L1 {L1:g}", lambda run, disease: run.replace(l1=L1)),
    Cure("l2", f"L2 {L2:g}", lambda run, disease: run.replace(l2=L2)),
)


@dataclass(frozen=True, eq=False)
class Treatment:
    """One cure of one disease, measured for several seeds, float64.

    start, after: (seed, place) norm of the gradient before the first update and after the last one: of each layer's
                  weights, or with respect to the state at each time step; NaN after a divergence
    update:       (seed,)       |Δw|/η of the first update over all layers' weights: what it used, penalized and clipped
    right:        (seed,)       validation accuracy after the last update, NaN after a divergence
    messages:     one sentence a seed on how its run ended
    """

    disease: Disease
    cure: Cure
    start: Tensor
    after: Tensor
    update: Tensor
    right: Tensor
    messages: tuple[str, ...]

    @property
    def diverged(self) -> int:
        """In how many seeds the run diverged."""
        return int(self.right.isnan().sum())

    @property
    def first(self) -> Tensor:
        """The gradient that reaches layer 1, or time step 1, before any update, (seed,)."""
        return self.start[:, 0]


def treat(disease_name: str, cure_name: str, data: Dataset, *, seeds: int = 5, updates: int | None = None) -> Treatment:
    """Train the network of DISEASES[disease_name] under CURES[cure_name], once for each seed 0, 1, ...

    updates: by default the disease's. Raises ValueError where the network has no place for the cure.
    """
    disease = DISEASES[choose("disease", disease_name, DISEASES)]
    cure = CURES[choose("cure", cure_name, CURES)]
    if not cure.fits(disease):
        known = ", ".join(repr(one.name) for one in CURES.values() if one.fits(disease))
        raise ValueError(f"cure {cure.name!r} does not fit {disease.name!r}: no such part; try {known}")
    seeds = whole_number("seeds", seeds, 1, 1000)
    steps = disease.updates if updates is None else whole_number("updates", updates, 1, 100_000)
    if disease.recurrent:  # reading all validation digits pixel by pixel would take longer than the updates
        data = replace(data, x_validation=data.x_validation[:PROBE], y_validation=data.y_validation[:PROBE])
    rows = []
    for seed in range(seeds):
        run = cure.change(disease.experiment(data, seed), disease).replace(steps=steps, validate_every=steps)
        rows.append(_one_run(run, cure))
    start, after, update, right, messages = zip(*rows, strict=True)
    return Treatment(
        disease, cure, torch.stack(start), torch.stack(after), torch.tensor(update), torch.tensor(right), messages
    )


def _one_run(run: TrainingExperiment, cure: Cure) -> tuple[Tensor, Tensor, float, float, str]:
    training = Training(run)
    network, probe = training.network, (run.dataset.x_train[:PROBE], run.dataset.y_train[:PROBE])
    if isinstance(network, RecurrentNetwork):
        open_keep_gates(network, cure.keep_bias)
        start = time_gradients(network, *probe)[0][0]
    for _ in training:
        pass
    record = training.record()
    diverged = record.status.kind == "diverged"
    if not isinstance(network, RecurrentNetwork):
        start, after = record.gradient_norms[0], record.gradient_norms[-1]
    else:
        after = start if diverged else time_gradients(network, *probe)[0][0]
    sizes = record.update_ratios[0] * record.weight_norms[0] / record.learning_rates[0]
    return (
        start,
        torch.full_like(start, torch.nan) if diverged else after,
        float(torch.linalg.vector_norm(sizes)),
        torch.nan if diverged else float(record.validation_accuracies[-1]),
        record.status.message,
    )


def treat_all(disease_name: str, data: Dataset, *, seeds: int = 5) -> dict[str, Treatment]:
    """Every cure that fits the disease's network, by name, "none" first."""
    disease = DISEASES[choose("disease", disease_name, DISEASES)]
    fitting = [name for name, cure in CURES.items() if cure.fits(disease)]
    return {name: treat(disease_name, name, data, seeds=seeds) for name in fitting}


def share_read(
    cell: str,
    start: InitializationSettings,
    data: Dataset,
    *,
    keep_bias: float = 0.0,
    seeds: int = 5,
    updates: int = 100,
) -> Tensor:
    """Validation accuracy (seed,) of a recurrent network of 32 units that has learned to read the data by pixels.

    Adam at η = 0.01 on batches of 16, the gradient's norm clipped at 1.
    """
    right = []
    for seed in range(whole_number("seeds", seeds, 1, 1000)):
        run = TrainingExperiment(
            model(cell, depth=1, width=32, reading="pixels"),
            data,
            optimizer("adam", learning_rate=0.01),
            start,
            steps=updates,
            seed=seed,
            batch_size=16,
            clip_norm=CLIP_NORM,
            validate_every=updates,
            dtype="float64",  # so that rounding decides only where the network itself is chaotic
        )
        training = Training(run)
        assert isinstance(training.network, RecurrentNetwork), f"{cell!r} must be a recurrent network"
        open_keep_gates(training.network, keep_bias)
        for _ in training:
            pass
        right.append(training.record().validation_accuracies[-1])
    return torch.stack(right)


HEALTHY = (0.003, 30.0)  # gradient norms at the first layer or time step; near the output they are 0.05 to 0.7
UNSTEADY = 5.0  # from such a gradient on (at η = 0.1) rounding decides how a run ends
STILL_LARGE, FEW = 10.0, 0.5  # bounds for such ends
WORSE = 3.0  # a factor beyond the spread over seeds of the deep networks


def cures_table(treatments: Mapping[str, Treatment]) -> str:
    """One line a cure: gradient at the first layer or time step, size of the first update, afterwards, what it does.

    Magnitudes are geometric means over the seeds; ×÷ is the factor of one standard deviation of the logarithm.
    "later" leaves out seeds that diverged. Where the gradient is large rounding errors grow, which differ from run
    to run: there the ends are given as above or below a bound.
    """
    untreated = treatments["none"]
    deep = not untreated.disease.recurrent
    place = "layer 1" if deep else "time step 1"
    lines = [
        f"{untreated.disease.label:20}{'|g| at ' + place:>19}{'|Δw|/η':>9}{'|g| later':>11}"
        f"{'  right' if deep else '':7}  verdict"
    ]
    for one in treatments.values():
        middle, spread = logarithmic_mean(one.first)
        later, share = _endings(one)
        share = share if deep else ""
        lines.append(
            f"{one.cure.label:20}{f'{middle:.1e} ×÷ {spread:.2g}':>19}{logarithmic_mean(one.update)[0]:>9.1e}"
            f"{later:>11}{share:>7}  {verdict(one, untreated)}"
        )
    return "\n".join(lines)


def _endings(treatment: Treatment) -> tuple[str, str]:
    """The gradient afterwards and the share right, as far as they can be repeated."""
    later, right = logarithmic_mean(treatment.after[:, 0])[0], float(treatment.right.mean())
    if logarithmic_mean(treatment.first)[0] <= UNSTEADY:
        share = "–" if treatment.diverged else f"{right:.0%}"
        return f"{later:.1e}", share
    large = f"> {STILL_LARGE:g}" if later > STILL_LARGE else f"< {STILL_LARGE:g}"
    return (
        "–" if treatment.diverged == len(treatment.right) else "0" if later == 0 else large,
        "–" if treatment.diverged else f"{'<' if right < FEW else '>'} {FEW:.0%}",
    )


def cures_summary(wards: Mapping[str, Mapping[str, Treatment]]) -> str:
    """One line a cure, one column a disease: the verdicts, "·" where the network has no place for the cure."""
    names = [name for name in CURES if name != "none" and any(name in ward for ward in wards.values())]
    lines = [f"{'':17}" + "".join(f"{ward['none'].disease.label:22}" for ward in wards.values())]
    for name in names:
        found = [verdict(ward[name], ward["none"]) if name in ward else "·" for ward in wards.values()]
        lines.append(f"{CURES[name].label:17}" + "".join(f"{one:22}" for one in found))
    return "\n".join(line.rstrip() for line in lines)


def logarithmic_mean(values: Tensor) -> tuple[float, float]:
    """Geometric mean and the factor of one standard deviation of the logarithm, without NaN; (0, 1) with a zero."""
    known = values[~values.isnan()].double()
    if len(known) == 0 or bool((known <= 0).any()):
        return 0.0, 1.0
    logs = known.log()
    return float(logs.mean().exp()), float(logs.std(correction=0).exp())


def verdict(treatment: Treatment, untreated: Treatment) -> str:
    """What the cure did for the gradient, by geometric means over the seeds and the bounds of HEALTHY."""
    low, high = HEALTHY
    first, before = logarithmic_mean(treatment.first)[0], logarithmic_mean(untreated.first)[0]
    vanishing = before < low
    if treatment is untreated:
        seeds = len(treatment.right)  # whether one of several diverges may hang on its rounding errors
        ending = f", {seeds} of {seeds} diverge" if treatment.diverged == seeds else ""
        return ("vanishes" if vanishing else "explodes") + ending
    if low <= first <= high:
        return "cures"
    if not vanishing and first < low:
        return "vanishes instead"
    later, without = (logarithmic_mean(one.after[:, 0])[0] for one in (treatment, untreated))
    faded = first < before / WORSE or later < without / WORSE
    if faded if vanishing else first > before * WORSE:
        return "makes it worse"
    if vanishing:
        return "helps, not enough" if first > before * WORSE else "does nothing"
    if logarithmic_mean(treatment.update)[0] <= high:
        return "bounds the update"
    return "only survives it" if _lost(untreated) and not _lost(treatment) else "does nothing"


def _lost(treatment: Treatment) -> bool:
    """Whether a run diverged, or ended where no gradient is left."""
    return treatment.diverged > 0 or logarithmic_mean(treatment.after[:, 0])[0] == 0
