"""Grouping of layer calls into stages, by layer name or else by feature map size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import keras

from cnnrecipes.analysis.graph import Call
from cnnrecipes.errors import ModelError

# More stages by name than this are blocks, as EfficientNet's "block1a" to "block7d".
MOST_STAGES = 12


def stages(found: Sequence[Call]) -> list[str]:
    """The stage of every call of `calls(model)`.

    By name, "stage2" of "stage2_block1_conv1", if each name's calls stand together and at least one has several.
    Else by the output's size, "28x28"; what has no size or one pixel only is of its source's stage, or of "head"
    behind the last feature map. Inputs are "input".
    """
    named = [call.stage for call in found]
    runs = [name for name, _ in groupby(named)]
    if len(runs) == len(set(runs)) < min(len(found), MOST_STAGES + 1):
        return named
    return _by_size(found)


def require_sizes(model: keras.Model, found: Sequence[Call]) -> None:
    """Raise ModelError where a size of an activation is unknown."""
    for call in found:
        if any(None in tensor.shape[1:] for tensor in call.node.output_tensors):
            raise ModelError(
                f"{model.name}: layer {call.name!r} has the output shape {call.output_shape}; "
                "build the model with a fixed input shape, as (224, 224, 3)"
            )


def is_map(shape: Sequence[int | None]) -> bool:
    """Return whether a shape is (N, H, W, C) with more than one pixel."""
    return len(shape) == 4 and tuple(shape[1:3]) != (1, 1)


def _by_size(found: Sequence[Call]) -> list[str]:
    last_map = max((i for i, call in enumerate(found) if is_map(call.output_shape)), default=-1)
    labels: list[str] = []
    for i, call in enumerate(found):
        if not call.sources:
            labels.append("input")
        elif i > last_map:
            labels.append("head")
        elif is_map(call.output_shape):
            labels.append("{}x{}".format(*call.output_shape[1:3]))
        else:
            labels.append(labels[call.sources[0]])
    # Padding makes a size of its own, which is no stage: it is of the layer it pads for.
    for i, call in reversed(list(enumerate(found))):
        if isinstance(call.layer, keras.layers.ZeroPadding2D):
            labels[i] = next((labels[k] for k in range(i + 1, len(found)) if i in found[k].sources), labels[i])
    return labels
