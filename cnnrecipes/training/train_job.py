"""Preparation of a training: compiled model, optimizer, schedule and batches, placed on the devices."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes import layers, models
from cnnrecipes.data import input_pipeline
from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.data.sources.source import Source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.errors import RunError, TrainingError
from cnnrecipes.optim import losses
from cnnrecipes.optim.optimizers import optimizer
from cnnrecipes.optim.schedules import Schedule, schedule
from cnnrecipes.optim.weight_averages import averages
from cnnrecipes.recipe.schema import Recipe, Train
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.artifact import Artefact
from cnnrecipes.runs.run import Run, load
from cnnrecipes.runs.unfinished import description, weights_of
from cnnrecipes.training import precision
from cnnrecipes.training.distributed.strategy import Placement
from cnnrecipes.training.train_model import Trainee, in_training_step
from cnnrecipes.training.trainer import Feed

_SAMPLE = 32  # training images by which data is known again


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to start: compiled model, schedule, batches, and a factory of the model to export."""

    trainee: Trainee
    schedule: Schedule
    feed: Feed
    facts: dict[str, Any]
    about: dict[str, Any]  # what the model needs beside weights and recipe
    bare: Callable[[], keras.Model]
    first_batch: Callable[[], tuple[np.ndarray, np.ndarray]]  # images and labels as they are after augmentation

    def artefact(self, weights: list[np.ndarray], recipe: Recipe, class_names: tuple[str, ...]) -> Artefact:
        """Return the artifact: a float32, single-device model, independent of precision and devices of the training."""
        model = self.bare()
        model.set_weights(weights)
        return Artefact(model, recipe, class_names)


def prepare(
    recipe: Recipe,
    source: Source,
    placement: Placement,
    *,
    parts: int = 1,
    progress: bool = True,
    start_from: str | Path | None = None,
) -> Prepared:
    """Prepare a training of this recipe on this source.

    Args:
        parts: number of microbatches that a batch is split into.
        start_from: a run, checkpoint or artifact with the initial weights; None: initialize by `model.init`.

    Raises:
        CNNRecipesError: the data, the model, the schedule or the batch size are not compatible.
    """
    train, classes = source.split("train"), len(source.class_names)
    images, steps = min(recipe.data.batch_size, len(train)), input_pipeline.steps_per_epoch(train, recipe.data)
    placement.check_batch(images, parts)
    planned = schedule(recipe.optimizer, recipe.train, steps, images)
    _check_decisions(recipe.train, planned, source)
    shape = input_pipeline.image_shape(train, recipe.data)
    statistics = input_pipeline.split_statistics(train, recipe.data, progress=progress)
    augmentation = Augmentation.of(recipe, statistics, in_step=in_training_step(recipe.augment.device))
    input_pipeline.check_batches(train, recipe, augmentation, placement.devices)

    def build(**parts) -> keras.Model:
        return models.build(recipe.model, input_shape=shape, classes=classes, **statistics.for_model, **parts)

    def first_batch() -> tuple[np.ndarray, np.ndarray]:
        return next(
            input_pipeline.training_batches(train, recipe, statistics, classes, last_step=1).as_numpy_iterator()
        )

    weights = losses.class_weights(train.labels, classes) if recipe.data.balance == "class_weights" else None
    numbers = precision.chosen(recipe.train)
    with _placed_model(build, recipe, placement, numbers, start_from) as model:
        made = optimizer(recipe.optimizer, model, planned)
        made.build(model.trainable_variables)
        following = averages(recipe.optimizer, model, made)
        in_step = augmentation if augmentation.in_step else None
        trainee = Trainee(model, augmentation=in_step, parts=parts, averages=following, schedule=planned)
        compile_trainee(trainee, recipe, precision.with_loss_scaling(made, numbers), weights)
    facts = {"recipe": recipe.to_dict(), "data": _fingerprint(source), "steps_per_epoch": steps}
    feed = _feed(recipe, source, statistics, augmentation, placement)
    about = description(shape, source.class_names, statistics)
    return Prepared(trainee, planned, feed, facts, about, build, first_batch)


@contextlib.contextmanager
def _placed_model(
    build, recipe: Recipe, placement: Placement, numbers: str, start_from: str | Path | None
) -> Iterator[keras.Model]:
    """Yield the model on its devices with its initial weights, within the scope of the distribution strategy."""
    # Within a strategy Keras draws other initial weights; they must not depend on the number of devices.
    first = [variable.numpy() for variable in build().variables] if placement.devices > 1 else ()
    norm = {"norm": layers.synchronized_batch_norm()} if _synchronizes(recipe, placement) else {}
    with placement.strategy.scope():
        with precision.layers_in(numbers):
            model = build(**norm)
        for variable, value in zip(model.variables, first, strict=False):
            variable.assign(value)
        if start_from:
            model.set_weights(_weights_of(str(start_from), model))
        yield model


def compile_trainee(trainee: Trainee, recipe: Recipe, made: keras.optimizers.Optimizer, weights=None) -> None:
    """Build the optimizer and compile a trainee with the recipe's loss; `weights` are the class weights."""
    made.build(trainee.inner.trainable_variables)
    # XLA makes convolutional nets slower on a CPU, and does not know the operations of every augmentation.
    helps = bool(tf.config.list_physical_devices("GPU")) and not trainee.augments
    xla = recipe.train.xla
    trainee.compile(optimizer=made, loss=losses.loss(recipe.train, weights), jit_compile=helps if xla is None else xla)


def _feed(recipe: Recipe, source: Source, statistics: Statistics, augmentation: Augmentation, place: Placement) -> Feed:
    """Return the training and validation batches, sharded over the devices."""
    train, classes = source.split("train"), len(source.class_names)

    def training(first: int, last: int) -> tf.data.Dataset:
        return place.batches(
            lambda which, parts: input_pipeline.training_batches(
                train,
                recipe,
                statistics,
                classes,
                first_step=first,
                last_step=last,
                augmentation=augmentation,
                part=(which, parts),
            )
        )

    held_out = source.split("validation") if "validation" in source.splits else None
    measured = [len(source.split(name)) for name in ("validation", "test") if name in source.splits]
    return Feed(
        training,
        input_pipeline.steps_per_epoch(train, recipe.data),
        min(recipe.data.batch_size, len(train)),
        place.batches(
            lambda *part: again_and_again(input_pipeline.evaluation_batches(held_out, recipe.data, classes, part=part))
        )
        if held_out
        else None,
        input_pipeline.evaluation_steps(held_out, place.devices) if held_out else 0,
        len(held_out) if held_out else 0,
        sum(measured),
    )


def again_and_again(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Repeat a dataset forever, without autotuning, whose thread would delay the end of the training."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.repeat().with_options(options)


def _check_decisions(spec: Train, planned: Schedule, source: Source) -> None:
    """Raise TrainingError if early stopping or a plateau schedule needs a validation split and there is none."""
    plateau = "optimizer.schedule = 'plateau'" if planned.plateau else None
    asked = "train.early_stopping" if spec.early_stopping else plateau
    if asked and "validation" not in source.splits:
        raise TrainingError(f"{asked} looks at the validation split, and there is none; set data.validation above 0")


def _synchronizes(recipe: Recipe, placement: Placement) -> bool:
    """Return True for synchronized batch norm. Raises TrainingError if the model has no batch norm."""
    if not recipe.train.sync_batch_norm:
        return False
    norm = models.find(recipe.model.name).complete(recipe.model).norm
    if norm != "batch":
        raise TrainingError(f"train.sync_batch_norm with model.norm = {norm!r}; it is of batch norm only")
    return placement.devices > 1


def _weights_of(path: str, model: keras.Model) -> list[np.ndarray]:
    """Return the weights of `train.start_from`. Raises RunError naming the first whose shape does not match."""
    found = _stored_weights(Path(path), model)
    for here, there in zip(model.weights, found, strict=False):
        if tuple(here.shape) != there.shape:
            raise RunError(
                f"train.start_from = {path!r}: {here.path} has shape {there.shape} there, and "
                f"{tuple(here.shape)} in {model.name} here; its model, channels and classes must be the same"
            )
    if len(found) != len(model.weights):
        raise RunError(
            f"train.start_from = {path!r} has {len(found)} weights, {model.name} here {len(model.weights)}; "
            "the models must be the same"
        )
    return found


def _stored_weights(path: Path, model: keras.Model) -> list[np.ndarray]:
    """Return the weights of a finished run, an artifact, a checkpoint or an unfinished run."""
    if path.suffix == ".npz":
        return weights_of(_checkpoint(path), model)
    opened = load(path)
    if not isinstance(opened, Run) or opened.finished:
        return [weight.numpy() for weight in opened.model.weights]
    found = checkpoint.newest(opened.folder / "checkpoints")
    if found is None:
        raise RunError(f"train.start_from = {str(path)!r} was stopped before it wrote a checkpoint; give another run")
    return weights_of(found, model)


def _checkpoint(path: Path) -> checkpoint.Checkpoint:
    """Read a checkpoint. Raises RunError if it is missing, damaged, or not written by cnnrecipes."""
    if not path.is_file():
        raise RunError(f"train.start_from = {str(path)!r} does not exist; give a run, a checkpoint or a model.keras")
    try:
        with zipfile.ZipFile(path) as archive:
            ours = checkpoint.STATE in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        ours = True  # damaged, which reading it explains
    if not ours:
        raise RunError(
            f"train.start_from = {str(path)!r} is no checkpoint of cnnrecipes; give a run, a checkpoint or a "
            "model.keras (cnnrecipes.load_state_dict reads weights of PyTorch)"
        )
    return checkpoint.read(path)


def _fingerprint(source: Source) -> dict[str, Any]:
    """Return a fingerprint of the data: it must be unchanged on resume."""
    train = source.split("train")
    labels = hashlib.sha256(np.ascontiguousarray(train.labels).astype("<i8").tobytes()).hexdigest()[:16]
    sample = hashlib.sha256()
    for index in np.linspace(0, len(train) - 1, min(len(train), _SAMPLE), dtype=int):
        image, _ = train.read(index)
        sample.update(image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes())
    return {
        "class_names": list(source.class_names),
        "training_images": len(train),
        "training_labels": labels,
        "sample_of_images": sample.hexdigest()[:16],
    }
