"""Validation of user-supplied image batches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from cnnrecipes.errors import DataError, ModelError


def batch_for(model: keras.Model, images: Any) -> np.ndarray:
    """Return images (N, H, W, C) as an array with the dtype of the model's input.

    Raises:
        ModelError: a model with several inputs.
        DataError: not numbers, an empty batch, or a shape that does not match the model's input.
    """
    if len(model.inputs) != 1:
        raise ModelError(f"{model.name} has {len(model.inputs)} inputs; give a model with one input, the images")
    images = numbers(images)
    wanted = tuple(model.inputs[0].shape)
    fits = images.ndim == len(wanted) and all(w in (None, n) for n, w in zip(images.shape[1:], wanted[1:], strict=True))
    if not fits:
        hint = (
            "; for a single image give images[None]"
            if images.ndim == len(wanted) - 1
            else "; give images of that shape"
        )
        raise DataError(f"{model.name} takes images {(None, *wanted[1:])}, got {images.shape}{hint}")
    if not images.size:
        raise DataError(f"the batch is empty, {images.shape}; give at least one image")
    return images.astype(model.inputs[0].dtype)


def numbers(images: Any) -> np.ndarray:
    """Convert images (array, tensor or nested lists) to an array. Raise DataError if they are not numbers."""
    try:
        array = np.asarray(images)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"images cannot be converted to an array ({error}); give images of one size and type"
        ) from error
    if array.dtype.kind not in "buif" and array.dtype.name != "bfloat16":
        raise DataError(f"images of type {array.dtype} are not numbers; give uint8 or float32, as (N, H, W, C)")
    return array
