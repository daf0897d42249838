"""Checks of the gradient flow: does a gradient reach every layer, and which layers are frozen?"""

from __future__ import annotations

import math

import keras
import numpy as np

from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check
from cnnrecipes.debug.checks.forward_backward_passes import LossFunction, layer_of, scale_of, unscaled_gradients
from cnnrecipes.errors import counted, listed
from cnnrecipes.models.graph import parameters
from cnnrecipes.models.small_gradient_steps import MOST_STEPS, small_step
from cnnrecipes.models.variable_snapshot import restored

_SHOWN = 4  # layers that a message names
_VANISHED = 1e-7  # of the largest root mean square of a layer's gradient


def check_gradients(model: keras.Model, loss: LossFunction, images: np.ndarray, labels: np.ndarray) -> Check:
    """Check that a gradient reaches every trained layer, within four small steps.

    Scales that start at 0 (the last gamma of a residual branch) block the gradient in the first step only; weights are
    restored afterwards. In float16 the loss is scaled, so that no gradient is 0 by underflow.

    Args:
        model: images (N, ...) -> logits (N, classes).
        loss: the loss of the training.
        images, labels: a batch; labels (N, classes).
    """
    name, variables = "gradients", model.trainable_variables
    if not variables:
        return Check(name, CANNOT_TELL, "no weight of the model is trained")
    largest: dict[str, float] = {}
    connected: set[str] = set()
    scale = scale_of(model)
    with restored(model):
        for _ in range(MOST_STEPS + 1):
            _, gradients = unscaled_gradients(model, loss, images, labels, scale=scale)
            for variable, gradient in zip(variables, gradients, strict=True):
                layer = layer_of(variable)
                size = 0.0 if gradient is None else float(np.sqrt(np.mean(np.square(gradient, dtype=np.float64))))
                largest[layer] = max(largest.get(layer, 0.0), size)
                connected |= set() if gradient is None else {layer}
            if all(largest.values()):
                break
            small_step(variables, gradients)
    return _verdict(name, largest, connected)


def check_frozen(model: keras.Model, *, planned: bool = False, head_alone: bool = False) -> Check:
    """Check which layers are not trained.

    Args:
        planned: the recipe freezes layers itself, as transfer learning does.
        head_alone: the model is the head, and gets the features of a frozen backbone, which is not part of it.
    """
    name, weights = "frozen layers", parameters(model)
    frozen = list(dict.fromkeys(layer_of(weight) for weight in weights if not weight.trainable))
    if not frozen:
        return Check(
            name, OK, "the whole backbone; the head alone is trained, on its features" if head_alone else "none"
        )
    sizes = [(math.prod(weight.shape), weight.trainable) for weight in weights]
    share = sum(size for size, trained in sizes if not trained) / sum(size for size, _ in sizes)
    what = f"{counted(len(frozen), 'layer')} with {share:.0%} of the weights not trained: {listed(frozen, _SHOWN)}"
    if planned:
        return Check(name, OK, f"{what}, as the recipe's [transfer] says")
    if share == 1:
        return Check(
            name, FAIL, f"all weights: {listed(frozen, _SHOWN)}", "set trainable = True for the layers to train"
        )
    return Check(name, WARNING, what, "if that is not intended, set trainable = True for them")


def _verdict(name: str, largest: dict[str, float], connected: set[str]) -> Check:
    silent = [layer for layer, size in largest.items() if not size]
    top = max(largest.values())
    if silent:
        apart = [layer for layer in silent if layer not in connected]
        why = (
            f"no path from the loss leads to {listed(apart, _SHOWN)}"
            if apart
            else f"the gradient is exactly 0 in {listed(silent, _SHOWN)}"
        )
        remedy = (
            "look for stop_gradient, an argmax or rounding, or a layer that is not connected"
            if apart
            else "look for dead activations, a weight that stays 0, or a stop_gradient after these layers"
        )
        return Check(name, FAIL, f"none for {len(silent)} of {counted(len(largest), 'trained layer')}: {why}", remedy)
    layer = min(largest, key=lambda one: largest[one])
    measured = f"reach {counted(len(largest), 'trained layer')}; the smallest, {largest[layer]:.1e}, is in {layer}"
    if largest[layer] < _VANISHED * top:
        remedy = "vanishing gradients: add normalization or residual connections, or another activation or init"
        return Check(name, WARNING, f"{measured}, the largest is {top:.1e}", remedy)
    return Check(name, OK, measured)
