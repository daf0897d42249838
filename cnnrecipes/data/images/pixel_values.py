"""Conversion of arrays of integers or floats to uint8 images, with a check of the range of their values.

The result has the shape (N, H, W, C). Integers are 0..255; floats are 0..1 or 0..255, distinguished by their maximum.
Other ranges raise an error with the conversion to use, since a wrong guess would silently train a worse model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from cnnrecipes.errors import CNNRecipesWarning, DataError

WARNING = "warning: "  # prefix of messages that are issued as Python warnings
UNIT, BYTES = "0..1", "0..255"
# Floats with fractions and a maximum between 1 and this are in neither range, for example 0..1 with overshoot.
_AMBIGUOUS_BELOW = 16
_CHUNK = 1024  # images converted at a time, so that no second float array is needed


def as_images(
    array: Any, what: str, say: Callable[[str], None] = lambda text: None, scale: str | None = None
) -> np.ndarray:
    """Return images as a uint8 array (N, H, W, C) of 1 or 3 channels; a uint8 array is not copied.

    Args:
        array: (N, H, W, C), or (N, H, W) for gray; whole numbers 0..255 of any type, or floats 0..1 or 0..255, which
            are rounded.
        what: name of the images in messages.
        say: called with a message about a conversion that changes values, and about integers that look like 0..1.
        scale: range of floats, "0..1" or "0..255"; None: detected.

    Raises:
        DataError: another shape, another type, or values that are in neither range.
    """
    array = _numbers(array, what)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise DataError(f"{what} have shape {array.shape}; {_shape_hint(array.shape)}")
    if array.dtype.kind not in "iuf":
        raise DataError(f"{what} are of type {array.dtype}; give numbers, 0..255")
    if array.dtype.kind in "iu":
        return _whole(array, what, say)
    scale = scale or scale_of(array, what)
    rounded = np.empty(array.shape, np.uint8)
    changed = False
    for start in range(0, len(array), _CHUNK):
        some = array[start : start + _CHUNK].astype(np.float64 if array.dtype == np.float64 else np.float32)
        values = some * 255 if scale == UNIT else some
        rounded[start : start + _CHUNK] = np.rint(values)
        changed = changed or not np.array_equal(rounded[start : start + _CHUNK], some)
    if scale == UNIT:
        say(f"{what} are {array.dtype} 0..1: multiplied by 255 and rounded")
    elif changed:
        say(f"{what} are {array.dtype} 0..255 with fractions: rounded to whole numbers")
    return rounded


def say_or_warn(text: str, say: Callable[[str], None] = lambda text: None) -> None:
    """Pass a message of `as_images` to `say`, or issue it as a Python warning if it begins with WARNING."""
    if text.startswith(WARNING):
        warnings.warn(text.removeprefix(WARNING), CNNRecipesWarning, stacklevel=6)
    else:
        say(text)


def scale_of(array: Any, what: str) -> str | None:
    """Return the range of floats, "0..1" or "0..255"; None for other types. Raises DataError for other ranges."""
    array = _numbers(array, what)
    if array.dtype.kind != "f" or not array.size:
        return None
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        odd = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)) if array.ndim > 2 else [0]
        raise DataError(
            f"{what} have values {low:g}..{high:g}: NaN or infinity in {len(odd)} of {len(array)}, first in image "
            f"{odd[0]}; remove them, and give 0..255 or 0..1"
        )
    if low < 0 or high > 255:
        raise DataError(f"{what} have values {low:g}..{high:g}; give 0..255 or 0..1{_range_hint(low, high)}")
    if high <= 1:
        return UNIT if high > 0 else None
    if high < _AMBIGUOUS_BELOW and not _are_whole(array):
        raise DataError(
            f"{what} have values {low:g}..{high:g} with fractions, which is neither 0..1 nor 0..255; give one of the "
            "two, for example images.clip(0, 1), or images * 255 / images.max()"
        )
    return BYTES


def _whole(array: np.ndarray, what: str, say: Callable[[str], None]) -> np.ndarray:
    """Return integers 0..255 as uint8, without a copy if they are uint8."""
    if array.dtype != np.uint8:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 255:
            raise DataError(f"{what} have values {low}..{high}; give 0..255{_range_hint(low, high)}")
    # Check a few images first: the array may be larger than memory.
    if array[:: max(len(array) // 16, 1)].max() <= 1 and 0 < array.max() <= 1:
        say(
            f"{WARNING}{what} look like 0..1: every value of these whole numbers is 0 or 1; they are taken as 0..255, "
            "almost black. If 1 means white, give images * 255"
        )
    return array if array.dtype == np.uint8 else array.astype(np.uint8)


def _are_whole(array: np.ndarray) -> bool:
    chunks = (array[start : start + _CHUNK] for start in range(0, len(array), _CHUNK))
    return all(np.array_equal(some, np.rint(some)) for some in chunks)


def _range_hint(low: float, high: float) -> str:
    """Return a hint on the likely range of such values and the conversion to 0..255; "" if the range is unknown."""
    if -1 <= low < 0 and high <= 1:
        return "; convert values -1..1 by (images + 1) * 127.5"
    if low < 0:
        return "; undo the standardization by images * std + mean"
    if high <= 65535 and low >= 0 and high > 4095:
        return "; 16 bits become 8 by images // 257"
    return ""


def _shape_hint(shape: tuple[int, ...]) -> str:
    """Return a hint on the likely error in an array's shape, and the remedy."""
    how = "give (N, H, W, C) with 1 or 3 channels, or (N, H, W)"
    if len(shape) == 4 and shape[1] in (1, 3) and shape[-1] not in (1, 3):
        return f"the channels are first (N, C, H, W), as in PyTorch: {how}, for example images.transpose(0, 2, 3, 1)"
    if len(shape) == 4 and shape[-1] == 4:
        return f"{how}; of RGBA take images[..., :3]"
    if len(shape) == 2:
        return f"{how}; flat rows become images by images.reshape(-1, H, W)"
    return how


def _numbers(array: Any, what: str) -> np.ndarray:
    try:
        array = np.asarray(array)
    except (ValueError, TypeError):
        raise DataError(f"{what} differ in shape; give one array of one shape") from None
    # NumPy does not know the type of TensorFlow's bfloat16 as a float.
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
