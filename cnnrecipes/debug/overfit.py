"""`overfit`: does the training memorize a handful of images? If not, the checks find out why."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnrecipes._support import console
from cnnrecipes.debug import training_parts
from cnnrecipes.debug.checks.check import FAIL, Check, with_status
from cnnrecipes.debug.checks.dead_activations import check_dead_activations
from cnnrecipes.debug.checks.gradient_flow import check_frozen, check_gradients
from cnnrecipes.debug.checks.inputs import check_inputs
from cnnrecipes.debug.checks.label_consistency import check_class_sizes, check_copies, check_folder_labels
from cnnrecipes.debug.checks.labels_match_images import check_labels
from cnnrecipes.debug.checks.learning_rate import check_rate
from cnnrecipes.debug.checks.loss_and_logits import LossRange, check_logits, check_loss_range, loss_range
from cnnrecipes.debug.checks.model_preconditions import require_finite, require_model, require_shapes
from cnnrecipes.debug.checks.norms import check_norms
from cnnrecipes.debug.checks.output_dependence import check_output_depends_on_input
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.debug.examples import FewExamples, balanced_positions, read_examples, training_batches
from cnnrecipes.debug.memorization import Memorizer, RateTrial
from cnnrecipes.debug.overfit_result import OverfitResult
from cnnrecipes.debug.without_dropout import without_dropout
from cnnrecipes.errors import DataError
from cnnrecipes.keras_optim.recipe_loss import RecipeLoss
from cnnrecipes.models.variable_snapshot import restored
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.plan import TransferPlan

IMAGES, STEPS = 20, 300
NEAR = 0.01  # of the loss of equal probabilities, above the floor: memorized
_OWN = 100  # steps with the recipe's own rate, before another is searched
_AFTER_EXPLOSION = 1e-3  # of the own rate, from which the search begins
_OF_DATA = {"class sizes", "copies", "labels agree with folders", "labels fit images"}  # checks that stop no search
_INSPECTED = 64  # images of the check of the inputs
_BATCHES = 40  # of the recipe, to see whether a rate that explodes on a few images does so there


def overfit(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    images: int = IMAGES,
    steps: int = STEPS,
    model: keras.Model | None = None,
    keep: Collection[str] = (),
    seed: int | None = None,
    progress: bool = False,
    **changes: Any,
) -> OverfitResult:
    """Train a recipe on a handful of images until they are memorized; a training that cannot do that is broken.

    The images are balanced over the classes, and one batch without augmentation: no shuffling and no validation. Weight
    decay, dropout, label smoothing, mixing, class weights and weight averages are off. The recipe's own rate is tried
    first; if it does not memorize them, another is searched, and the result tells whether the own one is too low, or
    explodes. The checks of `debug.checks` find causes, some of which memorizing does not show, such as shuffled labels.

    Args:
        recipe, data, seed, changes: as in `fit`.
        images: number of images, 2 or more.
        steps: number of training steps at most.
        model: your own model, images (N, H, W, C) in 0..255 -> logits (N, classes), instead of the recipe's. Nothing of
            it is changed.
        keep: regularization to keep: "weight_decay", "dropout", "label_smoothing". The lowest loss that is possible
            with it, the floor, is in the result.
        progress: print messages.

    Raises:
        DataError: fewer training images than `images`, or only one class.
        ModelError: `model` does not fit the images or the classes.
        TrainingError: the loss or a gradient is NaN or infinite from the first step on; the message names the layer.
        CNNRecipesError: as for `fit`.
    """
    started, keep = time.monotonic(), training_parts.checked_names(keep)
    require_model(model)
    if images < 2 or steps < 1:
        raise DataError(
            f"images = {images}, steps = {steps}; give 2 images or more, of two classes, and 1 step or more"
        )
    changes = {**changes, "devices.strategy": "single"}
    with opened_subject(recipe, data, model=model, seed=seed, progress=progress, changes=changes) as job:
        if model is not None:
            require_shapes(model, job.pipeline.image_shape, len(job.pipeline.class_names))
        labels, seed = job.pipeline.train.labels, job.recipe.train.seed
        few = read_examples(job.pipeline, balanced_positions(labels, images, seed))
        with restored(job.model.inner):
            return _Experiment(job, few, keep, console.say if progress else console.silent).run(steps, started)


class _Experiment:
    """The checks and the training of `overfit`, on the model of a job."""

    def __init__(self, job: TrainJob, few: FewExamples, keep: tuple[str, ...], say: Any):
        self.job, self.few, self.keep, self.say = job, few, keep, say
        self.model = job.model.inner
        self.loss: RecipeLoss = training_parts.bare_loss(job, keep)
        self.range: LossRange = loss_range(self.loss, few.one_hot)

    def run(self, steps: int, started: float) -> OverfitResult:
        """Run the checks, then the training, and return the result."""
        if "dropout" in self.keep:
            return self._run(steps, started, [])
        with without_dropout(self.model) as dropouts:
            return self._run(steps, started, dropouts)

    def _run(self, steps: int, started: float, dropouts: list[str]) -> OverfitResult:
        self.say("checking the model, the loss and the labels")
        require_finite(self.model, self.loss, self.few.inputs, self.few.one_hot)
        checks = self._checks()
        self.say(f"training on {len(self.few)} images")
        rate, floor = self.job.schedule.peak, self.range.floor
        trainer = Memorizer(
            self.model,
            self.loss,
            training_parts.optimizers(self.job, self.keep),
            self.few.inputs,
            self.few.one_hot,
            floor=floor,
            target=NEAR * abs(self.range.uniform - floor),
            uniform=abs(self.range.uniform),
        )
        failed = {check.name for check in with_status(checks, FAIL)}
        own, found = self._train(trainer, rate, steps, search=failed <= _OF_DATA)
        checks.append(check_rate(rate, own, found, floor, lambda: self._explodes(trainer, rate)))
        trial = found or own
        if not trial.reached:
            checks = [self._dead_after(check) for check in checks]
        return OverfitResult(
            recipe=self.job.recipe.name,
            memorized=trial.reached,
            images=len(self.few),
            classes=len(np.unique(self.few.labels)),
            steps=own.steps + (found.steps if found else 0),
            first_loss=own.losses[0],
            loss=trial.losses[-1],
            floor=floor,
            uniform=self.range.uniform,
            accuracy=trial.accuracy,
            rate=trial.rate,
            switched_off=self._switched_off(dropouts),
            checks=tuple(checks),
            losses=tuple(own.losses + (found.losses if found else [])),
            seconds=time.monotonic() - started,
        )

    def _checks(self) -> list[Check]:
        """Return the checks of data, loss and model, in the order in which a cause explains those after it."""
        job, few, model, loss = self.job, self.few, self.model, self.loss
        whole = training_parts.whole_model(job)
        sample = read_examples(job.pipeline, _positions(len(job.pipeline.train), _INSPECTED, job.recipe.train.seed))
        frozen = training_parts.frozen_features(job, whole)
        return [
            check_class_sizes(job.pipeline.train.labels, job.pipeline.class_names),
            check_copies(few.images, few.labels, job.pipeline.class_names),
            check_folder_labels(job.pipeline.source),
            check_labels(job.pipeline, frozen=frozen, seed=job.recipe.train.seed),
            check_loss_range(self.range),
            check_logits(model, few.inputs, loss),
            check_inputs(whole, sample.images, training_parts.preprocessing(job)),
            check_norms(model, few.inputs, pretrained=isinstance(job.plan, TransferPlan)),
            check_dead_activations(model, few.inputs),
            check_frozen(
                model,
                planned=isinstance(job.plan, TransferPlan),
                head_alone=isinstance(job.pipeline, FeaturePipeline),
            ),
            check_gradients(model, loss, few.inputs, few.one_hot),
            check_output_depends_on_input(model, few.inputs, loss, few.one_hot),
        ]

    def _train(
        self, trainer: Memorizer, rate: float, steps: int, *, search: bool
    ) -> tuple[RateTrial, RateTrial | None]:
        """Return the trial of the recipe's own rate, and that of the search; None if none was needed."""
        warm_up = self.job.recipe.optimizer.warmup.amount > 0
        own = trainer.at_rate(rate, min(_OWN, steps), warm_up=warm_up)
        if own.reached or not search or own.steps >= steps:
            return own, None
        self.say(f"the rate {rate:g} {'explodes' if own.exploded else 'is slow'}: searching another")
        first = rate * _AFTER_EXPLOSION if own.exploded else rate
        return own, trainer.search(first, steps - own.steps, restart=own.exploded)

    def _explodes(self, trainer: Memorizer, rate: float) -> bool:
        """Return True if the loss explodes at the recipe's rate on its own batches too."""
        warm_up = self.job.recipe.optimizer.warmup.amount > 0
        batches = training_batches(self.job.pipeline, min(_BATCHES, self.job.total_steps))
        return trainer.explodes(batches, rate, warm_up=warm_up)

    def _dead_after(self, check: Check) -> Check:
        """Return the check of dead activations after the training if they died there."""
        if check.name != "dead activations" or check.failed:
            return check
        after = check_dead_activations(self.model, self.few.inputs)
        if not after.failed:
            return check
        return Check(after.name, after.status, f"after the training, {after.measured}", after.remedy)

    def _switched_off(self, dropouts: list[str]) -> tuple[str, ...]:
        """Return what the experiment switches off in the recipe, for example augmentation and weight decay.

        Args:
            dropouts: names of the model's dropout layers.
        """
        table, off = self.job.recipe, []
        has = {
            f"augmentation ({', '.join(table.augment.ops)})": bool(table.augment.ops),
            f"weight decay ({table.optimizer.weight_decay:g})": table.optimizer.weight_decay
            and "weight_decay" not in self.keep,
            f"dropout ({len(dropouts)} layers)": bool(dropouts),
            f"label smoothing ({table.train.label_smoothing:g})": table.train.label_smoothing
            and "label_smoothing" not in self.keep,
            f"class balance ({table.data.balance})": table.data.balance != "none",
            f"EMA weights ({table.optimizer.ema})": table.optimizer.ema is not None,
            f"Lookahead ({table.optimizer.lookahead})": table.optimizer.lookahead is not None,
            "shuffling and validation": True,
        }
        off = [what for what, given in has.items() if given]
        return tuple(off)


def _positions(n: int, most: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])
