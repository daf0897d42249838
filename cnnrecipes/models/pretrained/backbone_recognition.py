"""Recognition of the backbone that the arrays of a weight file belong to, by their number of values."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from cnnrecipes.models.architecture_sizes import SIZES
from cnnrecipes.models.pretrained.weight_file_reader import LayerArrays
from cnnrecipes.models.registry import applications, find
from cnnrecipes.models.without_values import without_values
from cnnrecipes.recipe import schema


def owner(found: Sequence[LayerArrays]) -> dict[str, Any] | None:
    """Return the name, and the width multiplier if any, of the backbone with the number of values of a file.

    The file may have a linear head too. None: it belongs to no known backbone.
    """
    arrays = [array for one in found for array in one.arrays]
    total = sum(math.prod(array.shape) for array in arrays)
    kernels = {array.shape for array in arrays}
    for settings, backbone, channels in _sizes():
        # A linear head has a kernel (channels, classes) and a bias; the order of layers in a file may be another.
        heads = ((channels + 1) * shape[-1] for shape in kernels if shape[:-1] == (channels,))
        if total - backbone in (0, *heads):
            return settings
    return None


def stock(name: str, alpha: float) -> keras.Model:
    """Return the backbone of `keras.applications` at its least image size, with shapes but no values."""
    spec = schema.Model(name=name, alpha=alpha)
    application = find(name).own_application(spec)
    with without_values():
        return application.stock(spec, (application.least, application.least, 3))


def _sizes() -> Iterator[tuple[dict[str, Any], int, int]]:
    """Yield settings, parameters and output channels of all backbones; those with another width are built for it."""
    rows = {name: row for name, row in applications().items() if name in SIZES}
    for name, row in rows.items():
        yield {"name": name, **row.options}, SIZES[name].backbone, SIZES[name].channels
    for name, row in rows.items():
        for alpha in row.application.alphas if row.application else ():
            if alpha != row.options["alpha"]:
                yield {"name": name, "alpha": alpha}, *_size(name, alpha)


@functools.cache
def _size(name: str, alpha: float) -> tuple[int, int]:
    """Return parameters and output channels of a backbone of a width that `SIZES` does not list."""
    made = stock(name, alpha)
    return made.count_params(), made.output_shape[-1]
