"""The first images of a training step, as the network receives them, for pictures of the augmentation."""

from __future__ import annotations

import numpy as np

from cnnrecipes.data import batching
from cnnrecipes.data.decoding_errors import naming_unreadable
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.recipe.schema import Recipe

_SAMPLE = 256  # number of images for the mean color; training uses all


def mean_color(source: Source, recipe: Recipe) -> Statistics:
    """Return the channel statistics that `data.standardize` names; those of the training split approximately.

    They are then computed from its first images.
    """
    if recipe.data.standardize != "train":
        return Statistics.named(recipe.data.standardize, image_shape(source.split("train"), recipe.data)[2])
    found = []
    for shown, _, weights in batching.arrays(source.split("train"), recipe.data, 1):
        found.append(shown[weights > 0])
        if sum(map(len, found)) >= _SAMPLE:
            break
    pixels = np.concatenate(found).astype(float)
    return Statistics(tuple(pixels.mean((0, 1, 2)).tolist()), tuple(pixels.std((0, 1, 2)).tolist()))


def step_images(
    source: Source, recipe: Recipe, mean: Statistics, step: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first `count` images (n, H, W, C) 0..255 and labels (n, classes) of a training step.

    Args:
        source: the data with its splits.
        recipe: decides batch and augmentation.
        mean: channel statistics, whose mean fills empty areas.
        step: global step, from 0.
        count: number of images at most.
    """
    train, classes = source.split("train"), len(source.class_names)
    with naming_unreadable(source, recipe.data):
        batches = batching.training_batches(train, recipe, mean, classes, first_step=step, last_step=step + 1)
        images, labels = next(batches.as_numpy_iterator())
    return images[:count], labels[:count]
