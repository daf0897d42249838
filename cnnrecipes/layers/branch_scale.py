"""A learnable factor at the end of a residual branch: what stands for the last gamma in a net without norms."""

from __future__ import annotations

import keras

EQUATION = "bhwc,c->bhwc"


@keras.saving.register_keras_serializable(package="cnnrecipes")
class EinsumDense(keras.layers.EinsumDense):
    """`keras.layers.EinsumDense`, where it scales channels by one multiplication instead of a product of matrices.

    The class has Keras' name because weight files name their groups after classes.
    """

    def call(self, inputs, training=None):
        if self.equation != EQUATION or self.bias is not None or self.activation is not keras.activations.linear:
            return super().call(inputs)
        return inputs * keras.ops.cast(self.kernel, inputs.dtype)


FastEinsumDense = EinsumDense


def scale_channels(x, start: str, *, name: str):
    """Multiply each channel of (N, H, W, C) by a learnable factor, kept as a vector of C that is not decayed.

    SkipInit (De & Smith 2020, arXiv:2002.10444, section 3) has one factor a branch, which starts at 0; one a channel,
    as LayerScale's (Touvron et al. 2021, eq. 4), is what a last gamma of 0 is without its norm.

    Args:
        start: initializer of the factors, "zeros" or "ones".
    """
    shape = (None, None, x.shape[-1])
    return FastEinsumDense(EQUATION, output_shape=shape, kernel_initializer=start, name=name)(x)
