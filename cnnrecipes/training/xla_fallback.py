"""Fallback from XLA to regular graphs if XLA cannot compile the training step."""

from __future__ import annotations

import re
from collections.abc import Callable

import tensorflow as tf

from cnnrecipes.errors import TrainingError
from cnnrecipes.training.training_step import TrainModel


def fit_without_xla_if_it_fails(fit: Callable[[], None], model: TrainModel, say: Callable[[str], None]) -> None:
    """Call `fit`; if XLA fails to compile the first step, switch XLA off, report why, and call `fit` again.

    A failed compilation changes no state, so the second call starts where the first one did.

    Raises:
        TrainingError: XLA fails after completed steps, for example on the validation step.
    """
    before = model.steps_done
    try:
        fit()
    except tf.errors.OpError as error:
        if not model.jit_compile or not _is_compilation(error):
            raise
        if model.steps_done != before:
            raise TrainingError(
                f"XLA cannot compile a part of this training: {_reason(error)}; set train.xla=false"
            ) from error
        say(f"XLA is off: it cannot compile this training ({_reason(error)}); train.xla=false skips the attempt")
    else:
        return
    model.switch_off_xla()
    fit()


def _is_compilation(error: tf.errors.OpError) -> bool:
    """Return True for an error of the XLA compiler; out of memory is not one."""
    memory = isinstance(error, tf.errors.ResourceExhaustedError)
    return not memory and re.search(r"xla|\bcompil", str(error), re.IGNORECASE) is not None


def _reason(error: tf.errors.OpError) -> str:
    """Return why XLA failed: the ops without an XLA kernel, or else the first line of TensorFlow's message."""
    lacking = sorted(set(re.findall(r"No registered '(\w+)' OpKernel", str(error))))
    if lacking:
        return f"it has no kernel for {', '.join(lacking)}"
    return next((line.strip() for line in str(error).splitlines() if "XLA" in line), str(error).splitlines()[0])[:200]
