"""File format of the artifact `model.keras`: a Keras file with one additional entry, cnnrecipes.json.

All layers are built-in Keras layers, so Keras without cnnrecipes loads it as well; only blur pooling is a custom layer
and needs `import cnnrecipes`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras

from cnnrecipes._support import keras_settings
from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes._support.plugins import import_plugins
from cnnrecipes.errors import CNNRecipesError, RunError
from cnnrecipes.layers import with_fast_norms, with_keras_norms
from cnnrecipes.recipe.schema import Recipe

ENTRY = "cnnrecipes.json"
# Maximum size of that entry in bytes; 1,000 class names and a recipe take about 30 KiB.
MAX_ENTRY = 16 * 2**20


class Content(NamedTuple):
    """The content of an artifact file."""

    model: keras.Model
    recipe: Recipe
    class_names: Sequence[str]


def write(path: Path, content: Content) -> None:
    """Write the file atomically. Raises WriteError."""
    about = {"format": 1, "class_names": content.class_names, "recipe": content.recipe.to_dict()}

    def fill(beside: Path) -> None:
        with_keras_norms(content.model).save(beside)
        with zipfile.ZipFile(beside, "a") as archive:
            archive.writestr(ENTRY, json.dumps(about, indent=2))

    write_whole(path, fill)


def read(path: Path) -> Content:
    """Read and check an artifact file.

    Raises:
        RunError: the file is missing, damaged, or not an artifact of cnnrecipes.
        RegistrationError: a plugin cannot be imported.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = _about(archive)
            if (bad := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"its part {bad} is damaged")
        import_plugins()  # they may register layers of the model with Keras
        recipe = Recipe.recorded(about["recipe"], str(path))
        with keras_settings.float32():
            model = with_fast_norms(keras.saving.load_model(path, compile=False))
        _check_model(model, about["class_names"])
        return Content(model, recipe, about["class_names"])
    except FileNotFoundError:
        raise RunError(f"no model at {str(path)!r}; give the folder of a finished run, or its model.keras") from None
    except CNNRecipesError:
        raise
    except Exception as error:  # damaged files raise different exceptions in zipfile, json, h5py and Keras
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise RunError(
            f"{str(path)!r} is not a valid model of cnnrecipes ({what}); restore it from a copy, or train again"
        ) from error


def _about(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the content of cnnrecipes.json. Raises ValueError if it is too large or not as `save` writes it."""
    declared = archive.getinfo(ENTRY).file_size
    if declared > MAX_ENTRY:
        raise ValueError(f"its {ENTRY} has {declared:,} bytes, at most {MAX_ENTRY:,} are allowed")
    with archive.open(ENTRY) as entry:
        content = entry.read(MAX_ENTRY + 1)  # the declared size may be wrong
    if len(content) > MAX_ENTRY:
        raise ValueError(f"its {ENTRY} has more than {MAX_ENTRY:,} bytes")
    about = json.loads(content)
    if not isinstance(about, dict) or not {"class_names", "recipe"} <= about.keys():
        raise ValueError(f"its {ENTRY} has no class_names and recipe")
    names = about["class_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"the class_names in its {ENTRY} are not a list of strings")
    if len(set(names)) != len(names):
        raise ValueError(f"the class_names in its {ENTRY} repeat a name")
    if not isinstance(about["recipe"], dict):
        raise ValueError(f"the recipe in its {ENTRY} is not a table")
    return about


def _check_model(model: keras.Model, names: Sequence[str]) -> None:
    """Raise ValueError unless the model takes images of one size and returns one logit per class name."""
    if len(model.inputs) != 1 or len(model.input_shape) != 4 or None in model.input_shape[1:]:
        raise ValueError(f"its model takes {model.input_shape}, not images (N, H, W, C) of one size")
    if model.output_shape != (None, len(names)):
        raise ValueError(
            f"it has {len(names)} class names, and its model gives {model.output_shape}, not one logit each"
        )
