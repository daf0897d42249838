"""The head of a model fitted to frozen features: logistic regression, of which the solution is the last layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from cnnrecipes.keras_optim.recipe_loss import class_weights
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.logistic import Examples, Logistic, fit_logistic
from cnnrecipes.transfer.split_model import LOGITS, SplitModel


@dataclass(frozen=True)
class HeadFit:
    """A logistic regression on the features of a data set.

    Attributes:
        logistic: the solution.
        images: number of training images, without views.
        measured_on: the images held out: "the validation split" or "cross-validation".
    """

    logistic: Logistic
    images: int
    measured_on: str

    @property
    def accuracy(self) -> float:
        """Share of held-out images with the right class, 0..1; NaN without any."""
        return self.logistic.held_out_accuracy

    def __str__(self) -> str:
        fitted = f"logistic regression on features of {self.images:,} images, L2 strength {self.logistic.strength:.2g}"
        if math.isnan(self.accuracy):
            return f"{fitted}, not chosen: a class has one image alone, and there is no validation split"
        return f"{fitted} chosen by {self.measured_on}: {self.accuracy:.1%} right"


def examples(pipeline: FeaturePipeline, split: str, *, views: bool = False) -> Examples:
    """Return features (N, C) and labels of a split; with `views` those of the augmented views too, after each other."""
    labels = pipeline.source.split(split).labels
    own = Examples(pipeline.split_features(split), labels)
    return Examples.joined([Examples(one, labels) for one in pipeline.views]) if views else own


def fit_head(split: SplitModel, pipeline: FeaturePipeline) -> HeadFit:
    """Fit a logistic regression to the features of the training split, and make it the last layer of `split.whole`."""
    found = fit_to_features(pipeline)
    last: keras.layers.Dense = split.whole.get_layer(LOGITS)
    last.set_weights([found.logistic.kernel, found.logistic.bias])
    return found


def fit_to_features(pipeline: FeaturePipeline) -> HeadFit:
    """Fit a logistic regression to the features of the training split and their augmented views."""
    classes, balance = len(pipeline.class_names), pipeline.recipe.data.balance
    train = examples(pipeline, "train", views=True)
    held_out = examples(pipeline, "validation") if pipeline.images("validation") else None
    weights = None if balance == "none" else class_weights(pipeline.train.labels, classes)
    fitted = fit_logistic(train, held_out, classes=classes, class_weights=weights)
    return HeadFit(fitted, len(pipeline.train), "the validation split" if held_out else "cross-validation")
