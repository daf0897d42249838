"""Evaluation of a model on a split: one forward pass over its images, its predictions and their metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import log_softmax

from cnnrecipes.data import batching
from cnnrecipes.data.audit.file_info import inspect_files
from cnnrecipes.data.image_names import image_names
from cnnrecipes.data.images.decode import decode, reason
from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.errors import DataError
from cnnrecipes.runs.calibration import fit_temperature
from cnnrecipes.runs.classification_metrics import basic, classification_metrics, per_class
from cnnrecipes.runs.predictions import Predictions
from cnnrecipes.runs.trained_model import Artifact, softmax
from cnnrecipes.runs.tta import scorer as tta_scorer


class Evaluation(dict[str, Any]):
    """The metrics of a split, a dictionary of plain numbers, with the predictions that they were computed from.

    Attributes:
        predictions: truth and probabilities of every image; with test-time augmentation those over all views.
    """

    def __init__(self, metrics: Mapping[str, Any], predictions: Predictions):
        super().__init__(metrics)
        self.predictions = predictions

    @property
    def classes(self) -> pd.DataFrame:
        """Precision, recall and F1 by class, with intervals; see `per_class`."""
        return per_class(self.predictions)


def evaluate(
    artifact: Artifact,
    split: Split,
    tta: str | Sequence[str] | None = None,
    average: str = "probabilities",
    *,
    temperature: float | Literal["fit"] | None = None,
    source: Source | None = None,
) -> Evaluation:
    """Return the metrics of a model over every example of a split once; `classification_metrics` lists them.

    Images of another size are resized to the model's, as in `predict`.

    Args:
        tta: the views to average over, for example "flip_lr" or ["ten_crop(short_side=256)"]; None: no test-time
            augmentation.
        average: the quantity that is averaged over the views, "probabilities" or "logits".
        temperature: for the calibration: as fitted on another split, or "fit": fitted on this one; None: neither.
        source: the data set of the split, for the names of its images.

    Returns:
        {"split", "accuracy", "accuracy_95": [low, high], "cross_entropy", "n", ...}; accuracies 0..1, cross entropy in
        nats. With views also {"tta", "average", "plain"}, where "plain" has the metrics without views.

    Raises:
        DataError: unreadable images, or images with another number of channels than the model's.
        RecipeError: an unknown view, or one that does not fit the image size of the model.
        ModelError: the view needs a fully convolutional model, or larger images.
    """
    _check_channels(artifact, split)
    scorer = tta_scorer(artifact, tta, average)
    found, loss = _forward_pass(artifact, split, source)
    temperature = fit_temperature(found) if temperature == "fit" else temperature
    plain = _evaluation(found, loss, temperature)
    if scorer is None:
        return plain
    scores = np.stack(list(scorer.scores(_originals(split, artifact.input_shape[-1]))))
    loss = -scores[np.arange(len(scores)), split.labels].sum()
    averaged = _evaluation(replace(found, probabilities=_probabilities(scores)), loss, None)
    views = [tta] if isinstance(tta, str) else list(tta or ())
    averaged.update({"tta": views, "average": average, "plain": dict(plain)})
    return averaged


def predict_split(artifact: Artifact, split: Split, source: Source | None = None) -> Predictions:
    """Return the predictions of a model on every image of a split, by the logits from which `evaluate` counts.

    Raises:
        DataError: unreadable images, or images with another number of channels than the model's.
    """
    _check_channels(artifact, split)
    return _forward_pass(artifact, split, source)[0]


def _forward_pass(artifact: Artifact, split: Split, source: Source | None) -> tuple[Predictions, float]:
    """Return the predictions on a split, and the sum of the losses of their logits, in nats."""
    loss, parts, labels = 0.0, [], []
    for logits, truth in _batches(artifact, split):
        loss -= log_softmax(logits, axis=-1)[np.arange(len(truth)), truth].sum()
        parts.append(_probabilities(logits))
        labels.append(truth)
    predictions = Predictions(
        split.name,
        artifact.class_names,
        image_names(split, source),
        split.positions,
        np.concatenate(labels),
        np.concatenate(parts),
        None if split.groups is None else tuple(map(str, split.groups.tolist())),
        images_digest(split),
    )
    return predictions, loss


def _evaluation(predictions: Predictions, loss: float, temperature: float | None) -> Evaluation:
    """Return the metrics of predictions; their cross entropy from the exact losses of the logits."""
    metrics = classification_metrics(predictions, temperature)
    return Evaluation({**metrics, "cross_entropy": float(loss / len(predictions))}, predictions)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (N, classes), float32, whose largest one is that of the largest logit.

    Two logits that differ in their last bit can have the same probability in float32; the larger one is then raised by
    one bit, so that counts from kept probabilities are those from the logits.
    """
    found, best = softmax(logits), logits.argmax(axis=1)
    tied = found.argmax(axis=1) != best
    if tied.any():
        found[tied, best[tied]] = np.nextafter(found[tied].max(axis=1), np.float32(2))
    return found


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
    return basic(split.name, correct, loss, n)
