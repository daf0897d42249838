"""Lazy registration of the custom layers with Keras: `import cnnrecipes` registers them without importing Keras."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys

LAYERS = "cnnrecipes.layers"


def register_layers_with_keras() -> None:
    """Register the custom layers by importing them: now if Keras is imported, else by an import hook after Keras."""
    if "keras" in sys.modules:
        importlib.import_module(LAYERS)
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Meta path finder that imports the custom layers right after Keras, once; other finders locate Keras itself."""

    def find_spec(self, fullname, path=None, target=None):
        """Return the spec of Keras with a loader that imports the layers too; None for other modules."""
        if fullname != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module) -> None:
            execute(module)
            importlib.import_module(LAYERS)

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]  # of this one loader
        return spec
