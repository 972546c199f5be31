"""Networks trained at once go the way each would go alone; bad ensembles are refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from refusals import refusals
from training_support import data, finish, small, weights_of

from weightlab.ensembles.run import MAX_LEARNERS, Ensemble, train_together, variations
from weightlab.networks.initializers import initialization
from weightlab.networks.models import model
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import optimizer
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.groups import ParameterGroup
from weightlab.training.run import Training

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def check_each_alone(experiments: tuple[TrainingExperiment, ...]) -> None:
    ensemble = Ensemble(experiments)
    assert list(ensemble) == list(range(1, experiments[0].steps + 1))
    record, weights = ensemble.record(), ensemble.weights
    close = TOLERANCE[experiments[0].dtype]
    for learner, experiment in enumerate(experiments):
        training = finish(Training(experiment))
        alone = training.record()
        assert torch.allclose(weights[learner], weights_of(training.network), rtol=0, atol=close)
        assert torch.allclose(record.losses[:, learner], alone.losses, rtol=close, atol=close)
        assert torch.allclose(record.gradient_norms[:, learner], alone.gradient_norms, rtol=close, atol=close)
        assert float(record.validation_losses[learner]) == pytest.approx(float(alone.validation_losses[-1]), rel=1e-4)
        assert float(record.validation_accuracies[learner]) == pytest.approx(float(alone.validation_accuracies[-1]))
    assert record.layers == alone.layers
    assert bool((record.diverged_at == -1).all())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("network", "settings"),
    [
        ("mlp", {"depth": 2, "width": 6}),
        ("mlp", {"depth": 0}),
        ("mlp", {"depth": 3, "width": 6, "residual": True, "batch_norm": True}),
        # max-pooling passes the gradient to the larger one: with many steps in float32 rounding once decides which
        ("cnn", {"depth": 1, "width": 3, "activation": "tanh"}),
        ("cnn", {"depth": 1, "width": 3, "batch_norm": True}),
    ],
)
def test_each_network_goes_the_way_it_goes_alone(network: str, settings: dict[str, Any], dtype: str) -> None:
    base = small(model=model(network, **settings), dtype=dtype, steps=8)
    starts = initialization("xavier_normal"), initialization("normal", std=0.05)
    check_each_alone(variations(base, initialization=starts, learning_rate=(0.02, 0.1), seed=(0, 3)))


@pytest.mark.parametrize("rule", ["momentum", "nesterov", "sutskever_nesterov", "adam", "rmsprop"])
def test_every_kind_of_rule_and_activation_goes_together(rule: str) -> None:
    base = small(optimizer=optimizer(rule, learning_rate=0.01), steps=10)
    other = small(optimizer=optimizer("gradient_descent", learning_rate=0.2), steps=10)
    check_each_alone((*variations(base, activation=("tanh", "relu", "gelu"), learning_rate=(0.01, 0.02)), other))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "bce_with_logits"])
@pytest.mark.parametrize("batch_size", [16, None])
def test_every_loss_and_full_batches_go_together(loss: str, batch_size: int | None) -> None:
    base = small(dataset=data("moons"), loss=loss, batch_size=batch_size, steps=8)
    check_each_alone(variations(base, seed=(1, 2), learning_rate=(0.1, 0.5)))


def test_penalties_clipping_and_schedules_may_differ() -> None:
    base = small(steps=10)
    check_each_alone(
        (
            base,
            base.replace(l2=0.1),
            base.replace(l1=0.01, clip_norm=0.1),
            base.replace(clip_value=0.001),
            base.replace(schedule=schedule("cosine")),
        )
    )


def test_a_network_that_diverges_leaves_the_others_as_they_are() -> None:
    fine, wild = small(steps=40), small(steps=40, optimizer=optimizer("gradient_descent", learning_rate=1e12))
    record = train_together((fine, wild, fine.replace(seed=1)))
    alone = train_together((fine, fine.replace(seed=1)))
    assert record.diverged_at[0] == record.diverged_at[2] == -1
    end = int(record.diverged_at[1])
    assert end >= 0
    assert bool(record.losses[:end, 1].isfinite().all())
    assert bool(record.losses[end + 1 :, 1].isnan().all())
    assert bool(record.gradient_norms[end + 1 :, 1].isnan().all())
    assert math.isnan(record.validation_accuracies[1]) and math.isnan(record.validation_losses[1])
    assert torch.allclose(record.losses[:, [0, 2]], alone.losses, rtol=1e-10, atol=0)


def test_one_that_is_stopped_has_the_beginning_of_the_whole() -> None:
    experiments = variations(small(steps=20), seed=range(3))
    ensemble = Ensemble(experiments)
    for done in ensemble:
        if done == 7:
            break
    assert ensemble.steps_done == 7
    stopped = ensemble.record()
    assert stopped.losses.shape == (7, 3) and stopped.gradient_norms.shape == (7, 3, 3)
    assert torch.equal(stopped.losses, train_together(experiments).losses[:7])
    assert bool(stopped.validation_accuracies.isfinite().all())
    assert Ensemble(experiments).record().losses.shape == (0, 3)


def test_an_ensemble_repeats_to_the_bit() -> None:
    experiments = variations(small(steps=10, dtype="float32"), activation=("tanh", "relu"), seed=range(2))
    one, other = train_together(experiments), train_together(experiments)
    assert torch.equal(one.losses, other.losses) and torch.equal(one.gradient_norms, other.gradient_norms)


def test_variations_are_all_combinations_the_last_choice_fastest() -> None:
    found = variations(small(), activation=("tanh", "relu"), learning_rate=(0.1, 0.2), seed=(5,))
    chosen = [(one.model.activation, one.optimizer.learning_rate, one.seed) for one in found]
    assert chosen == [("tanh", 0.1, 5), ("tanh", 0.2, 5), ("relu", 0.1, 5), ("relu", 0.2, 5)]
    assert variations(small()) == (small(),)


test_bad_choices_are_refused = refusals(lambda **choices: variations(small(), **choices), {
    "unknown setting to vary 'learning_rates': did you mean 'learning_rate'": {"learning_rates": (1,)},
    "seed has no values to choose from; give at least one": {"seed": ()},
    "learning_rate must be": {"learning_rate": (-1.0,)},
})


test_ensembles_that_do_not_go_together_are_refused = refusals(lambda experiments: Ensemble(experiments), {
    r"experiment 1 differs from the first in \['steps'\]; train them apart": ((small(), small(steps=7)),),
    "differs from the first in .'model": ((small(), small(model=model("mlp", depth=3, width=12))),),
    "one of .'mlp', 'cnn'., got 'lstm'; train the others one after the other": ((small(model=model("lstm")),),),
    "the class Adam, which moves one network": ((small(optimizer=optimizer(torch.optim.Adam, learning_rate=0.1)),),),
    "uses Muon, which sees each matrix of one network; choose one of": ((small(optimizer=optimizer("muon")),),),
    "has parameter groups, got .*; leave out groups": ((small(groups=(ParameterGroup("first", frozen=True),)),),),
    "waits for validation losses": ((small(schedule=schedule("plateau")),),),
    "at most 10000 networks train at once, got 10001": ((small(),) * (MAX_LEARNERS + 1),),
    "more than 2 GiB; train fewer at a time": ((small(model=model("mlp", depth=4, width=512)),) * 500,),
})


@pytest.mark.parametrize("experiments", [(), [3]])
def test_something_else_than_experiments_is_refused(experiments: Any) -> None:
    with pytest.raises(TypeError, match="non-empty sequence of TrainingExperiment"):
        Ensemble(experiments)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_ensemble_on_cuda_follows_the_one_on_the_cpu() -> None:
    experiments = variations(small(steps=20), activation=("tanh", "relu"), learning_rate=(0.05, 0.1))
    there = train_together([one.replace(device="cuda") for one in experiments])
    here = train_together(experiments)
    assert torch.allclose(there.losses, here.losses, rtol=1e-8, atol=1e-10)
    assert torch.allclose(there.validation_accuracies, here.validation_accuracies)
