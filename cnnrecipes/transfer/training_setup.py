"""`opened_job`: the devices, the data and the job of a training, with the plan of its transfer learning."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from cnnrecipes._support import console, keras_settings
from cnnrecipes.data.input_pipeline import InputPipeline
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
        CNNRecipesError: the recipe, the data or the model is invalid, or the checkpoint belongs to another training.
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
        plan = planned(pipeline, start, say, devices)
        with seeded(start.recipe.train.seed):  # a resume does not fit a head before
            job = TrainJob.build(plan, devices)
        if start.checkpoint:
            start.checkpoint.require(job.fingerprint)
        yield job
