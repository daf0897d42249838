"""XLA compilation of kernels on batches of pixels: one loop per image instead of a pass over memory per operation.

They compute with integers (fixed-point weights), so that the values do not depend on how a compiler fuses or orders the
operations. XLA compiles for one shape, whereas the number of images that draw a transformation varies from batch to
batch; therefore a kernel runs on chunks of a fixed number of images.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

_CHUNK_IMAGES, _CHUNK_PIXELS = 4, 2**14  # a chunk has at least so many images, and more if they are small


def compiled(kernel: Callable) -> Callable:
    """Compile a function of tensors with XLA, at its first call with each shape (0.1 to 0.5 s).

    Without XLA for this device it runs as an ordinary graph: slower, with the same values.
    """

    @functools.cache
    def program():  # on first use, since TensorFlow is imported lazily
        return tf.function(kernel, autograph=False, jit_compile=_xla_works())

    @functools.wraps(kernel)
    def call(*tensors):
        return program()(*tensors)

    return call


@functools.cache
def _xla_works() -> bool:
    """Return whether this build of TensorFlow has XLA for the CPU, on which the input pipeline runs."""
    with tf.init_scope(), tf.device("CPU"):
        try:
            tf.function(lambda x: x + 1, autograph=False, jit_compile=True)(tf.constant(0))
        except tf.errors.OpError:
            return False
    return True


def compiled_in_chunks(kernel: Callable) -> Callable:
    """Compile a function of (images, *others), for any number n of images, with one shape of their chunks.

    The kernel takes tensors with the same first dimension and returns one with that dimension; each result must depend
    on its own image only. The last chunk is filled up with copies of the last image.
    """
    program = compiled(kernel)

    @functools.wraps(kernel)
    def call(images, *others):
        n = tf.shape(images)[0]
        size = max(_CHUNK_IMAGES, _CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
        count = -(-n // size)

        def body(chunk, done):
            places = tf.minimum(chunk * size + tf.range(size), n - 1)
            result = program(*(tf.gather(each, places) for each in (images, *others)))
            return chunk + 1, done.write(chunk, result)

        specs = [tf.TensorSpec((size, *each.shape[1:]), each.dtype) for each in (images, *others)]
        result = tf.function(kernel, autograph=False).get_concrete_function(*specs).structured_outputs
        done = tf.TensorArray(result.dtype, count, element_shape=result.shape)
        _, done = tf.while_loop(lambda chunk, _: chunk < count, body, (0, done))
        return tf.ensure_shape(
            tf.reshape(done.stack(), (-1, *result.shape[1:]))[:n], (images.shape[0], *result.shape[1:])
        )

    return call
