"""Weight initializers by name."""

from __future__ import annotations

from collections.abc import Callable

import keras

from cnnrecipes.syntax import initialization

InitializerFactory = Callable[[], keras.Initializer]


def initializer(kind: str | InitializerFactory) -> InitializerFactory:
    """Return an initializer factory: call it once per layer, so that no two layers start with the same weights.

    | kind                             | standard deviation of a weight          | source                      |
    |----------------------------------|-----------------------------------------|-----------------------------|
    | he_normal, he_uniform            | sqrt(2 / fan_in)                        | He et al. 2015b, eq. 10     |
    | glorot_normal, glorot_uniform    | sqrt(2 / (fan_in + fan_out))            | Glorot & Bengio 2010, eq. 12 |
    | lecun_normal, lecun_uniform      | sqrt(1 / fan_in)                        | LeCun et al. 1998, section 4.6 |
    | name(f)                          | that of `name`, times f                 |                             |
    | fixed(s)                         | s, independent of the layer's size            |                             |

    Args:
        kind: a name of the table; a user-defined factory, which is returned unchanged; or a Keras initializer, of which
            each layer gets a copy with its own random numbers.

    Raises:
        UnknownNameError, RecipeError: no such name, or a value that is not a positive number.
    """
    if isinstance(kind, keras.Initializer):
        config = kind.get_config()
        return lambda: type(kind).from_config({**config, "seed": None} if "seed" in config else config)
    if callable(kind):
        return kind
    name, value = initialization.parse(kind)
    if name == "fixed":
        return lambda: keras.initializers.RandomNormal(stddev=value)
    if value == 1.0:  # Keras' own class, so that a saved model names "he_normal"
        return lambda: keras.initializers.get(name)
    scale, fan, distribution = initialization.SCALED[name]
    return lambda: keras.initializers.VarianceScaling(scale * value**2, fan, distribution)
