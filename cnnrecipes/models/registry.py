"""Registry of architectures by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cnnrecipes.errors import RegistrationError, UnknownNameError
from cnnrecipes.models.architecture import Architecture
from cnnrecipes.recipe import schema

_ROWS: dict[str, Architecture] = {}
# The registered architectures by name; read-only, `register` adds to it.
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(_ROWS)


def register(name: str, architecture: Architecture, *, replace: bool = False) -> Architecture:
    """Add an architecture to the registry, under the name that recipes and `build` use. Returns the architecture.

    Args:
        replace: overwrite an architecture of this name, for example when a notebook cell runs again.

    Raises:
        RegistrationError: the name is taken, or an option is no key of a recipe's `model` table.
    """
    if name in _ROWS and not replace:
        raise RegistrationError(
            f"an architecture {name!r} is registered already; choose another name, or give replace=True"
        )
    if unknown := set(architecture.options) - set(schema.Model.model_fields):
        raise RegistrationError(
            f"architecture {name!r} has options {sorted(unknown)}, which are no keys of a recipe's model table; "
            f"use {', '.join(schema.Model.model_fields)}"
        )
    _ROWS[name] = architecture
    return architecture


def find(name: str) -> Architecture:
    """Return an architecture by name. Raises UnknownNameError listing the nearest names."""
    if name not in ARCHITECTURES:
        raise UnknownNameError("model", name, ARCHITECTURES)
    return ARCHITECTURES[name]
