"""A warning of images that a pretrained backbone sees unlike those of its pretraining."""

from __future__ import annotations

import warnings

import keras

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import CNNRecipesWarning
from cnnrecipes.models.pretrained.preprocessing_mismatch import preprocessing_mismatch
from cnnrecipes.recipe.schema import Augment

_IMAGES = 64


def warn_of_mismatch(whole: keras.Model, pipeline: InputPipeline) -> None:
    """Warn if a backbone sees images of all classes, without augmentation, unlike its pretraining: for example BGR."""
    recipe = pipeline.recipe
    data = recipe.data.model_copy(update={"batch_size": _IMAGES})
    plain = pipeline.with_recipe(recipe.model_copy(update={"augment": Augment(), "data": data}))
    images, _ = plain.batch(0)  # shuffled: a folder's first images are all of one class
    if wrong := preprocessing_mismatch(whole, images):
        warnings.warn(wrong, CNNRecipesWarning, stacklevel=8)
