"""`Evidence`: all that is known of a training, from which the findings are derived."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cnnrecipes.augment.operation import Mix, parse_list
from cnnrecipes.diagnosis.history import History
from cnnrecipes.recipe.schema import Recipe


@dataclass(frozen=True)
class NonFiniteLoss:
    """The step at which the loss became NaN or infinite, which ended the training.

    Attributes:
        epoch, step: from 1; the step is counted from the start of the training.
        loss: "nan", "inf" or "-inf".
        learning_rate: at that step.
    """

    epoch: int
    step: int
    loss: str
    learning_rate: float


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model in inference mode on images without augmentation, as counts per class.

    Attributes:
        images: images of each class, (classes,).
        predicted: how often each class was predicted, (classes,).
        correct: correct predictions of each class, (classes,).
        cross_entropy: mean, in nats.
    """

    images: tuple[int, ...]
    predicted: tuple[int, ...]
    correct: tuple[int, ...]
    cross_entropy: float

    @property
    def n(self) -> int:
        """Number of images."""
        return sum(self.images)

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, 0..1."""
        return sum(self.correct) / self.n

    @property
    def balanced_accuracy(self) -> float:
        """Mean share of correct predictions over the classes that have images, 0..1."""
        shares = [right / n for right, n in zip(self.correct, self.images, strict=True) if n]
        return sum(shares) / len(shares)

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Predictions:
        """Create the predictions that `Evidence.record` has written."""
        images, predicted, correct = (tuple(record[name]) for name in ("images", "predicted", "correct"))
        return cls(images, predicted, correct, record["cross_entropy"])


@dataclass(frozen=True)
class LayerRecord:
    """Records of the watch of one layer, medians over the last third of the recorded steps.

    Attributes:
        name: of the layer.
        dead: share of channels without activation, 0..1; NaN if unknown.
        update_ratio: norm of an update relative to that of the weights; NaN if unknown, or if it is no convolution or
            dense layer.
        gradient_norm: NaN if unknown.
    """

    name: str
    dead: float
    update_ratio: float
    gradient_norm: float


@dataclass(frozen=True)
class Evidence:
    """The known facts of a training. Every finding says what it cannot tell where something is None.

    Attributes:
        recipe: the complete recipe.
        history: the completed epochs.
        classes: number of classes.
        image_size: height and width of the model's images, in pixels.
        running: True for an unfinished training: what only its end can show is not judged.
        training_images: training images of each class, (classes,).
        validation_images: number of validation images.
        validation_majority: share of the validation images that are of the largest class of the training, 0..1.
        failure: the loss became NaN or infinite.
        stopped: why or when the training ended before its last epoch, in words.
        train, validation: predictions of the run's model on a part of these splits.
        reestimated: predictions on the same validation images with batch norm statistics re-estimated on a copy.
        layers: records of the watch.
        folder: path of the run folder; None if it is not known.
    """

    recipe: Recipe
    history: History
    classes: int | None = None
    image_size: tuple[int, int] | None = None
    running: bool = False
    training_images: tuple[int, ...] | None = None
    validation_images: int | None = None
    validation_majority: float | None = None
    failure: NonFiniteLoss | None = None
    stopped: str | None = None
    train: Predictions | None = None
    validation: Predictions | None = None
    reestimated: Predictions | None = None
    layers: tuple[LayerRecord, ...] = ()
    folder: str | None = None

    @property
    def chance(self) -> float:
        """Accuracy of the best constant answer, 0..1: the share of the largest class; 0 if unknown.

        With `data.balance` = "sampling" every class is shown equally often.
        """
        if self.training_images and self.recipe.data.balance == "sampling":
            return 1 / sum(n > 0 for n in self.training_images)
        if self.training_images:
            return max(self.training_images) / sum(self.training_images)
        return 1 / self.classes if self.classes else 0.0

    @property
    def chance_loss(self) -> float:
        """Cross entropy of the best constant answer, in nats: the entropy of the classes; infinite if unknown."""
        if self.training_images:
            shares = np.array([n for n in self.training_images if n]) / sum(self.training_images)
            return float(-(shares * np.log(shares)).sum())
        return math.log(self.classes) if self.classes else math.inf

    @property
    def plain_loss(self) -> bool:
        """True if the training loss is a cross entropy of hard labels, comparable to that of the validation."""
        train = self.recipe.train
        return train.loss == "cross_entropy" and not train.label_smoothing and not self.mixes and not self.weighted

    @property
    def weighted(self) -> bool:
        """True if classes are weighted or sampled, so that training and validation have other class shares."""
        return self.recipe.data.balance != "none"

    @cached_property
    def mixes(self) -> bool:
        """True if images are mixed, which lowers the training accuracy as it is measured."""
        return any(isinstance(op, Mix) for op in parse_list(self.recipe.augment.ops))

    @property
    def drops(self) -> bool:
        """True if the model drops activations or blocks in training."""
        model = self.recipe.model
        heads = model.dropout if model.dropout is not None else 0.5 * (model.head in ("mlp", "classic"))
        return bool(heads or model.block_dropout or model.spatial_dropout or model.stochastic_depth)

    @property
    def augments(self) -> bool:
        """True if training images are augmented."""
        return bool(self.recipe.augment.ops)

    def record(self) -> dict[str, Any]:
        """Return the evidence as JSON types, from which `of_record` makes it again."""
        kept = {"classes", "image_size", "training_images", "validation_images", "validation_majority", "stopped"}
        found = {name: getattr(self, name) for name in kept}
        parts = {name: getattr(self, name) for name in ("failure", "train", "validation", "reestimated")}
        found |= {name: asdict(part) for name, part in parts.items() if part is not None}
        found["layers"] = [asdict(layer) for layer in self.layers]
        recipe = self.recipe.model_dump(mode="json", exclude_defaults=True)
        return {"recipe": recipe, "history": self.history.rows(), **{k: v for k, v in found.items() if v}}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Evidence:
        """Create the evidence that `record` has written. Raises RecipeError if its recipe is not valid."""
        predictions: dict[str, Any] = {
            name: Predictions.of_record(record[name])
            for name in ("train", "validation", "reestimated")
            if name in record
        }
        counts, size = record.get("training_images"), record.get("image_size")
        return cls(
            recipe=Recipe.recorded(record["recipe"], "recorded evidence"),
            history=History.of(record["history"]),
            classes=record.get("classes"),
            image_size=(size[0], size[1]) if size else None,
            training_images=tuple(counts) if counts else None,
            validation_images=record.get("validation_images"),
            validation_majority=record.get("validation_majority"),
            failure=NonFiniteLoss(**record["failure"]) if "failure" in record else None,
            stopped=record.get("stopped"),
            layers=tuple(LayerRecord(**layer) for layer in record.get("layers", ())),
            **predictions,
        )
