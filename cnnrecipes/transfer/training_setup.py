"""`opened_job`: the devices, the data and the job of a training, with the plan of its transfer learning."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from cnnrecipes._support import console, keras_settings
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import TrainingError
from cnnrecipes.runs import checkpoint
from cnnrecipes.training import preflight
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.start_or_resume import Start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.transfer.preparation import prepare


@contextlib.contextmanager
def opened_job(
    start: Start,
    data: Any = None,
    *,
    progress: bool = False,
    planned: Callable[[InputPipeline, Start, Callable[[str], None], Devices], ModelPlan] = prepare,
    opened: InputPipeline | None = None,
) -> Iterator[TrainJob]:
    """Open devices and data, and build the training; float32 and the recipe's seed hold in the `with` block.

    Args:
        start: the recipe, and what the training starts from.
        data: as in `fit`.
        progress: print messages, in the chief.
        planned: chooses the model that is trained, as `transfer.prepare` does.
        opened: the data of the recipe if it is open already, and stays so; `data` is ignored then.

    Raises:
        CNNRecipesError: the recipe, the data or the model is invalid, the checkpoint belongs to another training, or
            the workers have different data or initial weights.
    """
    preflight.check(start.recipe)
    devices = Devices.open(start.recipe.devices.strategy)
    progress = progress and devices.is_chief
    say = console.say if progress else console.silent
    preflight.note_devices(devices, say)
    with (
        devices.naming_lost_workers("the same command"),
        contextlib.nullcontext(opened)
        if opened is not None
        else InputPipeline.open(start.recipe, data, say, progress=progress) as pipeline,
        keras_settings.float32(),
        seeded(start.recipe.train.seed),
    ):
        pipeline = pipeline.with_recipe(start.adjusted(pipeline.steps_per_epoch))
        _check_same_data(pipeline, devices)
        plan = planned(pipeline, start, say, devices)
        with seeded(start.recipe.train.seed):  # a resume does not fit a head before
            job = TrainJob.build(plan, devices)
        if start.checkpoint:
            start.checkpoint.require(job.fingerprint)
        _check_same_start(job, start)
        yield job


def _check_same_data(pipeline: InputPipeline, devices: Devices) -> None:
    """Raise TrainingError, in all workers, if they have different data: by counts, labels and sample images."""
    if devices.workers == 1:
        return
    found = {split: pipeline.images(split) for split in pipeline.source.splits}
    text = json.dumps([pipeline.fingerprint(), found], sort_keys=True)
    if not devices.same(hashlib.sha256(text.encode()).hexdigest()):
        raise TrainingError(
            f"the workers have different data; worker {devices.index + 1} of {devices.workers} has "
            f"{len(pipeline.class_names)} classes and the images {found}; give all workers the same files"
        )


def _check_same_start(job: TrainJob, start: Start) -> None:
    """Raise TrainingError, in all workers, if they start from different weights, or from different checkpoints."""
    devices, recipe = job.devices, job.recipe
    if devices.workers == 1:
        return
    found = checkpoint.digest(job.plan.initial_weights(job.model.inner))
    step = start.checkpoint.path.name if start.checkpoint else "step 0"
    if not devices.same(f"{found} {step}"):
        origin = start.weights or recipe.train.start_from or recipe.model.weights
        raise TrainingError(
            f"the workers start with different weights; worker {devices.index + 1} of {devices.workers} starts at "
            f"{step} with weights of {str(origin)!r}, digest {found}; give all workers the same file, and the same run "
            "folder"
        )
