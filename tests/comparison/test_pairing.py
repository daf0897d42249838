"""What the variants of one seed share: initial weights, images and their augmentation, in the same order."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from cnnrecipes.comparison.variants import make_variants
from cnnrecipes.debug.examined_training import opened_subject

SMALL = {"model.depths": [1], "model.widths": [16], "data.batch_size": 16, "data.train_images": 100}


def opened(over: dict, seed: int) -> list[tuple[dict, list]]:
    """Weights by path, and two training batches, of each variant."""
    found = []
    for variant in make_variants("resnet8_digits", over, SMALL):
        with opened_subject(variant.base, seed=seed, changes=variant.changes) as job:
            weights = {one.path: keras.ops.convert_to_numpy(one) for one in job.model.trainable_weights}
            found.append((weights, [job.pipeline.batch(step) for step in (0, 8)]))
    return found


@pytest.mark.parametrize("over", [{"model.norm": ["batch", "group"]}, {"model.activation": ["relu", "elu"]}])
def test_variants_of_a_seed_begin_with_the_same_weights_and_see_the_same_images(over):
    (first, batches), (second, other_batches) = opened(over, seed=3)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[path], second[path]) for path in first)
    for (images, labels), (other_images, other_labels) in zip(batches, other_batches, strict=True):
        assert np.array_equal(images, other_images)
        assert np.array_equal(labels, other_labels)


def test_another_seed_has_other_weights_and_images():
    over = {"model.norm": ["batch", "group"]}
    (weights, batches), _ = opened(over, seed=3)
    (other, others), _ = opened(over, seed=4)
    assert not np.array_equal(weights["stem_conv/kernel"], other["stem_conv/kernel"])
    assert not np.array_equal(batches[0][0], others[0][0])
