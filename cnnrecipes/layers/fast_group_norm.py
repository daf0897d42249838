"""Group, layer and instance normalization in few passes over memory; Keras 3's own layer is not fused.

Activations are large and their statistics small, so time goes into reading and writing activations. Here the forward
step is y = a d + b with d = x - shift, its gradient dx = a dy + p d + q: sums over positions and one affine map each
way, and nothing kept between them but x.

Everything is computed of d, x less its group's mean as a float32 sum gives it. d is exact where the mean is large
against the deviation, and E[d^2] - E[d]^2, sum(dy d) and a d + b do not cancel there, as the same forms of x do
(Chan, Golub & LeVeque 1983, "shifted data").
"""

from __future__ import annotations

import functools

import keras

from cnnrecipes.errors import ModelError


@keras.saving.register_keras_serializable(package="cnnrecipes")
class GroupNormalization(keras.layers.GroupNormalization):
    """`keras.layers.GroupNormalization`, faster: same arguments, values, gradients and weight files.

    Float activations (N, H, W, C) on TensorFlow, normalized over groups of the last axis, use `group_norm`; everything
    else runs Keras' own code. Statistics are float32 in every precision and computed of x minus its group's mean, so
    that a mean far from 0 loses no digits; Keras' `tf.nn.moments` is exact there too, its scale and shift are not. The
    class has Keras' name because weight files name their groups after classes.

    Raises:
        ValueError: Keras' own, when built on a channel axis without a size.
        ModelError: when built on channels that the groups do not divide (a ValueError with Keras' message, and which
            number of groups to take), or where a group is one single value.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # As in newer versions of Keras: an input beyond the range of float16 must not overflow before normalization.
        self.autocast = False

    def add_weight(self, *args, **kwargs):
        """Add a weight that stays float32; up to Keras 3.12 it would be read in the layer's compute type."""
        return super().add_weight(*args, **{"autocast": False, **kwargs})

    def build(self, input_shape):
        channels, sizes = input_shape[self.axis], input_shape[1:-1]
        try:
            super().build(input_shape)
        except ValueError as error:
            if channels is None:
                raise
            raise ModelError(
                f"{self.name}: {error} As norm_groups take a divisor of {channels}, for example "
                f"{_nearest_divisor(channels, self.groups)}."
            ) from error
        if self.axis in (-1, 3) and self.groups == channels and None not in sizes and all(size == 1 for size in sizes):
            raise ModelError(
                f"{self.name}: a group of one value is 0 after normalization whatever the weights; "
                f"the input of {self.name} is {tuple(input_shape)}: give a larger image, or another norm"
            )

    def call(self, inputs):
        if not self._group_norm_applies(inputs):
            return super().call(inputs)
        import tensorflow as tf

        gamma = self.gamma.value if self.scale else tf.ones([inputs.shape[-1]])
        beta = self.beta.value if self.center else tf.zeros([inputs.shape[-1]])
        outputs = group_norm(inputs, gamma, beta, self.groups, self.epsilon)
        return keras.ops.cast(outputs, self.compute_dtype)

    def _group_norm_applies(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "float16", "bfloat16")
            and (self.gamma is None or self.gamma.dtype == "float32")
            and (self.beta is None or self.beta.dtype == "float32")
        )


FastGroupNormalization = GroupNormalization


def group_norm(inputs, gamma, beta, groups: int, epsilon: float):
    """Apply group normalization (Wu & He 2018, eq. 1, 2, 6 and 7).

    Args:
        inputs: (N, H, W, C), float32, float16 or bfloat16.
        gamma, beta: (C,), float32.
        groups: a divisor of C; 1 is layer, C is instance normalization.

    Returns:
        gamma (x - mean) / sqrt(variance + epsilon) + beta, shape and type of `inputs`.
    """
    import tensorflow as tf

    position_means = _position_means(tf.shape(inputs), inputs.shape[-1])
    group_means = functools.partial(_group_means, size=inputs.shape[-1] // groups if groups > 0 else 1)

    def spread(statistic):
        """(N, C) -> (N, 1, 1, C)."""
        return statistic[:, None, None, :]

    @tf.custom_gradient
    def normalized(inputs, gamma, beta):
        x = tf.cast(inputs, "float32")
        shift = spread(group_means(position_means(x)))
        d = x - shift
        # The remainder of the mean: the shift is a float32, whose spacing at 10,000 is 0.001.
        mean = group_means(position_means(d))
        square = group_means(position_means(tf.square(d)))
        inverse = tf.math.rsqrt(tf.maximum(square - tf.square(mean), 0.0) + epsilon)
        scale = gamma * inverse
        y = d * spread(scale) + spread(beta - mean * scale)

        def gradient(upstream):
            # With xhat = (d - mean) inverse: dx = inverse (gamma dy - E[gamma dy] - xhat E[gamma dy xhat])
            d, dy = tf.cast(inputs, "float32") - shift, tf.cast(upstream, "float32")
            mean_dy = position_means(dy)
            mean_dy_xhat = (position_means(d * dy) - mean * mean_dy) * inverse
            p = -tf.square(inverse) * group_means(gamma * mean_dy_xhat)
            q = -inverse * group_means(gamma * mean_dy) - mean * p
            dx = dy * spread(scale) + d * spread(p) + spread(q)
            positions = tf.cast(tf.size(inputs) / tf.size(mean), "float32")
            dgamma, dbeta = (positions * tf.reduce_sum(means, 0) for means in (mean_dy_xhat, mean_dy))
            return tf.cast(dx, inputs.dtype), dgamma, dbeta

        return tf.cast(y, inputs.dtype), gradient

    # Read here: of the variables of several workers, tf.custom_gradient would see the replicas, which are no arguments.
    return normalized(inputs, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))


def _position_means(shape, channels: int):
    """Return the function that averages over positions, (N, H, W, C) -> (N, C).

    On a CPU it is a product with a row of ones, the fastest way there, whose rounding does not depend on N, unlike
    TensorFlow's reductions: training on several devices gives the same weights. A GPU's product would round to TF32.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return functools.partial(tf.reduce_mean, axis=[1, 2])
    row = tf.fill([shape[0], 1, shape[1] * shape[2]], 1 / tf.cast(shape[1] * shape[2], "float32"))
    return lambda x: tf.linalg.matmul(row, tf.reshape(x, [shape[0], -1, channels]))[:, 0]


def _group_means(means, size: int):
    """Average (N, C) means over groups of `size` channels, repeated to (N, C)."""
    import tensorflow as tf

    if size == 1:
        return means
    return tf.repeat(tf.reduce_mean(tf.reshape(means, [-1, means.shape[-1] // size, size]), -1), size, axis=-1)


def _nearest_divisor(channels: int, groups: int) -> int:
    return min((n for n in range(1, channels + 1) if channels % n == 0), key=lambda n: abs(n - groups))
