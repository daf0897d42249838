"""`InputPipeline`: the data of a training, opened once."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes._support.console import silent
from cnnrecipes._support.graphs import Graphs
from cnnrecipes.data import batching
from cnnrecipes.data.audit.report import quarantine
from cnnrecipes.data.augmentation import Augmentation, runs_in_training_step
from cnnrecipes.data.batch_sampler import steps_per_epoch
from cnnrecipes.data.channel_statistics import split_statistics
from cnnrecipes.data.decoding_errors import naming_unreadable
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.images.pixel_values import say_or_warn
from cnnrecipes.data.sources.class_problems import unmeasured_classes
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.data.train_subset import with_train_images
from cnnrecipes.data.unreadable_files import open_readable
from cnnrecipes.recipe.schema import Recipe

FEW = 20  # validation images below which the 95% interval of an accuracy is wider than 40 points
_EPOCH = "best epoch"  # what the validation images may select
_OF_DATA = ("image_shape", "statistics")  # cached properties that depend on the `data` table alone
_SAMPLE = 32  # training images in the fingerprint


class InputPipeline:
    """The data of a training: splits, image shape, statistics, augmentation, and batches of any split from any step.

    A context manager: on exit the images that TensorFlow's graphs hold are released.

    Args:
        source: the opened data set with its splits.
        recipe: decides the size of images and batches, the augmentation and the order of examples.
        unreadable: a dict from each file that was left out to the reason.
        progress: show a progress bar while images are read before the training.
    """

    def __init__(
        self, source: Source, recipe: Recipe, unreadable: Mapping[str, str] | None = None, *, progress: bool = False
    ):
        self.source, self.recipe, self.unreadable, self.progress = source, recipe, dict(unreadable or {}), progress
        self._graphs: dict[Hashable, Graphs] = {}

    @classmethod
    def open(
        cls, recipe: Recipe, data: Any = None, say: Callable[[str], None] = silent, *, progress: bool = False
    ) -> InputPipeline:
        """Open the data of a recipe, or the given data, without unreadable files.

        Args:
            data: as in `fit`.
            say: receives messages about what was found in the data.

        Raises:
            DataError: the data cannot be opened, or too few readable images are left to train on.
        """
        source, unreadable = open_readable(data, recipe.data, lambda text: say_or_warn(text, say), progress=progress)
        pipeline = cls(with_train_images(source, recipe), recipe, unreadable, progress=progress)
        for note in pipeline.notes():
            say(note)
        return pipeline

    def with_recipe(self, recipe: Recipe) -> InputPipeline:
        """Return a pipeline of the same source with another recipe, whose `data` table must be equal."""
        made = InputPipeline(self.source, recipe, self.unreadable, progress=self.progress)
        made.__dict__ |= {name: self.__dict__[name] for name in _OF_DATA if name in self.__dict__}
        made._graphs = self._graphs
        return made

    def __enter__(self) -> InputPipeline:
        self.source.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.source.__exit__(*error)

    @property
    def train(self) -> Split:
        """The training split."""
        return self.source.split("train")

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.source.class_names

    @property
    def steps_per_epoch(self) -> int:
        """Training batches per epoch."""
        return steps_per_epoch(self.train, self.recipe.data)

    @property
    def images_per_step(self) -> int:
        """Images of a training batch: the recipe's batch size, or all training images if there are fewer."""
        return min(self.recipe.data.batch_size, len(self.train))

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the images in a batch."""
        return image_shape(self.train, self.recipe.data)

    @cached_property
    def statistics(self) -> Statistics:
        """Channel statistics as `data.standardize` selects, computed over the training split at the first use."""
        return split_statistics(self.train, self.recipe.data, progress=self.progress)

    @property
    def augmentation(self) -> Augmentation:
        """The recipe's augmentation, for the training step or for the input pipeline as `augment.device` selects."""
        return self._augmentation(in_step=runs_in_training_step(self.recipe.augment.device))

    @property
    def for_model(self) -> dict[str, Any]:
        """Arguments of `models.build`: input shape, number of classes and standardization."""
        return {
            "input_shape": self.image_shape,
            "classes": len(self.class_names),
            **self.statistics.for_model,
        }

    def images(self, *splits: str) -> int:
        """Return the number of images in all splits named; a split that does not exist counts as 0."""
        return sum(len(self.source.split(name)) for name in splits if name in self.source.splits)

    def training_batches(self, first_step: int, last_step: int, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Return the training batches of the steps `first_step` to `last_step` (exclusive); see `training_batches`.

        Args:
            shard: (index, count): this part of every batch, for one of several devices.
        """
        return batching.training_batches(
            self.train,
            self.recipe,
            self.statistics,
            len(self.class_names),
            first_step=first_step,
            last_step=last_step,
            augmentation=self.augmentation,
            shard=shard,
        )

    def evaluation_batches(self, split: str, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """Return all images of a split in order; see `evaluation_batches`."""
        return batching.evaluation_batches(
            self.source.split(split), self.recipe.data, len(self.class_names), shard=shard
        )

    def evaluation_steps(self, split: str, shards: int = 1) -> int:
        """Return the number of evaluation batches of a split per device, the same for each of `shards` devices."""
        return batching.evaluation_steps(self.source.split(split), shards)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the augmented batch of a training step, counted from 0: images (N, H, W, C), labels (N, classes)."""
        made = batching.training_batches(
            self.train,
            self.recipe,
            self.statistics,
            len(self.class_names),
            first_step=step,
            last_step=step + 1,
            augmentation=self._augmentation(in_step=False),
        )
        return next(made.as_numpy_iterator())

    def _augmentation(self, *, in_step: bool) -> Augmentation:
        return Augmentation.of(self.recipe, self.statistics, in_step=in_step, graphs=self._graphs)

    def check(self, devices: int = 1) -> None:
        """Raise RecipeError if augmentation and batch size do not fit together or do not divide among the devices."""
        batching.check_batches(self.train, self.recipe, self.augmentation, devices)

    def naming_unreadable(self) -> contextlib.AbstractContextManager[None]:
        """Return a context manager that converts TensorFlow's decoding errors into a DataError naming the file."""
        return naming_unreadable(self.source, self.recipe.data)

    def notes(self) -> Iterator[str]:
        """Yield messages about folder layout, batch size, few validation images, and classes missing in a split."""
        yield from self.source.layout.lines()
        images, asked, held_out = len(self.train), self.recipe.data.batch_size, self.images("validation")
        if asked > images:
            yield f"data.batch_size = {asked} exceeds the number of training images: each step uses all {images}"
        if 0 < held_out < FEW and (what := _selected(self.recipe)):
            yield (
                f"warning: {held_out} validation images select the {what}, and one image is {1 / held_out:.0%} of its "
                f"accuracy: the selection is mostly random. {self._more_validation(what)}"
            )
        yield from (f"warning: {line}" for line in unmeasured_classes(self.source))

    def _more_validation(self, selected: str) -> str:
        """Return what gives more validation images, and how to do without the selection."""
        last = ", or set train.artifact=last" if selected == _EPOCH else ""
        if "validation" not in self.source.divided:
            return f"The data has its own validation split: give it more images{last}"
        if self.recipe.data.folds:
            return f"Set data.folds lower{last}"
        return f"Set data.validation higher{last or ', or to 0 for cross-validation'}"

    def quarantine(self) -> str:
        """Return the text of quarantine.txt: path and reason of each unreadable file, a line each; "" without any."""
        return quarantine(self.unreadable) if self.unreadable else ""

    def fingerprint(self) -> dict[str, Any]:
        """Return the fingerprint of the training data.

        It has the class names, the number of images, a digest of the labels and a digest of sample images.
        """
        labels = hashlib.sha256(np.ascontiguousarray(self.train.labels).astype("<i8").tobytes()).hexdigest()[:16]
        sample = hashlib.sha256()
        for index in np.linspace(0, len(self.train) - 1, min(len(self.train), _SAMPLE), dtype=int):
            image, _ = self.train.read(index)
            sample.update(image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes())
        return {
            "class_names": list(self.class_names),
            "training_images": len(self.train),
            "training_labels": labels,
            "sample_of_images": sample.hexdigest()[:16],
        }


def _selected(recipe: Recipe) -> str | None:
    """Return what a recipe selects by the validation split; None if it selects nothing."""
    if not recipe.transfer.trains_by_steps:
        return "L2 strength"
    return _EPOCH if recipe.train.artifact == "best" or recipe.train.early_stopping else None
