"""A few examples of a training, as arrays: balanced, without augmentation, without shuffling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from weakref import WeakSet

import numpy as np

from cnnrecipes.data import batching
from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.errors import DataError
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline


@dataclass(frozen=True)
class FewExamples:
    """Examples of the training split.

    Attributes:
        images: (N, H, W, C) uint8, 0..255, resized as in evaluation.
        inputs: what the model in training gets: the images, or their features.
        labels: (N,) class numbers.
        classes: number of classes of the data.
    """

    images: np.ndarray
    inputs: np.ndarray
    labels: np.ndarray
    classes: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def one_hot(self) -> np.ndarray:
        """Labels (N, classes) float32."""
        return np.eye(self.classes, dtype=np.float32)[self.labels]


def read_examples(pipeline: InputPipeline, index: np.ndarray) -> FewExamples:
    """Return the examples of the training split at some positions.

    Raises:
        DataError: an image cannot be read.
    """
    labels, classes = pipeline.train.labels[index], len(pipeline.class_names)
    images = read_images(pipeline.train, pipeline, index)
    inputs = pipeline.split_features("train")[index] if isinstance(pipeline, FeaturePipeline) else images
    return FewExamples(images, np.asarray(inputs), labels, classes)


def read_images(split: Split, pipeline: InputPipeline, index: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) uint8 of a split at some positions, resized as in evaluation."""
    part = replace(
        split, labels=split.labels[index], positions=split.positions[index], groups=None, kept={}, handles=WeakSet()
    )
    try:
        batches = batching.arrays(part, pipeline.recipe.data, len(pipeline.class_names))
        return np.concatenate([images[weights > 0] for images, _, weights in batches])
    finally:
        part.close()


def training_batches(pipeline: InputPipeline, steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the first augmented batches of the training: inputs (N, ...) and labels (N, classes).

    The augmentation runs in the pipeline, also where that of the training runs in the training step.
    """
    if isinstance(pipeline, FeaturePipeline):
        yield from pipeline.training_batches(0, steps).as_numpy_iterator()
        return
    host = Augmentation.of(pipeline.recipe, pipeline.statistics)
    batches = batching.training_batches(
        pipeline.train,
        pipeline.recipe,
        pipeline.statistics,
        len(pipeline.class_names),
        first_step=0,
        last_step=steps,
        augmentation=host,
    )
    yield from batches.as_numpy_iterator()


def balanced_positions(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Return drawn positions of examples, of all classes, or of count // 2 classes if there are more, equally many.

    Classes with too few examples are made up for by the others.

    Args:
        labels: (N,) class numbers.
        count: number of positions.
        seed: of the draws.

    Raises:
        DataError: `count` is below 2 or above N, or all labels are the same.
    """
    if count < 2:
        raise DataError(f"images = {count}; give 2 or more, of two classes at least")
    if count > len(labels):
        raise DataError(f"images = {count}, and the training split has {len(labels)}; give at most {len(labels)}")
    rng, present = np.random.default_rng(seed), np.unique(labels)
    if len(present) < 2:
        raise DataError(
            f"all {len(labels)} training images have the label {present[0]}; a classifier needs two classes"
        )
    chosen = np.sort(rng.permutation(present)[: max(count // 2, 2)])
    orders = {each: rng.permutation(np.flatnonzero(labels == each)) for each in chosen}
    others = rng.permutation(np.flatnonzero(~np.isin(labels, chosen)))
    # Dealt like cards: the first of each class, the second of each, and so on.
    ranked = [(place, each, index) for each, order in orders.items() for place, index in enumerate(order.tolist())]
    dealt = [index for *_, index in sorted(ranked)] + others.tolist()
    return np.array(dealt[:count])
