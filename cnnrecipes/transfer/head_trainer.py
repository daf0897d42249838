"""`HeadTrainer`: heads on the same frozen features, without building the backbone and without a run folder."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np

from cnnrecipes._support.console import silent
from cnnrecipes.errors import NonFinite
from cnnrecipes.keras_optim.recipe_schedule import build_schedule
from cnnrecipes.models.variable_snapshot import Snapshot
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.given_rates import GivenRates, rates_of
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.start_or_resume import Start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Trainer
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.head_fit import fit_to_features
from cnnrecipes.transfer.plan import DrawnHeadPlan, drawn_head
from cnnrecipes.transfer.preparation import check_head

_STEPS = 200  # of one call of the training function, so that Ctrl-C is quick
_AT_ONCE = 4096  # features of which the logits are computed together


@dataclass(frozen=True)
class TrainedHead:
    """A head on frozen features.

    Attributes:
        logits: (N, classes) float32, of the validation images.
        parameters: number of trained parameters.
        chosen: what the validation split chose, for example "L2 strength 0.01" or "epoch 7 of 10".
    """

    logits: np.ndarray
    parameters: int
    chosen: str


class HeadTrainer:
    """Fits or trains heads on frozen features as `fit` does with `transfer.how` = "features", with the same result.

    Trainings that differ in the learning rate alone share their graphs.

    Args:
        features: of the images. Float32 must hold, as in `frozen_features`.
    """

    def __init__(self, features: FeaturePipeline):
        self.features = features
        self._shared: dict[str, _SharedGraphs] = {}

    def train(self, start: Start) -> TrainedHead:
        """Return the head of a recipe.

        Args:
            start: a new training with drawn weights, of a recipe with the same images and backbone, that
                `check_recipe_head` accepts.

        Raises:
            NonFinite: the loss or a logit became NaN or infinite.
        """
        steps = self.features.with_recipe(start.recipe).steps_per_epoch
        settings = {"logging.watch": "off", "devices.steps_per_execution": min(steps, _STEPS)}
        found = self.features.with_recipe(start.adjusted(steps).change(**settings))
        head = self._trained(found) if found.recipe.transfer.trains_by_steps else _fitted(found)
        if not np.isfinite(head.logits).all():
            raise NonFinite("the logits of the head have values that are NaN or infinite")
        return head

    def _trained(self, found: FeaturePipeline) -> TrainedHead:
        """Return a head that is trained by steps."""
        with seeded(found.recipe.train.seed):
            job = self._job(found)
            outcome = Trainer(job, None, say=silent).fit()
        head, features = job.model.inner, found.split_features("validation")
        head.set_weights(outcome.weights)
        parts = (features[first : first + _AT_ONCE] for first in range(0, len(features), _AT_ONCE))
        logits = np.concatenate([np.asarray(head(part.astype(np.float32), training=False)) for part in parts])
        kept = f"epoch {outcome.epoch} of {len(outcome.state.history)}"
        return TrainedHead(logits, job.trainable_parameters, kept)

    def _job(self, found: FeaturePipeline) -> TrainJob:
        """Return the training of a head, at its start."""
        key = json.dumps(found.recipe.change(**{"optimizer.learning_rate": 1.0}).to_dict(), sort_keys=True)
        if key in self._shared:
            return self._shared[key].job(found)
        job = TrainJob.build(DrawnHeadPlan(found, channels=found.feature_shape[-1]), Devices.open("single"))
        if job.schedule.plateau or found.recipe.train.time_budget:  # the rates follow from the training
            return job
        self._shared[key] = _SharedGraphs(job)
        return self._shared[key].job(found)


class _SharedGraphs:
    """A training that is repeated at other learning rates, one after the other: all of them have the same model."""

    def __init__(self, job: TrainJob):
        self._job, self._initial = job, Snapshot(job.all_variables())
        self._rates = GivenRates(job.total_steps)
        job.model.optimizer.learning_rate = self._rates

    def job(self, found: FeaturePipeline) -> TrainJob:
        """Return the training, at its start, with the learning rates of a recipe."""
        recipe = found.recipe
        schedule = build_schedule(recipe.optimizer, recipe.train, found.steps_per_epoch, found.images_per_step)
        self._initial.restore()
        self._rates.set(rates_of(schedule))
        return replace(self._job, plan=replace(self._job.plan, pipeline=found), schedule=schedule)


def check_recipe_head(recipe: Recipe) -> None:
    """Raise ModelError if `model.head` is not the head that `transfer.head` trains."""
    check_head(drawn_head(recipe, channels=1, classes=2), recipe.transfer.head)


def _fitted(found: FeaturePipeline) -> TrainedHead:
    """Return a logistic regression."""
    logistic = fit_to_features(found).logistic
    kernel, bias = logistic.kernel.astype(np.float32), logistic.bias.astype(np.float32)  # as in the artifact
    logits = found.split_features("validation").astype(np.float32) @ kernel + bias
    return TrainedHead(logits, math.prod(kernel.shape) + len(bias), f"L2 strength {logistic.strength:.2g}")
