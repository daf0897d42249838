"""Check for dead activations, which pass no gradient."""

from __future__ import annotations

import keras
import numpy as np

from cnnrecipes.analysis.activation_statistics import activation_statistics
from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check
from cnnrecipes.errors import ModelError, counted, listed

_MANY = 0.5  # share of dead channels that is a warning
_SHOWN = 4  # layers that a message names


def check_dead_activations(model: keras.Model, images: np.ndarray) -> Check:
    """Check for dead channels: at the activation's floor (0 for relu) for all images and positions, without a gradient.

    Args:
        model: images (N, ...) -> logits; functional or sequential.
        images: a batch in the model's input range; 16 or more, since a channel may be off for a few images.

    Returns:
        FAIL if all channels of a layer are dead, WARNING if at least half are, otherwise OK; CANNOT_TELL if the model
        has no graph of layers.
    """
    name = "dead activations"
    try:
        found = activation_statistics(model, images)
    except ModelError:
        return Check(name, CANNOT_TELL, "the model has no graph of layers; give a functional model")
    found = found[found["dead"].notna()]
    if found.empty:
        return Check(name, OK, "no activation can die")
    whole, many = found[found["dead"] == 1], found[found["dead"] >= _MANY]
    remedy = "lower the learning rate or the biases before it, use norms, or an activation such as leaky_relu or gelu"
    if len(whole):
        where, kind = listed(whole["layer"], _SHOWN), whole["type"].iloc[0]
        what = f"all channels of {where} are dead: at the floor of {kind} for all images and positions"
        return Check(name, FAIL, what, remedy)
    worst = found.loc[found["dead"].idxmax()]
    measured = f"at most {worst['dead']:.0%} of the channels of a layer are dead ({worst['layer']})"
    if len(many):
        return Check(name, WARNING, f"{measured}, in {counted(len(many), 'layer')} {_MANY:.0%} or more", remedy)
    return Check(name, OK, measured if worst["dead"] else f"none in {counted(len(found), 'layer')}")
