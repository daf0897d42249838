"""Architecture families: one module each, found by name; importing a module registers its architectures."""

from __future__ import annotations

import importlib
import pkgutil


def load() -> None:
    """Import every module of this package, in alphabetical order."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
