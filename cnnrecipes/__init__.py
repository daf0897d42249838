"""cnnrecipes: design, train, debug and ship image-classification CNNs in Keras 3 on TensorFlow.

>>> import cnnrecipes as cr
>>> run = cr.fit("resnet8_digits")          # doctest: +SKIP
>>> run.predict("photo.jpg")                # doctest: +SKIP

The public names are imported lazily, so that `import cnnrecipes` is fast and does not import TensorFlow.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from types import ModuleType
from typing import Any

from cnnrecipes._support import keras_settings
from cnnrecipes._support.keras_import_hook import import_after_keras

__version__ = "0.1.0"

# TensorFlow disables oneDNN kernels by default on some x86 processors where they are faster: see
# benchmarks/README.md. It reads this variable at import; a value set by the user is kept.
if platform.machine().lower() in ("x86_64", "amd64") and "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import_after_keras("cnnrecipes.layers")  # the custom layers

_PUBLIC = {
    "fit": "cnnrecipes.fit",
    "resume": "cnnrecipes.fit",
    "extend": "cnnrecipes.fit",
    "compare": "cnnrecipes.compare",
    "compare_runs": "cnnrecipes.compare",
    "compare_heads": "cnnrecipes.comparison.compare_heads",
    "Comparison": "cnnrecipes.compare",
    "training_curve": "cnnrecipes.comparison.learning_curve_by_training",
    "launch": "cnnrecipes.training.distributed.launcher",
    "diagnose": "cnnrecipes.debug.diagnose",
    "resume_check": "cnnrecipes.verify.resume_check",
    "profile": "cnnrecipes.debug.profile",
    "plot_profile": "cnnrecipes.debug.profile_plot",
    "write_profile": "cnnrecipes.debug.profile_plot",
    "find_batch_size": "cnnrecipes.debug.batch_size",
    "plot_watch": "cnnrecipes.debug.watch_plot",
    "write_watch": "cnnrecipes.debug.watch_plot",
    "label_issues": "cnnrecipes.debug.label_issues",
    "write_label_issues": "cnnrecipes.debug.label_issues",
    "sanity": "cnnrecipes.debug.sanity",
    "overfit": "cnnrecipes.debug.overfit",
    "load": "cnnrecipes.runs.run",
    "Run": "cnnrecipes.runs.run",
    "Artifact": "cnnrecipes.runs.trained_model",
    "Prediction": "cnnrecipes.runs.trained_model",
    "Predictions": "cnnrecipes.runs.predictions",
    "classification_metrics": "cnnrecipes.runs.classification_metrics",
    "per_class": "cnnrecipes.runs.classification_metrics",
    "calibration": "cnnrecipes.runs.calibration",
    "coverage": "cnnrecipes.runs.calibration",
    "fit_temperature": "cnnrecipes.runs.calibration",
    "threshold_for": "cnnrecipes.runs.calibration",
    "build": "cnnrecipes.models",
    "check_data": "cnnrecipes.data.audit.report",
    "write_data_report": "cnnrecipes.data.audit.report",
    "write_report": "cnnrecipes.report.writing",
    "write_comparison": "cnnrecipes.report.comparison",
    "find_lr": "cnnrecipes.debug.find_lr",
    "rate_grid": "cnnrecipes.debug.rate_grid",
    "tune": "cnnrecipes.tuning.tune",
    "resume_search": "cnnrecipes.tuning.tune",
    "Search": "cnnrecipes.tuning.search",
    "HyperRecipe": "cnnrecipes.tuning.hyper_recipe",
    "load_state_dict": "cnnrecipes.models.torch_weights",
    "cache_contents": "cnnrecipes._support.cache_contents",
    "clear_cache": "cnnrecipes._support.cache_contents",
    "Recipe": "cnnrecipes.recipe.schema",
    "CNNRecipesError": "cnnrecipes.errors",
    "CNNRecipesWarning": "cnnrecipes.errors",
    "RecipeError": "cnnrecipes.errors",
    "RegistrationError": "cnnrecipes.errors",
    "UnknownNameError": "cnnrecipes.errors",
    "DataError": "cnnrecipes.errors",
    "ModelError": "cnnrecipes.errors",
    "TrainingError": "cnnrecipes.errors",
    "RunError": "cnnrecipes.errors",
    "WriteError": "cnnrecipes.errors",
    "NonFinite": "cnnrecipes.errors",
    "OutOfMemory": "cnnrecipes.errors",
    "DiskFull": "cnnrecipes.errors",
    "CacheError": "cnnrecipes.errors",
    "KerasSettingError": "cnnrecipes.errors",
    "Interrupted": "cnnrecipes.errors",
}

_MODULES = ("analysis", "debug", "experiments", "explain", "layers", "models", "report", "transfer")
# Modules that need neither Keras nor TensorFlow.
_WITHOUT_KERAS = (
    "cnnrecipes.errors",
    "cnnrecipes._support.cache_contents",
    "cnnrecipes.recipe.schema",
    "cnnrecipes.training.distributed.launcher",
)

__all__ = [*_PUBLIC, *_MODULES, "recipes"]


def recipes() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
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
    """Check the Keras backend and import TensorFlow, if not yet imported, without its startup log messages."""
    keras_settings.check_backend()
    if "tensorflow" not in sys.modules:
        from cnnrecipes._support.console import import_tensorflow

        import_tensorflow(devices=False)


class _Package(ModuleType):
    """Module type whose public functions are not shadowed by submodules: `cr.fit` is the function, not the module."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):  # importing a submodule sets it as an attribute
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    """Return the public names, for tab completion; submodules and private helpers are omitted."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
