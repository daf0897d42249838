"""Learnable per-channel scale at the end of a residual branch (SkipInit), for networks without normalization."""

from __future__ import annotations

import keras

EQUATION = "bhwc,c->bhwc"


@keras.saving.register_keras_serializable(package="cnnrecipes")
class EinsumDense(keras.layers.EinsumDense):
    """`keras.layers.EinsumDense` that scales channels by an elementwise multiplication instead of a matrix product.

    The class has Keras' name because weight files name their groups after classes.
    """

    def call(self, inputs, training=None):
        if self.equation != EQUATION or self.bias is not None or self.activation is not keras.activations.linear:
            return super().call(inputs)
        return inputs * keras.ops.cast(self.kernel, inputs.dtype)


FastEinsumDense = EinsumDense


def scale_channels(x, start: str, *, name: str):
    """Multiply each channel of (N, H, W, C) by a learnable factor, a vector of size C without weight decay.

    SkipInit (De & Smith 2020, arXiv:2002.10444, section 3) has one factor per branch, initialized to 0; one per
    channel (LayerScale; Touvron et al. 2021, eq. 4) corresponds to a last gamma of 0 without its normalization.

    Args:
        start: initializer of the factors, "zeros" or "ones".
    """
    shape = (None, None, x.shape[-1])
    return FastEinsumDense(EQUATION, output_shape=shape, kernel_initializer=start, name=name)(x)
