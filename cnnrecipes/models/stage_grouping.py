"""Grouping of layer calls into stages, by layer name or by feature map size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import keras

from cnnrecipes.errors import ModelError
from cnnrecipes.models.graph import Call

# More names than this are blocks rather than stages, for example "block1a" to "block7d" of EfficientNet.
MOST_STAGES = 12


def stages(found: Sequence[Call]) -> list[str]:
    """Return the stage of every call of `calls(model)`.

    By layer name ("stage2" for "stage2_block1_conv1") if the calls of each stage are consecutive and a stage has
    several calls. Otherwise by output size ("28x28"); calls without a size or with one pixel belong to the stage of
    their input, or to "head" after the last feature map. Inputs are "input".
    """
    named = [call.stage for call in found]
    runs = [name for name, _ in groupby(named)]
    if len(runs) == len(set(runs)) < min(len(found), MOST_STAGES + 1):
        return named
    return _by_size(found)


def require_sizes(model: keras.Model, found: Sequence[Call]) -> None:
    """Raise ModelError if the size of an activation is unknown."""
    for call in found:
        if any(None in tensor.shape[1:] for tensor in call.node.output_tensors):
            raise ModelError(
                f"{model.name}: layer {call.name!r} has the output shape {call.output_shape}; "
                "build the model with a fixed input shape, for example (224, 224, 3)"
            )


def is_map(shape: Sequence[int | None]) -> bool:
    """Return True for a shape (N, H, W, C) unless H = W = 1; unknown sizes (None) count as larger."""
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
    # Padding has a size of its own, but belongs to the stage of the layer that uses it.
    for i, call in reversed(list(enumerate(found))):
        if isinstance(call.layer, keras.layers.ZeroPadding2D):
            labels[i] = next((labels[k] for k in range(i + 1, len(found)) if i in found[k].sources), labels[i])
    return labels
