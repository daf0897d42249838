"""Architecture: one row of the model registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cnnrecipes.errors import ModelError, RegistrationError
from cnnrecipes.models.pretrained.application import Application
from cnnrecipes.recipe import schema

# Options of every architecture, with their defaults.
COMMON = {"norm": "batch", "head": "average"}
# Keys of a recipe's `model` table that every architecture accepts.
ALWAYS = ("name", "weights", "norm_groups", "activation", "init", "dropout", *COMMON)
# The same for a backbone of keras.applications, whose layers cannot be chosen.
COMMON_OF_APPLICATIONS = {"head": "average"}
ALWAYS_OF_APPLICATIONS = ("name", "weights", "dropout", *COMMON_OF_APPLICATIONS)


class Setting(NamedTuple):
    """The input shape and number of classes that an architecture was published with."""

    input_shape: tuple[int, int, int]
    classes: int


IMAGENET = Setting((224, 224, 3), 1000)
CIFAR = Setting((32, 32, 3), 10)


@dataclass(frozen=True)
class Published:
    """A published number of trainable parameters, at the row's setting.

    Attributes:
        parameters: the exact count, or the rounded one as text in millions, for example "0.27".
        source: paper or library that states the count.
        options: options of the `model` table for which the count holds.
    """

    parameters: int | str
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def millions(self) -> str:
        """The count in millions as text: an exact count with two decimals, a published text unchanged."""
        return self.parameters if isinstance(self.parameters, str) else f"{self.parameters / 1e6:.2f}"

    def agrees(self, parameters: int) -> bool:
        """Return True if a count equals the published one, to the published digits."""
        if isinstance(self.parameters, int):
            return parameters == self.parameters
        digits = len(self.parameters.partition(".")[2])
        return f"{parameters / 1e6:.{digits}f}" == self.parameters


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One row of the model registry; see `cnnrecipes.models.register`.

    Attributes:
        features: `features(x, spec, factories)` builds the layers between the standardized images (N, H, W, C) and the
            head and returns the last feature map. `spec` is a `schema.Model` with all options filled in, `factories` a
            `layers.LayerFactories`. Layer names begin with "stem_", "stage1_", "stage2_" and so on, and "last_" for
            layers after the last stage: `models.stages` finds the stages by these names, also in a loaded model.
            None: those of `application`.
        options: the keys of a recipe's `model` table that the architecture has, with its own defaults.
        source: the paper.
        setting: the published input shape and number of classes.
        published: published parameter counts, the first that of the default options if there is one.
        application: the backbone of `keras.applications`, which includes its preprocessing; None: an architecture of
            this package, which `data.standardize` standardizes images for.
    """

    features: Callable[..., Any] | None = None
    options: Mapping[str, Any]
    source: str
    setting: Setting
    published: tuple[Published, ...] = ()
    application: Application | None = None

    def __post_init__(self):
        if (self.features is None) == (self.application is None):
            raise RegistrationError(
                f"the architecture of {self.source} has features and an application, or neither; give one of the two"
            )

    def feature_map(self, x, spec: schema.Model, factories: Any):
        """Return the last feature map: of the standardized images `x`, or of images 0..255 for an application."""
        return (self.features or self.own_application(spec).features)(x, spec, factories)

    def own_application(self, spec: schema.Model) -> Application:
        """Return the backbone of `keras.applications`. Raise ModelError for an architecture of this package."""
        if self.application is None:
            raise ModelError(f"{spec.name} is no backbone of keras.applications; `cnnrecipes models` lists those")
        return self.application

    @property
    def common(self) -> Mapping[str, Any]:
        """The options that the architecture shares with all of its kind, with their defaults."""
        return COMMON_OF_APPLICATIONS if self.application else COMMON

    @property
    def always(self) -> tuple[str, ...]:
        """The keys of a recipe's `model` table that the architecture accepts beside its own options."""
        return ALWAYS_OF_APPLICATIONS if self.application else ALWAYS

    def complete(self, spec: schema.Model) -> schema.Model:
        """Return `spec` with this architecture's defaults for unset options.

        Raises:
            ModelError: an option that the architecture does not have.
        """
        own = {**self.common, **self.options}
        unset = schema.Model(name=spec.name)
        for key in schema.Model.model_fields:
            value = getattr(spec, key)
            if key not in self.always and key not in own and value != getattr(unset, key):
                raise ModelError(
                    f"{spec.name} has no {key} to choose; leave model.{key} = {value!r} out "
                    f"(it has {', '.join(sorted({*own, *self.always} - {'name'}))})"
                )
        return spec.model_copy(update={key: value for key, value in own.items() if getattr(spec, key) is None})


def option(spec: schema.Model, key: str) -> Any:
    """Return an option of a completed spec. Raise ModelError if the architecture has no such option."""
    value = getattr(spec, key)
    if value is None:
        raise ModelError(f"the architecture {spec.name} has no default for {key}; add one to its registered options")
    return value


def check_stages(spec: schema.Model) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return depths and widths, one of each per stage. Raise ModelError if they do not have the same length."""
    depths, widths = option(spec, "depths"), option(spec, "widths")
    if len(depths) != len(widths):
        raise ModelError(
            f"{spec.name}: {len(depths)} stages in depths {list(depths)} but {len(widths)} in widths "
            f"{list(widths)}; give model.depths and model.widths of one length"
        )
    return depths, widths


def check_size(x, least: int, spec: schema.Model, halvings: str) -> None:
    """Raise ModelError if an image side of (N, H, W, C) has fewer than `least` pixels."""
    height, width = x.shape[1:3]
    if min(height, width) < least:
        raise ModelError(f"{spec.name} {halvings}; {height}x{width} is less than {least}x{least}: give larger images")
