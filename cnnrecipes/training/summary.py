"""The summary that `fit` prints before training: data, images, model, devices and length."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import tensorflow as tf

from cnnrecipes._support.console import listed, printable
from cnnrecipes.data.sources.source import Source
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training.distributed.strategy import Placement
from cnnrecipes.training.train_model import Trainee

LABEL = 9  # characters of a label with the space behind it
_NAMED = 6  # classes that are listed by name


def summary(recipe: Recipe, source: Source, trainee: Trainee, placement: Placement, steps_per_epoch: int) -> list[str]:
    """Return one line each for the data, the images, the model, the devices and the length of the training.

    Args:
        steps_per_epoch: optimizer steps per epoch.

    Returns:
        lines of a label and its value, without line breaks or escape sequences.
    """
    rows = {
        "data": _data(source),
        "images": _images(recipe, trainee, len(source.split("train"))),
        "model": _model(recipe, trainee),
        "device": _devices(placement, trainee),
        "training": _length(recipe, steps_per_epoch),
    }
    return [f"{label:<{LABEL}}{text}" for label, text in rows.items()]


def _data(source: Source) -> str:
    names = listed(source.class_names, most=_NAMED)
    counts = [f"{len(source.splits[split]):,} {word}" for split, word in _splits(source)]
    return f"{printable(source.name)}: {len(source.class_names):,} classes ({names}); {', '.join(counts)} images"


def _splits(source: Source) -> Iterator[tuple[str, str]]:
    for split, word in (("train", "training"), ("validation", "validation"), ("test", "test")):
        if split in source.splits:
            yield split, word


def _images(recipe: Recipe, trainee: Trainee, images: int) -> str:
    height, width, channels = trainee.inner.input_shape[1:]
    colour = {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")
    batch = min(recipe.data.batch_size, images)
    fewer = f" (all there are; data.batch_size is {recipe.data.batch_size})" if batch < recipe.data.batch_size else ""
    return f"{height}x{width} {colour}, in batches of {batch}{fewer}"


def _model(recipe: Recipe, trainee: Trainee) -> str:
    parameters = sum(math.prod(variable.shape) for variable in trainee.inner.trainable_variables)
    start = f"weights of {printable(recipe.train.start_from)}" if recipe.train.start_from else "random weights"
    return f"{recipe.model.name}, {parameters:,} parameters, {start}"


def _devices(placement: Placement, trainee: Trainee) -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        count = placement.devices // placement.workers
        where = f"{count} x {name}" if count > 1 else name
    else:
        where = f"CPU with {os.cpu_count()} cores"
    workers = f", {placement.workers} workers" if placement.workers > 1 else ""
    return f"{where}{workers}, computing in {trainee.inner.compute_dtype}"


def _length(recipe: Recipe, steps_per_epoch: int) -> str:
    steps = recipe.train.epochs * steps_per_epoch
    budget = f", at most {recipe.train.time_budget}" if recipe.train.time_budget else ""
    return f"{recipe.train.epochs:,} epochs of {steps_per_epoch:,} steps, {steps:,} in all{budget}"
