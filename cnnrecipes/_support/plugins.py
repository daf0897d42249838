"""Plugins: modules outside of the package that register classes when they are imported."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from typing import TypeVar

from cnnrecipes.errors import RegistrationError, one_line

PLUGINS = "CNNRECIPES_PLUGINS"

Row = TypeVar("Row")


def import_plugins() -> None:
    """Import the modules that the environment variable CNNRECIPES_PLUGINS lists, separated by commas.

    Called when a name is looked up, never when a module of the package is imported, so that a plugin may import any of
    them. A module that is imported already, or whose import is in progress, is skipped.

    Raises:
        RegistrationError: a module cannot be imported, or registers an invalid class.
    """
    for name in filter(None, map(str.strip, os.environ.get(PLUGINS, "").split(","))):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise RegistrationError(
                f"cannot import the module {name!r} of {PLUGINS}: {one_line(error)}; correct the name, or add its "
                "folder to PYTHONPATH"
            ) from error
        except Exception as error:  # whatever the module raises: pydantic would report a ValueError as a recipe's
            raise RegistrationError(
                f"cannot import the module {name!r} of {PLUGINS}: {type(error).__name__}: {one_line(error)}; correct "
                "the module"
            ) from error


class WithPlugins(Mapping[str, Row]):
    """Read-only mapping of a registry's rows by name; imports the plugins for a missing name, and to list the names."""

    def __init__(self, rows: Mapping[str, Row]):
        self._rows = rows

    def __getitem__(self, name: str) -> Row:
        if name not in self._rows:
            import_plugins()
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        import_plugins()
        return iter(self._rows)

    def __len__(self) -> int:
        return sum(1 for _ in self)
