"""Check of the loss decrease: a step of the optimizer lowers the loss on its own batch."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check
from cnnrecipes.debug.checks.forward_backward_passes import LossFunction, unscaled_gradients
from cnnrecipes.debug.checks.loss_and_logits import loss_range
from cnnrecipes.models.graph import all_layers
from cnnrecipes.models.small_gradient_steps import small_step
from cnnrecipes.models.variable_snapshot import Snapshot, restored

_LOWER = 8  # lower rates that are tried where the loss rises, each a tenth of the one before
_HIGHEST = 10.0  # rate up to which higher ones are tried where the loss does not move, each ten times the one before
_EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
_ROUNDING = 2.0  # roundings of the compute dtype in the loss of an image; the mean of N has 1 / sqrt(N) of that
_LEAST_ROUNDING = 1e-6  # relative to the loss, for sums over many values in float32
_LOWEST = 1e-3  # of the loss of equal probabilities, above the lowest loss: nothing is left to lower
_LEAST_LOSS = 0.1  # below which the rounding is that of the logits, and does not fall with the loss


def check_update(
    model: keras.Model,
    loss: LossFunction,
    optimizer: Callable[[float], keras.optimizers.Optimizer],
    rate: float,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    peak: float | None = None,
) -> Check:
    """Check that a step of the optimizer lowers the training loss on its own batch; weights are restored.

    Both losses are in training mode with the same random states. A loss that rises at the given rate and falls at a
    lower one means that the rate is too high for a first step; one that moves by no more than rounding, up to the peak
    rate, that the rate is too low. The gradient is only blamed if a step against it lowers the loss by more than
    rounding: at a minimum the loss rises in both directions, and there is nothing to lower.

    Args:
        model: images (N, ...) -> logits (N, classes).
        loss: the loss of the training.
        optimizer: learning rate -> a new optimizer; one that scales the loss gets the gradients of the scaled loss.
        rate: learning rate of the first step.
        images, labels: the batch; labels (N, classes).
        peak: highest learning rate of the training; None: `rate`.
    """
    name = "first step"
    with restored(model):
        trials = _Trials(model, loss, optimizer, images, labels, rate)
        if not any(gradient is not None for gradient in trials.gradients):
            return Check(name, FAIL, "no weight has a gradient", "see the check of the gradients")
        tried, after = trials.search(rate)
        if not trials.moves(after):
            return _unmoved(name, trials, rate, tried)
        if not trials.falls(after):
            return _rising(name, trials, tried, after)
    return _falling(name, trials, after, rate, tried, max(peak or rate, rate))


class _Trials:
    """The loss of a batch after single steps from the same weights and random states.

    Attributes:
        before: loss before the step.
        gradients: of each trained weight; None if no path leads to it.
        rounding: change of the loss that rounding may cause.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: LossFunction,
        optimizer: Callable[[float], keras.optimizers.Optimizer],
        images: np.ndarray,
        labels: np.ndarray,
        rate: float,
    ):
        self.model, self.loss, self.optimizer, self.labels = model, loss, optimizer, labels
        self._inputs, self._kept = tf.convert_to_tensor(images), Snapshot(model)
        scale = float(optimizer(rate).scale_loss(tf.constant(1.0)))
        self.before, self.gradients = unscaled_gradients(
            model, loss, images, labels, scale=scale, before=self._kept.restore
        )
        self.rounding = _rounding(model, self.before, len(images))

    def moves(self, after: float) -> bool:
        """Return True if a loss differs by more than rounding, or is not finite."""
        return not abs(after - self.before) <= self.rounding

    def falls(self, after: float) -> bool:
        """Return True if a loss is lower by more than rounding."""
        return self.before - after > self.rounding

    def search(self, rate: float) -> tuple[float, float]:
        """Return a rate and the loss after its step, from `rate` on.

        Higher rates are tried while the loss does not move; lower ones while it rises. If it does not fall at any of
        those, the last one at which it rises is returned.
        """
        tried, after = rate, self.after(rate)
        if not self.moves(after):
            while not self.moves(after) and tried * 10 <= _HIGHEST:
                tried *= 10
                after = self.after(tried)
            return tried, after
        for number in range(1, _LOWER + 1):
            if self.falls(after):
                break
            lower = self.after(rate / 10**number)
            if not self.moves(lower):
                break
            tried, after = rate / 10**number, lower
        return tried, after

    def after(self, rate: float, sign: float = 1.0) -> float:
        """Return the loss after a step of the optimizer; with the sign -1 after the opposite change of the weights."""
        rule = self.optimizer(rate)
        rule = getattr(rule, "inner_optimizer", rule)  # of one that scales the loss: the gradients are not scaled
        variables = self.model.trainable_variables
        rule.build(variables)
        pairs = [(tf.constant(g), v) for g, v in zip(self.gradients, variables, strict=True) if g is not None]
        return self._after(lambda: rule.apply([one for one, _ in pairs], [variable for _, variable in pairs]), sign)

    def after_small_step(self, sign: float) -> float:
        """Return the loss after a step along the gradient whose size does not depend on that of the gradient."""
        return self._after(lambda: small_step(self.model.trainable_variables, self.gradients), sign)

    def _after(self, step: Callable[[], None], sign: float) -> float:
        """Return the loss after a step of the trained weights; everything else, such as random states, is as before."""
        variables = self.model.trainable_variables
        self._kept.restore()
        first = [variable.numpy() for variable in variables]
        step()
        changed = [variable.numpy() for variable in variables]
        self._kept.restore()
        for variable, start, end in zip(variables, first, changed, strict=True):
            variable.assign(end if sign == 1 else start + sign * (end - start))
        return float(self.loss(self.labels, self.model(self._inputs, training=True)))


def _rounding(model: keras.Model, loss: float, images: int) -> float:
    """Return the change of a mean loss that rounding in the layers may cause."""
    coarsest = max((_EPSILON.get(layer.compute_dtype, 0.0) for layer in all_layers(model)), default=0.0)
    return max(_ROUNDING * coarsest / np.sqrt(images), _LEAST_ROUNDING) * max(abs(loss), _LEAST_LOSS)


def _unmoved(name: str, trials: _Trials, rate: float, tried: float) -> Check:
    """Return the check of steps up to the rate `tried` that do not move the loss."""
    before, found = trials.before, loss_range(trials.loss, trials.labels)
    if before - found.floor <= _LOWEST * abs(found.uniform - found.floor):
        return Check(name, OK, f"nothing to lower: the loss of the batch is {before:.1e}, the lowest {found.floor:.4g}")
    if all(trials.after_small_step(sign) - before > trials.rounding for sign in (1, -1)):
        return _at_minimum(name, before)
    at = f"the loss of the batch stays {before:.4f} at rates from {rate:.2g} to {tried:.2g}"
    return Check(name, CANNOT_TELL, at, "the gradient is nearly 0: see the check of the gradients")


def _rising(name: str, trials: _Trials, tried: float, after: float) -> Check:
    """Return the check of steps of which none lowers the loss; `after` is the loss after that of the rate `tried`."""
    if not trials.falls(trials.after(tried, sign=-1)):
        return _at_minimum(name, trials.before)
    what = f"the loss of the batch rises: {trials.before:.6g} before, {after:.6g} after a step of rate {tried:.1e}"
    return Check(name, FAIL, what, "the gradient does not point to a lower loss: check custom gradients and layers")


def _at_minimum(name: str, loss: float) -> Check:
    what = f"nothing to lower: the loss of the batch, {loss:.4f}, is at a minimum; steps in both directions raise it"
    return Check(name, OK, what)


def _falling(name: str, trials: _Trials, after: float, rate: float, tried: float, peak: float) -> Check:
    """Return the check of a loss that falls to `after` at the rate `tried`."""
    before = trials.before
    measured = f"the loss of its batch falls from {before:.4f} to {after:.4f} with the rate {tried:.2g}"
    if tried < rate:
        remedy = (
            f"it rises at the recipe's first rate, {rate:.2g}: lower optimizer.learning_rate, or lengthen the warm-up"
        )
        return Check(name, WARNING, measured, remedy)
    if tried > peak * 1.0001:
        what = f"the rate is too low to move the loss: {before:.6f} before and after a step of rate {peak:.2g}"
        what += f", and {after:.6f} with the rate {tried:.2g}"
        return Check(name, WARNING, what, "raise optimizer.learning_rate")
    if tried > rate:
        measured += f"; at the first rate, {rate:.2g}, the change is below rounding"
    return Check(name, OK, measured)
