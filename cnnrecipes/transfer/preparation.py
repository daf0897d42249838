"""Preparation of a training: the plan that `transfer.how` selects, with a pretrained backbone and a fitted head."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import keras

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import ModelError, TrainingError
from cnnrecipes.recipe import schema
from cnnrecipes.runs.weights import START, read_weights
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.start_or_resume import Start
from cnnrecipes.transfer.automatic_method import Choice, choose
from cnnrecipes.transfer.cross_validation import to_cross_validate
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.fine_tuning import check_decays, finetune_plan
from cnnrecipes.transfer.head_fit import fit_head
from cnnrecipes.transfer.image_probe import warn_of_mismatch
from cnnrecipes.transfer.layer_freezing import backbone_layers, frozen_stages
from cnnrecipes.transfer.lora import LoraPlan, check_rank
from cnnrecipes.transfer.plan import HeadPlan, TransferPlan, drawn_head
from cnnrecipes.transfer.split_model import LOGITS, SplitModel


def prepare(pipeline: InputPipeline, start: Start, say: Callable[[str], None], devices: Devices) -> ModelPlan:
    """Return the plan of a training; for transfer learning with the head fitted to frozen features.

    A head "linear" or "mlp" is not fitted: its weights are drawn, and the training starts from them.

    A resumed or extended run has the initial weights of the whole model in its folder: nothing is fitted again. Of
    several workers the chief fits the head and chooses the way: other processors round otherwise.

    Raises:
        TrainingError: transfer learning without pretrained weights.
        CNNRecipesError: the weights cannot be read, or the model does not fit.
    """
    table = pipeline.recipe.transfer
    if table.how == "none":
        return ModelPlan(pipeline, start.weights)
    kept = _kept(start)
    whole = _pretrained(pipeline, kept or start.weights)
    split = SplitModel.before_head(whole)
    features = FeaturePipeline(pipeline, split.frozen)
    remark = read_weights(kept)[1].get("remark", "") if kept else ""
    if kept is None and devices.is_chief:
        warn_of_mismatch(whole, pipeline)
    if kept is None and table.head == "logistic":
        choice = _fit_in_chief(split, features, devices, say)
        pipeline, remark = pipeline.with_recipe(pipeline.recipe.change(**{"transfer.how": choice.how})), choice.reason
    return _plan(
        pipeline,
        split,
        features,
        say,
        start_weights=[weight.numpy() for weight in whole.weights],
        paths=[weight.path for weight in whole.weights],
        count=sum(math.prod(variable.shape) for variable in whole.trainable_variables),
        few=to_cross_validate(features) if devices.is_chief else None,
        remark=remark,
    )


def _pretrained(pipeline: InputPipeline, weights_from: str | Path | None) -> keras.Model:
    """Return the recipe's model with pretrained weights, or those of `weights_from`.

    Raises:
        TrainingError: there are neither.
        ModelError, RecipeError: the model does not fit `transfer`; before its weights are read.
    """
    recipe = pipeline.recipe
    if recipe.model.weights == "none" and weights_from is None:
        raise TrainingError(
            f"transfer.how = {recipe.transfer.how!r} needs a pretrained backbone, and model.weights is 'none'; set "
            "model.weights=imagenet, or to a file or a run, or train all layers with transfer.how=none"
        )
    base = ModelPlan(pipeline, weights_from)
    whole = base.whole()
    _check(whole, recipe)
    _initialize(base, whole)
    return whole


def _initialize(base: ModelPlan, whole: keras.Model) -> None:
    """Set the initial weights of the whole model, as the plan `base` gives them.

    With `train.start_from` the head is loaded too. With `model.weights` its weights are drawn, even if the file has a
    head of the same shape; they depend on the seed and the number of channels, and not on the backbone.
    """
    base.initialize(whole)
    if base.weights_from is None:  # `model.weights` are those of a backbone
        head = SplitModel.before_head(whole).trained
        with seeded(base.recipe.train.seed):
            drawn = drawn_head(base.recipe, head.input_shape[-1], head.output_shape[-1])
        head.set_weights(drawn.get_weights())


def _check(whole: keras.Model, recipe: schema.Recipe) -> None:
    """Check that the model fits the way of the recipe.

    Raises:
        ModelError: the model does not have the stage, the head, or a kernel for the rank, of the recipe.
        RecipeError: learning rates would decay both by layer and by stage.
    """
    table = recipe.transfer
    check_head(SplitModel.before_head(whole).trained, table.head)
    if table.how == "finetune":
        frozen_stages(whole, table.train_from)
        check_decays(recipe)
    if table.how == "lora":
        check_rank(backbone_layers(whole), table.rank)


def check_head(head: keras.Model, kind: str) -> None:
    """Raise ModelError unless a head "mlp" has layers with weights before the logits, and others have none."""
    weighted = [layer.name for layer in head.layers if layer.weights]
    if kind == "mlp" and len(weighted) == 1:
        raise ModelError(
            "transfer.head = 'mlp' trains the head model.head = 'mlp', and the model here has a linear one; leave "
            "model.head out, or set transfer.head = 'linear'"
        )
    if kind != "mlp" and len(weighted) > 1:
        raise ModelError(
            f"transfer.head = {kind!r} is a linear layer on pooled features, and the head here has the layers "
            f"{', '.join(weighted)}; set model.head = 'average', or transfer.how = 'features' and transfer.head = 'mlp'"
        )


def _plan(
    pipeline: InputPipeline, split: SplitModel, features: FeaturePipeline, say: Callable[[str], None], **options
) -> TransferPlan:
    how = pipeline.recipe.transfer.how
    if how == "finetune":
        return finetune_plan(pipeline, split.whole, say, **options)
    if how == "lora":
        return LoraPlan(pipeline, **options)
    return HeadPlan(features.with_recipe(pipeline.recipe), split=split, **options)


def _fit_in_chief(split: SplitModel, features: FeaturePipeline, devices: Devices, say: Callable[[str], None]) -> Choice:
    """Fit the head in the chief, and set it in all workers; return `transfer.how`, with a reason if "auto" chose it.

    Only the chief, which records it, has the reason.
    """
    choice = Choice(features.recipe.transfer.how, "")
    if devices.is_chief:
        fitted = fit_head(split, features)
        say(str(fitted))
        if choice.how == "auto":
            labels, classes = features.train.labels, len(features.class_names)
            choice = choose(labels, classes, fitted.accuracy, fitted.measured_on)
            say(choice.reason)
    head = split.whole.get_layer(LOGITS)
    head.set_weights(devices.broadcast_arrays(head.get_weights()))
    return Choice(devices.broadcast(choice.how), choice.reason)


def _kept(start: Start) -> Path | None:
    """Return the file with the initial weights of the run that is resumed or extended; None for a new run."""
    folder = start.run.folder if start.run else start.checkpoint.path.parents[1] if start.checkpoint else None
    path = folder / START if folder else None
    return path if path and path.is_file() else None
