"""Whether XLA compiles what is being traced; some kernels that are the best elsewhere it lacks, or expands badly."""

from __future__ import annotations


def compiled_by_xla() -> bool:
    """Whether the function being traced is one of `jit_compile=True`, or within one."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util  # the public API does not tell

    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
