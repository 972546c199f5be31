"""Real runs: equal to a hand-written PyTorch loop, repeatable to the bit, and clear about how they ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_support import MakeOptimizer, data, finish, plain_loop, small, weights_of

from weightlab.networks.datasets import DATASETS, dataset
from weightlab.networks.initializers import initialization
from weightlab.networks.losses import LOSSES
from weightlab.networks.models import MODELS, model
from weightlab.rules.schedules import schedule
from weightlab.rules.update_rules import UPDATE_RULES, OptimizerSettings, optimizer
from weightlab.training.run import CHECK_EVERY, Training, train

RULES: dict[str, tuple[OptimizerSettings, MakeOptimizer]] = {
    "momentum": (
        optimizer("momentum", learning_rate=0.05, momentum=0.8),
        lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.8),
    ),
    "nesterov": (
        optimizer("nesterov", learning_rate=0.05, momentum=0.8, weight_decay=1e-3),
        lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.8, nesterov=True, weight_decay=1e-3),
    ),
    "adam": (
        optimizer("adam", learning_rate=0.005),
        lambda parameters: torch.optim.Adam(parameters, lr=0.005),
    ),
}
NETWORKS = {
    "mlp": model("mlp", depth=2, width=12, activation="tanh"),
    "cnn": model("cnn", depth=2, width=4, activation="tanh"),
    "lstm": model("lstm", width=8),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_run_equals_a_hand_written_pytorch_loop(network: str, rule: str) -> None:
    ours, make_theirs = RULES[rule]
    experiment = small(model=NETWORKS[network], optimizer=ours)
    training = finish(Training(experiment))
    losses, weights = plain_loop(experiment, make_theirs)
    assert (training.record().losses - losses).abs().max() <= 1e-10
    assert (weights_of(training.network) - weights).abs().max() <= 1e-10


@pytest.mark.parametrize("rule", UPDATE_RULES)
def test_each_rule_equals_its_torch_class_run_in_its_place(rule: str) -> None:
    settings = optimizer(rule, learning_rate=0.01)
    equivalent = UPDATE_RULES[rule].torch_equivalent(settings.settings)
    assert equivalent is not None
    name, arguments = equivalent
    made = getattr(torch.optim, name)
    theirs = optimizer(made, learning_rate=arguments.pop("lr"), rest=settings.rest, **arguments)
    mine, other = Training(small(optimizer=settings)), Training(small(optimizer=theirs))
    record, reference = finish(mine).record(), finish(other).record()
    # both take the gradient at the same points; for Sutskever's Nesterov these are not its weights
    assert (record.losses - reference.losses).abs().max() <= 1e-10
    if rule != "sutskever_nesterov":
        assert (record.weight_paths - reference.weight_paths).abs().max() <= 1e-10
        assert (weights_of(mine.network) - weights_of(other.network)).abs().max() <= 1e-10


def test_a_torch_class_without_a_rule_of_ours_trains() -> None:
    record = train(small(optimizer=optimizer(torch.optim.Adagrad, learning_rate=0.05)))
    assert record.losses[-10:].mean() < 0.5 * record.losses[0]


def test_a_torch_class_that_searches_along_a_line_gets_its_closure() -> None:
    record = train(small(optimizer=optimizer(torch.optim.LBFGS, learning_rate=0.5), batch_size=None, steps=10))
    assert record.losses[-1] < 0.2 * record.losses[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_run_repeats_to_the_bit(network: str, dtype: str) -> None:
    experiment = small(model=NETWORKS[network], dtype=dtype, steps=30)
    first, again = train(experiment), train(experiment)
    for name in ("losses", "gradient_norms", "update_ratios", "activation_rms", "weight_paths", "validation_losses"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name


def test_after_a_reset_the_same_weights_start_again_and_see_the_same_batches() -> None:
    experiment = small()
    used = finish(Training(experiment))
    used_weights = weights_of(used.network)
    fresh, reference = Training(experiment), Training(experiment)
    assert torch.equal(weights_of(fresh.network), weights_of(reference.network))
    assert not torch.equal(weights_of(fresh.network), used_weights)
    for _ in range(100):  # over several epochs
        (x, y), (x_again, y_again) = fresh.batches.next(), reference.batches.next()
        assert torch.equal(x, x_again) and torch.equal(y, y_again)
    assert torch.equal(finish(Training(experiment)).record().losses, used.record().losses)


def test_another_seed_gives_other_weights_and_other_batches() -> None:
    first, other = Training(small(seed=1)), Training(small(seed=2))
    assert not torch.equal(weights_of(first.network), weights_of(other.network))
    assert not torch.equal(first.batches.next()[0], other.batches.next()[0])


def test_the_first_weights_do_not_depend_on_the_batch_size_or_the_dtype() -> None:
    double = weights_of(Training(small()).network)
    assert torch.equal(double, weights_of(Training(small(batch_size=7)).network))
    assert torch.equal(double.float(), weights_of(Training(small(dtype="float32")).network))


def test_the_global_generator_decides_nothing_and_is_left_alone() -> None:
    torch.manual_seed(1)
    first = train(small(steps=5))
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(train(small(steps=5)).losses, first.losses)
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_epoch_shows_every_example_at_most_once_in_full_batches() -> None:
    training = Training(small(batch_size=32))
    whole = data().x_train
    for _ in range(2):
        batches = [training.batches.next()[0] for _ in range(len(whole) // 32)]
        assert all(len(batch) == 32 for batch in batches)
        assert len(torch.unique(torch.cat(batches), dim=0)) >= len(torch.unique(whole, dim=0)) - len(whole) % 32
    for _ in range(len(whole) // 32 + 1):
        training.step()
    assert training.epoch == 1


def change_at(step: int, **settings: float) -> Callable[[int, nn.Module, torch.optim.Optimizer], None]:
    def apply(now: int, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        if now == step:
            optimizer.param_groups[0].update(settings)

    return apply


def test_a_change_midway_equals_torch_with_the_same_change() -> None:
    experiment = small(optimizer=RULES["momentum"][0])
    training = Training(experiment)
    for step in training:
        if step == 40:
            training.change(learning_rate=0.01, momentum=0.5, weight_decay=0.01)
    losses, weights = plain_loop(
        experiment, RULES["momentum"][1], change_at(40, lr=0.01, momentum=0.5, weight_decay=0.01)
    )
    record = training.record()
    assert (record.losses - losses).abs().max() <= 1e-10
    assert (weights_of(training.network) - weights).abs().max() <= 1e-10
    assert record.changes == ((40, "learning_rate", 0.01), (40, "momentum", 0.5), (40, "weight_decay", 0.01))
    assert record.learning_rates[[39, 40]].tolist() == [0.05, 0.01]
    assert training.experiment == experiment


def test_a_change_reaches_a_torch_class_too() -> None:
    records = []
    for settings in (RULES["momentum"][0], optimizer(torch.optim.SGD, learning_rate=0.05, momentum=0.8)):
        training = Training(small(optimizer=settings))
        for step in training:
            if step == 40:
                training.change(learning_rate=0.01, momentum=0.5)
        records.append(training.record())
    assert (records[0].losses - records[1].losses).abs().max() <= 1e-10


def test_a_change_that_changes_nothing_is_not_noted() -> None:
    training = Training(small())
    training.change(learning_rate=0.1, clip_norm=None)
    assert training.changes == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": -1.0}, r"learning_rate must be in \[0, 1e\+20\], got -1"),
        ({"learning_rate": float("nan")}, "learning_rate must be in .* use a finite number"),
        ({"momentum": 0.5}, "unknown setting of a run 'momentum'"),
        ({"lerning_rate": 0.1}, "did you mean 'learning_rate'"),
        ({"clip_norm": 0}, r"clip_norm must be in \(0, 1e\+20\], got 0; None switches clipping off"),
        ({"clip_norm": 1, "clip_value": 1}, "clip by norm or by value"),
        ({"l2": float("inf"), "learning_rate": 0.5}, "l2 must be in"),
    ],
)
def test_a_bad_change_is_refused_whole(settings: dict[str, Any], message: str) -> None:
    training = Training(small())
    before = training.settings
    with pytest.raises(ValueError, match=message):
        training.change(**settings)
    assert training.settings == before and training.changes == []


def test_clipping_by_norm_equals_pytorchs_and_is_felt() -> None:
    experiment = small(clip_norm=0.3)

    def clip(step: int, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        nn.utils.clip_grad_norm_(network.parameters(), 0.3)

    training = finish(Training(experiment))
    losses, weights = plain_loop(experiment, lambda parameters: torch.optim.SGD(parameters, lr=0.1), clip)
    assert (training.record().losses - losses).abs().max() <= 1e-10
    assert (weights_of(training.network) - weights).abs().max() <= 1e-10
    unclipped = train(experiment.replace(clip_norm=None))
    assert (unclipped.losses - losses).abs().max() > 1e-3
    # what is recorded is the loss's own gradient, so that clipping shows in the updates instead
    assert torch.equal(training.record().gradient_norms[0], unclipped.gradient_norms[0])
    assert bool((training.record().update_ratios[0] < unclipped.update_ratios[0]).all())


def test_clipping_by_value_equals_pytorchs() -> None:
    experiment = small(clip_value=0.003)

    def clip(step: int, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        nn.utils.clip_grad_value_(network.parameters(), 0.003)

    training = finish(Training(experiment))
    losses, weights = plain_loop(experiment, lambda parameters: torch.optim.SGD(parameters, lr=0.1), clip)
    assert (training.record().losses - losses).abs().max() <= 1e-10
    assert (weights_of(training.network) - weights).abs().max() <= 1e-10


@pytest.mark.parametrize("rule", ["gradient_descent", "momentum", "sutskever_nesterov"])
def test_the_l2_penalty_equals_weight_decay(rule: str) -> None:
    plain, decay = optimizer(rule, learning_rate=0.05), optimizer(rule, learning_rate=0.05, weight_decay=0.02)
    penalized, decayed = train(small(optimizer=plain, l2=0.02)), train(small(optimizer=decay))
    assert (penalized.losses - decayed.losses).abs().max() <= 1e-10
    assert (penalized.weight_paths - decayed.weight_paths).abs().max() <= 1e-10
    assert (penalized.losses - train(small(optimizer=plain)).losses).abs().max() > 1e-4


def test_the_l1_penalty_is_the_gradient_of_the_sum_of_sizes() -> None:
    experiment = small(l1=0.003)

    def penalize(step: int, network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        (0.003 * sum(parameter.abs().sum() for parameter in network.parameters())).backward()  # type: ignore[union-attr]

    losses, _ = plain_loop(experiment, lambda parameters: torch.optim.SGD(parameters, lr=0.1), penalize)
    assert (train(experiment).losses - losses).abs().max() <= 1e-10


def test_a_schedule_scales_the_learning_rate() -> None:
    cosine = schedule("cosine", half_cycle=100)
    record = train(small(schedule=cosine))
    assert torch.allclose(record.learning_rates, 0.1 * cosine.factors(100), rtol=1e-15, atol=0)


def test_reduce_on_plateau_reads_the_validation_loss() -> None:
    still = small(
        optimizer=optimizer("gradient_descent", learning_rate=1e-9),
        schedule=schedule("plateau", factor=0.1, patience=2, threshold=0.01),
        validate_every=5,
        steps=40,
    )
    rates = train(still).learning_rates
    # the first validation sets the best; after two without improvement the third one reduces, at step 15
    assert rates[14] == 1e-9 and rates[15] == pytest.approx(1e-10)
    assert train(small(schedule=still.schedule, steps=40, validate_every=5)).learning_rates[-1] == 0.1


def test_what_is_recorded_is_what_happened() -> None:
    experiment = small(optimizer=RULES["momentum"][0], weights_kept=3, steps=40)
    training = Training(experiment)
    matrices = [module.weight for _, module in training.network.layers if isinstance(module, nn.Linear)]
    rows: list[dict[str, torch.Tensor]] = []
    paths, kept = [], training.record().weight_indices
    for _ in range(experiment.steps):
        before = [matrix.detach().clone() for matrix in matrices]
        paths.append(torch.stack([matrix.flatten()[which] for matrix, which in zip(before, kept, strict=True)]))
        training.step()
        gradient = [matrix.grad for matrix in matrices if matrix.grad is not None]
        rows.append(
            {
                "gradient_norms": torch.stack([g.norm() for g in gradient]),
                "weight_norms": torch.stack([w.norm() for w in before]),
                "update_ratios": torch.stack(
                    [(new.detach() - w).norm() / w.norm() for new, w in zip(matrices, before, strict=True)]
                ),
            }
        )
    record = training.record()
    for name in rows[0]:
        expected = torch.stack([row[name] for row in rows])
        assert torch.allclose(getattr(record, name), expected, rtol=1e-12, atol=0), name
    assert torch.equal(record.weight_paths[:-1], torch.stack(paths))
    assert record.layers == ("layer 1", "layer 2", "output")


@pytest.mark.parametrize("name", [*NETWORKS, "batch_norm"])
def test_activations_are_the_root_mean_square_of_what_each_layer_hands_on(name: str) -> None:
    settings = NETWORKS.get(name, model("mlp", depth=3, width=12, batch_norm=True, residual=True))
    experiment = small(model=settings, steps=1)
    training, twin = Training(experiment), Training(experiment)
    seen: list[torch.Tensor] = []
    for module in twin.network.signals:
        module.register_forward_hook(
            lambda module, inputs, output: seen.append(output[0] if isinstance(output, tuple) else output)
        )
    twin.network(twin.batches.next()[0])
    expected = torch.stack([output.detach().square().mean().sqrt() for output in seen])
    assert torch.allclose(finish(training).record().activation_rms[0], expected, rtol=1e-12, atol=0)


def test_layers_of_all_sizes_get_their_own_norms() -> None:
    # a wide first layer, then equal ones, then a narrow output: the recorder takes equal layers together
    training = Training(small(model=model("mlp", depth=5, width=9), steps=1))
    weights = [module.weight.detach().norm() for _, module in training.network.layers if isinstance(module, nn.Linear)]
    assert torch.allclose(finish(training).record().weight_norms[0], torch.stack(weights), rtol=1e-12, atol=0)


def test_kept_weights_are_chosen_by_the_seed_without_repetition() -> None:
    first, again, other = (Training(small(seed=seed)).record().weight_indices for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert all(len(set(row)) == 4 for row in first.tolist())
    narrow = Training(small(model=model("mlp", depth=1, width=1), dataset=data("moons"))).record().weight_indices
    assert narrow.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1]]  # a layer of two weights can only repeat them


def test_zero_weights_have_no_update_ratio() -> None:
    record = train(small(initialization=initialization("zeros"), steps=3))
    assert record.update_ratios[0].isnan().all()
    assert record.status.kind == "finished"


def test_validation_comes_at_the_start_every_n_steps_and_at_the_end() -> None:
    experiment = small(steps=45, validate_every=20)
    training = finish(Training(experiment))
    record = training.record()
    assert record.validation_steps.tolist() == [0, 20, 40, 45]
    with torch.no_grad():
        logits = training.network(data().x_validation)
    right = (logits.argmax(dim=1) == data().y_validation).double().mean()
    assert record.validation_accuracies[-1] == pytest.approx(float(right), rel=1e-12)
    assert record.validation_losses[-1] == pytest.approx(
        float(nn.functional.cross_entropy(logits, data().y_validation)), rel=1e-12
    )


def test_validating_does_not_change_the_run() -> None:
    settings = {"model": model("mlp", depth=2, width=12, batch_norm=True), "steps": 30}
    often, never = train(small(validate_every=1, **settings)), train(small(validate_every=1000, **settings))
    assert torch.equal(often.losses, never.losses)


def test_a_run_without_validation_split_has_no_validation() -> None:
    record = train(small(dataset=dataset("moons", validation_fraction=0), steps=10))
    assert len(record.validation_steps) == len(record.validation_losses) == 0
    assert record.status.kind == "finished"


def fitting() -> list[tuple[str, str]]:
    return [(name, kind) for name in DATASETS for kind in MODELS if not _smallest(kind).misfit(data(name).shape)]


def _smallest(kind: str) -> Any:
    settings = model(kind, width=4)
    return settings.replace(reading="pixels") if "reading" in dict(settings.settings) else settings


@pytest.mark.parametrize(("name", "kind"), fitting())
def test_every_model_trains_on_every_dataset_that_it_fits(name: str, kind: str) -> None:
    record = train(small(dataset=data(name), model=_smallest(kind), steps=3, dtype="float32"))
    assert record.status.kind == "finished"
    for values in (record.losses, record.gradient_norms, record.update_ratios, record.activation_rms):
        assert torch.isfinite(values).all()
        assert bool((values > 0).all())


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_learns_two_classes(loss: str) -> None:
    settings = small(
        dataset=data("breast_cancer"), loss=loss, optimizer=optimizer("adam", learning_rate=0.01), steps=150
    )
    record = train(settings)
    assert record.validation_accuracies[-1] > 0.93
    assert record.losses[-20:].mean() < 0.5 * record.losses[0]


def test_a_perceptron_passes_90_percent_on_digits() -> None:
    experiment = small(
        model=model("mlp", depth=2, width=32),
        optimizer=optimizer("momentum", learning_rate=0.05, momentum=0.9),
        batch_size=64,
        steps=300,
        dtype="float32",
    )
    record = train(experiment)
    assert record.validation_accuracies[0] < 0.3
    assert record.validation_accuracies[-1] > 0.9


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_a_run_that_diverges_names_layer_step_limit_and_remedy(activation: str) -> None:
    experiment = small(
        model=model("mlp", depth=4, width=12, activation=activation),
        optimizer=optimizer("gradient_descent", learning_rate=1e6),
        dtype="float32",
    )
    record = train(experiment)
    status = record.status
    assert status.kind == "diverged" and record.steps == status.step + 1 < 10
    assert any(layer in status.message for layer in record.layers)
    assert "the limit is 1e+08" in status.message
    assert "lower the learning rate (it was 1e+06; try 1e+05) or clip the gradient (clip_norm=1)" in status.message
    assert torch.isfinite(record.losses[:-1]).all() and torch.isfinite(record.gradient_norms[:-1]).all()


@pytest.mark.parametrize(
    ("broken", "first"),
    [
        (["activation 1", "loss", "gradient 2"], ("activation", 1)),
        (["loss", "gradient 0", "gradient 2"], ("loss", None)),
        (["gradient 0", "gradient 2", "update 0"], ("gradient", 2)),
        (["update 2", "update 1"], ("update", 1)),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e12])
def test_the_culprit_is_what_went_out_of_bounds_first_in_the_order_of_computation(
    broken: list[str], first: tuple[str, int | None], value: float
) -> None:
    recorder = finish(Training(small(steps=3)))._recorder
    recorder.checked = 0
    rows = recorder.read(0)[0].copy()
    columns = {"activation": 0, "loss": 3, "gradient": 4, "update": 7}  # three layers
    for what in broken:
        quantity, _, layer = what.partition(" ")
        rows[1, columns[quantity] + int(layer or 0)] = value
        rows[2] = value
    culprit = recorder.find_culprit(rows)
    assert culprit is not None and culprit.step == 1
    assert (culprit.quantity, culprit.layer) == first
    assert recorder.rows == 2


def test_each_quantity_is_recorded_under_its_own_name() -> None:
    training = finish(Training(small(model=model("mlp", depth=2, width=12), steps=1)))
    rows = training._recorder.read(0)[0]
    fields = training._recorder.split(np.arange(rows.shape[1], dtype=np.float64)[None])
    assert fields["losses"].tolist() == [3]
    assert fields["gradient_norms"].tolist() == [[4, 5, 6]]
    assert fields["weight_norms"].tolist() == [[10, 11, 12]]
    assert fields["update_ratios"].tolist() == [[7 / 10, 8 / 11, 9 / 12]]
    assert fields["weight_paths"].flatten().tolist() == list(range(13, 25))


def test_a_network_that_is_too_large_from_the_start_blames_the_initialization() -> None:
    record = train(small(model=model("mlp", depth=8), initialization=initialization("normal", std=30)))
    assert record.status.kind == "diverged" and record.status.step == 0
    assert "no step was taken yet" in record.status.message and "he_normal" in record.status.message
    assert "the activation (root mean square) of layer" in record.status.message


def test_a_loss_that_runs_away_at_finite_weights_is_a_divergence_too() -> None:
    wild = small(model=model("mlp", depth=0), optimizer=optimizer("gradient_descent", learning_rate=1e6))
    status = train(wild).status
    assert status.kind == "diverged"
    assert "output took the largest update" in status.message and "the loss reached" in status.message


def test_not_a_number_never_passes_silently() -> None:
    training = Training(small(steps=200))
    for step in training:
        if step == 10:
            with torch.no_grad():
                next(training.network.parameters())[0, 0] = float("nan")
    record = training.record()
    assert record.status.kind == "diverged" and record.status.step == 10
    assert "layer 1 became NaN" in record.status.message


@pytest.mark.parametrize("ask_every", [1, 7, 1000])
def test_when_the_divergence_is_noticed_does_not_change_the_record(ask_every: int) -> None:
    experiment = small(
        model=model("mlp", depth=4, width=12, activation="relu"),
        optimizer=optimizer("gradient_descent", learning_rate=1e6),
        validate_every=2,
    )
    training = Training(experiment)
    for step in training:
        if step % ask_every == 0:
            training.since(0)
    record, reference = training.record(), train(experiment)
    assert record.status == reference.status
    assert record.steps == reference.steps and torch.equal(record.validation_steps, reference.validation_steps)
    assert torch.allclose(record.losses, reference.losses, rtol=0, atol=0, equal_nan=True)
    assert not training.step() and training.steps_done == record.steps


def test_divergence_is_noticed_within_the_promised_number_of_steps() -> None:
    training = Training(small(steps=1000))
    for _ in range(CHECK_EVERY - 2):
        training.step()
    with torch.no_grad():
        next(training.network.parameters())[0, 0] = float("inf")
    taken = sum(1 for _ in training)
    assert taken <= CHECK_EVERY and training.status is not None and training.status.step == CHECK_EVERY - 2


def test_stop_keeps_what_has_happened() -> None:
    training = Training(small())
    for step in training:
        if step == 25:
            training.stop()
    record = training.record()
    assert record.steps == 25
    assert (record.status.kind, record.status.step) == ("stopped", 25)
    assert record.status.message == "stopped after 25 of 100 steps"
    with pytest.raises(RuntimeError, match="the run has ended .* start a new one"):
        training.change(learning_rate=0.5)


def test_a_record_taken_midway_is_the_beginning_of_the_whole() -> None:
    training = Training(small())
    for _ in range(30):
        training.step()
    early = training.record()
    assert early.status.kind == "stopped" and training.status is None
    whole = finish(training).record()
    assert torch.equal(early.losses, whole.losses[:30])
    assert torch.equal(early.weight_paths, whole.weight_paths[:31])


def test_since_gives_what_is_new_in_float32_and_the_pieces_make_the_record() -> None:
    training = Training(small(steps=1100, validate_every=100, dtype="float32"))  # longer than the first table
    pieces, sent = [], 0
    for step in training:
        if step % 97 == 0 or step == 1100:
            pieces.append(training.since(sent))
            sent = training.steps_done
    record = training.record()
    for name in ("losses", "gradient_norms", "update_ratios", "activation_rms", "learning_rates"):
        together = np.concatenate([piece[name] for piece in pieces])
        assert together.dtype == np.float32
        assert np.array_equal(together, getattr(record, name).float().numpy()), name
    paths = np.concatenate([piece["weight_paths"] for piece in pieces])
    assert np.array_equal(paths, record.weight_paths[1:].numpy())
    assert np.concatenate([piece["steps"] for piece in pieces]).tolist() == list(range(1100))
    assert np.concatenate([piece["validation_steps"] for piece in pieces]).tolist() == record.validation_steps.tolist()
    assert all(len(rows) == 0 for name, rows in training.since(1100).items() if not name.startswith("validation"))


def test_since_refuses_a_step_that_has_not_been_reached() -> None:
    with pytest.raises(ValueError, match=r"step must be in \[0, 0\], got 5; the run has not come further"):
        Training(small()).since(5)


def test_a_decision_map_says_what_the_network_says() -> None:
    adam = optimizer("adam", learning_rate=0.02)
    training = finish(Training(small(dataset=data("moons"), optimizer=adam, steps=200)))
    picture = training.decision_map(resolution=20)
    assert picture.probabilities.shape == (20, 20, 2) and picture.probabilities.dtype == torch.float32
    assert torch.allclose(picture.probabilities.sum(dim=-1), torch.ones(20, 20), atol=1e-6)
    point = torch.tensor([[picture.x[3], picture.y[15]]], dtype=torch.float64)
    with torch.no_grad():
        expected = training.network(point).softmax(dim=-1).float()[0]
    assert torch.allclose(picture.probabilities[15, 3], expected, atol=1e-5)
    low, high = data("moons").x_train.amin(dim=0), data("moons").x_train.amax(dim=0)
    assert picture.x[0] < low[0] and picture.x[-1] > high[0] and picture.y[0] < low[1] and picture.y[-1] > high[1]


@pytest.mark.parametrize("loss", LOSSES)
def test_probabilities_of_every_loss_sum_to_one_on_the_map(loss: str) -> None:
    picture = Training(small(dataset=data("circles"), loss=loss)).decision_map(resolution=5)
    assert torch.allclose(picture.probabilities.sum(dim=-1), torch.ones(5, 5), atol=1e-6)


def test_a_decision_map_needs_two_inputs() -> None:
    with pytest.raises(ValueError, match="'digits' has 64; choose 'moons'"):
        Training(small()).decision_map()


def test_looking_at_the_map_does_not_change_the_run() -> None:
    experiment = small(dataset=data("moons"), model=model("mlp", batch_norm=True), steps=20)
    looked = Training(experiment)
    for _ in looked:
        looked.decision_map(resolution=4)
    assert torch.equal(looked.record().losses, train(experiment).losses)
    assert torch.equal(looked.record().activation_rms, train(experiment).activation_rms)


def test_a_step_waits_for_no_number_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    training = Training(small(steps=1000, clip_norm=1.0, l1=1e-4, l2=1e-4, optimizer=RULES["momentum"][0]))
    for _ in range(CHECK_EVERY):
        training.step()

    def refuse(self: torch.Tensor, *arguments: object, **named: object) -> None:
        raise AssertionError("a step moved a number to the host")

    for name in ("item", "cpu", "numpy", "tolist", "__float__", "__bool__"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    for _ in range(CHECK_EVERY - 1):
        training.step()


def test_an_absent_device_is_refused_with_the_ones_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device 'cuda' is not there: this computer has 'cpu'.* or 'auto'"):
        Training(small(device="cuda"))
    with pytest.raises(ValueError, match="device 'mps' is not there"):
        Training(small(device="mps"))
    assert train(small(device="auto", steps=2)).steps == 2


def test_a_device_number_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="device 'cuda:2' is not there: this computer has 'cuda:0', 'cuda:1', 'cpu'"):
        Training(small(device="cuda:2"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device and a PyTorch built with CUDA")
def test_a_run_on_cuda_follows_the_run_on_the_cpu() -> None:
    here, there = train(small(steps=30)), train(small(steps=30, device="cuda"))
    assert (here.losses - there.losses).abs().max() <= 1e-8
