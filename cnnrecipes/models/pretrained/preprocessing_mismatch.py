"""Detection of a preprocessing mismatch: do the first layers see images as in the pretraining of their weights?

A batch norm keeps the mean and variance of its input over the pretraining. Images that are scaled twice, or that are in
0..1 instead of 0..255, have other statistics there by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import keras
import numpy as np

from cnnrecipes.errors import ModelError

LAYERS = 3  # batch norms whose means are compared, from the input on
# Median over channels of |log(variance of the images / moving variance)|: 0.1 to 0.4 for photos.
MOST = np.log(8.0)
_AT_ONCE = 32  # images
# The channels in the other order must fit by this factor better: 0.4 to 0.78 for photos in BGR, 1.3 to 2.5 in RGB.
_BETTER = 0.8


def preprocessing_mismatch(model: keras.Model, images: np.ndarray) -> str | None:
    """Return what is wrong with the images that a pretrained model gets; None if nothing is, or nothing can be seen.

    Args:
        model: images (N, H, W, C) -> anything, with pretrained weights and its preprocessing inside, or without.
        images: (N, H, W, C), as the model is given them in training; 16 photos or more.

    Raises:
        ModelError: images of another shape than the model's.
    """
    images = np.asarray(images)
    if images.shape[1:] != tuple(model.input_shape[1:]):
        raise ModelError(
            f"images have the shape {images.shape}, the model takes {tuple(model.input_shape)}; "
            "give images of that shape"
        )
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)][:LAYERS]
    if not norms:
        return None
    inputs = keras.Model(model.inputs, [norm.input for norm in norms])
    outputs = _outputs(inputs, images)
    found = _distance_of_variances(norms, outputs)
    # Without a scale that fits, images of another kind or weights that were never trained are as likely a cause.
    if found > MOST and (hint := _hint(inputs, norms, images)):
        return (
            f"the first layers of {model.name} see images unlike those of its pretraining: their variances differ by a "
            f"factor of {np.exp(found):,.0f} (median over channels){hint}. Images must be "
            "0..255, RGB, not scaled before"
        )
    if images.shape[-1] != 3:
        return None
    as_given, swapped = (_distance_of_means(norms, one) for one in (outputs, _outputs(inputs, images[..., ::-1])))
    if swapped < _BETTER * as_given:
        return (
            f"the images fit the first layers of {model.name} better with their channels in the opposite order: they "
            "may be BGR, and must be RGB"
        )
    return None


def _hint(inputs: keras.Model, norms: list, images: np.ndarray) -> str:
    """Return the scaling with which the images would fit, as the end of a clause; "" if there is none."""
    given = images.astype(np.float32)
    for what, scale in _scales(given):
        if _distance_of_variances(norms, _outputs(inputs, scale(given))) < MOST:
            return f"; {what} fits them"
    return ""


def _scales(images: np.ndarray) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Yield the scalings that may give the images 0..255, by their range: variances alone cannot tell them apart."""
    if images.min() >= 0:
        yield "multiplying them by 255", lambda images: images * 255
        yield "dividing them by 255", lambda images: images / 255
    elif np.abs(images).max() <= 1:
        yield "mapping -1..1 to 0..255", lambda images: (images + 1) * 127.5
    else:
        yield "undoing their standardization", lambda images: images * 64 + 128


def _outputs(inputs: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    """Return the inputs of the batch norms for the images, in batches: a training batch may be large."""
    # Called and not `predict`ed, which would trace a graph for a few batches.
    batches = (images[first : first + _AT_ONCE] for first in range(0, len(images), _AT_ONCE))
    found = [keras.tree.flatten(inputs([batch], training=False)) for batch in batches]
    return [np.concatenate([np.asarray(one) for one in of_norm]) for of_norm in zip(*found, strict=True)]


def _distance_of_variances(norms: list, outputs: list[np.ndarray]) -> float:
    """Return the median over channels of |log of the ratio of variances| at the first norm.

    Later norms are behind it, and normalize what is scaled by constants already.
    """
    output, norm = outputs[0], norms[0]
    variance = np.asarray(norm.moving_variance.numpy(), np.float64)
    ratio = (output.var(_axes(output), dtype=np.float64) + 1e-12) / (variance + 1e-12)
    return float(np.median(np.abs(np.log(ratio))))


def _distance_of_means(norms: list, outputs: list[np.ndarray]) -> float:
    """Return the distance of the means from the moving ones in standard deviations, the mean of channels and norms."""
    distances = []
    for norm, output in zip(norms, outputs, strict=True):
        mean, variance = (np.asarray(one.numpy(), np.float64) for one in (norm.moving_mean, norm.moving_variance))
        distances.append(np.mean(np.abs(output.mean(_axes(output)) - mean) / np.sqrt(variance + norm.epsilon)))
    return float(np.mean(distances))


def _axes(output: np.ndarray) -> tuple[int, ...]:
    return tuple(range(output.ndim - 1))
