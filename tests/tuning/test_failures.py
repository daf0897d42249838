"""Which errors in a training are the failure of its trial, and which end the search."""

from __future__ import annotations

import errno

import pytest
import tensorflow as tf

from cnnrecipes import errors
from cnnrecipes.tuning.failures import failure_reason

FULL = "No space left on device"


@pytest.mark.parametrize(
    "error",
    [
        errors.NonFinite("the loss is nan since step 3"),
        errors.OutOfMemory("out of memory with batches of 4096"),
        errors.ModelError("7 groups do not divide 16 channels"),
        errors.RecipeError("momentum is 1"),
        errors.UnknownNameError("model", "resnet9", ["resnet8"]),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        MemoryError("Unable to allocate 1 TiB"),
    ],
)
def test_errors_of_the_values_are_failures_with_their_reason(error):
    assert str(error) in failure_reason(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.DataError("no folder '/data/photos'"),
        errors.RunError("'trials/0001' is being trained by another process"),
        errors.Interrupted("stopped by SIGTERM"),
        errors.DiskFull("the disk is full"),
        errors.WriteError("cannot write"),
        errors.TrainingError("W&B cannot start"),
        tf.errors.ResourceExhaustedError(None, None, f"/runs/a.tmp; {FULL}"),
        tf.errors.InternalError(None, None, "CUDA_ERROR_ILLEGAL_ADDRESS"),
        OSError(errno.ENOSPC, FULL),
        KeyError("image"),
        ValueError("not of the recipe"),
        KeyboardInterrupt(),
    ],
)
def test_errors_of_the_machine_and_of_the_code_are_none(error):
    assert failure_reason(error) is None
