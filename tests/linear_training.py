"""Helpers: a complete training of a linear model on small grayscale images, in about a second."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.keras_optim.recipe_optimizer import build_optimizer
from cnnrecipes.keras_optim.recipe_schedule import build_schedule
from cnnrecipes.optim.weight_averages import build_averages
from cnnrecipes.recipe.keys_and_defaults import RESUMABLE, TABLES
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.checkpoint import FOLDER, Checkpoint, Fingerprint
from cnnrecipes.runs.run import Run
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.train_job import TrainJob, compile_model
from cnnrecipes.training.trainer import Outcome, Trainer
from cnnrecipes.training.training_step import TrainModel

RANDOM = np.random.default_rng(0)
LABELS = np.arange(150) % 3
IMAGES = (RANDOM.integers(0, 120, (150, 4, 4, 1)) + 60 * LABELS[:, None, None, None]).astype(np.uint8)


def linear_recipe(**keys) -> Recipe:
    """A recipe of three epochs of six steps of 16 images; 45 images are held out. Keys come without their table."""
    tables = {
        "data": {"name": "arrays", "batch_size": 16, "validation": 0.3},
        "model": {"name": "resnet8"},
        "optimizer": {"learning_rate": 0.01},
        "train": {"epochs": 3},
        "logging": {"loggers": []},
    }
    table_of = {key: name for name in ("optimizer", "train", *RESUMABLE) for key in TABLES[name].model_fields}
    changes = {f"{table_of[key]}.{key}": value for key, value in keys.items()}
    return Recipe.from_dict(tables, "test").change(**changes)


def linear_model(dropout: float = 0.0) -> keras.Model:
    """Images (N, 4, 4, 1) to logits (N, 3)."""
    layers = [keras.Input((4, 4, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dropout(dropout), keras.layers.Dense(3)])


class LinearTraining:
    """A `TrainJob` around a linear model, and its `Trainer` in a folder."""

    def __init__(self, folder: Path, *, dropout: float = 0.0, callbacks=(), start: Checkpoint | None = None, **keys):
        self.recipe, self.start = linear_recipe(**keys), start
        source = open_source((IMAGES, LABELS), self.recipe.data)
        self.validation = source.split("validation")
        pipeline = InputPipeline(source, self.recipe)
        plan, steps = self.recipe.optimizer, pipeline.steps_per_epoch
        self.schedule = build_schedule(plan, self.recipe.train, steps, 16)
        self.said: list[str] = []
        with seeded(self.recipe.train.seed):
            self.model = linear_model(dropout)
            made = build_optimizer(plan, self.model, self.schedule)
            made.build(self.model.trainable_variables)
            following = build_averages(plan, self.model, made)
            self.train_model = TrainModel(self.model, averages=following, schedule=self.schedule)
            compile_model(self.train_model, self.recipe, made)
        (folder / FOLDER).mkdir(exist_ok=True, parents=True)
        fingerprint = Fingerprint(self.recipe.to_dict(), pipeline.fingerprint())
        devices = Devices(tf.distribute.get_strategy())
        job = TrainJob(ModelPlan(pipeline), devices, self.train_model, self.schedule, fingerprint)
        self.trainer = Trainer(job, Run(folder), callbacks=callbacks, say=self.said.append)

    def run(self) -> Outcome:
        """Train to the end."""
        return self.trainer.fit(self.start)
