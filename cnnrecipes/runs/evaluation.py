"""Evaluation of a model on a split: accuracy with a confidence interval, cross entropy, number of examples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.special import log_softmax

from cnnrecipes.data import batching
from cnnrecipes.data.audit.file_info import inspect_files
from cnnrecipes.data.images.decode import decode, reason
from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.errors import DataError
from cnnrecipes.runs.trained_model import Artifact
from cnnrecipes.runs.tta import scorer as tta_scorer


def evaluate(
    artifact: Artifact, split: Split, tta: str | Sequence[str] | None = None, average: str = "probabilities"
) -> dict[str, Any]:
    """Return accuracy with its 95% confidence interval, cross entropy, and n, over every example of a split once.

    Images of another size are resized to the model's, as in `predict`.

    Args:
        tta: the views to average over, for example "flip_lr" or ["ten_crop(short_side=256)"]; None: no test-time
            augmentation.
        average: the quantity that is averaged over the views, "probabilities" or "logits".

    Returns:
        {"split", "accuracy", "accuracy_95": [low, high], "cross_entropy", "n"}; accuracies 0..1, cross entropy in nats.
        With views also {"tta", "average", "plain"}, where "plain" has the metrics without views.

    Raises:
        DataError: unreadable images, or images with another number of channels than the model's.
        RecipeError: an unknown view, or one that does not fit the image size of the model.
        ModelError: the view needs a fully convolutional model, or larger images.
    """
    _check_channels(artifact, split)
    scorer = tta_scorer(artifact, tta, average)
    correct, loss, n = 0, 0.0, 0
    for logits, truth in _batches(artifact, split):
        correct += int((logits.argmax(axis=1) == truth).sum())
        loss -= log_softmax(logits, axis=-1)[np.arange(len(truth)), truth].sum()
        n += len(truth)
    plain = summarized(split, correct, loss, n)
    if scorer is None:
        return plain
    scores = np.stack(list(scorer.scores(_originals(split, artifact.input_shape[-1]))))
    correct = int((scores.argmax(axis=1) == split.labels).sum())
    loss = -scores[np.arange(n), split.labels].sum()
    views = [tta] if isinstance(tta, str) else list(tta or ())
    return {**summarized(split, correct, loss, n), "tta": views, "average": average, "plain": plain}


@dataclass(frozen=True)
class Answers:
    """The predictions of a model on every image of a split.

    Attributes:
        split: name of the split.
        predicted: class number of each image, (N,).
        truth: its label, (N,).
        images: digest of the images and labels in order, equal only for the same images.
    """

    split: str
    predicted: np.ndarray
    truth: np.ndarray
    images: str

    @property
    def right(self) -> np.ndarray:
        """(N,) bool, True where the prediction is the label."""
        return self.predicted == self.truth


def answers(artifact: Artifact, split: Split) -> Answers:
    """Return the predictions of a model on every image of a split, by the logits from which `evaluate` counts.

    Raises:
        DataError: unreadable images, or images with another number of channels than the model's.
    """
    _check_channels(artifact, split)
    found = [(logits.argmax(axis=1), truth) for logits, truth in _batches(artifact, split)]
    predicted, truth = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Answers(split.name, predicted, truth, images_digest(split))


def images_digest(split: Split) -> str:
    """Return a digest of the images and labels of a split, in order; of files, by their inspection, which is cached."""
    hashed = hashlib.sha256(np.ascontiguousarray(split.labels).astype("<i8").tobytes())
    if (files := split.files()) is not None:
        for one in inspect_files(files):
            hashed.update((one.digest or one.path).encode())
        return hashed.hexdigest()[:16]
    for index in range(len(split)):
        image, _ = split.read(index)
        hashed.update(image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes())
    return hashed.hexdigest()[:16]


def _check_channels(artifact: Artifact, split: Split) -> None:
    channels = split.images.shape[-1] if isinstance(split.images, ArrayImages) else artifact.input_shape[-1]
    if channels != artifact.input_shape[-1]:
        raise DataError(
            f"the images of {split.name} have {channels} channel(s), the model was trained on "
            f"{artifact.input_shape[-1]}; convert them"
        )


def _batches(artifact: Artifact, split: Split) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield logits (N, classes) float64 and class numbers (N,) of every image once."""
    for images, labels, weights in batching.arrays(split, artifact.spec, len(artifact.class_names)):
        yield artifact.logits(images)[weights > 0].astype(np.float64), labels[weights > 0].argmax(axis=1)


def _originals(split: Split, channels: int) -> Iterator[np.ndarray]:
    """Yield every image of a split in order, at its stored size. Raises DataError naming an unreadable image."""

    def read(index: int) -> np.ndarray:
        try:
            content, _ = split.read(index)
            return decode(content, channels).numpy() if isinstance(content, bytes) else content
        except (OSError, tf.errors.OpError) as error:
            name = split.images.label(int(split.positions[index]))
            raise DataError(f"cannot read {name} ({split.name}): {reason(error)}; repair or remove the file") from None

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(split), batching.EVALUATION_BATCH):
            yield from pool.map(read, range(start, min(start + batching.EVALUATION_BATCH, len(split))))


def summarized(split: Split, correct: int, loss: float, n: int) -> dict[str, Any]:
    """Return the metrics of a split from the number of correct predictions and the sum of the losses, in nats."""
    return {
        "split": split.name,
        "accuracy": correct / n,
        "accuracy_95": [float(bound) for bound in wilson(correct, n)],
        "cross_entropy": float(loss / n),
        "n": n,
    }


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval (low, high) of a proportion (Wilson 1927).

    Unlike the normal approximation it stays within 0..1.

    Args:
        successes: number of successes among `n`.
        n: number of trials.
        level: of the interval.
    """
    from scipy.stats import binomtest  # imported here: it takes half a second, and prediction does not need it

    return binomtest(successes, n).proportion_ci(confidence_level=level, method="wilson")
