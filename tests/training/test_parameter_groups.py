"""Parameter groups, and a rule for matrices with one for the rest: bit for bit what PyTorch's users write by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from own_classes import Plain
from program_support import Lion
from reliability import Record
from state_strategies import optimizers, with_groups
from torch import Tensor, nn
from training_support import data, finish, hand_written, small, weights_of

from weightlab.networks.models import model
from weightlab.networks.own_model import model_from_module
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.groups import ParameterGroup, blocks_of, group_names
from weightlab.training.run import Training

DTYPES = ("float32", "float64")
DEEP = model("mlp", depth=3, width=24)
GROUPS = (
    ParameterGroup("first", frozen=True),
    ParameterGroup("biases", weight_decay=0.0),
    ParameterGroup("hidden", rate_factor=0.1, weight_decay=0.03),
)
CLASSES: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "gradient_descent": (torch.optim.SGD, {"lr": 0.05}),
    "momentum": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.002}),
    "adam": (torch.optim.Adam, {"lr": 0.002}),
    "adamw": (torch.optim.AdamW, {"lr": 0.002}),
}


def in_groups(network: nn.Module, lr: float) -> list[dict[str, Any]]:
    """GROUPS of DEEP as one writes them in PyTorch."""
    parameters = list(network.parameters())
    for parameter in parameters[:2]:
        parameter.requires_grad_(False)
    return [
        {"params": parameters[3::2], "weight_decay": 0.0},
        {"params": parameters[2:6:2], "lr": 0.1 * lr, "weight_decay": 0.03},
        {"params": [parameters[6]]},
    ]


def grouped(chosen: OptimizerSettings, **changes: Any) -> TrainingExperiment:
    return small(**{"model": DEEP, "optimizer": chosen, "groups": GROUPS, "steps": 200, **changes})


def last_weights(experiment: TrainingExperiment) -> Tensor:
    training = finish(Training(experiment))
    assert training.status is not None and training.status.kind == "finished", training.status
    return weights_of(training.network)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", CLASSES)
def test_groups_equal_pytorchs_param_groups_to_the_bit(rule: str, dtype: str) -> None:
    made, given = CLASSES[rule]
    expected = hand_written(
        grouped(optimizer(rule), dtype=dtype),
        lambda network: [made(in_groups(network, given["lr"]), weight_decay=0.01, **given)],  # type: ignore[call-arg]
    )
    ours = optimizer(rule, learning_rate=given["lr"], weight_decay=0.01)
    others = {name: value for name, value in given.items() if name != "lr"}
    theirs = optimizer(made, learning_rate=given["lr"], weight_decay=0.01, **others)
    for chosen in (ours, theirs):
        assert torch.equal(last_weights(grouped(chosen, dtype=dtype)), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_learners_own_class_gets_its_groups(dtype: str) -> None:
    rates = (ParameterGroup("first", frozen=True), ParameterGroup("hidden", rate_factor=0.1))

    def lion(network: nn.Module) -> list[torch.optim.Optimizer]:
        parameters = list(network.parameters())
        for parameter in parameters[:2]:
            parameter.requires_grad_(False)
        return [Lion([{"params": parameters[2:6], "lr": 0.1 * 0.001}, {"params": parameters[6:]}], lr=0.001)]

    experiment = grouped(optimizer(Lion, learning_rate=0.001), dtype=dtype, groups=rates)
    assert torch.equal(last_weights(experiment), hand_written(experiment, lion))


def muon_and_adamw(network: nn.Module) -> list[torch.optim.Optimizer]:
    matrices = [parameter for parameter in network.parameters() if parameter.ndim == 2]
    others = [parameter for parameter in network.parameters() if parameter.ndim != 2]
    return [torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(others, lr=3e-3)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-10)])
@pytest.mark.parametrize("name", ["mlp", "mlp with batch norm", "cnn", "lstm"])
def test_muon_with_adamw_equals_the_loop_that_its_users_write(
    name: str, dtype: str, tolerance: float, record_property: Record
) -> None:
    network = {"mlp": DEEP, "mlp with batch norm": model("mlp", depth=3, width=24, batch_norm=True),
               "cnn": model("cnn", depth=2, width=4), "lstm": model("lstm", width=8)}[name]  # fmt: skip
    rest = optimizer("adamw", learning_rate=3e-3)
    ours = small(model=network, optimizer=optimizer("muon", learning_rate=0.02, rest=rest), steps=200, dtype=dtype)
    expected = hand_written(ours, muon_and_adamw)
    classes = optimizer(
        torch.optim.Muon, learning_rate=0.02, rest=optimizer(torch.optim.AdamW, learning_rate=3e-3)
    )
    mixed = optimizer(torch.optim.Muon, learning_rate=0.02, rest=rest)
    gaps = [
        float((last_weights(ours.replace(optimizer=one)) - expected).abs().amax())
        for one in (ours.optimizer, classes, mixed)
    ]
    record_property("difference", max(gaps))
    assert max(gaps) <= tolerance


@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_groups_that_change_nothing_change_nothing(rule: str) -> None:
    plain = small(model=DEEP, optimizer=optimizer(rule, learning_rate=0.005), steps=60)
    groups = tuple(ParameterGroup(name) for name in ("layer 3", "biases", "first"))
    kept = Training(plain.replace(groups=groups))
    record, expected = finish(kept).record(), finish(trained := Training(plain)).record()
    assert torch.equal(weights_of(kept.network), weights_of(trained.network))
    for name in ("losses", "gradient_norms", "update_ratios", "weight_paths", "weight_norms", "learning_rates"):
        torch.testing.assert_close(getattr(record, name), getattr(expected, name), rtol=1e-12, atol=1e-14)


def test_what_is_frozen_stays_and_the_record_says_so() -> None:
    training = Training(grouped(optimizer("adamw", learning_rate=0.01), l1=0.1, l2=0.1, steps=40))
    first = [parameter.detach().clone() for parameter in training.network.layers[0][1].parameters()]
    record = finish(training).record()
    for parameter, before in zip(training.network.layers[0][1].parameters(), first, strict=True):
        assert torch.equal(parameter, before) and parameter.grad is None
    assert not record.update_ratios[:, 0].any() and not record.gradient_norms[:, 0].any()
    assert bool((record.update_ratios[:, 1:] > 0).all())
    assert bool((record.weight_paths[:, 0] == record.weight_paths[0, 0]).all())
    remembered = training._stepper.memory()
    trained = sum(parameter.numel() for parameter in training.network.parameters() if parameter.requires_grad)
    assert sum(state["mean"].numel() for state in remembered) == trained


def penalized_and_clipped(step: int, network: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.grad.add_(parameter, alpha=0.01).add_(parameter.sign(), alpha=0.001)
    nn.utils.clip_grad_norm_(network.parameters(), 0.2)


def test_penalties_reach_every_trained_group_and_clipping_counts_no_frozen_gradient() -> None:
    experiment = grouped(optimizer("momentum", learning_rate=0.02), l2=0.01, l1=0.001, clip_norm=0.2)
    expected = hand_written(
        experiment, lambda network: [torch.optim.SGD(in_groups(network, 0.02), lr=0.02, momentum=0.9)],
        penalized_and_clipped,
    )  # fmt: skip
    assert float((last_weights(experiment) - expected).abs().amax()) <= 1e-12


def test_a_change_midway_reaches_every_group_with_its_factor_and_leaves_a_decay_of_its_own() -> None:
    def turn(step: int, network: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        if step == 30:
            for group, factor in zip(optimizers[0].param_groups, (1.0, 0.1, 1.0), strict=True):
                group.update(lr=0.005 * factor, momentum=0.5)
            optimizers[0].param_groups[2]["weight_decay"] = 0.2

    changes = ((30, "learning_rate", 0.005), (30, "momentum", 0.5), (30, "weight_decay", 0.2))
    chosen = optimizer("momentum", learning_rate=0.02, weight_decay=0.01)
    expected = hand_written(
        grouped(chosen),
        lambda network: [torch.optim.SGD(in_groups(network, 0.02), lr=0.02, momentum=0.9, weight_decay=0.01)],
        turn,
    )
    assert torch.equal(last_weights(grouped(chosen, changes=changes)), expected)
    live = Training(grouped(chosen))
    while live.step():
        if live.steps_done == 30:
            live.change(learning_rate=0.005, momentum=0.5, weight_decay=0.2)
    assert torch.equal(weights_of(live.network), expected)


def test_a_schedule_scales_every_group_and_the_rest_too() -> None:
    cosine, factors = schedule("cosine", half_cycle=150), schedule("cosine", half_cycle=150).factors(200).tolist()
    own: dict[int, list[float]] = {}

    def turn(step: int, network: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        for number, one in enumerate(optimizers):
            rates = own.setdefault(number, [group["lr"] for group in one.param_groups])
            for group, rate in zip(one.param_groups, rates, strict=True):
                group["lr"] = rate * factors[step]

    chosen = optimizer("adam", learning_rate=0.002)
    expected = hand_written(
        grouped(chosen), lambda network: [torch.optim.Adam(in_groups(network, 0.002), lr=0.002)], turn
    )
    decays = (GROUPS[0], ParameterGroup("biases", weight_decay=0.0), GROUPS[2])
    assert torch.equal(last_weights(grouped(chosen, schedule=cosine, groups=decays)), expected)
    own.clear()
    pair = optimizer("muon", learning_rate=0.02, rest=optimizer("adamw", learning_rate=3e-3))
    both = small(model=DEEP, optimizer=pair, steps=200)
    assert torch.equal(last_weights(both.replace(schedule=cosine)), hand_written(both, muon_and_adamw, turn))


def test_a_learning_rate_changed_midway_is_the_matrices_own() -> None:
    def turn(step: int, network: nn.Module, optimizers: list[torch.optim.Optimizer]) -> None:
        if step == 50:
            optimizers[0].param_groups[0].update(lr=0.002, momentum=0.5)

    pair = optimizer("muon", learning_rate=0.02, rest=optimizer("adamw", learning_rate=3e-3))
    both = small(model=DEEP, optimizer=pair, steps=200)
    changed = both.replace(changes=((50, "learning_rate", 0.002), (50, "momentum", 0.5)))
    assert torch.equal(last_weights(changed), hand_written(both, muon_and_adamw, turn))


def test_groups_of_muon_reach_its_rest_too() -> None:
    def made(network: nn.Module) -> list[torch.optim.Optimizer]:
        parameters = list(network.parameters())
        matrices = [{"params": parameters[:1], "lr": 0.1 * 0.02, "weight_decay": 0.0}, {"params": parameters[2::2]}]
        others = [{"params": parameters[1:2], "lr": 0.1 * 3e-3, "weight_decay": 0.0}, {"params": parameters[3::2]}]
        return [torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(others, lr=3e-3)]  # type: ignore[arg-type]

    pair = optimizer("muon", learning_rate=0.02, rest=optimizer("adamw", learning_rate=3e-3))
    groups = (ParameterGroup("first", rate_factor=0.1, weight_decay=0.0),)
    assert torch.equal(last_weights(grouped(pair, groups=groups)), hand_written(grouped(pair), made))


def test_an_optimizer_that_searches_along_a_line_may_have_frozen_parameters() -> None:
    search = optimizer(torch.optim.LBFGS, learning_rate=0.5)
    training = finish(Training(grouped(search, groups=GROUPS[:1], steps=5, batch_size=None)))
    assert training.record().losses[-1] < 0.5 * training.record().losses[0]
    with pytest.raises(ValueError, match="torch.optim.LBFGS takes no parameter groups: .*; leave out groups, or only"):
        grouped(search)


class Pieces(nn.Module):
    """Parameters of every kind: beside the layers, of normalization, in layers that are called in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))
        self.last = nn.Linear(6, 2)
        self.one = nn.Linear(2, 6)
        self.norm = nn.LayerNorm(6)
        self.two = nn.Linear(6, 6, bias=False)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.norm(self.one(x + self.shift)))
        logits: Tensor = self.last(torch.tanh(self.two(h) * self.scale))
        return logits


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("first", ["one.weight", "one.bias", "norm.weight", "norm.bias"]),
        ("layer 1", ["one.weight", "one.bias", "norm.weight", "norm.bias"]),
        ("hidden", ["two.weight"]),
        ("output", ["last.weight", "last.bias"]),
        ("biases", ["last.bias", "one.bias", "norm.bias"]),
        ("norms", ["norm.weight", "norm.bias"]),
    ],
)
def test_a_groups_name_means_these_parameters(name: str, members: list[str]) -> None:
    network = model_from_module(Pieces).build(2, 2)
    names = [one.removeprefix("module.") for one, _ in network.named_parameters()]
    (block, rest), _ = blocks_of(network, [ParameterGroup(name)])
    assert [names[i] for i in block.parameters] == members
    assert sorted((*block.parameters, *rest.parameters)) == list(range(len(names)))


def test_the_names_that_a_group_may_have_are_those_with_parameters() -> None:
    assert group_names(DEEP, (4,), 2) == (
        "biases", "first", "hidden", "output", "layer 1", "layer 2", "layer 3"
    )  # fmt: skip
    assert group_names(model("mlp", depth=0), (4,), 2) == ("biases", "first", "output")
    assert group_names(model("cnn", depth=1, batch_norm=True), (1, 8, 8), 2) == (
        "biases", "norms", "first", "output", "layer 1"
    )  # fmt: skip


class MovesOneGroup(Plain):
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for p in self.param_groups[0]["params"]:
            p.data -= self.param_groups[0]["lr"] * p.grad


def test_a_class_that_moves_one_group_only_is_refused_where_there_are_two() -> None:
    chosen = optimizer(MovesOneGroup, learning_rate=0.1)
    assert last_weights(grouped(chosen, groups=GROUPS[:1], steps=5)).isfinite().all()
    with pytest.raises(ValueError, match="MovesOneGroup moved only one of two parameter groups: loop over them"):
        grouped(chosen, groups=(ParameterGroup("hidden", 0.1),))


def test_the_first_group_that_names_a_parameter_has_it() -> None:
    network = DEEP.build(4, 2)
    groups = [ParameterGroup(name) for name in ("biases", "layer 2", "hidden")]
    trained, _ = blocks_of(network, groups)
    assert [block.parameters for block in trained] == [(1, 3, 5, 7), (2,), (4,), (0, 6)]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rule=st.sampled_from(sorted(UPDATE_RULES)), dtype=st.sampled_from(DTYPES))
def test_no_corner_of_groups_and_settings_breaks_a_run(data: st.DataObject, rule: str, dtype: str) -> None:
    network = data.draw(st.sampled_from((model("mlp", depth=2, width=3, batch_norm=True), model("rnn", width=2))))
    chosen = data.draw(optimizers(rule))
    plain = small(model=network, optimizer=chosen, dtype=dtype, steps=3, clip_norm=data.draw(st.none() | st.just(1.0)))
    experiment = data.draw(with_groups(plain))
    training = Training(experiment, keep_checkpoints=True)
    first = [parameter.detach().clone() for parameter in training.network.parameters()]
    record = finish(training).record()
    assert record.status.kind in ("finished", "diverged") and record.status.message
    for parameter, before in zip(training.network.parameters(), first, strict=True):
        assert parameter.requires_grad or torch.equal(parameter, before)
    again = finish(Training(experiment))
    assert torch.equal(weights_of(training.network).nan_to_num(), weights_of(again.network).nan_to_num())


REFUSED: dict[str, Callable[[], object]] = {
    r"rate_factor must be in \[0, 1e\+20\], got -1; 1 is the optimizer's own": lambda: ParameterGroup("biases", -1),
    r"weight_decay must be in \[0, 1e\+20\], got nan": lambda: ParameterGroup("biases", weight_decay=float("nan")),
    "frozen must be True or False, got 1": lambda: ParameterGroup("biases", frozen=1),  # type: ignore[arg-type]
    "parameters of a group must be 'biases', .* or a layer's name, got 3": lambda: ParameterGroup(3),  # type: ignore[arg-type]
    "'first' is frozen, so it takes no step of rate_factor=2, .*; leave both out or set frozen=False": (
        lambda: ParameterGroup("first", 2.0, frozen=True)
    ),
    r"groups must be a tuple of ParameterGroup, got 'biases'; write groups=\(ParameterGroup": (
        lambda: small(groups="biases")
    ),
    "unknown parameters of a group 'bias': did you mean 'biases'": lambda: small(groups=(ParameterGroup("bias"),)),
    "unknown parameters of a group 'layer 3': did you mean 'layer 2'": (
        lambda: small(groups=(ParameterGroup("layer 3"),))
    ),
    r"'norms' \(all parameters of normalization\) has no parameter in this network; leave it out": (
        lambda: small(groups=(ParameterGroup("norms"),))
    ),
    "'layer 2' comes too late: others before it have its parameters; move it up": (
        lambda: small(groups=(ParameterGroup("hidden"), ParameterGroup("layer 2")))
    ),
    "every parameter is frozen, so there is nothing to train; leave out a group with frozen=True": (
        lambda: small(groups=tuple(ParameterGroup(name, frozen=True) for name in ("first", "hidden", "output")))
    ),
    "no matrix is left to train for muon: choose its rest, .*, as the optimizer": (
        lambda: small(
            model=model("mlp", depth=0), optimizer=optimizer("muon"), dataset=data(),
            groups=(ParameterGroup("biases"), ParameterGroup("output", frozen=True)),
        )
    ),
    "Rprop has no weight_decay, but the group 'biases' sets it to 0.1; leave it out": (
        lambda: small(optimizer=optimizer(torch.optim.Rprop), groups=(ParameterGroup("biases", weight_decay=0.1),))
    ),
    r"learning_rate times rate_factor of the group 'biases' must be in \[0, 1e\+20\], got 1e\+21; lower one": (
        lambda: small(optimizer=optimizer("adam", learning_rate=10.0), groups=(ParameterGroup("biases", 1e20),))
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_groups_that_cannot_be_are_refused_with_value_range_and_remedy(message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        REFUSED[message]()
