"""The networks: names, shapes, what their settings do, and what they refuse."""

from __future__ import annotations

import pytest
import torch
from refusals import refusals
from torch import nn

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.architectures import MLP, Network, RecurrentNetwork
from weightlab.networks.initializers import initialization
from weightlab.networks.models import MODELS, ModelSettings, initialize, model

IMAGE = (1, 8, 8)


def built(name: str, **settings: bool | int | str) -> Network:
    return model(name, **settings).build(IMAGE, 10, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_gives_one_logit_per_class(name: str) -> None:
    assert built(name)(torch.zeros(5, 64, dtype=torch.float64)).shape == (5, 10)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("depth", [1, 3])
def test_layers_are_named_in_the_order_of_the_signal(name: str, depth: int) -> None:
    network = built(name, depth=depth)
    names = [layer for layer, _ in network.layers]
    assert names == [*(f"layer {number + 1}" for number in range(depth)), "output"]
    passed: list[nn.Module] = []
    for module in network.signals:
        module.register_forward_hook(lambda module, inputs, output: passed.append(module))
    network(torch.zeros(2, 64, dtype=torch.float64))
    assert [id(module) for module in passed] == [id(module) for module in network.signals]


@pytest.mark.parametrize("name", MODELS)
def test_every_matrix_belongs_to_exactly_one_named_layer(name: str) -> None:
    network = built(name, depth=2)
    in_layers = [id(p) for _, module in network.layers for p in module.parameters() if p.dim() >= 2]
    assert sorted(in_layers) == sorted(id(p) for p in network.parameters() if p.dim() >= 2)


def test_residual_layers_hand_their_input_on_where_widths_are_equal() -> None:
    network = built("mlp", depth=3, width=16, residual=True, activation="relu")
    assert isinstance(network, MLP)
    with torch.no_grad():
        for _, module in network.layers[1:-1]:
            for parameter in module.parameters():
                parameter.zero_()
    x = torch.randn(4, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    first = torch.relu(network.layers[0][1](x))
    assert torch.equal(network(x), network.output(first))


def test_batch_norm_centres_what_goes_into_the_activation() -> None:
    network = built("mlp", depth=1, width=16, batch_norm=True, activation="linear")
    seen = []
    network.signals[0].register_forward_hook(lambda module, inputs, output: seen.append(output))
    network(3 + 5 * torch.randn(200, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    assert seen[0].mean(dim=0).abs().max() < 1e-12
    assert (seen[0].std(dim=0, correction=0) - 1).abs().max() < 1e-3


@pytest.mark.parametrize(("reading", "steps", "features"), [("pixels", 64, 1), ("rows", 8, 8)])
@pytest.mark.parametrize("name", ["rnn", "lstm", "gru"])
def test_recurrent_nets_read_pixels_or_rows(name: str, reading: str, steps: int, features: int) -> None:
    network = built(name, reading=reading, width=5)
    assert isinstance(network, RecurrentNetwork)
    seen = []
    network.signals[0].register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output[0])))
    network(torch.arange(64, dtype=torch.float64).reshape(1, 64))
    read, states = seen[0]
    assert read.shape == (1, steps, features)
    assert torch.equal(read.flatten(), torch.arange(64, dtype=torch.float64))
    assert states.shape == (1, steps, 5)


@pytest.mark.parametrize("name", MODELS)
def test_the_same_generator_gives_the_same_weights_and_another_seed_others(name: str) -> None:
    settings = model(name)
    first, again, other = (
        nn.utils.parameters_to_vector(settings.build(IMAGE, 10, torch.Generator().manual_seed(seed)).parameters())
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_initialize_gives_the_output_layer_the_gain_of_the_identity() -> None:
    network = built("mlp", depth=2, width=400, activation="relu")
    settings = initialization("he_normal")
    initialize(network, settings, ACTIVATIONS["relu"], torch.Generator().manual_seed(0))
    spread = [float(module.weight.detach().std()) for _, module in network.layers if isinstance(module, nn.Linear)]
    assert spread[1] == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert spread[2] == pytest.approx((1 / 400) ** 0.5, rel=0.05)


test_an_unknown_name_is_met_with_the_nearest = refusals({
    "unknown model 'mpl': did you mean 'mlp'": lambda: model("mpl"),
    "unknown setting of 'mlp' 'dept': did you mean 'depth'": lambda: model("mlp", dept=3),
    "unknown activation of 'mlp' 'rellu': did you mean 'relu'": lambda: model("mlp", activation="rellu"),
    "unknown activation of 'rnn' 'gelu'": lambda: model("rnn", activation="gelu"),
    "batch_norm must be True or False, got 1": lambda: model("mlp", batch_norm=1),
})


@pytest.mark.parametrize(("name", "value"), [("depth", -1), ("depth", 101), ("width", 0), ("width", float("nan"))])
def test_sizes_out_of_range_are_refused_with_the_range(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be in \["):
        ModelSettings("mlp", ((name, value),))


def test_models_that_read_pictures_refuse_other_examples() -> None:
    with pytest.raises(ValueError, match=r"model 'cnn' does not fit examples of shape \(30,\): .* choose 'mlp'"):
        model("cnn").build(30, 2)
    with pytest.raises(ValueError, match="choose reading='pixels'"):
        model("gru").build(30, 2)
    assert model("gru", reading="pixels").build(30, 2)(torch.zeros(4, 30, dtype=torch.float64)).shape == (4, 2)
