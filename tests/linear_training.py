"""What several test files share: a real training of a linear model on small gray images, in about a second."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.data import batches
from cnnrecipes.data.sources.source import open_source
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.optim.optimizers import optimizer
from cnnrecipes.optim.schedules import schedule
from cnnrecipes.optim.weight_averages import averages
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.tables import RESUMABLE, TABLES
from cnnrecipes.training import train_job, trainer
from cnnrecipes.training.distributed.devices import Placement
from cnnrecipes.training.train_model import Trainee

RANDOM = np.random.default_rng(0)
LABELS = np.arange(150) % 3
IMAGES = (RANDOM.integers(0, 120, (150, 4, 4, 1)) + 60 * LABELS[:, None, None, None]).astype(np.uint8)


def linear_recipe(**keys) -> Recipe:
    """Six steps of 16 images an epoch, three epochs; 45 images are held out. Keys are given without their table."""
    tables = {
        "data": {"name": "arrays", "batch_size": 16, "validation": 0.3},
        "model": {"name": "resnet8"},
        "optimizer": {"learning_rate": 0.01},
        "train": {"epochs": 3},
    }
    table_of = {key: name for name in ("optimizer", "train", *RESUMABLE) for key in TABLES[name].model_fields}
    changes = {f"{table_of[key]}.{key}": value for key, value in keys.items()}
    return Recipe.from_dict(tables, "test").change(**changes)


def linear_model(dropout: float = 0.0) -> keras.Model:
    """Images (N, 4, 4, 1) to logits (N, 3)."""
    layers = [keras.Input((4, 4, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dropout(dropout), keras.layers.Dense(3)])


class LinearTraining:
    """The parts of a training as `preparing.prepare` makes them, around a linear model."""

    def __init__(self, folder: Path | None, *, dropout: float = 0.0, parts: int = 1, callbacks=(), start=None, **keys):
        self.recipe = linear_recipe(**keys)
        spec = self.recipe.optimizer
        source = open_source((IMAGES, LABELS), self.recipe.data)
        split, self.validation = source.split("train"), source.split("validation")
        steps = batches.steps_per_epoch(split, self.recipe.data)
        self.schedule = schedule(spec, self.recipe.train, steps, 16)
        self.said: list[str] = []
        with trainer.seeded(self.recipe.train.seed):
            self.model = linear_model(dropout)
            made = optimizer(spec, self.model, self.schedule)
            made.build(self.model.trainable_variables)
            self.trainee = Trainee(
                self.model, parts=parts, averages=averages(spec, self.model, made), schedule=self.schedule
            )
            train_job.compile_trainee(self.trainee, self.recipe, made)
        statistics = Statistics((120.0,), (60.0,))
        self.feed = trainer.Feed(
            lambda first, last: batches.training_batches(
                split, self.recipe, statistics, 3, first_step=first, last_step=last
            ),
            steps,
            16,
            train_job.again_and_again(batches.evaluation_batches(self.validation, self.recipe.data, 3)),
            batches.evaluation_steps(self.validation),
            len(self.validation),
        )
        if folder is not None:
            (folder / "checkpoints").mkdir(exist_ok=True, parents=True)
        self.session = trainer.Session(
            folder,
            Placement(tf.distribute.get_strategy()),
            progress=False,
            say=self.said.append,
            loggers=callbacks,
            start=start,
            facts={"steps_per_epoch": steps},
        )

    def run(self) -> trainer.Outcome:
        """Train it to its end."""
        return trainer.train(self.trainee, self.schedule, self.feed, self.recipe, self.session)
