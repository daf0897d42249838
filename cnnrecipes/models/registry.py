"""Registry of architectures by name."""

from __future__ import annotations

from collections.abc import Mapping

from cnnrecipes._support.plugins import WithPlugins
from cnnrecipes.errors import RegistrationError, UnknownNameError
from cnnrecipes.models.architecture import Architecture
from cnnrecipes.recipe import schema

_ROWS: dict[str, Architecture] = {}
# The registered architectures by name, with those of plugins; read-only, `register` adds to it.
ARCHITECTURES: Mapping[str, Architecture] = WithPlugins(_ROWS)


def register(name: str, architecture: Architecture, *, replace: bool = False) -> Architecture:
    """Register an architecture under the name that recipes and `build` use, and return it.

    Args:
        replace: overwrite an architecture of this name, for example when a notebook cell runs again.

    Raises:
        RegistrationError: the name is taken, or an option is not a key of a recipe's `model` table.
    """
    if name in _ROWS and not replace:
        raise RegistrationError(
            f"an architecture {name!r} is registered already; choose another name, or give replace=True"
        )
    if unknown := set(architecture.options) - set(schema.Model.model_fields):
        raise RegistrationError(
            f"architecture {name!r} has options {sorted(unknown)}, which are not keys of a recipe's model table; "
            f"use {', '.join(schema.Model.model_fields)}"
        )
    _ROWS[name] = architecture
    return architecture


def find(name: str) -> Architecture:
    """Return an architecture by name. Raises UnknownNameError listing the nearest names."""
    if name not in ARCHITECTURES:
        raise UnknownNameError("model", name, ARCHITECTURES)
    return ARCHITECTURES[name]


def keras_twin(name: str) -> str | None:
    """Return the name of Keras' own variant of an architecture of this package, which has ImageNet weights, or None."""
    twin = f"keras_{name}"
    return twin if twin in ARCHITECTURES else None


def own_architectures() -> dict[str, Architecture]:
    """Return the architectures without the backbones of `keras.applications`: of this package and of plugins."""
    return {name: row for name, row in ARCHITECTURES.items() if row.application is None}


def applications() -> dict[str, Architecture]:
    """Return the backbones of `keras.applications`."""
    return {name: row for name, row in ARCHITECTURES.items() if row.application is not None}
