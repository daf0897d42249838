"""`import cnnrecipes` suffices for Keras to load a saved model with our layers, and does not import Keras itself."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys

LAYERS = "cnnrecipes.layers"


def register_layers_with_keras() -> None:
    """Import our layers, which registers them: now where Keras is already imported, else right after it is."""
    if "keras" in sys.modules:
        importlib.import_module(LAYERS)
    else:
        sys.meta_path.insert(0, _AfterKeras())


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Finds nothing itself; when Keras is looked for, lets it be found and imports our layers behind it."""

    def find_spec(self, fullname, path=None, target=None):
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

        spec.loader.exec_module = execute_and_register
        return spec
