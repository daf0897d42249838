"""The compute dtype of the layers (mixed precision); logits, losses and statistics are always float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from cnnrecipes.recipe import schema

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def chosen(spec: schema.Train) -> str:
    """Return "float32", "bfloat16" or "float16": the recipe's, or for "auto" the one with Tensor Cores on the GPUs."""
    if spec.precision != "auto":
        return spec.precision
    gpus = tf.config.list_physical_devices("GPU")
    known = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
    if not gpus or None in known:
        return "float32"
    # Tensor cores: bfloat16 since Ampere (8.0), float16 since Volta (7.0).
    return "bfloat16" if min(known) >= (8, 0) else "float16" if min(known) >= (7, 0) else "float32"


@contextlib.contextmanager
def layers_in(name: str) -> Iterator[None]:
    """Set the dtype policy of layers created in the `with` block: this compute dtype, float32 weights."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(_POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def with_loss_scaling(optimizer: keras.optimizers.Optimizer, name: str) -> keras.optimizers.Optimizer:
    """Return the optimizer, for float16 with loss scaling against gradient underflow (Micikevicius et al. 2018)."""
    return keras.optimizers.LossScaleOptimizer(optimizer) if name == "float16" else optimizer
