"""Comparison of one large convolution with a stack of 3x3 convolutions of the same receptive field."""

from __future__ import annotations

from numbers import Integral

import keras
import pandas as pd

from cnnrecipes.analysis.cost import cost
from cnnrecipes.analysis.receptive_field import receptive_field
from cnnrecipes.errors import ModelError

# name -> kernel sizes, one after the other
STACKS = {
    "one 5x5": (5,),
    "two 3x3": (3, 3),
    "one 7x7": (7,),
    "three 3x3": (3, 3, 3),
}


def compare_stacks(channels: int = 64, size: int = 56) -> pd.DataFrame:
    """Stacks of convolutions from `channels` to `channels` on a map of `size` x `size`, each with its ReLU.

    Simonyan & Zisserman 2014, section 2.3: three 3x3 convolutions see 7x7 as one 7x7 does, with 27 C^2 parameters
    instead of 49 C^2, and three nonlinearities instead of one. Biases are left out, as there.

    Returns:
        a row a stack, with its name as index: parameters, multiply_adds (of one map), nonlinearities, and field,
        the receptive field in pixels behind each convolution, as "3 -> 5 -> 7".

    Raises:
        ModelError: channels or a size that are not positive integers.
    """
    for name, value in (("channels", channels), ("size", size)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise ModelError(f"{name} is {value!r}; give a positive integer")
    return pd.DataFrame.from_dict(
        {name: _measure(_stack(kernels, channels, size)) for name, kernels in STACKS.items()}, orient="index"
    )


def _stack(kernels: tuple[int, ...], channels: int, size: int) -> keras.Model:
    x = maps = keras.Input((size, size, channels))
    for kernel in kernels:
        x = keras.layers.Conv2D(channels, kernel, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(x)
    return keras.Model(maps, x)


def _measure(model: keras.Model) -> dict[str, int | str]:
    layers = cost(model)
    fields = receptive_field(model).query("type == 'Conv2D'")["size"]
    return {
        "parameters": layers.attrs["parameters"],
        "multiply_adds": layers.attrs["multiply_adds"],
        "nonlinearities": int((layers["type"] == "ReLU").sum()),
        "field": " -> ".join(str(height) for height, _ in fields),
    }
