"""Checks of what a model gets: standardized inputs, and augmented images in range."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check
from cnnrecipes.errors import ModelError
from cnnrecipes.models import preprocessing_mismatch
from cnnrecipes.models.graph import calls, run
from cnnrecipes.models.variable_snapshot import restored

# Of standardized inputs, whose mean and standard deviation over the sample are near 0 and 1.
_MEANS, _STDS = (0.25, 0.5), ((0.7, 1.4), (0.5, 2.0))
# Of other inputs: a first layer with drawn weights expects values of about 1.
_LARGE, _SMALL, _FLAT = 10.0, 0.1, 0.01
_PHOTOS = 16  # that the probe of pretrained models needs
_DARK = 0.05  # standard deviation of an augmented image, relative to that of the images, below which it is empty
_EMPTY, _SHIFT = 0.1, 64.0  # share of empty images, and change of the mean (0..255), that are warnings


def check_inputs(model: keras.Model, images: np.ndarray, standardize: str = "own") -> Check:
    """Check mean and standard deviation of what the first layer with weights gets.

    Args:
        model: images (N, H, W, C), 0..255 -> logits.
        images: a sample of the training images, 64 or more.
        standardize: the recipe's `data.standardize`; "own": the model is given, and prepares its inputs itself.
    """
    name = "inputs"
    if _is_pretrained(model) and len(images) >= _PHOTOS and (wrong := preprocessing_mismatch(model, images)):
        return Check(name, FAIL, wrong, "see docs/transfer.md for the preprocessing of a backbone")
    values = _first_inputs(model, images)
    if values is None:
        return Check(name, CANNOT_TELL, "the model has no graph of layers; give a functional model")
    axes = tuple(range(values.ndim - 1))
    varies = images.std(axis=tuple(range(images.ndim - 1)), dtype=np.float64) > 0
    varies = varies if len(varies) == values.shape[-1] else np.ones(values.shape[-1], bool)
    if not varies.any():
        return Check(name, FAIL, "all images are of one color", "check how the images are read")
    means = np.asarray(values.mean(axis=axes, dtype=np.float64))[varies]
    stds = np.asarray(values.std(axis=axes, dtype=np.float64))[varies]
    measured = f"mean {_of(means)} and standard deviation {_of(stds)} a channel, of {len(images)} images"
    if standardize == "train":
        return _standardized(name, measured, means, stds)
    if standardize == "model":  # a contract of its own, which need not be a standard deviation near 1
        return Check(name, OK, f"{measured}, by the backbone's preprocessing")
    return _plausible(name, measured, means, stds)


def check_augmentation(images: np.ndarray, labels: np.ndarray, plain: np.ndarray) -> Check:
    """Check that augmented images are in 0..255 and show something, and that soft labels are probabilities.

    Args:
        images: an augmented batch (N, H, W, C).
        labels: its labels (N, classes), soft after mixing.
        plain: images of the same data set, not augmented.
    """
    name, values = "augmentation", images.astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        what = f"values from {values.min():.4g} to {values.max():.4g} after augmentation"
        return Check(name, FAIL, what, "an operation must return 0..255, uint8")
    sums = labels.sum(axis=1)
    if labels.min() < -1e-6 or np.abs(sums - 1).max() > 1e-3:
        what = (
            f"labels from {labels.min():.3g} to {labels.max():.3g} with sums from {sums.min():.3g} to {sums.max():.3g}"
        )
        return Check(name, FAIL, what, "mixing must return labels that are probabilities")
    spread = plain.std(axis=(1, 2, 3), dtype=np.float64)
    empty = float((values.std(axis=(1, 2, 3)) < _DARK * np.median(spread)).mean())
    empty -= float((spread < _DARK * np.median(spread)).mean())
    shift = values.mean() - plain.mean(dtype=np.float64)
    measured = f"values {values.min():.0f} to {values.max():.0f}, the mean changes by {shift:+.0f} levels"
    if empty > _EMPTY:
        return Check(name, WARNING, f"{empty:.0%} of the images are of one color after it", "weaken augment.ops")
    if abs(shift) > _SHIFT:
        return Check(name, WARNING, measured, "weaken augment.ops: validation images are much brighter or darker")
    return Check(name, OK, measured)


def _standardized(name: str, measured: str, means: np.ndarray, stds: np.ndarray) -> Check:
    off, remedy = np.abs(means).max(), "images and data.standardize do not fit: check how the images are read"
    for limit, (low, high), status in zip(_MEANS[::-1], _STDS[::-1], (FAIL, WARNING), strict=True):
        if off > limit or stds.min() < low or stds.max() > high:
            return Check(name, status, measured, remedy)
    return Check(name, OK, measured)


def _plausible(name: str, measured: str, means: np.ndarray, stds: np.ndarray) -> Check:
    scale = "begin the model with a Rescaling or Normalization layer, or set data.standardize=train"
    if stds.max() < _FLAT:
        return Check(name, FAIL, measured, f"the images are almost constant: scaled twice? Images are 0..255; {scale}")
    if stds.max() > _LARGE or np.abs(means).max() > _LARGE:
        return Check(name, WARNING, measured, f"images 0..255 reach the first weights unscaled: {scale}")
    if stds.max() < _SMALL:
        return Check(name, WARNING, measured, f"small inputs train slowly: {scale}")
    return Check(name, OK, measured)


def _of(values: np.ndarray) -> str:
    """Return one number, or the range of several: "0.02", "-0.04 to 0.03"."""
    low, high = (f"{value:.2g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _first_inputs(model: keras.Model, images: np.ndarray) -> np.ndarray | None:
    """Return the input of the first layer with a kernel at inference; None without a graph of layers."""
    try:
        found = calls(model)
    except ModelError:
        return None
    made: list[tf.Tensor] = []
    with restored(model):
        for call, value in run(found, tf.convert_to_tensor(images.astype(model.inputs[0].dtype))):
            if call.sources and (hasattr(call.layer, "kernel") or hasattr(call.layer, "depthwise_kernel")):
                return tf.cast(made[call.sources[0]], tf.float32).numpy()
            made.append(value)
    return tf.cast(made[0], tf.float32).numpy()


def _is_pretrained(model: keras.Model) -> bool:
    """Return True if the first batch norm has moving statistics of a training."""
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return bool(norms) and not np.allclose(norms[0].moving_variance.numpy(), 1.0)
