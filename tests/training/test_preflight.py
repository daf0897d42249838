"""Errors of a full disk are recognized and explained."""

from __future__ import annotations

import errno
import os

import pytest
import tensorflow as tf

from cnnrecipes.errors import TrainingError
from cnnrecipes.training.preflight import naming_full_disk

FULL = tf.errors.ResourceExhaustedError(None, None, "runs/a/tensorboard/x.v2; No space left on device")
NO_MEMORY = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")


@pytest.mark.parametrize("error", [OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EDQUOT)])
def test_full_disk_raises_with_the_resume_command(error, tmp_path):
    full = pytest.raises(TrainingError, match="the disk of .* is full; free space, then `cnnrecipes resume")
    with full, naming_full_disk(tmp_path):
        raise error


def test_tensorflow_error_of_a_full_disk_is_recognized(tmp_path):
    with pytest.raises(TrainingError, match="is full"), naming_full_disk(tmp_path):
        raise FULL


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "denied"), NO_MEMORY])
def test_other_errors_are_reraised_unchanged(error, tmp_path):
    with pytest.raises(type(error)) as caught, naming_full_disk(tmp_path):
        raise error
    assert caught.value is error
