"""The model to inspect: resolves a recipe, an architecture or a trained run to a model and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from cnnrecipes import models
from cnnrecipes.data import batching
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.images.image_store import ArrayImages, EncodedImages, Images
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.sources.data_source_base import Absent
from cnnrecipes.data.sources.opening import UNSPLIT, absent
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.data.unreadable_files import open_readable, open_readable_for_evaluation, warn_unreadable
from cnnrecipes.errors import DataError, RecipeError, UnknownNameError, one_line
from cnnrecipes.figures import label_words
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Data, Recipe
from cnnrecipes.runs.run import Run, load
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.start_or_resume import with_backbone

# Statistics of uniform noise, 0..255, which replaces missing images.
NOISE_MEAN, NOISE_STD = 127.5, 255 / 12**0.5
_IMAGES = 16
_OWN_IMAGES = "--data (data=) draws with images of your own"


class Subject(NamedTuple):
    """A model to inspect.

    Attributes:
        name: name of the recipe, architecture or run.
        model: the model.
        images: (N, H, W, C), 0..255; None if the data is not available.
        noise: message for the user if noise replaces the images.
        first: description of the first image.
    """

    name: str
    model: keras.Model
    images: np.ndarray | None
    noise: str = ""
    first: str = ""


def find(name: str, changes: Mapping[str, Any] | None = None, data: Any = None, classes: int | None = None) -> Subject:
    """Return the model of a recipe, architecture or run. Nothing is downloaded; noise replaces data that is not local.

    Args:
        name: a run folder or model.keras; an architecture, built with its published image size; or a recipe.
        changes: dotted keys of a recipe, for example {"model.norm": "group"}; for an architecture those of `model`,
            `data.image_size` and `data.channels`.
        data: provides images, image size and classes, for a trained run only images; None: the recipe's data.
            Optional for an architecture.
        classes: number of classes, in place of data; noise is used for images.

    Raises:
        CNNRecipesError: an unknown name, or a model that cannot be read or built; data that is not on this machine
            and whose classes or image size are unknown.
    """
    changes = dict(changes or {})
    if classes is not None and classes < 2:
        raise DataError(f"classes = {classes}; a classifier has at least 2")
    if classes is not None and data is not None:
        raise DataError(f"give data ({data!r}) or classes ({classes}), not both: data determines its classes")
    if Path(name).exists() and not name.endswith(".toml"):
        if classes is not None:
            raise RecipeError(f"{name} is trained and has fixed classes; leave classes out")
        return _trained(Path(name), changes, data)
    if name in models.ARCHITECTURES:
        tables = {"name": name, "data": {"name": "-"}, "model": {"name": name}, "train": {"epochs": 1}}
        recipe = _not_downloaded(Recipe.from_dict(tables, name).change(**changes))
        return _of_architecture(recipe, classes) if data is None else _of_recipe(recipe, data)
    if name not in catalog.names() and not name.endswith(".toml"):
        raise UnknownNameError("recipe, architecture or run", name, {*catalog.names(), *models.ARCHITECTURES})
    return _of_recipe(_not_downloaded(catalog.load(name).change(**changes)), data, classes)


def _not_downloaded(recipe: Recipe) -> Recipe:
    """Return the recipe with its backbone, and with drawn weights in place of those that would be downloaded."""
    recipe = with_backbone(recipe, asked=False)
    return recipe.change(**{"model.weights": "none"}) if recipe.model.weights == "imagenet" else recipe


def _of_architecture(recipe: Recipe, classes: int | None) -> Subject:
    """Return the model of an architecture, built for its published image size and classes."""
    (height, width, channels), published = models.find(recipe.model.name).setting
    height, width = recipe.data.size or (height, width)
    shape = (height, width, recipe.data.channels or channels)
    model = _model(recipe, shape, classes or published, _noise_statistics(shape[2]))
    return Subject(recipe.name, model, None, f"drawn with noise; {_OWN_IMAGES}")


def _of_recipe(recipe: Recipe, data: Any, classes: int | None = None) -> Subject:
    """Return a recipe's untrained model with images of its data, or with noise if the data is not available."""
    missing = absent(recipe.data.name if data is None else data)
    if missing is None and classes is not None:
        raise DataError(
            f"the data of {recipe.name}, {recipe.data.name!r}, sets the classes; leave out --classes (classes=)"
        )
    # A given path must exist, and opening it raises the error; a path in a recipe may be of another machine.
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
    """Return the model with noise for data that is not on this machine. Raise DataError for unknown classes."""
    classes = classes or missing.classes
    if classes is None:
        bring = f", or download it ({missing.remedy})" if missing.remedy else ""
        raise DataError(
            f"{recipe.name}: {missing.name!r} is not on this machine, so its classes are unknown; give their "
            f"number (--classes 10; classes=10), or images (--data photos/; data=...){bring}"
        )
    shape = image_shape(_stand_in(missing), recipe.data)
    named = recipe.data.standardize
    statistics = _noise_statistics(shape[2]) if named == "train" else Statistics.named(named, shape[2])
    bring = f"{missing.remedy}; or " if missing.remedy else ""
    line = f"drawn with noise, since {missing.name!r} is not on this machine; {bring}{_OWN_IMAGES}"
    return Subject(recipe.name, _model(recipe, shape, classes, statistics), None, line)


def _stand_in(missing: Absent) -> Split:
    """Return an empty split in place of data that is not on this machine, with its image size and channels."""
    height, width, channels = missing.shape or (None, None, None)
    images: Images
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
    """Return images of the validation split and, if there are too few, of the training split; none of the test split.

    With only two images of a small validation split, half of the channels would seem dead.
    """
    splits = [source.split(name) for name in ("validation", "train") if name in source.splits]
    images, first = _first_images(splits[0], spec, source.class_names)
    for split in splits[1:]:
        more, _ = _first_images(split, spec, source.class_names)
        images = np.concatenate([images, more[: max(_IMAGES - len(images), 0)]])
    return images, first


def _first_images(split: Split, spec: Data, class_names: Sequence[str]) -> tuple[np.ndarray, str]:
    """Return up to `_IMAGES` images as input of the model, and a description of the first one."""
    images, labels, weights = next(batching.arrays(split, spec, len(class_names)))
    where = "of the images given" if split.name == UNSPLIT else f"of the {split.name} split"
    return images[weights > 0], f"the first {where}: {label_words(labels[0], class_names)}"


def _trained(path: Path, changes: Mapping[str, Any], data: Any) -> Subject:
    """Return a trained model with images of `data`, or of the run's data if that is on this machine."""
    if changes:
        raise RecipeError(f"{path} is trained; its recipe cannot be changed; leave {', '.join(changes)} out")
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
        except DataError as error:  # the data may have changed since; the model can still be drawn
            why = f", since the run's data cannot be read ({one_line(error)})"
    return Subject(path.stem, artifact.model, None, f"drawn with noise{why}; {_OWN_IMAGES}")
