"""Architecture rows of the model registry: the feature extractor and its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cnnrecipes.errors import ModelError
from cnnrecipes.recipe import schema

# Options of every architecture, with their defaults.
COMMON = {"norm": "batch", "head": "average"}
# Keys of a recipe's `model` table that every architecture accepts.
ALWAYS = ("name", "norm_groups", "activation", "init", "dropout", *COMMON)


class Setting(NamedTuple):
    """The input shape and number of classes that an architecture was published with."""

    input_shape: tuple[int, int, int]
    classes: int


IMAGENET = Setting((224, 224, 3), 1000)
CIFAR = Setting((32, 32, 3), 10)


class Architecture(NamedTuple):
    """An architecture of the model registry.

    `features(x, spec, conv=, norm=, activation=, pool=)` builds the layers between the input and the head. `own` maps
    the options of the architecture to their defaults.
    """

    features: Callable[..., Any]
    own: Mapping[str, Any]
    source: str  # the paper
    setting: Setting

    def complete(self, spec: schema.Model) -> schema.Model:
        """Return `spec` with this architecture's defaults for unset options.

        Raises:
            ModelError: an option that the architecture does not have.
        """
        own = {**COMMON, **self.own}
        unset = schema.Model(name=spec.name)
        for key in schema.Model.model_fields:
            value = getattr(spec, key)
            if key not in ALWAYS and key not in own and value != getattr(unset, key):
                raise ModelError(
                    f"{spec.name} has no {key} to choose; leave model.{key} = {value!r} out "
                    f"(it has {', '.join(sorted({*own, *ALWAYS} - {'name'}))})"
                )
        return spec.model_copy(update={key: value for key, value in own.items() if getattr(spec, key) is None})


def check_stages(spec: schema.Model) -> None:
    """Raise ModelError if depths and widths do not have the same length."""
    if len(spec.depths) != len(spec.widths):
        raise ModelError(
            f"{spec.name}: {len(spec.depths)} stages in depths {list(spec.depths)} but {len(spec.widths)} in widths "
            f"{list(spec.widths)}; give model.depths and model.widths of one length"
        )


def check_size(x, least: int, spec: schema.Model, halvings: str) -> None:
    """Raise ModelError if an image side of (N, H, W, C) has fewer than `least` pixels."""
    height, width = x.shape[1:3]
    if min(height, width) < least:
        raise ModelError(f"{spec.name} {halvings}; {height}x{width} is less than {least}x{least}")
