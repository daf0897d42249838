"""Plugins: modules outside of the package that register classes when they are imported."""

from __future__ import annotations

import importlib
import os

from cnnrecipes.errors import RegistrationError, one_line

PLUGINS = "CNNRECIPES_PLUGINS"


def import_plugins() -> None:
    """Import the modules that the environment variable CNNRECIPES_PLUGINS lists, separated by commas.

    Raises:
        RegistrationError: a module cannot be imported.
    """
    for name in filter(None, map(str.strip, os.environ.get(PLUGINS, "").split(","))):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise RegistrationError(
                f"cannot import the module {name!r} of {PLUGINS}: {one_line(error)}; correct the name, or add its "
                "folder to PYTHONPATH"
            ) from error
