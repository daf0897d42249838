"""Plans of transfer learning: which part of the model is trained, from which weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from cnnrecipes import models
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.trained_part import TrainedPart
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.transfer.cross_validation import cross_validated, head_class_weights
from cnnrecipes.transfer.logistic import Examples
from cnnrecipes.transfer.split_model import SplitModel


@dataclass(frozen=True)
class TransferPlan(ModelPlan):
    """A training that starts from the weights of the whole model: a pretrained backbone and a head.

    Attributes:
        start_weights: initial weights of the whole model, in the order of `whole().weights`.
        paths: their paths.
        count: number of parameters of the whole model, moving statistics not counted.
        few: features of the training and validation images, to cross-validate a head on; None: it is not done.
    """

    start_weights: Sequence[np.ndarray] = field(default=(), repr=False)
    paths: Sequence[str] = field(default=(), repr=False)
    count: int = 0
    few: Examples | None = field(default=None, repr=False)

    @property
    def has_initial_weights(self) -> bool:
        """True: the run folder keeps the weights of the whole model."""
        return True

    @property
    def trains_whole(self) -> bool:
        """False: a part is frozen, or is not in the model in training."""
        return False

    @property
    def starts_fitted(self) -> bool:
        """True if the head was fitted to frozen features before the training."""
        return self.trains_by_steps and self.recipe.transfer.how != "features"

    def start_model(self, norm: Callable | None = None) -> keras.Model:
        """Return the whole model with its initial weights."""
        model = self.whole(norm)
        model.set_weights(self.start_weights)
        return model

    def build(self, norm: Callable | None = None) -> keras.Model:
        """Return the model to train, with its initial weights."""
        return self.start_model(norm)

    def initialize(self, model: keras.Model) -> None:
        """Do nothing: `build` sets the initial weights."""

    def initial_weights(self, model: keras.Model) -> Sequence[np.ndarray]:
        """Return the initial weights of the whole model."""
        return self.start_weights

    def trained_part(self, model: keras.Model) -> TrainedPart | None:
        """Return which weights of the whole model a model of `build` has; None if it has the same in the same order."""
        part = TrainedPart.of(model)
        return None if part.weights == tuple(self.paths) else part

    def more_metrics(self) -> dict[str, Any]:
        """Return entries that this plan adds to metrics.json: why `transfer.how` was chosen, and a cross-validation.

        The cross-validation is that of a head on the frozen features, if the recipe asks for it.
        """
        chosen = {"transfer": self.remark} if self.remark else {}
        if self.few is None:
            return chosen
        classes, recipe = len(self.pipeline.class_names), self.recipe
        weights = head_class_weights(recipe, self.few.labels, classes)
        found = cross_validated(self.few, classes, seed=recipe.train.seed, weights=weights)
        return {**chosen, "cross_validation": found}

    def parameters(self, model: keras.Model) -> int:
        """Return the number of parameters of the whole model, moving statistics not counted."""
        return self.count


@dataclass(frozen=True)
class HeadPlan(TransferPlan):
    """The head alone is trained, on cached features of the frozen backbone: `pipeline` is a FeaturePipeline.

    Attributes:
        split: the whole model, divided before its head.
    """

    split: SplitModel = field(kw_only=True, repr=False)

    @property
    def trains_by_steps(self) -> bool:
        """True if the head is trained by optimizer steps; False for a logistic regression, fitted without them."""
        return self.recipe.transfer.trains_by_steps

    def build(self, norm: Callable | None = None) -> keras.Model:
        """Return the head: features (N, C) -> logits."""
        head = self._drawn()
        initial = dict(zip(self.paths, self.start_weights, strict=True))
        head.set_weights([initial[weight.path] for weight in head.weights])
        return head

    def redrawn(self) -> HeadPlan:
        """Return the plan with other initial weights of the head, drawn."""
        drawn = {weight.path: weight.numpy() for weight in self._drawn().weights}
        pairs = zip(self.paths, self.start_weights, strict=True)
        return replace(self, start_weights=[drawn.get(path, value) for path, value in pairs])

    def _drawn(self) -> keras.Model:
        return drawn_head(self.recipe, self.split.trained.input_shape[-1], self.split.trained.output_shape[-1])

    def artifact(self, weights: Sequence[np.ndarray]) -> keras.Model:
        """Return the whole model with a trained head."""
        self.split.trained.set_weights(weights)
        return self.split.whole


@dataclass(frozen=True)
class DrawnHeadPlan(ModelPlan):
    """A head alone, trained from drawn weights as a HeadPlan does; without the backbone, so that it has no artifact.

    Attributes:
        channels: channels of the features that its `pipeline`, a FeaturePipeline, yields.
    """

    channels: int = field(kw_only=True)

    def build(self, norm: Callable | None = None) -> keras.Model:
        """Return the head: features (N, C) -> logits."""
        return drawn_head(self.recipe, self.channels, len(self.pipeline.class_names))

    def initialize(self, model: keras.Model) -> None:
        """Do nothing: the weights stay those that were drawn."""


def drawn_head(recipe: Recipe, channels: int, classes: int) -> keras.Model:
    """Return the head of a recipe with drawn weights: features (N, channels) -> logits (N, classes)."""
    return SplitModel.before_head(models.build_head(recipe.model, channels, classes)).trained
