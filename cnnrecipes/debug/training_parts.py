"""The parts of a training that experiments on it use: loss, optimizer of any rate, first rate, whole model."""

from __future__ import annotations

from collections.abc import Callable, Collection

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.debug.examined_training import GivenModelPlan
from cnnrecipes.errors import UnknownNameError
from cnnrecipes.keras_optim.recipe_loss import RecipeLoss, build_loss
from cnnrecipes.keras_optim.recipe_optimizer import build_optimizer
from cnnrecipes.training import precision
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.plan import TransferPlan
from cnnrecipes.transfer.split_model import SplitModel

OptimizerFactory = Callable[[float], keras.optimizers.Optimizer]
REGULARIZATION = ("weight_decay", "dropout", "label_smoothing")  # that can be kept
_BATCH = 32


def bare_loss(job: TrainJob, keep: Collection[str] = ()) -> RecipeLoss:
    """Return the loss without class weights, and without label smoothing unless it is kept."""
    smoothing = job.recipe.train.label_smoothing if "label_smoothing" in keep else 0.0
    return build_loss(job.recipe.train.model_copy(update={"label_smoothing": smoothing}))


def optimizers(job: TrainJob, keep: Collection[str] = ("weight_decay",)) -> OptimizerFactory:
    """Return a function from a learning rate to a new optimizer of the recipe, without weight decay unless kept."""
    table = job.recipe.optimizer
    if "weight_decay" not in keep:
        table = table.model_copy(update={"weight_decay": 0.0})
    model, dtype = job.model.inner, precision.chosen(job.recipe.train)
    rates = job.plan.learning_rates(model)
    return lambda rate: precision.with_loss_scaling(build_optimizer(table, model, rate, rates), dtype)


def first_rate(job: TrainJob) -> float:
    """Return the learning rate of the first step."""
    return float(tf.convert_to_tensor(job.schedule(tf.constant(0, tf.int64))))


def preprocessing(job: TrainJob) -> str:
    """Return `data.standardize` of the recipe; "own" if the model is given, and prepares its inputs itself."""
    return "own" if isinstance(job.plan, GivenModelPlan) else job.recipe.data.standardize


def whole_model(job: TrainJob) -> keras.Model:
    """Return the model from images to logits: the one in training, unless that gets features of a frozen part."""
    if isinstance(job.pipeline, FeaturePipeline):
        return job.artifact(job.model.measured_weights()).model
    return job.model.inner


def frozen_features(job: TrainJob, whole: keras.Model) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return a function from images to features of a pretrained backbone; None if the recipe has none."""
    if not isinstance(job.plan, TransferPlan):
        return None
    frozen = SplitModel.before_head(whole).frozen

    def features(images: np.ndarray) -> np.ndarray:
        parts = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
        return np.concatenate([frozen(tf.constant(part), training=False).numpy() for part in parts])

    return features


def checked_names(keep: Collection[str]) -> tuple[str, ...]:
    """Return names of regularization to keep. Raise UnknownNameError for others."""
    names = (keep,) if isinstance(keep, str) else tuple(keep)
    for name in names:
        if name not in REGULARIZATION:
            raise UnknownNameError("regularization to keep", name, REGULARIZATION)
    return names
