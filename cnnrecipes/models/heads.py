"""Classification heads by name: feature maps (N, H, W, C) to logits (N, classes), float32."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

from cnnrecipes.errors import RegistrationError, UnknownNameError
from cnnrecipes.layers import LayerFactories, dense_act, global_pool

# head(x, classes, dropout=, factories=) -> logits
Head = Callable[..., Any]

HEADS: dict[str, Head] = {}
CLASSIC_WIDTH = 4096


def register_head(name: str, head: Head, *, replace: bool = False) -> Head:
    """Add a head to the registry. Returns the head.

    Args:
        head: `head(x, classes, dropout=, factories=)` returns logits (N, classes); `dropout` is None if it is not set.
        replace: overwrite a head of this name.

    Raises:
        RegistrationError: the name is taken.
    """
    if name in HEADS and not replace:
        raise RegistrationError(f"a head {name!r} is registered already; choose another name, or give replace=True")
    HEADS[name] = head
    return head


def find_head(kind: str | Head) -> Head:
    """Return a head by name; a callable is returned unchanged. Raises UnknownNameError listing the nearest names."""
    if callable(kind):
        return kind
    if kind not in HEADS:
        raise UnknownNameError("head", kind, HEADS)
    return HEADS[kind]


def pooled_head(x, classes: int, *, pooling: str, dropout: float | None, factories: LayerFactories):
    """Global "average" or "max" pooling, dropout if its rate is given, and a linear layer."""
    x = global_pool(x, pooling)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return logits(x, classes, factories)


def classic_head(x, classes: int, *, dropout: float | None, factories: LayerFactories):
    """Two fully connected layers of 4096 units with dropout (Krizhevsky et al. 2012, section 4.2), of 0.5 if None."""
    rate = 0.5 if dropout is None else dropout
    x = keras.layers.Flatten(name="head_flatten")(x)
    for i in (1, 2):
        x = dense_act(x, CLASSIC_WIDTH, dropout=rate, factories=factories, name=f"head_fc{i}")
    return logits(x, classes, factories)


def logits(x, classes: int, factories: LayerFactories):
    """Apply the last linear layer, in float32 for every dtype policy: (N, C) -> (N, classes)."""
    return keras.layers.Dense(classes, kernel_initializer=factories.init(), dtype="float32", name="logits")(x)


register_head("average", functools.partial(pooled_head, pooling="average"))
register_head("max", functools.partial(pooled_head, pooling="max"))
register_head("classic", classic_head)
