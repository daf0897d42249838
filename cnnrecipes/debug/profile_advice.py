"""The setting that would speed up a training first, by its profile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import tensorflow as tf

from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.debug.step_timing import StepTimes
from cnnrecipes.models import find
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training.train_job import TrainJob

_LARGE = 0.25  # share of the step from which the augmentation or the update is worth a change


@dataclass(frozen=True)
class Facts:
    """Facts on a training, beside its times, on which the advice depends.

    Attributes:
        recipe: the complete recipe.
        gpu: True if it is computed on a GPU.
        dtype: the compute dtype.
        xla: True if the step is compiled with XLA.
        encoded: True if the images are decoded by the pipeline.
        decoded_gib: size of all decoded training images.
        training_images: their number.
    """

    recipe: Recipe
    gpu: bool
    dtype: str
    xla: bool
    encoded: bool
    decoded_gib: float
    training_images: int

    @classmethod
    def of(cls, job: TrainJob) -> Facts:
        """Return the facts on a training job on which the advice depends."""
        pipeline = job.pipeline
        return cls(
            job.recipe,
            bool(tf.config.list_physical_devices("GPU")),
            job.model.inner.compute_dtype,
            bool(job.model.jit_compile),
            not isinstance(pipeline.train.images, ArrayImages),
            len(pipeline.train) * math.prod(pipeline.image_shape) / 2**30,
            len(pipeline.train),
        )


def advice(bound: str, times: StepTimes, shares: Mapping[str, float], facts: Facts) -> tuple[str, str]:
    """Return the setting that would help first, and why."""
    return _for_input(shares, facts) if bound == "input" else _for_step(times, facts)


def _for_input(shares: Mapping[str, float], facts: Facts) -> tuple[str, str]:
    data = facts.recipe.data
    largest = max(shares, key=lambda name: shares[name])
    if largest == "augmentation":
        if facts.gpu and facts.recipe.augment.device != "accelerator":
            return "augment.device=accelerator", "most work of the input is augmentation, which the GPU does faster"
        return "fewer or cheaper augment.ops", "most work of the input is augmentation"
    if facts.encoded and data.cache == "none":
        if facts.decoded_gib <= data.cache_gb:
            return "data.cache=memory", f"the decoded images take {facts.decoded_gib:.2f} GiB"
        return (
            f"data.cache=disk data.cache_gb={math.ceil(facts.decoded_gib)}",
            f"the decoded images take {facts.decoded_gib:.1f} GiB, more than data.cache_gb = {data.cache_gb:g}",
        )
    if largest == "decode":
        return "a smaller data.image_size", "most work of the input is decoding and resizing"
    return "a faster disk, or data.cache=memory", "most work of the input is reading"


def _for_step(times: StepTimes, facts: Facts) -> tuple[str, str]:
    recipe, sums = facts.recipe, times.augmentation + times.forward + times.backward + times.update
    if facts.gpu and facts.dtype == "float32" and recipe.train.precision != "float32":
        return "a GPU with tensor cores", "this one computes in float32 only"
    if facts.gpu and facts.dtype == "float32":
        return "train.precision=auto", "the GPU computes in float32; bfloat16 or float16 uses its tensor cores"
    if times.augmentation > _LARGE * sums:
        return "augment.device=host", "the augmentation takes a large part of the step"
    if recipe.train.microbatches > 1:
        return f"train.microbatches={recipe.train.microbatches // 2}", "larger microbatches, if memory allows them"
    if times.update > _LARGE * sums and recipe.data.batch_size < facts.training_images:
        return "a larger data.batch_size", "the update takes a large part of the step, and is made once a batch"
    if facts.gpu and not facts.xla:
        return "train.xla=true", "XLA fuses the layers of the step"
    if facts.gpu:
        return "a larger data.batch_size", "`cnnrecipes find-batch-size` finds the fastest that fits the memory"
    if recipe.transfer.how in ("finetune", "lora"):
        return "transfer.how=features", "the backbone is computed once then; compare the accuracy"
    if find(recipe.model.name).application is not None:
        return "a smaller data.image_size", "the time is proportional to the pixels; a GPU helps more"
    return "a smaller data.image_size or model", "almost all the time is convolutions; a GPU helps more"
