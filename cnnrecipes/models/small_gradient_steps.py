"""Small gradient steps, after which a gradient reaches the layers that a scale of 0 hides at first."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

# A scale of 0 (the last gamma of a residual branch, a head that starts at 0) blocks the gradient of the layers before
# it in the first step only; each step unblocks one of them.
MOST_STEPS = 4
STEP = 0.01


def small_step(variables: Sequence[keras.Variable], gradients: Sequence[np.ndarray | None]) -> None:
    """Take a gradient step in which the largest entry of each variable changes by STEP."""
    for variable, gradient in zip(variables, gradients, strict=True):
        if gradient is None:
            continue
        largest = float(np.abs(gradient).max(initial=0.0))
        if largest and np.isfinite(largest):
            variable.assign_sub((STEP / largest * gradient).astype("float32"))
