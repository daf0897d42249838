"""The spine: from a recipe's name to a trained run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnrecipes import catalog, models
from cnnrecipes.artefact import Artefact
from cnnrecipes.data import pipeline
from cnnrecipes.data.augment import Augmentation
from cnnrecipes.data.check import quarantine, readable
from cnnrecipes.data.sources import Source, open_source, recipe_name
from cnnrecipes.evaluation import evaluate
from cnnrecipes.recipe import Recipe
from cnnrecipes.run import Run
from cnnrecipes.training import loop
from cnnrecipes.training.device_half import AugmentingModel, in_training_step
from cnnrecipes.training.losses import class_weights


def fit(
    recipe: str | Path | Recipe,
    *,
    data: Any = None,
    workdir: str | Path = "runs",
    seed: int | None = None,
    progress: bool = True,
    **changes: Any,
) -> Run:
    """Train one recipe and return its run; each line is one stop of the data.

    Args:
        recipe: a shipped recipe's name, the path of a TOML file, or a Recipe.
        data: None for the recipe's own; a folder with one sub-folder a class; a table of paths and labels (CSV, TSV,
            Parquet, DataFrame); a TFDS name; `(images, labels)`; a `tf.data.Dataset` of (image, label); or
            `{"train": (images, labels), "test": (...), "class_names": [...]}`. Images are 0..255.
        workdir: where run folders go.
        seed: short for `**{"train.seed": seed}`.
        progress: show progress.
        changes: dotted keys of the recipe, as `**{"train.epochs": 5}`.

    Raises:
        CNNRecipesError: the recipe, the data, the model or the run folder is not as it should be, or the loss diverges.
    """
    recipe = _complete(catalog.load(recipe), data, seed, changes)
    models.find(recipe.model.name)
    source, unreadable = readable(open_source(data, recipe.data), progress=progress)
    train, classes = source.split("train"), len(source.class_names)
    shape = pipeline.image_shape(train, recipe.data)
    statistics = pipeline.split_statistics(train, recipe.data, progress=progress)
    with loop.seeded(recipe.train.seed):
        model = models.build(recipe.model, input_shape=shape, classes=classes, **statistics.for_model)
        augmentation = Augmentation.of(recipe, statistics, in_step=in_training_step(recipe.augment.device))
        trained = AugmentingModel(model, augmentation) if augmentation.in_step else model
        weights = class_weights(train.labels, classes) if recipe.data.balance == "class_weights" else None
        loop.compile_model(trained, recipe.train, pipeline.steps_per_epoch(train, recipe.data), weights)
        batches = pipeline.training_batches(train, recipe, statistics, classes, augmentation=augmentation)
        validation = _validation(source, recipe)
        run = Run.create(workdir, recipe)
        _leave_out(unreadable, run, progress)
        with pipeline.naming_unreadable(source, recipe.data):
            epoch = loop.train(trained, batches, validation, recipe.train, run.folder, progress=progress)
    return _finish(run, Artefact(model, recipe, source.class_names), source, epoch)


def _complete(recipe: Recipe, data: Any, seed: int | None, changes: Mapping[str, Any]) -> Recipe:
    """The recipe as it will be run and recorded."""
    changes = dict(changes)
    if data is not None:
        changes["data.name"] = recipe_name(data)
    if seed is not None:
        changes["train.seed"] = seed
    return recipe.change(**changes)


def _leave_out(unreadable: Mapping[str, str], run: Run, progress: bool) -> None:
    """Say which files cannot be read, and list them in the run's quarantine.txt."""
    if unreadable:
        run.write("quarantine.txt", quarantine(unreadable))
        first, why = next(iter(unreadable.items()))
        said = f"{len(unreadable)} files cannot be read and are left out, as {first!r}: {why}"
        if progress:
            print(f"{said}; all are listed in {run.folder / 'quarantine.txt'}")


def _validation(source: Source, recipe: Recipe):
    """Batches of the validation split, None where nothing was held out."""
    if "validation" not in source.splits:
        return None
    return pipeline.evaluation_batches(source.split("validation"), recipe.data, len(source.class_names))


def _finish(run: Run, artefact: Artefact, source: Source, epoch: int) -> Run:
    """Write the artefact and the metrics; only here is the test split measured."""
    artefact.save(run.folder / "model.keras")
    metrics = {
        split: evaluate(artefact, source.split(split)) for split in ("validation", "test") if split in source.splits
    }
    run.write("metrics.json", json.dumps({"epoch": epoch, **metrics}, indent=2))
    return run
