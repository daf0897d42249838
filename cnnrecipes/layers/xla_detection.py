"""Detection of XLA compilation, under which some fused kernels are missing or expanded inaccurately."""

from __future__ import annotations


def compiled_by_xla() -> bool:
    """Return True if the function being traced is inside a `jit_compile=True` function."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util  # no public API

    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
