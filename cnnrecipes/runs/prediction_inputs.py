"""Inputs of `predict`: paths, folders, glob patterns and arrays as images (H, W, C) uint8."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cnnrecipes.data.images.decode import EXTENSIONS, decode, reason
from cnnrecipes.data.images.pixel_values import as_images, say_or_warn
from cnnrecipes.data.sources.image_paths import image_paths
from cnnrecipes.errors import DataError


class Found(NamedTuple):
    """An input to predict; `named` is False for files that come from a folder or a glob pattern."""

    item: Any
    named: bool


def with_folders(inputs: Any) -> list[Found] | None:
    """Return the inputs with folders and glob patterns expanded; None if they contain neither.

    Raises:
        DataError: a folder or a pattern matches no images.
    """
    some = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    paths = [image_paths(item) if isinstance(item, (str, Path)) else None for item in some]
    if all(one is None for one in paths):
        return None
    return [
        found
        for item, files in zip(some, paths, strict=True)
        for found in ([Found(item, True)] if files is None else [Found(file, False) for file in files])
    ]


def read_images(inputs: Any, channels: int) -> tuple[list[np.ndarray], bool]:
    """Return images (H, W, C) uint8 of any size, and True if the input was a single image. Raises DataError.

    Args:
        inputs: the path of an image file, an array, or a list of these.
        channels: channels of the model: image files are converted, arrays must have them.
    """
    if isinstance(inputs, (str, Path)):
        return [read_file(Path(inputs), channels)], True
    if isinstance(inputs, (list, tuple)):
        return [image for item in inputs for image in read_images(item, channels)[0]], False
    array, single = _stack(inputs, channels)
    images = as_images(array, "the images", say_or_warn)
    if images.shape[-1] != channels:
        kinds = {1: "gray, 1 channel(s)", 3: "RGB, 3 channel(s)"}
        raise DataError(
            f"the images are {kinds[images.shape[-1]]}, the model was trained on {channels}; convert "
            "them, for example by images.mean(-1, keepdims=True) to gray, images.repeat(3, -1) to RGB"
        )
    return list(images), single


def read_file(path: Path, channels: int) -> np.ndarray:
    """Return the image (H, W, C) uint8 of a file. Raises DataError if it is missing or cannot be decoded."""
    if not path.is_file():
        what = "is a folder; give the images in it" if path.is_dir() else "does not exist"
        raise DataError(f"the image {str(path)!r} {what}")
    try:
        return decode(path.read_bytes(), channels).numpy()
    except (OSError, tf.errors.OpError) as error:
        raise DataError(f"cannot read {str(path)!r} as an image ({', '.join(EXTENSIONS)}): {reason(error)}") from None


def _stack(inputs: Any, channels: int) -> tuple[np.ndarray, bool]:
    """Return a batch (N, H, W, C) of an image (H, W, C) or (H, W) or a batch (N, H, W, C) or (N, H, W).

    An array of rank 3 is one image if its last axis has 1 to 4 entries, and a batch of grayscale images otherwise. The
    second value is True for a single image. Raises DataError.
    """
    array = np.asarray(inputs)
    if array.ndim not in (2, 3, 4) or (array.ndim == 4 and len(array) == 0):
        raise DataError(f"an image has shape {array.shape}; give (H, W, C), (H, W) for gray, or (N, H, W, C)")
    if array.ndim == 4:
        return array, False
    if array.ndim == 2:
        return array[None, ..., None], True
    if array.shape[-1] in (1, 2, 3, 4):
        return array[None], True
    if channels == 3:
        first = array.shape[0] == 3
        remedy = (
            "of one with its channels first give image.transpose(1, 2, 0)"
            if first
            else ("of gray ones give images[..., None].repeat(3, -1)")
        )
        raise DataError(
            f"an array of shape {array.shape} is a stack of gray images (N, H, W), and the model was trained on RGB; "
            f"{remedy}"
        )
    return array[..., None], False
