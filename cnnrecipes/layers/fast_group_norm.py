"""Group, layer and instance normalization in few passes over memory; Keras 3's own layer goes op by op, and back.

Activations are large and their statistics small, so time goes into reading and writing activations. Here the forward
step is y = a x + b, with a and b of shape (N, C), and its gradient dx = a dy + p x + q: two sums and one affine map
each way, and nothing kept between them but x. The sums borrow ops that read once: the sum over positions is a product
with a row of ones, the sum of squares a squared Euclidean norm.
"""

from __future__ import annotations

import keras

from cnnrecipes.errors import ModelError


@keras.saving.register_keras_serializable(package="cnnrecipes")
class GroupNormalization(keras.layers.GroupNormalization):
    """`keras.layers.GroupNormalization`, faster: same arguments, values, gradients and weight files.

    Float activations (N, H, W, C) on TensorFlow, normalized over groups of the last axis, take the short way; all else
    runs Keras' own code. Statistics are float32 whatever the precision, with the variance as E[x^2] - E[x]^2, as in
    Keras. The class has Keras' name because weight files name their groups after classes.

    Raises:
        ModelError: when built on channels that the groups do not divide, or where a group is one single value.
    """

    def build(self, input_shape):
        channels = input_shape[self.axis]
        groups = channels if self.groups == -1 else self.groups
        if channels % groups:
            raise ModelError(
                f"{self.name}: {groups} groups do not divide {channels} channels; "
                f"as norm_groups take a divisor, as {_nearest_divisor(channels, groups)}"
            )
        sizes = input_shape[1:-1]
        if self.axis in (-1, 3) and groups == channels and None not in sizes and all(size == 1 for size in sizes):
            raise ModelError(
                f"{self.name}: a group of one value is 0 after normalization whatever the weights; "
                f"the input of {self.name} is {tuple(input_shape)}: give a larger image, or another norm"
            )
        super().build(input_shape)

    def call(self, inputs):
        if not self._short_way(inputs):
            return super().call(inputs)
        import tensorflow as tf

        gamma = self.gamma.value if self.scale else tf.ones([inputs.shape[-1]])
        beta = self.beta.value if self.center else tf.zeros([inputs.shape[-1]])
        outputs = group_norm(inputs, gamma, beta, self.groups, self.epsilon)
        return keras.ops.cast(outputs, self.compute_dtype)

    def _short_way(self, inputs) -> bool:
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
    """Normalize by the mean and variance of each sample's groups (Wu & He 2018, eq. 1, 2, 6 and 7).

    Args:
        inputs: (N, H, W, C), float32, float16 or bfloat16.
        gamma, beta: (C,), float32.
        groups: a divisor of C; 1 is layer, C is instance normalization.

    Returns:
        gamma (x - mean) / sqrt(variance + epsilon) + beta, shape and type of `inputs`.
    """
    import tensorflow as tf

    shape = tf.shape(inputs)
    channels = inputs.shape[-1]
    ones = tf.ones([shape[0], 1, shape[1] * shape[2]])

    def position_sums(x):
        """(N, H, W, C) -> (N, C)"""
        return tf.linalg.matmul(ones, tf.reshape(x, [shape[0], -1, channels]))[:, 0]

    def group_means(sums):
        """Sums over positions, (N, C), to means over positions and group, (N, C)."""
        size = channels // groups if groups > 0 else 1
        if size > 1:
            by_group = tf.reduce_mean(tf.reshape(sums, [-1, channels // size, size]), -1)
            sums = tf.repeat(by_group, size, axis=-1)
        return sums / tf.cast(shape[1] * shape[2], "float32")

    def spread(x):
        """(N, C) -> (N, 1, 1, C)"""
        return x[:, None, None, :]

    @tf.custom_gradient
    def normalized(inputs, gamma, beta):
        x = tf.cast(inputs, "float32")
        mean = group_means(position_sums(x))
        square = group_means(tf.square(tf.raw_ops.EuclideanNorm(input=x, axis=[1, 2])))
        inverse = tf.math.rsqrt(tf.maximum(square - tf.square(mean), 0.0) + epsilon)
        scale = gamma * inverse
        y = x * spread(scale) + spread(beta - mean * scale)

        def gradient(upstream):
            # With xhat = (x - mean) inverse: dx = inverse (gamma dy - E[gamma dy] - xhat E[gamma dy xhat])
            x, dy = tf.cast(inputs, "float32"), tf.cast(upstream, "float32")
            sum_dy = position_sums(dy)
            sum_dy_xhat = (position_sums(dy * x) - mean * sum_dy) * inverse
            p = -tf.square(inverse) * group_means(gamma * sum_dy_xhat)
            q = -inverse * group_means(gamma * sum_dy) - mean * p
            dx = dy * spread(scale) + x * spread(p) + spread(q)
            return tf.cast(dx, inputs.dtype), tf.reduce_sum(sum_dy_xhat, 0), tf.reduce_sum(sum_dy, 0)

        return tf.cast(y, inputs.dtype), gradient

    return normalized(inputs, gamma, beta)


def _nearest_divisor(channels: int, groups: int) -> int:
    return min((n for n in range(1, channels + 1) if channels % n == 0), key=lambda n: abs(n - groups))
