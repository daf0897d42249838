"""Predictions of a model on part of a split, counted by class; and with re-estimated batch norm statistics."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from scipy.special import log_softmax

from cnnrecipes.data import batching
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.data.split_part import spread_indices
from cnnrecipes.diagnosis.evidence import Predictions
from cnnrecipes.runs.predictions import Predictions as SplitPredictions
from cnnrecipes.runs.trained_model import Artifact

_BATCH = 64  # images per batch of the re-estimation: enough for the variance of a channel


def predictions(artifact: Artifact, split: Split) -> Predictions:
    """Return the counts of an artifact's predictions on every example of a split. Raises DataError."""
    classes = len(artifact.class_names)
    images, predicted, correct = (np.zeros(classes, int) for _ in range(3))
    loss = 0.0
    for batch, truth in _examples(split, artifact):
        logits = artifact.logits(batch).astype(np.float64)
        found = logits.argmax(axis=1)
        images += np.bincount(truth, minlength=classes)
        predicted += np.bincount(found, minlength=classes)
        correct += np.bincount(truth[found == truth], minlength=classes)
        loss -= float(log_softmax(logits, axis=-1)[np.arange(len(truth)), truth].sum())
    mean = loss / max(int(images.sum()), 1)
    return Predictions(_counts(images), _counts(predicted), _counts(correct), mean)


def kept_counts(kept: SplitPredictions, most: int) -> Predictions:
    """Return the counts that `predictions` gives for `spread_part` of a split, from the kept predictions of the split.

    Raises DataError if `most` is below 1.
    """
    part, classes = kept.part(spread_indices(len(kept), most)), len(kept.class_names)
    labels = (part.truth, part.predicted, part.truth[part.right])
    images, predicted, correct = (_counts(np.bincount(one, minlength=classes)) for one in labels)
    return Predictions(images, predicted, correct, float(part.losses.mean()))


def has_batch_statistics(model: keras.Model) -> bool:
    """Return True if a layer normalizes by moving statistics of batches."""
    return bool(_batch_norms(model))


def reestimate_batch_norm(artifact: Artifact, split: Split) -> None:
    """Replace the moving statistics of all batch norms by the mean over batches of a split, in place.

    Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3 (precise batch norm): the weights stay, and
    every batch counts equally. Images are not augmented; dropout is active, as in training.

    Args:
        artifact: a copy that belongs to the caller.
        split: training images; the incomplete last batch is left out unless it is the only one.
    """
    norms = _batch_norms(artifact.model)
    kept = [norm.momentum for norm in norms]
    try:
        for done, batch in enumerate(_batches(split, artifact)):
            for norm in norms:
                norm.momentum = done / (done + 1)  # the first batch replaces the statistics, later ones are averaged
            artifact.model(tf.constant(batch), training=True)
    finally:
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum


def _batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    layers = model._flatten_layers(include_self=False)
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def _batches(split: Split, artifact: Artifact) -> Iterator[np.ndarray]:
    """Yield batches (64, H, W, C); of fewer images, all of them."""
    waiting: list[np.ndarray] = []
    size = min(_BATCH, len(split))
    for images, _ in _examples(split, artifact):
        waiting.extend(images)
        while len(waiting) >= size:
            yield np.stack(waiting[:size])
            del waiting[:size]


def _counts(values: np.ndarray) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _examples(split: Split, artifact: Artifact) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches of a split: images (N, H, W, C) uint8 of the artifact's input size, and class numbers (N,).

    Rows that only fill up the last batch are left out.
    """
    for images, labels, weights in batching.arrays(split, artifact.spec, len(artifact.class_names)):
        yield images[weights > 0], labels[weights > 0].argmax(axis=1)
