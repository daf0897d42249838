"""What `cnnrecipes inspect` is asked to look at: a recipe, an architecture, or a trained run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from cnnrecipes import catalog, models
from cnnrecipes.data import pipeline
from cnnrecipes.data.sources import open_source
from cnnrecipes.errors import RecipeError, UnknownNameError
from cnnrecipes.recipe import Recipe
from cnnrecipes.run import Run, load
from cnnrecipes.training.loop import seeded

# Of the uniform noise, 0..255, that is looked at where there are no images.
NOISE_MEAN, NOISE_STD = 127.5, 255 / 12**0.5


class Subject(NamedTuple):
    """A model to look at, its name, and images for it: (N, H, W, C) 0..255, or None where there are none."""

    name: str
    model: keras.Model
    images: np.ndarray | None


def find(name: str, changes: Mapping[str, Any] | None = None, data: Any = None) -> Subject:
    """A subject by name.

    Args:
        name: a run folder or model.keras; an architecture, at the size it was published with; or a recipe.
        changes: dotted keys of a recipe, as {"model.norm": "group"}; an architecture takes those of `model`, and
            `data.image_size` and `data.channels`.
        data: whose images, size and classes; None: the recipe's own data. An architecture needs none.

    Raises:
        CNNRecipesError: nothing of that name, or what it names cannot be read or built.
    """
    changes = dict(changes or {})
    if Path(name).exists() and not name.endswith(".toml"):
        return _trained(Path(name), changes)
    if name in models.ARCHITECTURES:
        tables = {"name": name, "data": {"name": "-"}, "model": {"name": name}, "train": {"epochs": 1}}
        recipe = Recipe.from_dict(tables, name).change(**changes)
        return _untrained(recipe, data) if data is not None else _bare(recipe)
    if name not in catalog.names() and not name.endswith(".toml"):
        raise UnknownNameError("recipe, architecture or run", name, {*catalog.names(), *models.ARCHITECTURES})
    return _untrained(catalog.load(name).change(**changes), data)


def _bare(recipe: Recipe) -> Subject:
    """An architecture alone."""
    (height, width, channels), classes = models.find(recipe.model.name).setting
    height, width = recipe.data.size or (height, width)
    channels = recipe.data.channels or channels
    statistics = {"mean": [NOISE_MEAN] * channels, "std": [NOISE_STD] * channels}
    with seeded(recipe.train.seed):
        model = models.build(recipe.model, input_shape=(height, width, channels), classes=classes, **statistics)
    return Subject(recipe.name, model, None)


def _untrained(recipe: Recipe, data: Any) -> Subject:
    """A recipe's model as its training begins, and the first training images."""
    with open_source(data, recipe.data) as source:
        train, classes = source.split("train"), len(source.class_names)
        statistics = pipeline.split_statistics(train, recipe.data)
        with seeded(recipe.train.seed):
            shape = pipeline.image_shape(train, recipe.data)
            made = {"input_shape": shape, "classes": classes, **statistics.for_model}
            model = models.build(recipe.model, **made)
        images, _, weights = next(itertools.islice(pipeline.arrays(train, recipe.data, classes), 1))
    return Subject(recipe.name, model, images[weights > 0])


def _trained(path: Path, changes: Mapping[str, Any]) -> Subject:
    if changes:
        raise RecipeError(f"{path} is trained; its recipe cannot be changed any more, leave {', '.join(changes)} out")
    opened = load(path)
    artefact = opened.artefact if isinstance(opened, Run) else opened
    return Subject(path.stem, artefact.model, None)
