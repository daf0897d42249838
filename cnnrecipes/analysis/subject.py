"""The model to inspect: resolves a recipe, an architecture or a trained run to a model and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from cnnrecipes import models
from cnnrecipes._support.figures import label_words
from cnnrecipes.data import batching
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.readable import open_readable, open_readable_for_evaluation, warn_unreadable
from cnnrecipes.data.sources.data_source import Absent
from cnnrecipes.data.sources.opening import UNSPLIT, absent
from cnnrecipes.data.sources.source import Source, Split
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import DataError, RecipeError, UnknownNameError, one_line
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Data, Recipe
from cnnrecipes.runs.run import Run, load
from cnnrecipes.training.seeding import seeded

# Of the uniform noise, 0..255, that is looked at where there are no images.
NOISE_MEAN, NOISE_STD = 127.5, 255 / 12**0.5
_IMAGES = 16
_OWN_IMAGES = "--data (data=) draws with images of your own"


class Subject(NamedTuple):
    """A model to look at, its name, and images for it: (N, H, W, C) 0..255, or None where there are none.

    `noise`: a line for the user where there are none: that noise takes their place, and how to look with images.
    `first`: which image the first one is, for the title of a picture of it.
    """

    name: str
    model: keras.Model
    images: np.ndarray | None
    noise: str = ""
    first: str = ""


def find(name: str, changes: Mapping[str, Any] | None = None, data: Any = None, classes: int | None = None) -> Subject:
    """A subject by name. Nothing is downloaded: data that is not on this machine is replaced by noise.

    Args:
        name: a run folder or model.keras; an architecture, at the size it was published with; or a recipe.
        changes: dotted keys of a recipe, as {"model.norm": "group"}; an architecture takes those of `model`, and
            `data.image_size` and `data.channels`.
        data: whose images, size and classes; None: the recipe's own data. An architecture needs none. Of a trained
            run: whose images.
        classes: how many, instead of data: with noise.

    Raises:
        CNNRecipesError: nothing of that name, or what it names cannot be read or built; the data is not on this
            machine and its classes or its size are not known.
    """
    changes = dict(changes or {})
    if classes is not None and classes < 2:
        raise DataError(f"classes = {classes}; a classifier has at least 2")
    if classes is not None and data is not None:
        raise DataError(f"give data ({data!r}) or classes ({classes}), not both: data brings its own")
    if Path(name).exists() and not name.endswith(".toml"):
        if classes is not None:
            raise RecipeError(f"{name} is trained, for the classes it knows; leave classes out")
        return _trained(Path(name), changes, data)
    if name in models.ARCHITECTURES:
        tables = {"name": name, "data": {"name": "-"}, "model": {"name": name}, "train": {"epochs": 1}}
        recipe = Recipe.from_dict(tables, name).change(**changes)
        return _bare(recipe, classes) if data is None else _of_recipe(recipe, data)
    if name not in catalog.names() and not name.endswith(".toml"):
        raise UnknownNameError("recipe, architecture or run", name, {*catalog.names(), *models.ARCHITECTURES})
    return _of_recipe(catalog.load(name).change(**changes), data, classes)


def _bare(recipe: Recipe, classes: int | None) -> Subject:
    """An architecture alone."""
    (height, width, channels), published = models.find(recipe.model.name).setting
    height, width = recipe.data.size or (height, width)
    shape = (height, width, recipe.data.channels or channels)
    model = _model(recipe, shape, classes or published, _noise_statistics(shape[2]))
    return Subject(recipe.name, model, None, f"drawn with noise; {_OWN_IMAGES}")


def _of_recipe(recipe: Recipe, data: Any, classes: int | None = None) -> Subject:
    """A recipe's model as its training begins, with images of its data, or noise where that is not here."""
    missing = absent(recipe.data.name if data is None else data)
    if missing is None and classes is not None:
        raise DataError(f"the data of {recipe.name}, {recipe.data.name!r}, brings its classes; leave classes out")
    # A path that is given is meant to be there, and opening it says what is wrong; a recipe's own may be a user's.
    if missing is None or (data is not None and not missing.remedy):
        return _with_images(recipe, data)
    return _with_noise(recipe, missing, classes)


def _with_images(recipe: Recipe, data: Any) -> Subject:
    with InputPipeline.open(recipe, data) as pipeline:
        warn_unreadable(pipeline.unreadable, pipeline.images(*pipeline.source.splits))
        with seeded(recipe.train.seed):
            model = models.build(recipe.model, **pipeline.for_model)
        images, first = _own_images(pipeline.source, recipe.data)
        return Subject(recipe.name, model, images, first=first)


def _with_noise(recipe: Recipe, missing: Absent, classes: int | None) -> Subject:
    """The model that the recipe would have on data that is not here. Raises DataError asking for what is not known."""
    classes = classes or missing.classes
    if classes is None:
        bring = f", or bring it here ({missing.remedy})" if missing.remedy else ""
        raise DataError(
            f"{recipe.name}: {missing.name!r} is not on this machine, so that its classes are not known; give their "
            f"number (--classes 10; classes=10), or images (--data photos/; data=...){bring}"
        )
    shape = image_shape(_stand_in(missing), recipe.data)
    named = recipe.data.standardize
    statistics = _noise_statistics(shape[2]) if named == "train" else Statistics.named(named, shape[2])
    bring = f"{missing.remedy}; or " if missing.remedy else ""
    line = f"drawn with noise, since {missing.name!r} is not on this machine; {bring}{_OWN_IMAGES}"
    return Subject(recipe.name, _model(recipe, shape, classes, statistics), None, line)


def _stand_in(missing: Absent) -> Split:
    """A split without images, of the size and the channels that the data has."""
    height, width, channels = missing.shape or (None, None, None)
    if height is None or width is None:
        images = EncodedImages((), channels or 3)
    else:
        images = ArrayImages(np.empty((0, height, width, channels or 3), np.uint8))
    return Split("train", images, np.empty(0, np.int32), np.empty(0, np.int64))


def _model(recipe: Recipe, shape: tuple[int, int, int], classes: int, statistics: Statistics) -> keras.Model:
    with seeded(recipe.train.seed):
        return models.build(recipe.model, input_shape=shape, classes=classes, **statistics.for_model)


def _noise_statistics(channels: int) -> Statistics:
    return Statistics((NOISE_MEAN,) * channels, (NOISE_STD,) * channels)


def _own_images(source: Source, spec: Data) -> tuple[np.ndarray, str]:
    """Images of the validation split, filled up with training images; the test split is left for the last measurement.

    Two images of a small validation split would call half of the channels dead.
    """
    splits = [source.split(name) for name in ("validation", "train") if name in source.splits]
    images, first = _first_images(splits[0], spec, source.class_names)
    for split in splits[1:]:
        more, _ = _first_images(split, spec, source.class_names)
        images = np.concatenate([images, more[: max(_IMAGES - len(images), 0)]])
    return images, first


def _first_images(split: Split, spec: Data, class_names: Sequence[str]) -> tuple[np.ndarray, str]:
    """Up to `_IMAGES` images as the model takes them, and which the first one is."""
    images, labels, weights = next(batching.arrays(split, spec, len(class_names)))
    where = "of the images given" if split.name == UNSPLIT else f"of the {split.name} split"
    return images[weights > 0], f"the first {where}: {label_words(labels[0], class_names)}"


def _trained(path: Path, changes: Mapping[str, Any], data: Any) -> Subject:
    """A trained model with the images that are given, or with those of the run's own data where that is here."""
    if changes:
        raise RecipeError(f"{path} is trained; its recipe cannot be changed any more, leave {', '.join(changes)} out")
    opened = load(path)
    artifact = opened.artifact if isinstance(opened, Run) else opened
    if data is not None:
        with open_readable_for_evaluation(data, artifact.class_names) as source:
            split = next(iter(source.splits.values()))
            images, first = _first_images(split, artifact.spec, artifact.class_names)
        return Subject(path.stem, artifact.model, images, first=first)
    why = ""
    if isinstance(opened, Run) and absent(opened.recipe.data.name) is None:
        try:
            source, _ = open_readable(None, opened.recipe.data)
            with source:
                images, first = _own_images(source, artifact.spec)
            return Subject(path.stem, artifact.model, images, first=first)
        except DataError as error:  # the data may have changed since; the model can be drawn all the same
            why = f", since the run's data cannot be read ({one_line(error)})"
    return Subject(path.stem, artifact.model, None, f"drawn with noise{why}; {_OWN_IMAGES}")
