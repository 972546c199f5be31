"""The PyTorch program of a network on imbalanced data beside its twin without any technique."""

from __future__ import annotations

from weightlab.imbalance.run import ImbalanceExperiment
from weightlab.imbalance.techniques import NOISE, TASKS, TECHNIQUES, TEST_FRACTION, Imbalanced
from weightlab.networks.datasets import Dataset, dataset
from weightlab.program_text import arguments, call, comment, indented, lines, literal, program
from weightlab.programs.data import split_lines

TREES = 100
_SHIFTED = '''def shifted(x, generator):
    """Pictures x (example, 64), each moved by -1, 0 or 1 pixel across and down."""
    padded = nn.functional.pad(x.reshape(-1, 8, 8), (1, 1, 1, 1), value=background)
    down, across = torch.randint(3, (2, len(x)), generator=generator).tolist()
    moved = [p[i : i + 8, j : j + 8] for p, i, j in zip(padded, down, across)]
    return torch.stack(moved).flatten(1)'''


def imbalance_program(
    experiment: ImbalanceExperiment, *, threshold: float = 0.5, forest: bool = False, switched: bool = False
) -> str:
    """The program of `experiment` and of the same without a technique, with the scores at `threshold`.

    forest: a random forest beside them. switched: the panel's run changed its technique midway, which the program says
    that it leaves out. It leaves `logits`: name -> (test,), and `shares`: name -> (update,).
    """
    data = dataset(TASKS[experiment.task].dataset, seed=experiment.seed, validation_fraction=TEST_FRACTION)
    thinned = experiment.data()
    technique, sampler = experiment.technique, TECHNIQUES[experiment.technique].sampler
    imports = ["import torch", "from sklearn.metrics import average_precision_score", "from torch import nn"]
    imports.append(f"from sklearn.datasets import load_{data.name}")
    if sampler is not None and thinned.common != thinned.rare:
        imports.append(f"from {sampler.module} import {sampler.name}")
    if forest:
        imports.append("from sklearn.ensemble import RandomForestClassifier")
    blocks = [
        _data(experiment, data, thinned),
        _SHIFTED if technique == "shift" else "",
        _prepared(experiment, thinned),
        _batches(experiment),
        _training(experiment, data.inputs),
        "torch.set_num_threads(1)  # small networks are slower on several, and sums round differently",
        "x_train, y_train, x_test, y_test = load_data()"
        if technique != "shift"
        else "x_train, y_train, x_test, y_test, background = load_data()",
        _runs(experiment, forest),
        _scores(experiment, threshold, forest, switched),
    ]
    task = TASKS[experiment.task]
    against = f"{task.rare_name} against {task.common_name}"
    summary = f"{against[0].upper() + against[1:]}, 1:{experiment.ratio:g}; technique: {TECHNIQUES[technique].label}."
    return program(summary, imports, blocks)


def _data(experiment: ImbalanceExperiment, data: Dataset, left: Imbalanced) -> str:
    """The function `load_data()`; `left`: what is left of `data` for training."""
    task = TASKS[experiment.task]
    common = int((data.y_train != task.rare).sum())
    dims = "" if data.image_shape is not None else "dim=0"
    mean = f"x[training].mean({dims}), x[training].std({dims}{', ' if dims else ''}correction=0)"
    shift = experiment.technique == "shift"
    wanted = f"round(len(common) / {literal(experiment.ratio)})"
    thinned = f"rare = rare[: {wanted if round(common / experiment.ratio) else 1}]"
    if left.common < common:  # there are too few rare examples for the ratio
        thinned = f"common = common[: round(len(rare) * {literal(experiment.ratio)})]"
    body = lines(
        f'"""Standardized examples, and 1 for {task.rare_name}: thinned for training, whole for testing."""',
        f"generator = torch.Generator().manual_seed({experiment.seed})",
        f"x, y = (torch.from_numpy(part) for part in load_{task.dataset}(return_X_y=True))",
        split_lines(data.classes, TEST_FRACTION, (100,) * data.classes).replace("validation", "test"),
        f"y = (y == {task.rare}).long()",
        "common, rare = training[y[training] == 0], training[y[training] == 1]",
        f"{thinned}  # 1:{experiment.ratio:g}",
        "training = torch.cat([common, rare])",
        comment("of the training examples only", 1),
        f"mean, scale = {mean}",
        "x = (x - mean) / scale",
        "return x[training], y[training], x[test], y[test]" + (", float(-mean / scale)" if shift else ""),
    )
    return f"def load_data():\n{indented(body)}"


def _prepared(experiment: ImbalanceExperiment, data: Imbalanced) -> str:
    """The function `prepared()`: examples, labels and how much an example of each class counts."""
    name, seed = experiment.technique, experiment.seed
    if name == "none":
        return ""
    sampler = TECHNIQUES[name].sampler
    what = f"{TECHNIQUES[name].label}: examples, labels, and what an example of each class counts."
    head = f'def prepared():\n    """{what[0].upper() + what[1:]}"""\n'
    if sampler is not None and data.common == data.rare:
        body = "return x_train, y_train, torch.ones(2, dtype=torch.float64)  # balanced already"
    elif sampler is not None:
        given = arguments({"random_state": seed, **sampler.settings(data)})
        body = lines(
            f"sampler = {call(sampler.name, given)}",
            "x, y = sampler.fit_resample(x_train.numpy(), y_train.numpy())",
            "return torch.from_numpy(x), torch.from_numpy(y), torch.ones(2, dtype=torch.float64)",
        )
    elif name in ("class_weights", "cost_matrix"):
        body = _weights(experiment)
    else:
        body = lines(
            f"generator = torch.Generator().manual_seed({seed})",
            "members = x_train[y_train == 1]",
            "missing = max(0, len(x_train) - 2 * len(members))  # until both classes have as many",
            "copies = members[torch.randint(len(members), (missing,), generator=generator)]",
            "copies = shifted(copies, generator)" if name == "shift" else "",
            f"copies = copies + {NOISE} * torch.randn(copies.shape, generator=generator, dtype=copies.dtype)",
            "x, y = torch.cat([x_train, copies]), torch.cat([y_train, y_train.new_ones(missing)])",
            "return x, y, torch.ones(2, dtype=torch.float64)",
        )
    return head + indented(body)


def _weights(experiment: ImbalanceExperiment) -> str:
    if experiment.technique == "class_weights":
        return "return x_train, y_train, len(y_train) / (2 * torch.bincount(y_train).double())"
    return lines(
        f"cost = torch.tensor([1.0, {literal(experiment.cost_ratio)}], dtype=torch.float64)  # false alarm, miss",
        "return x_train, y_train, cost / cost[y_train].mean()",
    )


def _batches(experiment: ImbalanceExperiment) -> str:
    size = experiment.batch_size
    return f'''def batches(examples):
    """Batches of {size}: one random order after the other, and a batch goes on into the next one."""
    generator = torch.Generator().manual_seed({experiment.seed + 1})
    waiting = torch.empty(0, dtype=torch.int64)
    while True:
        while len(waiting) < {size}:
            waiting = torch.cat([waiting, torch.randperm(examples, generator=generator)])
        yield waiting[:{size}]
        waiting = waiting[{size}:]'''


def _training(experiment: ImbalanceExperiment, inputs: int) -> str:
    width = experiment.width
    return f'''def train(x, y, counts):
    """Logits of the test examples, and the rare class's part of each update.

    counts: how much an example of each class counts.
    """
    model = nn.Sequential(nn.Linear({inputs}, {width}), nn.ReLU(), nn.Linear({width}, 1)).double()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)  # the last layer stays so: every first prediction is 1/2
    generator = torch.Generator().manual_seed({experiment.seed})
    nn.init.kaiming_normal_(model[0].weight, nonlinearity="linear", generator=generator)
    model[0].weight.data.mul_(nn.init.calculate_gain("relu"))
    optimizer = torch.optim.SGD(model.parameters(), lr={literal(experiment.learning_rate)})
    pulls, parameters = [], list(model.parameters())
    for _, chosen in zip(range({experiment.steps}), batches(len(y))):
        labels = y[chosen]
        losses = nn.functional.binary_cross_entropy_with_logits(
            model(x[chosen]).squeeze(1), labels.double(), counts[labels], reduction="none"
        )
        parts = [
            torch.autograd.grad((losses * (labels == c)).mean(), parameters, retain_graph=True)
            for c in (0, 1)
        ]
        pulls.append([nn.utils.parameters_to_vector(part).norm().item() for part in parts])
        for parameter, common, rare in zip(parameters, *parts):
            parameter.grad = common + rare
        optimizer.step()
    with torch.no_grad():
        return model(x_test).squeeze(1), torch.tensor(pulls, dtype=torch.float64)'''


def _runs(experiment: ImbalanceExperiment, forest: bool) -> str:
    grown = lines(
        f"forest = RandomForestClassifier({TREES}, random_state={experiment.seed}, n_jobs=1)",
        "forest.fit(x_train.numpy(), y_train.numpy())",
        "probabilities = torch.from_numpy(forest.predict_proba(x_test.numpy())[:, 1])",
        'logits["random forest"] = torch.logit(probabilities, eps=4.5e-5)',
    )
    technique = f'    "{TECHNIQUES[experiment.technique].label}": prepared(),' if experiment.technique != "none" else ""
    return lines(
        "sets = {",
        '    "no technique": (x_train, y_train, torch.ones(2, dtype=torch.float64)),',
        technique,
        "}",
        "logits, pulls = {}, {}",
        "for name, examples in sets.items():",
        "    logits[name], pulls[name] = train(*examples)",
        grown if forest else "",
    )


def _scores(experiment: ImbalanceExperiment, threshold: float, forest: bool, switched: bool) -> str:
    cut = "0" if threshold == 0.5 else f"math.log({literal(threshold)} / (1 - {literal(threshold)}))"
    cost = lines(
        f"    cost = 1000 * ({literal(experiment.cost_ratio)} * (1 - recall) + ratio * false_alarms) / (1 + ratio)",
        '    print(f"  a thousand cases cost {cost:.0f} false alarms")',
    )
    share = lines(
        "common, rare = pulls[name][-20:].sum(dim=0)",
        'print(f"  share of the rare class in the last 20 updates {rare / (common + rare):.2f}")',
    )
    left_out = "Left out: theory, and the curves over all updates and thresholds"
    if switched:
        left_out += "; that the technique was changed midway: here it is there from the start"
    return lines(
        comment(f"{left_out}."),
        f"ratio = {literal(experiment.ratio)}",
        "weights = torch.where(y_test == 1, 1 / (y_test == 1).sum(), ratio / (y_test == 0).sum())",
        "for name, scores in logits.items():",
        f'    alarm = scores >= {cut}  # "rare" from the probability {threshold:g} on',
        "    recall = alarm[y_test == 1].double().mean().item()",
        "    false_alarms = alarm[y_test == 0].double().mean().item()",
        "    accuracy = (recall + ratio * (1 - false_alarms)) / (1 + ratio)",
        "    area = average_precision_score(y_test.numpy(), scores.numpy(), sample_weight=weights.numpy())",
        '    print(f"{name}: recall {recall:.2f}, alarms {false_alarms:.3f}, accuracy {accuracy:.3f}, "',
        '          f"balanced {(recall + 1 - false_alarms) / 2:.2f}, average precision {area:.2f}")',
        "    if name in pulls:" if forest else "",
        indented(share, 2 if forest else 1),
        cost if experiment.technique == "cost_matrix" else "",
    )
