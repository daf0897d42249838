"""Training on a few examples until they are memorized: full batches, one constant rate, or a rate that is searched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.debug.checks.forward_backward_passes import LossFunction
from cnnrecipes.models.variable_snapshot import Snapshot

WINDOW = 10  # steps after which the rate of the search may change
_EXPLODED = 10.0  # a loss above that many times the first one, or that of equal probabilities
_BACK = 0.9  # of the loss of equal probabilities: an exploded loss that falls below it again was a spike
_WARMUP = 10  # steps of the warm-up, if the recipe has one
_LOOK = 30  # steps after which a trial ends if the loss stands still
_SLOW, _STANDING = 0.2, 0.01  # progress in a window, relative to the loss above the floor
_RISEN = 1.1
_GROWTH, _LEAP, _CUT = 3.0, 10.0, 4.0  # factors of the rate in the search


@dataclass
class RateTrial:
    """Training losses of one trial.

    Attributes:
        rate: the learning rate at its end.
        losses: loss (training mode) of each step, before it.
        accuracy: share of the examples that are classified right, in training mode, 0..1.
        reached: True if the loss came near its floor and all examples are classified right.
        exploded: True if the loss became NaN, infinite, or many times the first one.
    """

    rate: float
    losses: list[float] = field(default_factory=list)
    accuracy: float = 0.0
    reached: bool = False
    exploded: bool = False

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.losses)


class Memorizer:
    """Trains a model on one batch, without regularization; can train it again from its initial weights.

    Args:
        model: inputs (N, ...) -> logits (N, classes).
        loss: labels (N, classes) and logits -> mean loss.
        optimizer: learning rate -> a new optimizer.
        inputs, labels: the batch; labels (N, classes).
        floor, target: lowest value of the loss, and the distance from it that counts as memorized.
        uniform: loss for equal probabilities; a loss many times as high has exploded.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: LossFunction,
        optimizer: Callable[[float], keras.optimizers.Optimizer],
        inputs: np.ndarray,
        labels: np.ndarray,
        *,
        floor: float,
        target: float,
        uniform: float,
    ):
        self.model, self.loss, self.floor, self.target, self.uniform = model, loss, floor, target, uniform
        self.inputs, self.labels = tf.constant(inputs), tf.constant(labels)
        self.optimizer = optimizer(1.0)
        self.optimizer.build(model.trainable_variables)
        self._start = Snapshot(model, self.optimizer)
        self._step = tf.function(self._one_step, autograph=False)

    def _one_step(self, inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Take a step; return the loss before it, and the share of examples that were right."""
        variables = [variable.value for variable in self.model.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = tf.cast(self.model(inputs, training=True), tf.float32)
            loss = self.loss(labels, logits)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, variables)
        pairs = [(g, v) for g, v in zip(gradients, self.model.trainable_variables, strict=True) if g is not None]
        if pairs:
            self.optimizer.apply_gradients(pairs)
        right = tf.equal(tf.argmax(logits, axis=-1), tf.argmax(labels, axis=-1))
        return loss, tf.reduce_mean(tf.cast(right, tf.float32))

    def at_rate(self, rate: float, steps: int, *, warm_up: bool) -> RateTrial:
        """Train from the initial weights at one rate until the batch is memorized or the loss explodes or stands still.

        Args:
            rate: the learning rate.
            steps: number of steps at most; 30 if the loss has hardly moved by then.
            warm_up: raise the rate linearly over the first steps.
        """
        self._start.restore()
        trial = RateTrial(rate)
        for step in range(steps):
            self._set_rate(rate * min((step + 1) / _WARMUP, 1.0) if warm_up else rate)
            if self._advance(trial):
                break
            if step + 1 == _LOOK and self._progress(trial.losses[0], trial.losses[-1]) < _STANDING:
                break
        return trial

    def search(self, rate: float, steps: int, *, restart: bool) -> RateTrial:
        """Train with a rate that is raised while the loss stands still, and lowered where it rises.

        After each window of steps that raised the loss, the weights of its start are restored.

        Args:
            rate: the first rate.
            steps: number of steps at most.
            restart: begin with the initial weights; False: go on.
        """
        if restart:
            self._start.restore()
        trial, kept, before = RateTrial(rate), Snapshot(self.model, self.optimizer), math.inf
        while trial.steps < steps:
            self._set_rate(trial.rate)
            trial.exploded = False
            for _ in range(WINDOW):
                if self._advance(trial):
                    break
            if trial.reached:
                break
            first, last = trial.losses[-min(WINDOW, trial.steps)], trial.losses[-1]
            before = min(before, first)
            if trial.exploded or last > _RISEN * before:
                kept.restore()
                trial.rate /= _CUT
                continue
            progress = self._progress(first, last)
            kept, before = Snapshot(self.model, self.optimizer), last
            trial.rate *= _LEAP if progress < _STANDING else _GROWTH if progress < _SLOW else 1.0
        return trial

    def explodes(self, batches: Iterable[tuple[np.ndarray, np.ndarray]], rate: float, *, warm_up: bool) -> bool:
        """Return True if the loss explodes within some batches (inputs, labels), and does not come back below chance.

        The training begins with the initial weights, and each batch is seen once.
        """
        self._start.restore()
        losses: list[float] = []
        for step, (inputs, labels) in enumerate(batches):
            self._set_rate(rate * min((step + 1) / (2 * _WARMUP), 1.0) if warm_up else rate)
            losses.append(float(self._step(tf.constant(inputs), tf.constant(labels))[0]))
            if not math.isfinite(losses[-1]):
                return True
        came_back = np.mean(losses[-_WARMUP:]) < _BACK * self.uniform
        return any(self._is_explosion(loss, losses[0]) for loss in losses) and not came_back

    def _progress(self, first: float, last: float) -> float:
        """Return the share of a loss above its floor that was taken away."""
        return (first - last) / max(first - self.floor, 1e-12)

    def _is_explosion(self, loss: float, first: float) -> bool:
        return not math.isfinite(loss) or loss > _EXPLODED * max(abs(first), self.uniform)

    def _advance(self, trial: RateTrial) -> bool:
        """Take a step; return True if the trial ends: memorized or exploded."""
        loss, accuracy = (float(value) for value in self._step(self.inputs, self.labels))
        trial.losses.append(loss)
        trial.accuracy = accuracy
        trial.reached = loss - self.floor <= self.target and accuracy == 1.0
        trial.exploded = self._is_explosion(loss, trial.losses[0])
        return trial.reached or trial.exploded

    def _set_rate(self, rate: float) -> None:
        self.optimizer.learning_rate = rate
