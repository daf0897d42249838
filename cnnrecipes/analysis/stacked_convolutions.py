"""Comparison of one large convolution with a stack of 3x3 convolutions of the same receptive field."""

from __future__ import annotations

from numbers import Integral

import keras
import pandas as pd

from cnnrecipes.analysis.receptive_field import receptive_field
from cnnrecipes.errors import ModelError
from cnnrecipes.models.cost import cost

# name -> kernel sizes in order
STACKS = {
    "one 5x5": (5,),
    "two 3x3": (3, 3),
    "one 7x7": (7,),
    "three 3x3": (3, 3, 3),
}


def compare_stacks(channels: int = 64, size: int = 56) -> pd.DataFrame:
    """Compare stacks of convolutions with ReLU, from `channels` to `channels`, on a map of `size` x `size`.

    Simonyan & Zisserman 2014, section 2.3: three 3x3 convolutions have the receptive field of one 7x7, with 27 C^2
    instead of 49 C^2 parameters (without biases) and three nonlinearities instead of one.

    Returns:
        one row per stack, with its name as index: parameters, multiply_adds (for one map), nonlinearities, and field,
        the receptive field in pixels after each convolution, for example "3 -> 5 -> 7".

    Raises:
        ModelError: `channels` or `size` is not a positive integer.
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
