"""`HyperRecipe`: a recipe with a search space as a `keras_tuner.HyperModel`, for any tuner of keras-tuner."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import pandas as pd

from cnnrecipes._support import console, keras_settings
from cnnrecipes.errors import CNNRecipesWarning, TrainingError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.values import plain
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.run import Run
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.start_or_resume import Start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Trainer
from cnnrecipes.transfer.preparation import prepare
from cnnrecipes.tuning.hyperparameters import declare, values_of
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.pruning import StopTrial, without_stop
from cnnrecipes.tuning.seeds import execution_seed
from cnnrecipes.tuning.trial_recipe import trial_start
from cnnrecipes.tuning.tune import search_recipe

INITIAL = "tuner/initial_epoch"  # keras-tuner's value of a trial that continues another one


@dataclass
class _Execution:
    """A training of some values: its run, until it can no longer be continued, and its epochs."""

    run: Run | None = None
    epochs: int = 0
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)


class HyperRecipe(keras_tuner.HyperModel):
    """A recipe with a search space, for `keras_tuner.RandomSearch` and the other tuners.

    `build(hp)` returns the compiled model in training of the recipe with the values of `hp`, `fit(hp, model)` trains it
    as `cnnrecipes.fit` does. The data stay open. Each training of the same values has another seed, derived from the
    recipe's and the values. `keras_tuner.Hyperband` ends trainings early and continues the best of them, from their
    checkpoint and with the recipe's schedule, so that the result is bit-equal to an uninterrupted training.

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
        self._executions: dict[str, list[_Execution]] = {}

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model of the recipe with the values of `hp`; images (N, H, W, C) 0..255 to logits.

        Raises:
            CNNRecipesError: the values do not fit together, or the data cannot be opened.
        """
        self._built = self._job(hp, self._number(hp, int(hp.values.get(INITIAL) or 0)))
        return self._built.model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *_: Any,
        epochs: int | None = None,
        initial_epoch: int = 0,
        callbacks: Any = (),
        **options: Any,
    ) -> keras.callbacks.History:
        """Train the model that `build` returned last, and return its history.

        Args:
            epochs: number of epochs after which it ends; None: those of the recipe, which decide the schedule.
            initial_epoch: epochs of an earlier training of the same values that it continues. If this object has not
                run that training, it is repeated, with the same result.
            callbacks: callbacks of the tuner.
            options: ignored: data and batches are those of the recipe.

        Raises:
            TrainingError: another model, more epochs than the recipe has, or the loss became NaN.
        """
        job = self._built
        if job is None or job.model is not model:
            raise TrainingError("the model is not the one that HyperRecipe.build returned last; build it again")
        whole = job.recipe.train.epochs
        if epochs is not None and epochs > whole:
            raise TrainingError(
                f"the tuner asks for {epochs} epochs, and the schedule of the recipe has {whole}; set "
                f"max_epochs={whole} for keras_tuner.Hyperband, or train.epochs of the recipe"
            )
        one = self._execution(hp, initial_epoch)
        if initial_epoch and one.run is None:
            job = self._job(hp, self._number(hp, initial_epoch))  # the tuner has set the weights of the other training
        start = checkpoint.newest(one.run.folder, console.silent) if one.run else None
        if one.run is None:
            one.folder = tempfile.TemporaryDirectory() if self.workdir is None else None
            one.run = Run.create(one.folder.name if one.folder else str(self.workdir), job.recipe)
        last = epochs or whole
        stop = StopTrial(job, lambda own: f"the tuner asks for {last}" if max(own) >= last else None, "loss")
        with keras_settings.float32(), seeded(job.recipe.train.seed):
            trainer = Trainer(job, one.run, callbacks=[*(callbacks or ()), stop], say=console.silent)
            trainer.fit(start and without_stop(start))
        table = one.run.history
        one.epochs = len(table)
        if last >= whole and one.folder:  # nothing continues it
            one.folder.cleanup()
            one.run = one.folder = None
        return _history(model, table[table["epoch"] > initial_epoch] if len(table) > initial_epoch else table)

    def trial_recipe(self, hp: keras_tuner.HyperParameters) -> Recipe:
        """Return the recipe of the first training with the values of `hp`, for `cnnrecipes.fit`."""
        return self._start(hp, 0).recipe

    def _job(self, hp: keras_tuner.HyperParameters, number: int) -> TrainJob:
        """Return the training of the values of `hp` that is the number-th, from 0."""
        start = self._start(hp, number)
        with warnings.catch_warnings(), keras_settings.float32(), seeded(start.recipe.train.seed):
            warnings.simplefilter("ignore", CNNRecipesWarning)
            pipeline = self._data.pipeline(start.recipe)
            pipeline = pipeline.with_recipe(start.adjusted(pipeline.steps_per_epoch))
            devices = Devices.open(start.recipe.devices.strategy)
            return TrainJob.build(prepare(pipeline, start, console.silent, devices), devices)

    def _start(self, hp: keras_tuner.HyperParameters, number: int) -> Start:
        values = self._values(hp)
        seed = execution_seed(self.recipe.train.seed, _key(values), number)
        return trial_start(self.recipe, self._data.data, values, seed)

    def _number(self, hp: keras_tuner.HyperParameters, initial_epoch: int) -> int:
        """Return which training of its values the next one is: a new one, or the one that it continues."""
        known = self._executions.get(_key(self._values(hp)), [])
        if not initial_epoch:
            return len(known)
        return next((n for n, one in enumerate(known) if one.run and one.epochs == initial_epoch), 0)

    def _execution(self, hp: keras_tuner.HyperParameters, initial_epoch: int) -> _Execution:
        known, number = self._executions.setdefault(_key(self._values(hp)), []), self._number(hp, initial_epoch)
        if initial_epoch and known and known[number].run and known[number].epochs == initial_epoch:
            return known[number]
        known.append(_Execution())
        return known[-1]

    def _values(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        assert self.recipe.search is not None
        entries = self.recipe.search.entries
        declare(hp, entries)
        return values_of(hp, entries)


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(plain(dict(values)), sort_keys=True)


def _history(model: keras.Model, table: pd.DataFrame) -> keras.callbacks.History:
    """Return rows of a run's history as Keras' `fit` returns them."""
    history = keras.callbacks.History()
    history.set_model(model)
    history.epoch = [int(epoch) - 1 for epoch in table["epoch"]]
    history.history = {str(name): column.tolist() for name, column in table.items() if name != "epoch"}
    return history
