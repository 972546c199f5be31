"""A learner's own nn.Module as a model: the same run as the package's own, its layers found, its slips explained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import refusals
from torch import Tensor, nn
from training_support import data, small

from weightlab.networks.models import model
from weightlab.networks.own_model import model_from_module
from weightlab.training.run import Training, train


class Twin(nn.Module):
    """The package's MLP of two hidden layers of 12 tanh units."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 12), nn.Linear(12, 12), nn.Linear(12, 10)
        self.one, self.two = nn.Tanh(), nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.last(self.two(self.second(self.one(self.first(x.flatten(1))))))
        return h


class Noisy(nn.Module):
    """Batch normalization and dropout: computes something else in training than in use."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4)
        self.drop, self.out = nn.Dropout(0.5), nn.Linear(36, 10)

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.out(self.drop(torch.relu(self.norm(self.conv(x)))).flatten(1))
        return h


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def test_ones_own_module_trains_as_the_same_network_of_the_package_does() -> None:
    own = train(small(model=model_from_module(Twin, activation="tanh")))
    packaged = train(small(model=model("mlp", depth=2, width=12, activation="tanh")))
    torch.testing.assert_close(own.losses, packaged.losses, rtol=1e-12, atol=0)
    torch.testing.assert_close(own.activation_rms, packaged.activation_rms, rtol=1e-10, atol=0)
    torch.testing.assert_close(own.gradient_norms, packaged.gradient_norms, rtol=1e-10, atol=0)
    assert own.layers == packaged.layers == ("layer 1", "layer 2", "output")


def test_layers_follow_the_pass_of_the_signal_not_their_registration() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.first, self.idle = nn.Linear(5, 10), nn.Linear(64, 5), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            h: Tensor = self.last(torch.sin(self.first(x.flatten(1))))
            return h

    network = model_from_module(Turned).build((1, 8, 8), 10)
    assert [module.in_features for _, module in network.layers] == [64, 5]
    assert network.signals == [module for _, module in network.layers]  # torch.sin is no module


def test_dropout_repeats_with_the_seed_and_leaves_the_global_generator_alone() -> None:
    own = small(model=model_from_module(Noisy), steps=8)
    before = torch.random.get_rng_state()
    first, again, other = train(own), train(own), train(own.replace(seed=1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.losses, again.losses) and not torch.equal(first.losses, other.losses)


def test_dropout_and_batch_norm_rest_while_validating() -> None:
    training = Training(small(model=model_from_module(Noisy), steps=5))
    for _ in training:
        pass
    x, y = data().x_validation, data().y_validation
    assert torch.equal(training.evaluate(x, y)[0], training.evaluate(x, y)[0])
    assert training.network.training


def test_a_run_changes_neither_the_module_given_nor_other_runs() -> None:
    module = Noisy()
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    own = small(model=model_from_module(module), steps=3)
    assert torch.equal(train(own).losses, train(own).losses)
    assert all(torch.equal(kept[name], value) for name, value in module.state_dict().items())


test_it_has_no_settings_and_no_name_of_the_package = refusals({
    "'Twin' is your own network and has no settings, got depth": lambda: model_from_module(Twin).replace(depth=3),
    "the package has a model called 'cnn'; add name='my_cnn'": lambda: model_from_module(Twin, name="cnn"),
    "unknown activation 'rellu'": lambda: model_from_module(Twin, activation="rellu"),
})


def _needs_width(width: int) -> nn.Module:
    return nn.Linear(64, width)


@pytest.mark.parametrize(
    ("module", "kind", "message"),
    [
        (3, TypeError, "an nn.Module, its class or a function that makes one is asked for, got 3"),
        (lambda: 3, TypeError, "an nn.Module must be made, got 3"),
        (_needs_width, ValueError, "making it raises TypeError: .*width.*pass `lambda: Net"),
        (nn.ReLU, ValueError, "ReLU has no parameters to train"),
        (nn.Embedding(3, 10), ValueError, "Embedding has no layer that could be drawn and recorded"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), ValueError, "has a lazy layer"),
        (nn.LSTM(8, 8, num_layers=2), ValueError, "of several layers or directions in one"),
        (linear().requires_grad_(False), ValueError, "no parameters to train"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_what_is_no_network_is_refused_when_it_is_named(module: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        model_from_module(module)


class _Spoiled(nn.Module):
    """A linear network whose logits `spoil` gets before they are returned."""

    def __init__(self, spoil: Any) -> None:
        super().__init__()
        self.layer, self.spoil = nn.Linear(64, 10), spoil

    def forward(self, x: Tensor) -> Any:
        return self.spoil(self.layer(x.flatten(1)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda z: z[:, :5], r"for 3 examples it returns shape \(3, 5\), \(3, 10\) is asked for"),
        (lambda z: z[:2], r"returns shape \(2, 10\)"),
        (lambda z: None, "returns NoneType, .* is `return` missing"),
        (lambda z: z.detach(), "has no gradient: no .detach"),
        (lambda z: (z - z).log(), "returns NaN or infinity"),
        (lambda z: z @ z, "raises RuntimeError: .*begin with nn.Flatten"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_with_the_remedy(spoil: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"model '_Spoiled' does not fit dataset 'digits': .*{message}"):
        small(model=model_from_module(_Spoiled(spoil)))


def test_a_network_whose_layers_are_never_called_is_refused() -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.layer.weight.T

    with pytest.raises(ValueError, match="no layer that could be trained layer by layer is called"):
        small(model=model_from_module(Around))
