"""`ModelPlan`: which model a training builds and trains, and how its weights become those of the artifact."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnrecipes import models
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.optim.layer_rates import layer_rates
from cnnrecipes.recipe import schema
from cnnrecipes.runs.start_from import set_initial_weights
from cnnrecipes.runs.trained_part import TrainedPart


@dataclass(frozen=True)
class ModelPlan:
    """The recipe's model, trained as a whole; the ways of transfer learning are subclasses.

    Attributes:
        pipeline: the data, and the recipe.
        weights_from: source of the initial weights, as in `train.start_from`; None: they are drawn.
        remark: why the way of transfer learning was chosen, for metrics.json; "" if the recipe has it.
    """

    pipeline: InputPipeline
    weights_from: str | Path | None = None
    remark: str = ""

    @property
    def recipe(self) -> schema.Recipe:
        """The complete recipe."""
        return self.pipeline.recipe

    @property
    def has_initial_weights(self) -> bool:
        """True if the training starts from given weights, which the run folder keeps."""
        return self.weights_from is not None or self.recipe.model.weights != "none"

    @property
    def trains_by_steps(self) -> bool:
        """True if the model is trained by optimizer steps; False if the initial weights are the result."""
        return True

    @property
    def trains_whole(self) -> bool:
        """True if `build` returns the same model as `artifact`, in which no layer or weight is frozen or left out."""
        return True

    @property
    def starts_fitted(self) -> bool:
        """True if the initial weights classify already, so that training is compared with them."""
        return False

    def whole(self, norm: Callable | None = None) -> keras.Model:
        """Return the recipe's model, images (N, H, W, C) -> logits, with drawn weights."""
        spec = self.recipe.model.model_copy(update={"weights": "none"})
        return models.build(spec, **self.pipeline.for_model, norm=norm)

    def build(self, norm: Callable | None = None) -> keras.Model:
        """Return the model to train: its trainable variables are trained, from drawn weights."""
        return self.whole(norm)

    def initialize(self, model: keras.Model) -> None:
        """Set the initial weights of a model of `build`, if they are given."""
        if self.weights_from is not None:
            set_initial_weights(model, self.weights_from)
        elif self.recipe.model.weights != "none":
            models.set_backbone_weights(model, self.recipe.model)

    def learning_rates(self, model: keras.Model) -> dict[str, float]:
        """Return the learning rate multiplier of each trainable variable of a model of `build` by its path."""
        return layer_rates(model, self.recipe.optimizer.layer_decay)

    def initial_weights(self, model: keras.Model) -> Sequence[np.ndarray]:
        """Return the initial weights that the run folder keeps, of the initialized `model` of `build`."""
        return [weight.numpy() for weight in model.weights]

    def parameters(self, model: keras.Model) -> int:
        """Return the number of parameters of the whole model; `model` is one of `build`."""
        return sum(math.prod(variable.shape) for variable in model.trainable_variables)

    def adaptation(self, model: keras.Model) -> str:
        """Return in words how kernels of the backbone are adapted, for the summary of `fit`; "" by default."""
        return ""

    def trained_part(self, model: keras.Model) -> TrainedPart | None:
        """Return which weights of the whole model a model of `build` has; None if it is the whole model."""
        return None

    def more_metrics(self) -> dict[str, Any]:
        """Return entries that this plan adds to metrics.json, beside the evaluations of the splits; by default none."""
        return {}

    def artifact(self, weights: Sequence[np.ndarray]) -> keras.Model:
        """Return the whole model, images -> logits, with the trained weights of a model of `build`."""
        model = self.whole()
        model.set_weights(weights)
        return model
