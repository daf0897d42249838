"""`FinetunePlan`: train a pretrained backbone together with the head that was fitted to its features.

A linear probe first, then all layers from it (LP-FT, Kumar et al. 2022, arXiv:2202.10054): a head with drawn weights
would distort the features before it is any use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import RecipeError
from cnnrecipes.models import layers_by_stage
from cnnrecipes.optim.layer_rates import layer_rates
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.layer_freezing import (
    HEAD,
    freeze,
    frozen_stages,
    stage_rates,
    tensors_above,
    use_moving_statistics,
)
from cnnrecipes.transfer.plan import TransferPlan
from cnnrecipes.transfer.split_model import SplitModel


@dataclass(frozen=True)
class FinetunePlan(TransferPlan):
    """The whole model, trained from `start_weights`; the stages below `transfer.train_from` are frozen.

    A frozen stage works as at inference. The batch norms of trained stages normalize by their moving statistics, which
    do not change, with `transfer.batch_norm` = "inference"; their gamma and beta are trained.
    """

    def build(self, norm: Callable | None = None) -> keras.Model:
        """Return the whole model with frozen stages and batch norms."""
        table = self.recipe.transfer
        model = self.start_model(norm if table.batch_norm == "train" else None)
        groups = layers_by_stage(model)
        frozen = frozen_stages(model, table.train_from)
        for name in frozen:
            freeze(groups[name])
        if table.batch_norm == "inference":
            for name in [name for name in groups if name not in (*frozen, HEAD)]:
                use_moving_statistics(groups[name])
        return model

    def learning_rates(self, model: keras.Model) -> dict[str, float]:
        """Return the multipliers of `transfer.stage_decay`, or of `optimizer.layer_decay` if that decay is 1.

        Raises:
            RecipeError: both decays are set.
        """
        stage_decay, layer_decay = self.recipe.transfer.stage_decay, self.recipe.optimizer.layer_decay
        if layer_decay is None:
            return stage_rates(model, stage_decay)
        check_decays(self.recipe)
        return layer_rates(model, layer_decay)


@dataclass(frozen=True)
class SuffixPlan(FinetunePlan):
    """The trained stages and the head alone, on cached outputs of the frozen ones: `pipeline` is a FeaturePipeline."""

    def build(self, norm: Callable | None = None) -> keras.Model:
        """Return the trained part of the model: the output of the last frozen stage -> logits."""
        return divided(super().build(norm), self.recipe.transfer.train_from).trained

    def artifact(self, weights: Sequence[np.ndarray]) -> keras.Model:
        """Return the whole model with the trained part."""
        split = divided(self.start_model(), self.recipe.transfer.train_from)
        split.trained.set_weights(weights)
        return split.whole


def finetune_plan(
    pipeline: InputPipeline, whole: keras.Model, say: Callable[[str], None], **options: Any
) -> FinetunePlan:
    """Return the plan of a fine-tuning, on cached outputs of the frozen stages if they are the same in every epoch.

    Args:
        pipeline: the images.
        whole: the model with its initial weights.
        say: receives a message if the outputs could be cached, but take too much space.
        options: of the plan.
    """
    frozen = frozen_stages(whole, pipeline.recipe.transfer.train_from)
    if not frozen or pipeline.recipe.augment.ops:
        return FinetunePlan(pipeline, **options)
    if why := _uncached(pipeline, whole, frozen[-1]):
        say(f"the frozen stages, {frozen[0]} to {frozen[-1]}, are computed in every epoch: {why}")
        return FinetunePlan(pipeline, **options)
    split = divided(whole, pipeline.recipe.transfer.train_from)
    return SuffixPlan(FeaturePipeline(pipeline, split.frozen), **options)


def check_decays(recipe: Recipe) -> None:
    """Raise RecipeError if learning rates would decay both by layer and by stage."""
    stage_decay, layer_decay = recipe.transfer.stage_decay, recipe.optimizer.layer_decay
    if layer_decay is not None and stage_decay != 1:
        raise RecipeError(
            f"optimizer.layer_decay = {layer_decay} and transfer.stage_decay = {stage_decay} both lower the "
            "learning rates of early layers; set transfer.stage_decay = 1 to decay by layer, or leave "
            "optimizer.layer_decay out to decay by stage"
        )


def divided(whole: keras.Model, train_from: str) -> SplitModel:
    """Return a model divided below the stage `train_from`; all paths must go through one tensor there."""
    return SplitModel.at(whole, tensors_above(whole, frozen_stages(whole, train_from))[0])


def _uncached(pipeline: InputPipeline, whole: keras.Model, last: str) -> str | None:
    """Return why the outputs of the frozen stages, of which `last` is the last, cannot be cached; None if they can."""
    tensors = tensors_above(whole, frozen_stages(whole, pipeline.recipe.transfer.train_from))
    if len(tensors) > 1:
        return f"{len(tensors)} tensors go from {last} to later stages"
    table, images = pipeline.recipe.data, max(pipeline.images(split) for split in pipeline.source.splits)
    each = math.prod(tensors[0].shape[1:]) * np.dtype(pipeline.recipe.transfer.features_dtype).itemsize
    needed = images * each / 2**30
    if needed > table.cache_gb:
        return f"their outputs for {images:,} images take {needed:.1f} GiB, more than data.cache_gb = {table.cache_gb}"
    return None
