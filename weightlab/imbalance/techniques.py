"""Real data made imbalanced, and what one can do about it: each technique is one entry of TECHNIQUES.

`imbalanced("digits", ratio=50)` thins out a real data set; `prepare("smote", data)` makes what a network is trained on.
Class 1 is the rare class. The only file that imports imbalanced-learn, and only when a technique needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import Tensor

from weightlab.networks.datasets import dataset
from weightlab.networks.splits import standardization
from weightlab.validate import MAX_SEED, choose, number, registry, whole_number

MAX_RATIO = 200.0
MAX_COST = 1e4
TEST_FRACTION = 0.4
NEIGHBOURS = 5  # SMOTE's k, as in the paper
NOISE = 0.1  # of augmented copies, in standard deviations of the inputs


@dataclass(frozen=True)
class Task:
    """A question with two answers on a real data set: are you one of `rare`?"""

    name: str
    label: str
    dataset: str
    rare: int
    rare_name: str
    common_name: str


TASKS = registry(
    Task("digits", "digits: 8 against the rest (real)", "digits", 8, "an 8", "another digit"),
    Task("breast_cancer", "breast cancer: malignant (real)", "breast_cancer", 0, "malignant", "benign"),
)


@dataclass(frozen=True, eq=False)
class Imbalanced:
    """A thinned training split and an untouched test split.

    x, y:           (example, inputs) float64, standardized with this training split's mean and scale; (example,) 0 or 1
    x_test, y_test: the test split with all its examples of both classes, the same at every ratio
    ratio:          what was asked for; common / rare is what whole examples allow
    background:     the standardized value of an empty pixel, for pictures
    """

    task: Task
    ratio: float
    seed: int
    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    image_shape: tuple[int, int, int] | None
    background: float

    @property
    def rare(self) -> int:
        return int(self.y.sum())

    @property
    def common(self) -> int:
        return len(self.y) - self.rare


def imbalanced(task: str = "digits", ratio: float = 50.0, seed: int = 0) -> Imbalanced:
    """The task's data with a training split of one rare example to `ratio` common ones.

    A stratified 60 % are the training split, as `seed` draws it. Examples of the rare class are left out of it until
    the ratio is met (of the common class where there are too few rare ones); at least one rare example stays. A higher
    ratio keeps a part of what a lower one keeps. Raises ValueError or TypeError that names value, range and remedy.
    """
    entry = TASKS[choose("task", task, TASKS)]
    ratio = number("ratio", ratio, 1, MAX_RATIO, why="it counts the common examples to each rare one")
    whole = dataset(entry.dataset, seed=seed, validation_fraction=TEST_FRACTION)
    x, x_test = (split * whole.scale + whole.mean for split in (whole.x_train, whole.x_validation))
    is_rare = whole.y_train == entry.rare
    rare, common = is_rare.nonzero().flatten(), (~is_rare).nonzero().flatten()
    wanted = max(1, round(len(common) / ratio))
    if wanted > len(rare):
        common = common[: round(len(rare) * ratio)]
    rare = rare[:wanted]
    kept = torch.cat([common, rare])
    x = x[kept]
    pictures = whole.image_shape is not None
    mean, scale = standardization(x, per_pixel=not pictures)
    return Imbalanced(
        entry,
        ratio,
        seed,
        (x - mean) / scale,
        is_rare[kept].long(),
        (x_test - mean) / scale,
        (whole.y_validation == entry.rare).long(),
        whole.image_shape,
        float(-mean[0] / scale[0]) if pictures else 0.0,
    )


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a network is trained on: examples, labels 0 or 1, and how much an example of each class counts (mean 1)."""

    x: Tensor
    y: Tensor
    weights: tuple[float, float] = (1.0, 1.0)

    @property
    def weight_ratio(self) -> float:
        return self.weights[1] / self.weights[0]


@dataclass(frozen=True)
class Sampler:
    """A class of imbalanced-learn that gives both classes as many examples, for a run and for a program.

    between: whether it draws new examples between two rare ones that are neighbours.
    """

    module: str
    name: str
    between: bool = False

    def settings(self, data: Imbalanced) -> dict[str, int]:
        """What it is made with besides `random_state`."""
        return {"k_neighbors": min(NEIGHBOURS, data.rare - 1)} if self.between else {}

    def prepare(self, data: Imbalanced, cost_ratio: float, seed: int) -> TrainingSet:
        if self.between and data.rare < 2:
            raise ValueError(
                f"{self.name} draws new examples between two rare ones, got {data.rare} rare example at "
                f"1:{data.ratio:g}; lower the ratio or choose random over-sampling"
            )
        if data.rare == data.common:
            return TrainingSet(data.x, data.y)  # balanced already
        kind = getattr(import_module(self.module), self.name)  # here: it loads all of scikit-learn's estimators
        sampler = kind(random_state=seed, **self.settings(data))
        x, y = sampler.fit_resample(data.x.numpy(), data.y.numpy())
        return TrainingSet(torch.from_numpy(x).double(), torch.from_numpy(y).long())


@dataclass(frozen=True)
class Technique:
    """One answer to imbalance. prepare(data, cost_ratio, seed) -> TrainingSet; `changes` is "data" or "loss".

    sampler: what of imbalanced-learn prepares the data, if anything does.
    """

    name: str
    label: str
    changes: str
    prepare: Callable[[Imbalanced, float, int], TrainingSet]
    sampler: Sampler | None = None


def _resampling(name: str, label: str, sampler: Sampler) -> Technique:
    return Technique(name, label, "data", sampler.prepare, sampler)


def class_weights(y: Tensor, classes: int = 2) -> Tensor:
    """n/(K·n_c) for labels y (example,) of K classes, (classes,): every class counts as much as any other.

    The mean weight of an example is 1. Source: King & Zeng 2001; scikit-learn's class_weight="balanced".
    """
    counts = torch.bincount(y, minlength=classes)
    if bool((counts == 0).any()):
        raise ValueError(f"every class needs an example to be weighed, got {counts.tolist()}; add some")
    return len(y) / (classes * counts.double())


def cost_weights(costs: Tensor, y: Tensor) -> Tensor:
    """What an example of each class counts, (2,), when costs[truth, answer] is what an answer costs; mean 1 over y.

    -Σ_j costs[y, j]·log(1 - p_j) is the loss: with two classes the cross-entropy times the cost of the example's one
    possible mistake (Elkan 2001). Right answers must cost nothing.
    """
    costs = torch.as_tensor(costs, dtype=torch.float64)
    if costs.shape != (2, 2) or bool(costs.diagonal().any()) or not bool((costs + torch.eye(2) > 0).all()):
        raise ValueError(
            f"costs must be 2×2, zero on the diagonal and positive beside it, got {costs.tolist()}; "
            "write [[0, cost of a false alarm], [cost of a miss, 0]]"
        )
    mistake = torch.stack([costs[0, 1], costs[1, 0]])
    return mistake / mistake[y].mean()


def _nothing(data: Imbalanced, cost_ratio: float, seed: int) -> TrainingSet:
    return TrainingSet(data.x, data.y)


def _weighted(data: Imbalanced, cost_ratio: float, seed: int) -> TrainingSet:
    common, rare = class_weights(data.y).tolist()
    return TrainingSet(data.x, data.y, (common, rare))


def _costly(data: Imbalanced, cost_ratio: float, seed: int) -> TrainingSet:
    costs = torch.tensor([[0.0, 1.0], [cost_ratio, 0.0]], dtype=torch.float64)
    common, rare = cost_weights(costs, data.y).tolist()
    return TrainingSet(data.x, data.y, (common, rare))


def _jittered(data: Imbalanced, cost_ratio: float, seed: int) -> TrainingSet:
    return _augmented(data, seed, shifts=False)


def _shifted(data: Imbalanced, cost_ratio: float, seed: int) -> TrainingSet:
    if data.image_shape is None:
        raise ValueError(
            f"only pictures can be shifted, got {data.x.shape[1]} measurements for {data.task.dataset!r}; "
            "choose augmentation by noise"
        )
    return _augmented(data, seed, shifts=True)


def _augmented(data: Imbalanced, seed: int, shifts: bool) -> TrainingSet:
    """New copies of rare examples, noisy and perhaps shifted, until both classes have as many."""
    generator = torch.Generator().manual_seed(seed)
    members = data.x[data.y == 1]
    copies = members[torch.randint(len(members), (max(0, data.common - data.rare),), generator=generator)]
    if shifts and data.image_shape is not None:
        copies = shifted(copies, data.image_shape, data.background, generator)
    copies = copies + NOISE * torch.randn(copies.shape, generator=generator, dtype=copies.dtype)
    return TrainingSet(torch.cat([data.x, copies]), torch.cat([data.y, data.y.new_ones(len(copies))]))


def shifted(x: Tensor, shape: tuple[int, int, int], background: float, generator: torch.Generator) -> Tensor:
    """Pictures x (example, pixels), each moved by -1, 0 or 1 pixel across and down; what comes in is background."""
    _, height, width = shape
    padded = torch.nn.functional.pad(x.reshape(-1, *shape), (1, 1, 1, 1), value=background)
    down, across = torch.randint(3, (2, len(x)), generator=generator).tolist()
    moved = [one[:, i : i + height, j : j + width] for one, i, j in zip(padded, down, across, strict=True)]
    return torch.stack(moved).flatten(1) if moved else x


TECHNIQUES = registry(
    Technique("none", "none", "nothing", _nothing),
    _resampling("undersample", "random under-sampling", Sampler("imblearn.under_sampling", "RandomUnderSampler")),
    _resampling("oversample", "random over-sampling", Sampler("imblearn.over_sampling", "RandomOverSampler")),
    _resampling("smote", "SMOTE", Sampler("imblearn.over_sampling", "SMOTE", between=True)),
    Technique("jitter", "augmentation: noise", "data", _jittered),
    Technique("shift", "augmentation: shifts", "data", _shifted),
    Technique("class_weights", "class weights", "loss", _weighted),
    Technique("cost_matrix", "cost matrix", "loss", _costly),
)


def prepare(technique: str, data: Imbalanced, *, cost_ratio: float = 50.0, seed: int | None = None) -> TrainingSet:
    """What a network is trained on after `technique`; the data themselves stay as they were.

    cost_ratio: for "cost_matrix", what a miss costs when a false alarm costs 1. seed: of what is drawn, the data's own
    by default. Raises ValueError where there are too few examples for the technique.
    """
    entry = TECHNIQUES[choose("technique", technique, TECHNIQUES)]
    cost_ratio = number("cost_ratio", cost_ratio, 1 / MAX_COST, MAX_COST, why="it is a miss's cost in false alarms")
    return entry.prepare(data, cost_ratio, whole_number("seed", data.seed if seed is None else seed, 0, MAX_SEED))


def forest_logits(training: TrainingSet, x: Tensor, *, trees: int = 100, seed: int = 0) -> Tensor:
    """Log-odds (example,) that a random forest grown on `training` gives x (example, inputs), clipped at ±10.

    Another algorithm: it has no gradient and no loss. Source: Breiman 2001; sklearn.ensemble.RandomForestClassifier.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        whole_number("trees", trees, 1, 1000),
        random_state=whole_number("seed", seed, 0, 2**31),
        n_jobs=1,
    )
    forest.fit(training.x.numpy(), training.y.numpy())
    return torch.logit(torch.from_numpy(forest.predict_proba(x.numpy())[:, 1]), eps=4.5e-5)
