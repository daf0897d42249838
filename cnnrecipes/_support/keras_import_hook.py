"""Import hook on Keras: the module that registers custom layers is imported right after Keras, whenever that is."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys


def import_after_keras(module: str) -> None:
    """Import a module: now if Keras is imported, else by an import hook right after Keras.

    Args:
        module: full name of a module that registers classes with Keras, for example "cnnrecipes.layers".
    """
    if "keras" in sys.modules:
        importlib.import_module(module)
    else:
        sys.meta_path.insert(0, _AfterKeras(module))


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Meta path finder that imports a module right after Keras, once; other finders locate Keras itself."""

    def __init__(self, module: str):
        self._module = module

    def find_spec(self, fullname, path=None, target=None):
        """Return the spec of Keras with a loader that imports the other module too; None for other modules."""
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module) -> None:
            execute(module)
            importlib.import_module(self._module)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]  # of this one loader
        return spec
