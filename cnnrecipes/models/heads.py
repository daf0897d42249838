"""Classification heads by name: feature maps (N, H, W, C) to logits (N, classes), float32."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras

from cnnrecipes._support.plugins import WithPlugins
from cnnrecipes.errors import RegistrationError, UnknownNameError
from cnnrecipes.layers import LayerFactories, dense_act, global_pool

# head(x, classes, dropout=, factories=) -> logits
Head = Callable[..., Any]

_ROWS: dict[str, Head] = {}
# The registered heads by name, with those of plugins; read-only, `register_head` adds to it.
HEADS: Mapping[str, Head] = WithPlugins(_ROWS)
CLASSIC_WIDTH = 4096
MLP_WIDTH = 512


def register_head(name: str, head: Head, *, replace: bool = False) -> Head:
    """Register a head under a name, and return it.

    Args:
        head: `head(x, classes, dropout=, factories=)` returns logits (N, classes); `dropout` is None if it is not set.
        replace: overwrite a head of this name.

    Raises:
        RegistrationError: the name is taken.
    """
    if name in _ROWS and not replace:
        raise RegistrationError(f"a head {name!r} is registered already; choose another name, or give replace=True")
    _ROWS[name] = head
    return head


def find_head(kind: str | Head) -> Head:
    """Return a head by name; a callable is returned unchanged. Raises UnknownNameError listing the nearest names."""
    if callable(kind):
        return kind
    if kind not in HEADS:
        raise UnknownNameError("head", kind, HEADS)
    return HEADS[kind]


def pooled_head(x, classes: int, *, pooling: str, dropout: float | None, factories: LayerFactories):
    """Apply global "average" or "max" pooling, dropout if a rate is given, and a linear layer."""
    x = global_pool(x, pooling)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return logits(x, classes, factories)


def classic_head(x, classes: int, *, dropout: float | None, factories: LayerFactories):
    """Apply two fully connected layers of 4096 units with dropout, and a linear one (Krizhevsky et al. 2012, 4.2).

    The dropout rate is 0.5 if `dropout` is None.
    """
    rate = 0.5 if dropout is None else dropout
    x = keras.layers.Flatten(name="head_flatten")(x)
    for i in (1, 2):
        x = dense_act(x, CLASSIC_WIDTH, dropout=rate, factories=factories, name=f"head_fc{i}")
    return logits(x, classes, factories)


def mlp_head(x, classes: int, *, dropout: float | None, factories: LayerFactories):
    """Apply global average pooling, a fully connected layer of 512 units with dropout, and a linear one.

    The dropout rate is 0.5 if `dropout` is None.
    """
    rate = 0.5 if dropout is None else dropout
    x = dense_act(global_pool(x, "average"), MLP_WIDTH, dropout=rate, factories=factories, name="head_fc1")
    return logits(x, classes, factories)


def logits(x, classes: int, factories: LayerFactories):
    """Apply the last linear layer, in float32 for every dtype policy: (N, C) -> (N, classes)."""
    return keras.layers.Dense(classes, kernel_initializer=factories.init(), dtype="float32", name="logits")(x)


register_head("average", functools.partial(pooled_head, pooling="average"))
register_head("max", functools.partial(pooled_head, pooling="max"))
register_head("classic", classic_head)
register_head("mlp", mlp_head)
