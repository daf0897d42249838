"""Check that labels fit images: shuffled and shifted labels are found, and hard data sets give no false alarm."""

from __future__ import annotations

import numpy as np
import pytest
from broken_models import IMAGES, LABELS

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.debug.checks.label_probe import left_out_accuracies, neighbor_ratio
from cnnrecipes.debug.checks.labels_match_images import check_labels
from cnnrecipes.recipe import catalog

RANDOM = np.random.default_rng(0)


def check(images, labels, validation=None, frozen=None):
    data = {"train": (images, labels)} | ({"validation": validation} if validation else {})
    with InputPipeline.open(catalog.load("resnet8_digits"), data) as pipeline:
        return check_labels(pipeline, frozen=frozen)


def test_labels_of_digits_are_related():
    found = check(IMAGES[:600], LABELS[:600])
    assert found.status == "ok"
    assert "with permuted labels" in found.measured


def test_shuffled_labels_are_a_warning_if_nothing_but_look_alikes_speaks_for_a_relation():
    found = check(IMAGES, RANDOM.permutation(LABELS))
    assert found.status == "warning"
    assert "look shuffled" in found.measured


@pytest.mark.parametrize(("shift", "where"), [(1, "after"), (-1, "before")])
def test_labels_shifted_by_one_position_fail(shift, where):
    found = check(IMAGES[:800], np.roll(LABELS[:800], shift))
    assert found.status == "FAIL"
    assert f"shifted by one position: the label of the image {where}" in found.measured


def test_data_sorted_by_class_is_not_taken_for_shifted():
    order = np.argsort(LABELS[:600], kind="stable")
    assert check(IMAGES[:600][order], LABELS[:600][order]).status == "ok"


def test_shuffled_training_labels_beside_a_good_validation_split_fail_even_for_few_images():
    found = check(IMAGES[:200], RANDOM.permutation(LABELS[:200]), (IMAGES[200:500], LABELS[200:500]))
    assert found.status == "FAIL"
    assert "those of the validation split" in found.measured


def noise():
    """Random images, with labels that no pixel tells."""
    return RANDOM.integers(0, 255, (1600, 8, 8, 1)).astype(np.uint8), np.arange(1600) % 2


def checker_parity():
    """The label is the parity of the bright corners of a noisy image: no linear function of pixels."""
    images = RANDOM.integers(0, 120, (1600, 8, 8, 1))
    corners = RANDOM.integers(0, 2, (1600, 2))
    images[:, :2, :2, 0] += 120 * corners[:, 0, None, None]
    images[:, -2:, -2:, 0] += 120 * corners[:, 1, None, None]
    return images.astype(np.uint8), corners.sum(axis=1) % 2


def small_defect():
    """One of 20 backgrounds; one bright pixel anywhere is a defect."""
    backgrounds = RANDOM.integers(0, 200, (20, 8, 8, 1))
    images = backgrounds[RANDOM.integers(0, 20, 1600)] + RANDOM.integers(0, 6, (1600, 8, 8, 1))
    labels = np.arange(1600) % 2
    places = RANDOM.integers(0, 8, (1600, 2))
    images[labels == 1, places[labels == 1, 0], places[labels == 1, 1]] = 240
    return images.astype(np.uint8), labels


def two_digits():
    """Two digits side by side; the label is whether their sum is odd."""
    left, right = RANDOM.integers(0, 1797, (2, 1600))
    pairs = np.concatenate([IMAGES[left], IMAGES[right]], axis=2)
    return pairs, (LABELS[left] + LABELS[right]) % 2


@pytest.mark.parametrize("hard", [noise, checker_parity, small_defect, two_digits], ids=lambda one: one.__name__)
def test_hard_data_sets_are_no_false_alarm(hard):
    assert check(*hard()).status in ("ok", "cannot tell")


@pytest.mark.parametrize("images", [IMAGES, noise()[0]], ids=["digits", "noise"])
@pytest.mark.parametrize("rare", [12, 24, 80])
def test_imbalanced_data_is_no_false_alarm(images, rare):
    labels = (np.arange(1500) < rare).astype(int)[RANDOM.permutation(1500)]
    assert check(images[:1500], labels).status in ("cannot tell", "warning")


def test_rare_class_that_is_related_is_found():
    kept = (LABELS == 0) | ((LABELS == 1) & (np.arange(len(LABELS)) < 200))
    found = check(IMAGES[kept], LABELS[kept])
    assert found.status == "ok"


def test_few_shuffled_images_are_no_evidence():
    found = check(IMAGES[:100], RANDOM.permutation(LABELS[:100]))
    assert found.status == "cannot tell"
    assert "too few" in found.measured


def test_frozen_features_are_evidence_of_shuffled_labels():
    def frozen(images):
        return images.reshape(len(images), -1)

    assert check(IMAGES[:300], LABELS[:300], frozen=frozen).status == "ok"
    assert check(IMAGES[:300], RANDOM.permutation(LABELS[:300]), frozen=frozen).status == "cannot tell"
    found = check(IMAGES[:800], RANDOM.permutation(LABELS[:800]), frozen=frozen)
    assert found.status == "FAIL"
    assert "pretrained" in found.measured


def test_left_out_predictions_equal_those_of_regressions_without_the_example():
    features, labels = RANDOM.normal(size=(30, 6)), np.arange(30) % 3
    targets = np.eye(3)[labels]
    hits = []
    for ridge in (0.01, 0.3):
        strength = ridge * np.trace(features @ features.T / 6)
        right = []
        for i in range(30):
            kept = np.arange(30) != i
            kernel = features @ features[kept].T / 6 + 1
            weights = np.linalg.solve(kernel[kept] + strength * np.eye(29), targets[kept])
            right.append((kernel[i] @ weights).argmax() == labels[i])
        hits.append(np.mean(right))
    assert left_out_accuracies(features, [labels], 3)[0] == pytest.approx(max(hits))


def test_neighbor_ratio_tells_look_alikes_from_noise():
    assert neighbor_ratio(RANDOM.normal(size=(200, 500))) > 0.85
    assert neighbor_ratio(np.repeat(RANDOM.normal(size=(50, 500)), 4, axis=0)) < 0.01
