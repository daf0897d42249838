"""A part of the training split: stratified, and inside of every larger part of the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Recipe


def with_train_images(source: Source, recipe: Recipe) -> Source:
    """Return the source with `data.train_images` training images, or the source itself if that is None.

    Raises:
        DataError: there are fewer images, or fewer than one of each class are asked for.
    """
    count, whole = recipe.data.train_images, source.split("train")
    if count is None:
        return source
    if count > len(whole):
        raise DataError(f"data.train_images = {count:,}, and {source.name} has {len(whole):,}; give at most that")
    if count < len(source.class_names):
        raise DataError(
            f"data.train_images = {count:,} leaves some of the {len(source.class_names):,} classes without an image; "
            "give one or more for each"
        )
    some = np.sort(stratified_order(whole.labels, recipe.train.seed)[:count])
    groups = None if whole.groups is None else whole.groups[some]
    part = Split("train", whole.images, whole.labels[some], whole.positions[some], groups, whole.left_out)
    return replace(source, splits={**source.splits, "train": part})


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return all positions in a drawn order, of which every beginning has the shares of the classes.

    The first image of each class comes first; then each class has its share of the first n images, rounded.

    Args:
        labels: (N,) integers.
        seed: of the draw.

    Returns:
        (N,) int64.
    """
    random = np.random.Generator(np.random.PCG64([seed, 0x7461696C]))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
        place[members[0]] = 0
    return np.lexsort((random.permutation(len(labels)), place))
