"""The data: real where it says so, split without leaks, and clear about what it cannot take."""

from __future__ import annotations

import pytest
import torch
from refusals import refusals

from weightlab.networks.datasets import DATASETS, dataset, dataset_from_tensors


def examples(count: int = 40, classes: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(count) % classes


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_finite_labelled_and_split(name: str) -> None:
    data = dataset(name)
    for x, y in ((data.x_train, data.y_train), (data.x_validation, data.y_validation)):
        assert x.dtype == torch.float64 and y.dtype == torch.int64
        assert x.shape == (len(y), data.inputs) and torch.isfinite(x).all()
        assert set(y.tolist()) == set(range(data.classes))
    assert data.classes == len(data.class_names)


def test_digits_are_the_real_ones() -> None:
    from sklearn.datasets import load_digits

    data = dataset("digits")
    original = torch.from_numpy(load_digits().data)
    restored = torch.cat([data.x_train, data.x_validation]) * data.scale + data.mean
    assert data.real and data.image_shape == (1, 8, 8) and data.classes == 10
    assert torch.equal(
        torch.sort(restored.round().sum(dim=1)).values, torch.sort(original.sum(dim=1)).values
    )


@pytest.mark.parametrize("name", DATASETS)
def test_no_example_is_in_both_splits_and_none_is_lost(name: str) -> None:
    data, whole = dataset(name, validation_fraction=0.3), dataset(name, validation_fraction=0)
    assert len(data.y_train) + len(data.y_validation) == len(whole.y_train)
    assert len(whole.y_validation) == 0
    together = torch.cat([data.x_train, data.x_validation]) * data.scale + data.mean
    restored = whole.x_train * whole.scale + whole.mean
    order, again = (x.sum(dim=1).sort().values for x in (together, restored))
    assert torch.allclose(order, again, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", DATASETS)
def test_each_class_has_the_same_share_of_both_splits(name: str) -> None:
    data = dataset(name, validation_fraction=0.25)
    for label in range(data.classes):
        held_out, kept = int((data.y_validation == label).sum()), int((data.y_train == label).sum())
        assert abs(held_out - 0.25 * (held_out + kept)) <= 0.5


def test_validation_examples_never_leak_into_the_standardization() -> None:
    x, y = examples(40)
    before = dataset_from_tensors(x, y, seed=1)
    rows = (before.x_validation * before.scale + before.mean).float()
    spoiled = x.clone().double()
    for row in rows:
        spoiled[(x - row).abs().amax(dim=1) < 1e-5] += 1e6
    after = dataset_from_tensors(spoiled, y, seed=1)
    assert torch.equal(after.mean, before.mean) and torch.equal(after.scale, before.scale)
    assert torch.equal(after.x_train, before.x_train)
    assert after.x_validation.min() > 1e4


@pytest.mark.parametrize("name", DATASETS)
def test_the_training_split_is_standardized(name: str) -> None:
    data = dataset(name)
    x = data.x_train if data.image_shape is None else data.x_train.reshape(-1, 1)
    assert x.mean(dim=0).abs().max() < 1e-9
    assert (x.std(dim=0, correction=0) - 1).abs().max() < 1e-9


def test_pixels_keep_one_common_scale() -> None:
    data = dataset("digits")
    assert data.scale.unique().numel() == 1 and data.mean.unique().numel() == 1


def test_an_input_that_never_changes_does_not_become_nan() -> None:
    x, y = examples()
    x[:, 1] = 7.0
    assert torch.equal(dataset_from_tensors(x, y).x_train[:, 1], torch.zeros(30, dtype=torch.float64))


@pytest.mark.parametrize("name", DATASETS)
def test_the_same_seed_gives_the_same_data_and_another_does_not(name: str) -> None:
    first, again, other = dataset(name, seed=3), dataset(name, seed=3), dataset(name, seed=4)
    assert first == again and hash(first) == hash(again) and first != other
    assert torch.equal(first.x_train, again.x_train) and torch.equal(first.y_train, again.y_train)
    assert not torch.equal(first.x_train, other.x_train)


def test_label_noise_changes_that_share_of_training_labels_only() -> None:
    clean, noisy = dataset("digits"), dataset("digits", label_noise=0.2)
    assert torch.equal(clean.x_train, noisy.x_train)
    assert torch.equal(clean.y_validation, noisy.y_validation)
    assert int((clean.y_train != noisy.y_train).sum()) == round(0.2 * len(clean.y_train))
    assert int(noisy.y_train.min()) >= 0 and int(noisy.y_train.max()) == 9


@pytest.mark.parametrize("validation_fraction", [0.0, 0.9])
def test_every_class_is_trained_on_however_rare(validation_fraction: float) -> None:
    x, _ = examples(12)
    y = torch.tensor([1] + [0] * 11)
    data = dataset_from_tensors(x, y, validation_fraction=validation_fraction)
    assert set(data.y_train.tolist()) == {0, 1}


def test_what_cannot_be_a_dataset_is_refused_with_the_remedy() -> None:
    x, y = examples()
    with pytest.raises(ValueError, match="the dataset is empty"):
        dataset_from_tensors(torch.empty(0, 3), torch.empty(0, dtype=torch.long))
    with pytest.raises(ValueError, match=r"got \(40, 3\) and \(39,\); reshape them"):
        dataset_from_tensors(x, y[:-1])
    with pytest.raises(ValueError, match=r"x must be \(example, inputs\)"):
        dataset_from_tensors(x[:, 0], y)
    with pytest.raises(ValueError, match="got 1 values that are NaN or infinite; remove or replace them"):
        dataset_from_tensors(x.index_put((torch.tensor(0), torch.tensor(0)), torch.tensor(float("nan"))), y)
    with pytest.raises(ValueError, match="at least two classes .* got labels from 0 to 0"):
        dataset_from_tensors(x, torch.zeros(40, dtype=torch.long))
    with pytest.raises(ValueError, match="got labels from -1 to 0; number the classes from 0"):
        dataset_from_tensors(x, y - 1)
    with pytest.raises(ValueError, match="got fractions"):
        dataset_from_tensors(x, y + 0.5)
    with pytest.raises(ValueError, match="64 pixels but an example has 3 numbers"):
        dataset_from_tensors(x, y, image_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="class_names must name all 2 classes"):
        dataset_from_tensors(x, y, class_names=("one",))


test_settings_out_of_range_and_unknown_names_are_refused = refusals({
    "unknown dataset 'digit': did you mean 'digits'": lambda: dataset("digit"),
    "unknown setting of 'moons' 'nois': did you mean 'noise'": lambda: dataset("moons", nois=1),
    "dataset 'digits' has no setting 'noise'; leave it out": lambda: dataset("digits", noise=1),
    r"noise must be in \[0, 2\], got nan": lambda: dataset("moons", noise=float("nan")),
    r"validation_fraction must be in \[0, 0.9\], got 1; keep examples": lambda: dataset("moons", validation_fraction=1),
    r"label_noise must be in \[0, 1\], got -0.1": lambda: dataset("moons", label_noise=-0.1),
    r"samples must be in \[20, 100000\], got 3": lambda: dataset("moons", samples=3),
    "arms must be a whole number": lambda: dataset("spirals", arms=2.5),
})
