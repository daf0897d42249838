"""Classification heads: feature maps to logits."""

from __future__ import annotations

import keras

from cnnrecipes.layers import dense_act, global_pool

CLASSIC_WIDTH = 4096


def head(x, spec, classes: int, *, activation, init):
    """Apply the classification head, (N, H, W, C) -> (N, classes), float32; `spec.head`: a global pooling or "classic".

    "classic": two fully connected layers of 4096 units with dropout of 0.5 (Krizhevsky et al. 2012, sections 3.5, 4.2).
    """
    if spec.head == "classic":
        rate = 0.5 if spec.dropout is None else spec.dropout
        x = keras.layers.Flatten(name="head_flatten")(x)
        for i in (1, 2):
            x = dense_act(x, CLASSIC_WIDTH, activation=activation, init=init, dropout=rate, name=f"head_fc{i}")
    else:
        x = global_pool(x, spec.head)
        if spec.dropout:
            x = keras.layers.Dropout(spec.dropout, name="dropout")(x)
    return keras.layers.Dense(classes, kernel_initializer=init(), dtype="float32", name="logits")(x)
