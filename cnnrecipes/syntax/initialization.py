"""Weight initializations in recipe syntax: `"he_normal"`, `"he_normal(0.5)"`, `"fixed(0.01)"`.

`layers/initializers.py` converts them to Keras initializers.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from cnnrecipes.errors import RecipeError, UnknownNameError

# scale and fan of Keras' VarianceScaling, and its distribution: variance = scale / fan
SCALED = {
    "he_normal": (2.0, "fan_in", "truncated_normal"),
    "he_uniform": (2.0, "fan_in", "uniform"),
    "glorot_normal": (1.0, "fan_avg", "truncated_normal"),
    "glorot_uniform": (1.0, "fan_avg", "uniform"),
    "lecun_normal": (1.0, "fan_in", "truncated_normal"),
    "lecun_uniform": (1.0, "fan_in", "uniform"),
}
NAMES = (*SCALED, "fixed")


class Initialization(NamedTuple):
    """Name and factor of the standard deviation, `he_normal(0.5)`; of `fixed(0.01)` the standard deviation itself."""

    name: str
    value: float


def parse(text: str) -> Initialization:
    """Parse an initialization; without a value the factor is 1.

    Raises:
        UnknownNameError: the name is not in NAMES.
        RecipeError: invalid syntax, or a value that is not a positive number.
    """
    if not isinstance(text, str):
        raise RecipeError(
            f"the initialization is {text!r}, of type {type(text).__name__}; give a string, for example 'he_normal' or "
            "'fixed(0.01)'"
        )
    found = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*([^()]*?)\s*\))?\s*", text)
    if found is None:
        raise RecipeError(
            f"cannot read the initialization {text!r}; write it as he_normal, he_normal(0.5) or fixed(0.01)"
        )
    name, given = found.groups()
    if name not in NAMES:
        raise UnknownNameError("initialization", name, NAMES)
    if given is None and name == "fixed":
        raise RecipeError("fixed needs its standard deviation; write fixed(0.01)")
    try:
        value = 1.0 if given is None else float(given)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise RecipeError(f"{text!r}: {given!r} is not a positive number; write it as {name}(0.5)")
    return Initialization(name, value)
