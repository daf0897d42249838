"""`TrainJob`: the model, optimizer, schedule and loss of a training, built for its devices."""

from __future__ import annotations

import copy
import gc
import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes import layers, models
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import CNNRecipesError, ModelError, RecipeError, TrainingError, one_line
from cnnrecipes.keras_optim.recipe_loss import build_loss, class_weights
from cnnrecipes.keras_optim.recipe_optimizer import build_optimizer
from cnnrecipes.keras_optim.recipe_schedule import RecipeSchedule, build_schedule
from cnnrecipes.layers.norm import NormFactory
from cnnrecipes.optim.weight_averages import build_averages
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.checkpoint import Checkpoint, Fingerprint
from cnnrecipes.runs.trained_model import Artifact
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training import precision
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.training.training_step import TrainModel


@dataclass
class TrainJob:
    """A training that is ready to start: data, devices, and the model with its optimizer and schedule.

    Attributes:
        model: the compiled model in training, on its devices, with its initial weights.
        schedule: the learning rate per step.
        fingerprint: recipe and data, which a checkpoint must share.
        plan: which model is trained, and how its weights become the artifact's.
    """

    plan: ModelPlan
    devices: Devices
    model: TrainModel
    schedule: RecipeSchedule
    fingerprint: Fingerprint

    @classmethod
    def build(cls, plan: ModelPlan, devices: Devices) -> TrainJob:
        """Build the training of a plan's recipe on its data.

        Raises:
            CNNRecipesError: data, model, schedule, batch size or initial weights are not compatible.
        """
        model, planned = _built(plan, devices, plan.recipe.train.microbatches)
        fingerprint = Fingerprint(plan.recipe.to_dict(), plan.pipeline.fingerprint())
        return cls(plan, devices, model, planned, fingerprint)

    @property
    def pipeline(self) -> InputPipeline:
        """The data, and the recipe."""
        return self.plan.pipeline

    @property
    def recipe(self) -> Recipe:
        """The complete recipe."""
        return self.pipeline.recipe

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.schedule.total_steps

    @property
    def parameters(self) -> int:
        """Number of parameters of the whole model, moving statistics not counted."""
        return self.plan.parameters(self.model.inner)

    @property
    def trainable_parameters(self) -> int:
        """Number of parameters that are trained: of a head on frozen features those of the head."""
        return sum(math.prod(variable.shape) for variable in self.model.inner.trainable_variables)

    def all_variables(self) -> list[keras.Variable]:
        """Return the variables of a checkpoint, then the others of the model, for example the last learning rate."""
        found = [variable for group in self.model.checkpoint_variables().values() for variable in group]
        known = {id(variable) for variable in found}
        return [*found, *(variable for variable in self.model.variables if id(variable) not in known)]

    @property
    def microbatches(self) -> int:
        """Number of microbatches into which a batch is divided."""
        return self.model.microbatches

    def rebuild(self, microbatches: int) -> None:
        """Replace the model by a new one that computes a batch in `microbatches` microbatches.

        The memory of the old model is released first.
        """
        del self.model, self.schedule
        gc.collect()
        self.model, self.schedule = _built(self.plan, self.devices, microbatches)

    def begin(self, checkpoint: Checkpoint | None) -> TrainState:
        """Return the state to start with, and restore all variables if there is a checkpoint.

        Raises:
            RunError: the checkpoint belongs to another training.
        """
        state = TrainState(self.pipeline.steps_per_epoch)
        if checkpoint:
            checkpoint.require(self.fingerprint)
            checkpoint.restore(self.model.checkpoint_variables())
            # Keras resets the metrics at the start of an epoch, also on a mid-epoch resume.
            self.model.resume_metrics(mid_epoch=checkpoint.state.step > 0)
            state = copy.deepcopy(checkpoint.state)
        self.model.progress = state
        return state

    def training_batches(self, first_step: int, last_step: int) -> tf.data.Dataset:
        """Return the batches of steps `first_step` to `last_step` (exclusive), sharded over the devices."""
        return self.devices.shard(lambda shard: self.pipeline.training_batches(first_step, last_step, shard))

    def validation_batches(self) -> tf.data.Dataset:
        """Return the batches of the validation split, repeated, sharded over the devices."""
        return self.devices.shard(lambda shard: self.pipeline.evaluation_batches("validation", shard).repeat())

    def artifact(self, weights: list[np.ndarray]) -> Artifact:
        """Return the artifact: a float32, single-device model, independent of precision and devices of the training."""
        return Artifact(self.plan.artifact(weights), self.recipe, self.pipeline.class_names)

    def final_artifact(self, weights: list[np.ndarray]) -> Artifact:
        """Return the artifact once the training is over: the trained model itself, with `weights`, if it is as such."""
        model = self.model.inner
        if not (self.plan.trains_whole and self.devices.count == 1 and model.compute_dtype == "float32"):
            return self.artifact(weights)
        model.set_weights(weights)
        return Artifact(model, self.recipe, self.pipeline.class_names)


def _built(plan: ModelPlan, devices: Devices, microbatches: int) -> tuple[TrainModel, RecipeSchedule]:
    """Return the compiled model in training and its schedule. Raises CNNRecipesError if they cannot be built."""
    recipe, pipeline = plan.recipe, plan.pipeline
    images = pipeline.images_per_step
    devices.check_batch(images, microbatches)
    planned = build_schedule(recipe.optimizer, recipe.train, pipeline.steps_per_epoch, images)
    _check_validation(planned, pipeline)
    pipeline.check(devices.count)
    dtype = precision.chosen(recipe.train)
    drawn = _drawn_weights(plan, devices)
    with devices.strategy.scope():
        with precision.layers_in(dtype):
            model = _build(plan, _synchronized_norm(recipe, devices))
        for variable, value in zip(model.variables, drawn, strict=False):
            variable.assign(value)
        plan.initialize(model)
        made = build_optimizer(recipe.optimizer, model, planned, plan.learning_rates(model))
        made.build(model.trainable_variables)
        train_model = TrainModel(
            model,
            augmentation=pipeline.augmentation if pipeline.augmentation.in_step else None,
            microbatches=microbatches,
            averages=build_averages(recipe.optimizer, model, made),
            schedule=planned,
        )
        compile_model(train_model, recipe, precision.with_loss_scaling(made, dtype), _class_weights(pipeline))
    return train_model, planned


def _build(plan: ModelPlan, norm: NormFactory | None) -> keras.Model:
    """Build the model; shapes that do not fit, which Keras reports as ValueError, are a ModelError."""
    try:
        return plan.build(norm)
    except CNNRecipesError:
        raise
    except ValueError as error:
        raise ModelError(
            f"the architecture {plan.recipe.model.name} cannot be built ({one_line(error)}); change its keys in the "
            "table [model], or the image size"
        ) from error


def compile_model(
    model: TrainModel,
    recipe: Recipe,
    made: keras.optimizers.Optimizer,
    weights: Sequence[float] | None = None,
) -> None:
    """Create the variables of the optimizer `made`, and compile a model in training with it and the recipe's loss."""
    made.build(model.inner.trainable_variables)
    # XLA makes convolutional nets slower on a CPU, and lacks kernels for some augmentations.
    helps = bool(tf.config.list_physical_devices("GPU")) and not model.augments
    xla = helps if recipe.train.xla is None else recipe.train.xla
    model.compile(optimizer=made, loss=build_loss(recipe.train, weights), jit_compile=xla)


def _drawn_weights(plan: ModelPlan, devices: Devices) -> list[np.ndarray]:
    """Return initial weights drawn outside of the strategy, so that they equal those of one device; [] for one."""
    if devices.count == 1:
        return []
    return [variable.numpy() for variable in plan.build().variables]


def _synchronized_norm(recipe: Recipe, devices: Devices) -> NormFactory | None:
    """Return the norm that replaces batch norm on several devices with `train.sync_batch_norm`; otherwise None.

    Raises:
        RecipeError: `train.sync_batch_norm` for a model without batch norm.
    """
    if not recipe.train.sync_batch_norm:
        return None
    norm = models.find(recipe.model.name).complete(recipe.model).norm
    if norm != "batch":
        raise RecipeError(f"train.sync_batch_norm needs model.norm = 'batch', not {norm!r}; change one of them")
    return layers.synchronized_batch_norm() if devices.count > 1 else None


def _class_weights(pipeline: InputPipeline) -> list[float] | None:
    if pipeline.recipe.data.balance != "class_weights":
        return None
    return class_weights(pipeline.train.labels, len(pipeline.class_names))


def _check_validation(planned: RecipeSchedule, pipeline: InputPipeline) -> None:
    """Raise TrainingError if early stopping or a plateau schedule needs a validation split and there is none."""
    needs = "optimizer.schedule = 'plateau'" if planned.plateau else None
    needs = "train.early_stopping" if pipeline.recipe.train.early_stopping else needs
    if needs and not pipeline.images("validation"):
        raise TrainingError(f"{needs} needs a validation split, and there is none; set data.validation above 0")
