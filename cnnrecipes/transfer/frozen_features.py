"""The frozen features of a recipe's backbone, opened without a training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnnrecipes._support import console, keras_settings
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import TrainingError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training import preflight
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.start_or_resume import complete_recipe
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.image_probe import warn_of_mismatch
from cnnrecipes.transfer.split_model import SplitModel


@contextlib.contextmanager
def frozen_features(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    seed: int | None = None,
    progress: bool = True,
    changes: Mapping[str, Any] | None = None,
) -> Iterator[FeaturePipeline]:
    """Yield the features of a recipe's pretrained backbone for its data, or the given data.

    Args:
        recipe, data, seed, progress, changes: as in `fit`.

    Raises:
        TrainingError: the recipe has no pretrained backbone.
        CNNRecipesError: the recipe or the data is invalid, or the weights cannot be read.
    """
    complete = complete_recipe(catalog.load(recipe), data, seed, changes or {})
    if complete.model.weights == "none" and complete.train.start_from is None:
        raise TrainingError(
            "features need a pretrained backbone, and model.weights is 'none'; set model.weights=imagenet, or to a "
            "file or a run"
        )
    preflight.check(complete)
    say = console.say if progress else console.silent
    with (
        InputPipeline.open(complete, data, say, progress=progress) as pipeline,
        keras_settings.float32(),
        seeded(complete.train.seed),
    ):
        plan = ModelPlan(pipeline, complete.train.start_from)
        whole = plan.whole()
        plan.initialize(whole)
        warn_of_mismatch(whole, pipeline)
        yield FeaturePipeline(pipeline, SplitModel.before_head(whole).frozen)
