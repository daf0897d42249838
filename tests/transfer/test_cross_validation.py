"""Cross-validation of few images: its interval, folds and determinism, and its record in a run."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from adaptation import NARROW

import cnnrecipes as cr
from cnnrecipes.cli.result_printing import print_result
from cnnrecipes.errors import DataError, TrainingError
from cnnrecipes.transfer.cross_validation import (
    corrected_interval,
    cross_validated,
    has_few_images,
    to_cross_validate,
    wilson_share,
)
from cnnrecipes.transfer.folds import ALWAYS_TRAINS, best_strength, principal_axes, stratified_folds
from cnnrecipes.transfer.frozen_features import frozen_features
from cnnrecipes.transfer.logistic import Examples, RegularizationPath

CLASSES = 2
SMALL = {
    "extends": "features_photos",
    "name": "small",
    "data": {"image_size": 32, "batch_size": 8},
    "model": {"name": "mobilenet", "alpha": 0.25},
}
OWN = {
    "extends": "features_photos",
    "name": "own",
    "data": {"image_size": 16, "batch_size": 8, "standardize": "train"},
    "model": {"name": "resnet8", **{key.removeprefix("model."): list(value) for key, value in NARROW.items()}},
}


def gaussian(rng: np.random.Generator, n: int, shift: float = 0.7, width: int = 8) -> Examples:
    labels = np.arange(n) % CLASSES
    features = rng.normal(size=(n, width))
    features[:, 0] += shift * (2 * labels - 1)
    return Examples(features, labels)


def nearest_mean(train: Examples, tested: Examples) -> float:
    """Accuracy of the nearest class mean: a classifier cheap enough for many simulations."""
    means = np.stack([train.features[train.labels == each].mean(axis=0) for each in range(CLASSES)])
    distances = ((tested.features[:, None] - means) ** 2).sum(axis=2)
    return float(np.mean(distances.argmin(axis=1) == tested.labels))


def fold_accuracies(found: Examples, rng: np.random.Generator, folds: int = 5, repeats: int = 4) -> np.ndarray:
    divisions = [stratified_folds(found.labels, folds, rng) for _ in range(repeats)]
    return np.array(
        [
            nearest_mean(found.take(assigned != fold), found.take(assigned == fold))
            for assigned in divisions
            for fold in range(folds)
        ]
    )


def test_interval_contains_the_true_accuracy_at_about_its_nominal_rate():
    rng, n, simulations = np.random.default_rng(0), 50, 150
    many = gaussian(rng, 4000)
    truth = np.mean([nearest_mean(gaussian(rng, 40), many) for _ in range(200)])
    covered = naive = 0
    for _ in range(simulations):
        accuracies = fold_accuracies(gaussian(rng, n), rng)
        mean = accuracies.mean()
        low, high = corrected_interval(accuracies, mean, n, 1 / 4)
        covered += low <= truth <= high
        naive += abs(truth - mean) <= 2.09 * accuracies.std(ddof=1) / np.sqrt(len(accuracies))  # as if independent
    assert 0.91 <= covered / simulations <= 1
    assert naive / simulations < 0.9


def test_interval_is_wider_than_that_of_independent_folds_and_stays_within_0_and_1():
    accuracies = np.random.default_rng(0).binomial(10, 0.9, 20) / 10
    mean = accuracies.mean()
    low, high = corrected_interval(accuracies, mean, 50, 1 / 4)
    naive = 2 * 2.09 * accuracies.std(ddof=1) / np.sqrt(20)
    assert high - low > 2 * naive
    assert 0 <= low < mean < high < 1


def test_interval_has_a_width_if_no_fold_has_an_error():
    low, high = corrected_interval(np.ones(20), 1.0, 20, 1 / 4)
    assert (low, high) == wilson_share(1.0, 20)
    assert low < 0.9


def test_wilson_share_agrees_with_scipy():
    from cnnrecipes.runs.intervals import wilson

    assert wilson_share(0.3, 20) == pytest.approx(tuple(wilson(6, 20)))


def test_folds_are_stratified_and_of_equal_size():
    labels = np.repeat([0, 1, 2, 3], [11, 7, 3, 1])
    assigned = stratified_folds(labels, 5, np.random.default_rng(0))
    for each in range(3):
        counts = np.bincount(assigned[labels == each], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert assigned[labels == 3] == ALWAYS_TRAINS
    sizes = np.bincount(assigned[labels < 3], minlength=5)
    assert sizes.max() - sizes.min() <= 1


def test_principal_axes_keep_the_solutions():
    rng = np.random.default_rng(0)
    found = Examples(rng.normal(size=(30, 50)), np.arange(30) % 3)
    train = found.take(np.arange(20))
    mean, axes = principal_axes(found.features)
    rotated = Examples((found.features - mean) @ axes, found.labels)
    (plain,) = RegularizationPath(train, 3, None).fits([0.1])
    (turned,) = RegularizationPath(rotated.take(np.arange(20)), 3, None, rotate=False).fits([0.1])
    assert np.allclose(plain.logits(found.features), turned.logits(rotated.features), atol=1e-3)


def test_best_strength_is_of_the_lowest_cross_entropy_among_equal_accuracies():
    scores = np.full((12, 2), [0.5, -1.0])
    scores[3], scores[5] = (0.9, -0.5), (0.9, -0.4)
    scores[6] = (0.8, -0.1)
    assert best_strength(scores) == pytest.approx(1.0)


def test_record_is_deterministic_and_near_the_truth():
    rng = np.random.default_rng(3)
    found = gaussian(rng, 48, shift=1.5)
    first, again = (cross_validated(found, CLASSES, seed=7, repeats=1) for _ in range(2))
    assert first == again
    assert {key: first[key] for key in ("folds", "repeats", "n", "seed")} == {
        "folds": 5,
        "repeats": 1,
        "n": 48,
        "seed": 7,
    }
    low, high = first["accuracy_95"]
    assert low <= 0.933 <= high  # the best possible: the normal distribution function of 1.5
    assert first["accuracy"] > 0.8


def test_labels_that_features_do_not_tell_are_guessed_at_chance():
    rng = np.random.default_rng(0)
    found = Examples(rng.normal(size=(60, 100)), rng.permutation(np.arange(60) % 2))
    low, high = cross_validated(found, CLASSES, repeats=2)["accuracy_95"]
    assert low <= 0.5 <= high


def test_a_class_with_few_images_has_fewer_folds_and_its_only_image_is_not_tested():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [9, 4, 1])
    found = Examples(rng.normal(size=(14, 5)) + labels[:, None], labels)
    record = cross_validated(found, 3, repeats=1)
    assert (record["folds"], record["n"]) == (4, 13)
    assert cross_validated(found.take(np.array([0, 1, 9])), 3, repeats=1)["n"] == 2


def test_cross_validation_without_two_images_of_a_class_is_refused():
    with pytest.raises(DataError, match="two images of a class"):
        cross_validated(Examples(np.eye(2), np.array([0, 1])), 2)
    with pytest.raises(DataError, match="1 folds"):
        cross_validated(gaussian(np.random.default_rng(0), 10), 2, folds=1)


def test_few_images_are_those_of_the_median_class():
    assert has_few_images(np.repeat([0, 1], [20, 49]))
    assert not has_few_images(np.repeat([0, 1, 2], [5, 80, 90]))


def photos() -> dict:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    images = (rng.integers(0, 100, (24, 32, 32, 3)) + 150 * labels[:, None, None, None]).astype(np.uint8)
    return {"train": (images[:16], labels[:16]), "validation": (images[16:], labels[16:])}


def weight_file(folder) -> str:
    """Drawn weights of a small backbone, in the place of pretrained ones."""
    path = folder / "backbone.weights.h5"
    backbone = keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None)
    backbone.save_weights(path)
    return str(path)


@pytest.fixture
def own_weights(pretrained) -> str:
    """A small pretrained run, a backbone that is built in a moment."""
    return str(pretrained.folder)


def assert_recorded_and_shown(run, capsys) -> dict:
    record = run.metrics["cross_validation"]
    assert (record["folds"], record["repeats"], record["n"]) == (5, 4, 24)
    assert "5 folds, 4 repeats" in repr(run)
    print_result(run)
    assert "cross-validation accuracy" in capsys.readouterr().out
    return record


def test_features_of_few_images_record_and_show_their_cross_validation(own_weights, tmp_path, capsys):
    run = cr.fit(OWN, photos(), workdir=tmp_path, progress=False, **{"model.weights": own_weights})
    record = assert_recorded_and_shown(run, capsys)
    assert cr.transfer.cross_validate(OWN, photos(), progress=False, **{"model.weights": own_weights}) == record


def test_lora_of_mobilenet_with_few_images_records_and_shows_its_cross_validation(tmp_path, capsys):
    changes = {"model.weights": weight_file(tmp_path), "transfer.how": "lora", "train.epochs": 1}
    run = cr.fit(SMALL, photos(), workdir=tmp_path, progress=False, **changes)
    assert_recorded_and_shown(run, capsys)


def test_cross_validation_of_a_run_can_be_chosen(own_weights):
    with frozen_features(OWN, photos(), progress=False, changes={"model.weights": own_weights}) as features:
        for asked, images in (("auto", 24), ("always", 24), ("never", None)):
            recipe = features.recipe.change(**{"transfer.cross_validation": asked})
            found = to_cross_validate(features.with_recipe(recipe))
            assert images == (found and len(found)), asked


def test_cross_validation_needs_a_pretrained_backbone():
    with pytest.raises(TrainingError, match=r"model\.weights=imagenet"):
        cr.transfer.cross_validate(SMALL, photos(), progress=False, **{"model.weights": "none"})
