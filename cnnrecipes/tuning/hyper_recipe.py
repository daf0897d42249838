"""`HyperRecipe`: a recipe with a search space as a `keras_tuner.HyperModel`, for any tuner of keras-tuner."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from cnnrecipes._support import console, keras_settings
from cnnrecipes.errors import CNNRecipesWarning, TrainingError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.run import Run
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Trainer
from cnnrecipes.transfer.preparation import prepare
from cnnrecipes.tuning.hyperparameters import declare, values_of
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.trial_recipe import trial_start
from cnnrecipes.tuning.tune import search_recipe


class HyperRecipe(keras_tuner.HyperModel):
    """A recipe with a search space, for `keras_tuner.RandomSearch` and the other tuners.

    `build(hp)` returns the compiled model in training of the recipe with the values of `hp`, `fit(hp, model)` trains it
    as `cnnrecipes.fit` does. The data stay open.

    >>> tuner = keras_tuner.RandomSearch(cr.HyperRecipe("resnet8_digits"), "val_accuracy")  # doctest: +SKIP
    >>> tuner.search()                                                                      # doctest: +SKIP

    Args:
        recipe: as in `fit`.
        space: entries that are added to its [search.space]; without any, that of `tune`.
        data: as in `fit`.
        workdir: parent folder of the runs; None: they are not kept.
        changes: recipe keys to override.

    Raises:
        RecipeError: the recipe or the space is invalid.
        DataError: data of an unsupported type.
    """

    def __init__(
        self,
        recipe: str | Path | Mapping[str, Any] | Recipe,
        space: Mapping[str, Any] | None = None,
        data: Any = None,
        *,
        workdir: str | Path | None = None,
        **changes: Any,
    ):
        super().__init__()
        self.recipe = search_recipe(catalog.load(recipe).change(**changes), data, space, {}, console.silent)
        self.workdir = workdir
        self._data = OpenData(data)
        self._built: TrainJob | None = None

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model of the recipe with the values of `hp`; images (N, H, W, C) 0..255 to logits.

        Raises:
            CNNRecipesError: the values do not fit together, or the data cannot be opened.
        """
        recipe = self.trial_recipe(hp)
        with warnings.catch_warnings(), keras_settings.float32(), seeded(recipe.train.seed):
            warnings.simplefilter("ignore", CNNRecipesWarning)
            start = trial_start(self.recipe, self._data.data, self._values(hp), recipe.train.seed)
            pipeline = self._data.pipeline(recipe)
            plan = prepare(pipeline.with_recipe(start.adjusted(pipeline.steps_per_epoch)), start, console.silent)
            self._built = TrainJob.build(plan, Devices.open(recipe.devices.strategy))
        return self._built.model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *_: Any, callbacks: Any = (), **options: Any):
        """Train the model that `build` returned last, and return its history.

        Args:
            callbacks: callbacks of the tuner.
            options: ignored: data, epochs and batches are those of the recipe.

        Raises:
            TrainingError: another model, or the loss became NaN.
        """
        job = self._built
        if job is None or job.model is not model:
            raise TrainingError("the model is not the one that HyperRecipe.build returned last; build it again")
        folder = tempfile.TemporaryDirectory() if self.workdir is None else None
        try:
            run = Run.create(folder.name if folder else str(self.workdir), job.recipe)
            with keras_settings.float32(), seeded(job.recipe.train.seed):
                Trainer(job, run, callbacks=list(callbacks or ()), say=console.silent).fit()
            table = run.history
        finally:
            if folder:
                folder.cleanup()
        history = keras.callbacks.History()
        history.set_model(model)
        history.epoch = [int(epoch) - 1 for epoch in table["epoch"]]
        history.history = {str(name): column.tolist() for name, column in table.items() if name != "epoch"}
        return history

    def trial_recipe(self, hp: keras_tuner.HyperParameters) -> Recipe:
        """Return the recipe with the values of `hp`, for `cnnrecipes.fit`."""
        return trial_start(self.recipe, self._data.data, self._values(hp), self.recipe.train.seed).recipe

    def _values(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        assert self.recipe.search is not None
        entries = self.recipe.search.entries
        declare(hp, entries)
        return values_of(hp, entries)
