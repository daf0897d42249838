"""cnnrecipes: design, train, debug and hand over an image-classification CNN in Keras 3.

>>> import cnnrecipes as cr
>>> run = cr.fit("resnet8_digits")          # doctest: +SKIP
>>> run.predict("photo.jpg")                # doctest: +SKIP

The names below are imported when they are first used, so that `import cnnrecipes` is quick and imports no TensorFlow.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from types import ModuleType
from typing import Any

from cnnrecipes._support import keras_settings
from cnnrecipes._support.keras_registration import register_layers_with_keras

__version__ = "0.1.0"

# TensorFlow leaves its oneDNN kernels off on some x86 processors where they are faster all the same: see
# benchmarks/README.md. It reads this when it is imported; a value that is already set stays.
if platform.machine().lower() in ("x86_64", "amd64") and "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

register_layers_with_keras()

_PUBLIC = {
    "fit": "cnnrecipes.fit",
    "resume": "cnnrecipes.fit",
    "extend": "cnnrecipes.fit",
    "resume_check": "cnnrecipes.verify.resume_check",
    "load": "cnnrecipes.runs.run",
    "Run": "cnnrecipes.runs.run",
    "Artefact": "cnnrecipes.runs.artifact",
    "Prediction": "cnnrecipes.runs.artifact",
    "build": "cnnrecipes.models",
    "check_data": "cnnrecipes.data.audit.check",
    "load_state_dict": "cnnrecipes.models.torch_weights",
    "Recipe": "cnnrecipes.recipe.schema",
    "CNNRecipesError": "cnnrecipes.errors",
    "CNNRecipesWarning": "cnnrecipes.errors",
    "RecipeError": "cnnrecipes.errors",
    "UnknownNameError": "cnnrecipes.errors",
    "DataError": "cnnrecipes.errors",
    "ModelError": "cnnrecipes.errors",
    "TrainingError": "cnnrecipes.errors",
    "RunError": "cnnrecipes.errors",
    "WriteError": "cnnrecipes.errors",
    "OutOfMemory": "cnnrecipes.errors",
    "KerasSettingError": "cnnrecipes.errors",
    "Interrupted": "cnnrecipes.errors",
}

_MODULES = ("analysis", "experiments", "layers")
# Of these rooms alone nothing imports Keras.
_WITHOUT_KERAS = ("cnnrecipes.errors", "cnnrecipes.recipe.schema")

__all__ = [*_PUBLIC, *_MODULES, "recipes"]


def recipes() -> list[str]:
    """The names of the shipped recipes."""
    from cnnrecipes.recipe import catalog

    return catalog.names()


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        _import_tensorflow()
        return importlib.import_module(f"cnnrecipes.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'cnnrecipes' has no attribute {name!r}")
    if _PUBLIC[name] not in _WITHOUT_KERAS:
        _import_tensorflow()
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def _import_tensorflow() -> None:
    """Check Keras' backend, and import TensorFlow, if nobody has yet, without the log that it begins with."""
    keras_settings.check_backend()
    if "tensorflow" not in sys.modules:
        from cnnrecipes._support.console import import_tensorflow

        import_tensorflow(devices=False)


class _Package(ModuleType):
    """Keeps the public functions where a module has the same name: `cr.fit` is the function of `cnnrecipes/fit.py`."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):  # which an import of the module would set
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    """The public names, for completion; modules and helpers are left out."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
