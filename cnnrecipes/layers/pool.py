"""Pooling by name: max, average, and anti-aliased (blurred) max pooling."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from cnnrecipes.errors import ModelError, UnknownNameError

PoolFactory = Callable[..., object]


def pool(kind: str | PoolFactory, *, nonnegative: bool = False) -> PoolFactory:
    """Return a pooling factory: `factory(x, window, stride=, padding=, name=)` returns pooled activations.

    Args:
        kind: "max", "average", "blur", or a user-defined factory, which is returned unchanged.
        nonnegative: values are at least 0, as after ReLU: a maximum may then be padded with zeros, which is faster.

    Raises:
        UnknownNameError: no such pooling.
    """
    if callable(kind):
        return kind
    kinds: dict[str, PoolFactory] = {
        "max": functools.partial(max_pool, nonnegative=nonnegative),
        "average": average_pool,
        "blur": functools.partial(blurred_max_pool, nonnegative=nonnegative),
    }
    if kind not in kinds:
        raise UnknownNameError("pooling", kind, kinds)
    return kinds[kind]


def max_pool(x, window: int, *, stride: int, padding: int | None = None, nonnegative: bool = False, name: str):
    """Apply max pooling; padded values are never the maximum.

    Args:
        x: (N, H, W, C).
        padding: pixels on every side; None: (window - 1) / 2 for an odd window, 0 for an even one.
        nonnegative: the values are at least 0; see `pool`.

    Returns:
        (N, (H + 2 padding - window) // stride + 1, ..., C); ceil(H / stride) for an odd window and the default padding.
    """
    pixels = _padding(window, padding)
    if pixels == 0:
        return keras.layers.MaxPooling2D(window, strides=stride, name=name)(x)
    if nonnegative:
        x = keras.layers.ZeroPadding2D(pixels, name=f"{name}_pad")(x)
        return keras.layers.MaxPooling2D(window, strides=stride, name=name)(x)
    if pixels != window // 2 or window % 2 == 0:
        raise ModelError(
            f"{name}: a window of {window} is padded by {window // 2} if it is odd, else by 0; got {pixels}"
        )
    # "same" pads with minus infinity, and symmetrically only without a stride.
    x = keras.layers.MaxPooling2D(window, strides=1, padding="same", name=f"{name}_dense")(x)
    return keras.layers.MaxPooling2D(1, strides=stride, name=name)(x)


def average_pool(x, window: int, *, stride: int, padding: int | None = None, name: str):
    """Apply average pooling; padding counts as zeros, as in PyTorch. Shapes as in `max_pool`."""
    if pixels := _padding(window, padding):
        x = keras.layers.ZeroPadding2D(pixels, name=f"{name}_pad")(x)
    return keras.layers.AveragePooling2D(window, strides=stride, name=name)(x)


def blurred_max_pool(x, window: int, *, stride: int, padding: int | None = None, nonnegative: bool = False, name: str):
    """Apply anti-aliased max pooling: max pooling with stride 1, blur, subsampling (Zhang 2019, section 3.2)."""
    x = max_pool(x, window, stride=1, padding=padding, nonnegative=nonnegative, name=f"{name}_max")
    return BlurPool(stride, name=name)(x) if stride > 1 else x


def global_pool(x, kind: str, name: str = "pool"):
    """Apply global "average" or "max" pooling: (N, H, W, C) -> (N, C)."""
    kinds = {"average": keras.layers.GlobalAveragePooling2D, "max": keras.layers.GlobalMaxPooling2D}
    if kind not in kinds:
        raise UnknownNameError("global pooling", kind, kinds)
    return kinds[kind](name=name)(x)


def _padding(window: int, padding: int | None) -> int:
    if padding is not None:
        return padding
    return window // 2 if window % 2 else 0


@keras.saving.register_keras_serializable(package="cnnrecipes")
class BlurPool(keras.layers.Layer):
    """Binomial blur [1 2 1] x [1 2 1] / 16 and subsampling (Zhang 2019, arXiv:1904.11486, "Tri-3"); no weights.

    Borders are reflected: a constant image stays constant. (N, H, W, C) -> (N, ceil(H / stride), ceil(W / stride), C)
    """

    def __init__(self, stride: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, inputs):
        row = keras.ops.convert_to_tensor([0.25, 0.5, 0.25], dtype=inputs.dtype)
        kernel = (row[:, None] * row)[:, :, None, None]
        mode = "symmetric" if 1 in inputs.shape[1:3] else "reflect"  # one pixel has no neighbor to reflect
        padded = keras.ops.pad(inputs, [(0, 0), (1, 1), (1, 1), (0, 0)], mode=mode)
        return keras.ops.depthwise_conv(
            padded, keras.ops.repeat(kernel, inputs.shape[-1], axis=2), strides=self.stride, padding="valid"
        )

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        smaller = [None if size is None else -(-size // self.stride) for size in (height, width)]
        return (batch, *smaller, channels)

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}
