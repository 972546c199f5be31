"""What every activation, initializer, loss, model and data set must bring, so that nothing else need know its name.

These tests walk the registries: an entry that is added is held to them as it stands (tests/networks/test_recipes.py).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from program_support import TOLERANCE, data_of, differences
from torch import Tensor, nn

from weightlab.ensembles.run import Ensemble
from weightlab.networks.activations import ACTIVATIONS, IDENTITY, activation
from weightlab.networks.architectures import OUTPUT, RecurrentNetwork
from weightlab.networks.datasets import DATASETS, dataset
from weightlab.networks.initializers import INITIALIZERS, InitializationSettings, initialization
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import MODELS, model
from weightlab.networks.time_gradients import open_keep_gates, time_gradients
from weightlab.program_text import import_lines
from weightlab.programs.data import data_code
from weightlab.programs.initializers import weight_lines
from weightlab.rules.update_rules import optimizer
from weightlab.theory.loop import logit_gradient
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.run import Training

IMAGE = (1, 8, 8)
REGISTRIES: dict[str, Any] = {
    "activation": ACTIVATIONS, "initializer": INITIALIZERS, "loss": LOSSES, "model": MODELS, "dataset": DATASETS
}  # fmt: skip
ENTRIES = [(kind, name) for kind, entries in REGISTRIES.items() for name in entries]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def executed(text: str, **names: Any) -> dict[str, Any]:
    """What a piece of a program leaves."""
    names |= {"torch": torch, "nn": nn, "math": math}
    exec(text, names)
    return names


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_an_entry_is_found_by_its_own_name_and_has_a_label(kind: str, name: str) -> None:
    entry = REGISTRIES[kind][name]
    assert entry.name == name and re.fullmatch(r"[a-z][a-z0-9_]*", name) and entry.label
    assert [one.label for one in REGISTRIES[kind].values()].count(entry.label) == 1


# ---- activations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_function_and_module_are_the_same_in_a_program(name: str) -> None:
    f, z = ACTIVATIONS[name], random(50)
    found = executed(f"value = {f.function_text.format('z')}\nmodule = {f.module_text or 'nn.Identity()'}", z=z)
    assert torch.equal(found["value"], f.function(z))
    assert torch.equal(found["module"](z), f.function(z))
    assert f.module_text or f is IDENTITY


# ---- initializers ------------------------------------------------------------------------------------------------


def choices(name: str) -> list[InitializationSettings]:
    """The initializer with each of its settings at each of its ends, and with every kind of gain."""
    entry = INITIALIZERS[name]
    found = [initialization(name, **{key: value}) for key, given in entry.ranges.items() for value in given]
    if entry.gain_from != "none":
        found += [initialization(name, gain=gain) for gain in ("activation", 1.3, 1.0, 0.0)]
    return [initialization(name), *found]


@pytest.mark.parametrize("shape", [(6, 4), (4, 2, 3, 3)], ids=str)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_a_program_fills_a_weight_as_a_run_does(name: str, shape: tuple[int, ...]) -> None:
    for chosen in choices(name):
        for f in ACTIVATIONS.values():
            ours, theirs = (torch.full(shape, torch.nan, dtype=torch.float64) for _ in range(2))
            source, stream = generator(3), generator(3)
            chosen.apply(ours, f, source)
            executed(weight_lines("w", chosen, f), w=theirs, weights_stream=stream)
            assert torch.equal(ours, theirs), (chosen, f.name)
            assert torch.equal(source.get_state(), stream.get_state())
            assert chosen.initializer.draws == (not torch.equal(stream.get_state(), generator(3).get_state()))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_bound_of_a_bias_is_the_same_in_a_program(name: str) -> None:
    entry = INITIALIZERS[name]
    assert bool(entry.bias_text) == (entry.bias_bound(12) > 0)
    if entry.bias_text:
        assert executed(f"bound = {entry.bias_text.format('fan_in')}", fan_in=12)["bound"] == entry.bias_bound(12)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_sliders_move_within_the_range_of_their_setting(name: str) -> None:
    entry = INITIALIZERS[name]
    assert entry.gain_from in ("activation", "one", "none") and entry.settings.keys() == entry.ranges.keys()
    for setting, (_, low, high, count) in entry.sliders.items():
        assert entry.ranges[setting][1] <= low < high <= entry.ranges[setting][2] and count > 1


# ---- losses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_guess_are_the_same_in_a_program(name: str) -> None:
    loss = LOSSES[name]
    classes = 2 if loss.two_classes else 4
    logits, labels = 3 * random(20, loss.outputs(classes)), torch.arange(20) % classes
    text = f"{loss.definition(classes)}\nvalue = {loss.called}(logits, labels)\nguess = {loss.guess}"
    found = executed(text, logits=logits, labels=labels)
    value, each = loss.value(logits, labels, classes), loss.each(logits, labels, classes)
    assert torch.equal(found["value"], value)
    torch.testing.assert_close(each.mean(), value)
    shares = loss.probabilities(logits)
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(20, dtype=torch.float64))
    assert torch.equal(found["guess"].long(), shares.argmax(dim=-1))


@pytest.mark.parametrize("name", LOSSES)
def test_theory_gives_the_gradient_of_the_losses_of_which_it_speaks(name: str) -> None:
    loss = LOSSES[name]
    for logit in (-6.0, -0.3, 2.0) if loss.theory else ():
        for label in (0, 1):
            z = torch.tensor([[logit]], dtype=torch.float64, requires_grad=True)
            logits = z if loss.outputs(2) == 1 else torch.cat([torch.zeros_like(z), z], dim=1)
            loss.value(logits, torch.tensor([label]), 2).backward()
            assert z.grad is not None
            assert z.grad.item() == pytest.approx(logit_gradient(loss.theory, logit, label), rel=1e-9)


# ---- models ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("name", MODELS)
def test_a_program_makes_the_same_network(name: str, depth: int) -> None:
    settings = model(name, depth=depth, width=5)
    network, code = settings.build(IMAGE, 10), settings.entry.program(IMAGE, 10, dict(settings.settings))
    theirs = executed("\n".join([*code.definitions, code.make]))["model"].double()
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(network.parameters()), theirs.parameters())
    x = random(3, 64)
    torch.testing.assert_close(theirs(x), network(x))
    assert code.depth == depth == len(network.layers) - 1 and code.modes == network.has_modes
    assert network.layers[-1][0] == OUTPUT
    if not code.recurrent:
        layers = executed(f"layers = {code.layers}", model=theirs)["layers"]
        assert [type(layer) for layer in layers] == [type(layer) for _, layer in network.layers]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_says_how_often_each_layer_is_used(name: str) -> None:
    network, found = model(name).build(IMAGE, 10), []

    def count(module: nn.Module, given: Any, out: Any) -> None:  # (example, width, …), or of all steps, with the state
        found.append(out[0].shape[1] if isinstance(out, tuple) else out.numel() // out.shape[1])

    for _, layer in network.layers:
        layer.register_forward_hook(count)
    network(random(1, 64))
    assert network.uses(IMAGE) == found


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.cell])
def test_a_cell_has_the_gates_and_the_memory_that_it_says(name: str) -> None:
    network, cell = model(name, width=3, reading="pixels").build(IMAGE, 10), MODELS[name].cell
    assert isinstance(network, RecurrentNetwork) and cell is not None and network.cell is cell
    layer = network.recurrent[0]
    assert isinstance(layer, cell.module) and layer.get_parameter("bias_ih_l0").shape == (3 * cell.gates,)
    assert isinstance(layer(torch.zeros(1, 1, 1).double())[1], tuple) == cell.memory
    assert hasattr(nn, f"{cell.module.__name__}Cell")
    assert (cell.keep_gate is None) == (not cell.gate_label) == ("activation" in MODELS[name].settings)
    x, y = random(4, 64), torch.arange(4)
    before = time_gradients(network, x, y)[0][0, 0]
    open_keep_gates(network, 6.0)
    after = time_gradients(network, x, y)[0][0, 0]
    assert (after > 10 * before) == (cell.keep_gate is not None)  # an open gate lets the gradient through


@pytest.mark.parametrize("name", [name for name, entry in MODELS.items() if entry.together])
def test_networks_that_can_train_at_once_do_so_as_each_would_alone(name: str) -> None:
    experiments = [small(network=name).replace(seed=seed) for seed in (0, 1)]
    ensemble = Ensemble(experiments)
    for _ in ensemble:
        pass
    for weights, experiment in zip(ensemble.weights, experiments, strict=True):
        training = Training(experiment)
        for _ in training:
            pass
        alone = nn.utils.parameters_to_vector(training.network.parameters()).detach()
        torch.testing.assert_close(weights, alone, rtol=1e-8, atol=1e-10)


# ---- data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"seed": 5, "validation_fraction": 0.0}, {"label_noise": 0.2}], ids=str)
@pytest.mark.parametrize("name", DATASETS)
def test_a_program_loads_the_same_examples(name: str, settings: dict[str, Any]) -> None:
    ends: list[dict[str, Any]] = [{key: low} for key, (_, low, _) in DATASETS[name].settings.items()]
    for own in [{}, *ends]:
        data = dataset(name, **settings, **own)
        code = data_code(data)
        found = executed("\n".join([import_lines(code.imports), *code.definitions, code.load]))
        assert torch.equal(found["x_train"], data.x_train) and torch.equal(found["y_train"], data.y_train)
        if len(data.y_validation):
            assert torch.equal(found["x_validation"], data.x_validation)
            assert torch.equal(found["y_validation"], data.y_validation)
        sizes = DATASETS[name].program(dict(data.settings)).class_sizes
        if sizes and "label_noise" not in settings:
            assert sizes == tuple(torch.cat([data.y_train, data.y_validation]).bincount().tolist())


# ---- all of them -------------------------------------------------------------------------------------------------


def small(**given: str) -> TrainingExperiment:
    """A short run, of all defaults but for what is given by kind."""
    data = data_of(given.get("dataset", "breast_cancer" if "loss" in given else "digits"))
    settings = {"activation": given["activation"]} if "activation" in given else {}
    return TrainingExperiment(
        model(given.get("network", "mlp"), width=6, **settings),
        data,
        optimizer("momentum", learning_rate=0.02),
        initialization(given.get("initializer", "xavier_normal")),
        loss=given.get("loss", "cross_entropy"),
        batch_size=8,
        steps=12,
        dtype="float64",
        validate_every=6,
    )


def test_programs_of_all_entries_end_with_the_weights_of_their_runs(tmp_path: Path) -> None:
    names = [("network" if kind == "model" else kind, name) for kind, name in ENTRIES]
    found = differences({f"{kind}_{name}": small(**{kind: name}) for kind, name in names}, tmp_path)
    assert max(found.values()) <= TOLERANCE, found


def test_a_gain_is_known_for_what_no_activation_follows() -> None:
    assert activation(IDENTITY.name) is IDENTITY and IDENTITY.gain == 1
