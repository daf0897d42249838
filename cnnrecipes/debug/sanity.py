"""`sanity`: the checks before the first step, in one call."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnrecipes.debug import training_parts
from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check, with_status
from cnnrecipes.debug.checks.dead_activations import check_dead_activations
from cnnrecipes.debug.checks.gradient_flow import check_frozen, check_gradients
from cnnrecipes.debug.checks.inputs import check_augmentation, check_inputs
from cnnrecipes.debug.checks.label_consistency import check_class_sizes, check_copies, check_folder_labels
from cnnrecipes.debug.checks.labels_match_images import check_labels
from cnnrecipes.debug.checks.loss_and_logits import check_initial_loss, check_logits, check_loss
from cnnrecipes.debug.checks.loss_decrease import check_update
from cnnrecipes.debug.checks.model_preconditions import require_finite, require_model, require_shapes
from cnnrecipes.debug.checks.norms import check_norms
from cnnrecipes.debug.checks.output_dependence import check_independent_samples, check_output_depends_on_input
from cnnrecipes.debug.checks.training_serving_skew import check_prediction
from cnnrecipes.debug.examined_training import GivenModelPlan, opened_subject
from cnnrecipes.debug.examples import balanced_positions, read_examples, read_images, training_batches
from cnnrecipes.errors import counted
from cnnrecipes.models.variable_snapshot import restored
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.plan import TransferPlan

_FEW, _BATCH, _MANY = 20, 64, 128  # images for passes through single layers, for the first step, for statistics


@dataclass(frozen=True)
class SanityReport:
    """The result of `sanity`.

    Attributes:
        recipe: name of the recipe.
        checks: all checks, in order.
        seconds: time of the whole call.
    """

    recipe: str
    checks: tuple[Check, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """True if no check failed."""
        return not with_status(self.checks, FAIL)

    @property
    def conclusion(self) -> str:
        """One sentence: what failed, or that nothing did."""
        counts = {status: len(with_status(self.checks, status)) for status in (OK, WARNING, FAIL, CANNOT_TELL)}
        named = {status: ", ".join(one.name for one in with_status(self.checks, status)) for status in counts}
        if counts[FAIL]:
            return (
                f"FAIL: {counts[FAIL]} of {counted(len(self.checks), 'check')} failed ({named[FAIL]}); fix that first."
            )
        rest = [f"{counted(counts[WARNING], 'warning')} ({named[WARNING]})"] if counts[WARNING] else []
        rest += [f"{counts[CANNOT_TELL]} cannot tell ({named[CANNOT_TELL]})"] if counts[CANNOT_TELL] else []
        more = f", {' and '.join(rest)}" if rest else ""
        return f"Ready to train: {counts[OK]} of {counted(len(self.checks), 'check')} are ok{more}."

    def __str__(self) -> str:
        lines = [f"{one.status:12}{one}" for one in self.checks]
        return "\n".join([*lines, self.conclusion])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dict of JSON types."""
        return {**asdict(self), "passed": self.passed, "conclusion": self.conclusion}


def sanity(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    model: keras.Model | None = None,
    seed: int | None = None,
    progress: bool = False,
    **changes: Any,
) -> SanityReport:
    """Check a training before its first step: data, labels, inputs, loss, gradients, a step, and the prediction.

    Nothing is changed: weights, moving statistics and random states are restored, and no file is written. Each check is
    a function of `debug.checks`.

    Args:
        recipe, data, seed, changes: as in `fit`.
        model: your own model, images (N, H, W, C) in 0..255 -> logits (N, classes), instead of the recipe's.
        progress: print messages.

    Raises:
        ModelError: `model` does not fit the images or the classes.
        TrainingError: the loss or a gradient is NaN or infinite before the first step; the message names the layer.
        CNNRecipesError: as for `fit`.
    """
    started = time.monotonic()
    require_model(model)
    changes = {**changes, "devices.strategy": "single"}
    with opened_subject(recipe, data, model=model, seed=seed, progress=progress, changes=changes) as job:
        if model is not None:
            require_shapes(model, job.pipeline.image_shape, len(job.pipeline.class_names))
        with restored(job.model.inner):
            checks = tuple(_checks(job))
        return SanityReport(job.recipe.name, checks, time.monotonic() - started)


def _checks(job: TrainJob) -> Iterator[Check]:
    """Yield all checks: of the data, of the loss, of the model, and of training and prediction."""
    pipeline, seed = job.pipeline, job.recipe.train.seed
    labels = pipeline.train.labels
    many = read_examples(pipeline, balanced_positions(labels, min(_MANY, len(labels)), seed))
    artifact, whole = job.artifact(job.model.measured_weights()), training_parts.whole_model(job)
    yield check_class_sizes(labels, pipeline.class_names)
    yield check_copies(many.images, many.labels, pipeline.class_names)
    yield check_folder_labels(pipeline.source)
    yield check_labels(pipeline, frozen=training_parts.frozen_features(job, whole), seed=seed)
    drawn = _drawn_images(job)
    yield check_inputs(whole, drawn, training_parts.preprocessing(job))
    yield _augmentation(job, drawn)
    yield from _of_model(job, many.inputs[:_FEW], many.one_hot[:_FEW])
    yield check_independent_samples(whole, many.images[:_FEW])
    yield from _of_training(job)
    yield check_prediction(job, artifact)


def _drawn_images(job: TrainJob) -> np.ndarray:
    """Return a random sample of the training images in which each class has the same share as in the whole split."""
    train = job.pipeline.train
    order = np.random.default_rng(job.recipe.train.seed).permutation(len(train))
    order = order[np.argsort(train.labels[order], kind="stable")]
    places = (np.arange(min(_MANY, len(order))) + 0.5) * len(order) / min(_MANY, len(order))
    return read_images(train, job.pipeline, np.sort(order[places.astype(int)]))


def _augmentation(job: TrainJob, plain: np.ndarray) -> Check:
    if not job.recipe.augment.ops:
        return Check("augmentation", OK, "the recipe has none")
    images, labels = job.pipeline.batch(0)
    return check_augmentation(images, labels, plain)


def _of_model(job: TrainJob, inputs: np.ndarray, labels: np.ndarray) -> Iterator[Check]:
    """Yield the checks of the loss, and of the model in training, on a few balanced examples."""
    model, loss, pretrained = job.model.inner, job.model.loss, isinstance(job.plan, TransferPlan)
    require_finite(model, loss, inputs, labels)
    yield check_loss(loss, labels.shape[1])
    yield check_logits(model, inputs, loss)
    yield check_norms(model, inputs, pretrained=pretrained)
    yield check_dead_activations(model, inputs)
    yield check_gradients(model, loss, inputs, labels)
    yield check_frozen(model, planned=pretrained, head_alone=isinstance(job.pipeline, FeaturePipeline))
    yield check_output_depends_on_input(model, inputs, loss, labels)


def _of_training(job: TrainJob) -> Iterator[Check]:
    """Yield the checks of the initial loss and of the first step, on the first batch of the training."""
    inputs, labels = (part[:_BATCH] for part in next(training_batches(job.pipeline, 1)))
    model, loss = job.model.inner, job.model.loss
    fitted = job.plan.starts_fitted or not job.plan.trains_by_steps or job.plan.weights_from is not None
    fitted = fitted or isinstance(job.plan, GivenModelPlan)  # which may be trained already
    with restored(model):
        yield check_initial_loss(model, loss, inputs, labels, fitted=fitted)
    rate = training_parts.first_rate(job)
    optimizers, peak = training_parts.optimizers(job), job.schedule.peak
    yield check_update(model, loss, optimizers, rate, inputs, labels, peak=peak)
