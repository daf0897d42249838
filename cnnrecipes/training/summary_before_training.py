"""The summary that `fit` prints before training: data, images, model, devices and length."""

from __future__ import annotations

import os
from collections.abc import Iterator

import tensorflow as tf

from cnnrecipes._support.console import printable, printable_list
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.display import parameters_text
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.training_step import TrainModel

LABEL = 9  # characters of a label with the space behind it
_NAMED = 6  # classes that are listed by name


def summary(job: TrainJob) -> list[str]:
    """Return one line each for the data, the images, the model, the devices and the length of the training.

    Each is a label and its value, without line breaks or escape sequences.
    """
    recipe, source, model = job.recipe, job.pipeline.source, job.model
    rows = {
        "data": _data(source),
        "images": _images(recipe, job.pipeline.image_shape, job.pipeline.images_per_step),
        "model": _model(job),
        "device": _devices(job.devices, model),
        "training": _length(recipe, job.pipeline.steps_per_epoch) if job.plan.trains_by_steps else "",
    }
    return [f"{label:<{LABEL}}{text}" for label, text in rows.items() if text]


def _data(source: Source) -> str:
    names = printable_list(source.class_names, most=_NAMED)
    counts = [f"{len(source.splits[split]):,} {word}" for split, word in _splits(source)]
    return f"{printable(source.name)}: {len(source.class_names):,} classes ({names}); {', '.join(counts)} images"


def _splits(source: Source) -> Iterator[tuple[str, str]]:
    for split, word in (("train", "training"), ("validation", "validation"), ("test", "test")):
        if split in source.splits:
            yield split, word


def _images(recipe: Recipe, shape: tuple[int, int, int], batch: int) -> str:
    height, width, channels = shape
    color = {1: "gray", 3: "RGB"}.get(channels, f"{channels} channels")
    fewer = f" (all there are; data.batch_size is {recipe.data.batch_size})" if batch < recipe.data.batch_size else ""
    return f"{height}x{width} {color}, in batches of {batch}{fewer}"


def _model(job: TrainJob) -> str:
    recipe, trained, whole = job.recipe, job.trainable_parameters, job.parameters
    source = recipe.train.start_from or recipe.model.weights
    start = "random weights" if source == "none" else f"weights of {printable(source)}"
    parts = (recipe.model.name, parameters_text(whole, trained), start, job.plan.adaptation(job.model.inner))
    return ", ".join(filter(None, parts))


def _devices(devices: Devices, model: TrainModel) -> str:
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
        count = devices.count // devices.workers
        where = f"{count} x {name}" if count > 1 else name
    else:
        where = f"CPU with {os.cpu_count()} cores"
    workers = f", {devices.workers} workers" if devices.workers > 1 else ""
    return f"{where}{workers}, computing in {model.inner.compute_dtype}"


def _length(recipe: Recipe, steps_per_epoch: int) -> str:
    steps = recipe.train.epochs * steps_per_epoch
    budget = f", at most {recipe.train.time_budget}" if recipe.train.time_budget else ""
    return f"{recipe.train.epochs:,} epochs of {steps_per_epoch:,} steps, {steps:,} in all{budget}"
