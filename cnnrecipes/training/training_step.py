"""The training step of Keras' `fit`, in the model that is trained, with several steps per execution."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.keras_optim.recipe_schedule import RecipeSchedule
from cnnrecipes.optim.weight_averages import WeightAverage
from cnnrecipes.runs.checkpoint import MODEL
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.distributed import all_reduce

METRICS = ("loss", "accuracy")


class StepObserver(Protocol):
    """Observes single training steps from outside; must not change a variable."""

    def next_step(self, step: int) -> int | None:
        """Return the first step to observe, counted from 0 and not before `step`; None if there is none."""

    def observing(self, step: int) -> contextlib.AbstractContextManager[None]:
        """Return a context manager around training step `step`, which is executed alone in it to be observed."""


@keras.saving.register_keras_serializable(package="cnnrecipes")
class TrainModel(keras.Model):
    """A model in training. A step processes one global batch, independent of the number of microbatches and devices.

    The step augments the batch unless the pipeline has, accumulates gradients over the microbatches, sums them over
    all devices, applies them, and updates the weight averages. `save_weights` and `load_weights` are the inner model's.

    `fit` calls the training function once per execution of several steps (fewer at the end of an epoch), as many as
    `progress` says; the call advances its `step`.

    Attributes:
        inner: the model with its weights.
        progress: the state of the training, shared with the callbacks; set before `fit`.
        observer: observes single steps; None: none.
    """

    train_function: Callable[..., Any] | None
    test_function: Callable[..., Any] | None

    def __init__(
        self,
        model: keras.Model,
        *,
        augmentation: Augmentation | None = None,
        microbatches: int = 1,
        averages: Sequence[WeightAverage] = (),
        schedule: RecipeSchedule | None = None,
    ):
        super().__init__(name=model.name)
        self.inner, self.microbatches = model, microbatches
        self._augmentation, self._averages, self._schedule = augmentation, tuple(averages), schedule
        self._loss, self._accuracy = (keras.metrics.Mean(name=name) for name in METRICS)
        # The first step with a non-finite loss; -1 if there is none.
        self._lost = self._counter("lost_step", -1)
        self._done = self._counter("steps_done", 0)
        # No state: a resumed epoch has at least one more step, which writes it again.
        self._rate = keras.Variable(0.0, trainable=False, name="last_rate", aggregation="only_first_replica")
        self.progress = TrainState(steps_per_epoch=1)
        self.observer: StepObserver | None = None
        self._kept_metrics = False

    def _counter(self, name: str, value: int) -> keras.Variable:
        return keras.Variable(value, dtype="int64", trainable=False, name=name, aggregation="only_first_replica")

    @property
    def augments(self) -> bool:
        """True if the training step augments its batch."""
        return self._augmentation is not None

    def augmented(self, data) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the augmented images and labels of a batch of the pipeline, as the training step gets them."""
        return _of_batch(self._augmentation)(data) if self._augmentation else data

    @property
    def averages(self) -> tuple[WeightAverage, ...]:
        """The weight averages, in the order of their updates."""
        return self._averages

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Loss and accuracy of the epoch so far; Keras resets them at the start of an epoch."""
        return [self._loss, self._accuracy]

    def checkpoint_variables(self) -> dict[str, list[keras.Variable]]:
        """Return all variables that the next step depends on, and the metrics of the epoch so far, by group."""
        return {
            MODEL: list(self.inner.variables),
            "optimizer": list(self.optimizer.variables),
            "schedule": self._schedule.variables if self._schedule else [],
            "averages": [variable for average in self._averages for variable in average.variables],
            "metrics": [variable for metric in self.metrics for variable in metric.variables],
            "counters": [self._lost, self._done],
        }

    @property
    def lost_step(self) -> int | None:
        """Number, from 0, of the first step with a non-finite loss; None if there is none."""
        step = int(self._lost.numpy())
        return None if step < 0 else step

    @property
    def last_rate(self) -> float:
        """Learning rate of the most recent training step."""
        return float(self._rate.numpy())

    @property
    def steps_done(self) -> int:
        """Steps since the start of the training."""
        return int(self._done.numpy())

    def switch_off_xla(self) -> None:
        """Compile all further steps without XLA."""
        self.jit_compile = False
        self.train_function = self.test_function = None

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Swap in the evaluation weights in the `with` block: the weight average if there is one."""
        for average in self._averages:
            average.swap()
        try:
            yield
        finally:
            for average in self._averages:
                average.swap()

    def measured_weights(self) -> list[np.ndarray]:
        """Return the evaluation weights in the order of `model.weights`."""
        with self.measured():
            return [np.asarray(weight.numpy()) for weight in self.inner.weights]

    def resume_metrics(self, mid_epoch: bool) -> None:
        """Keep the restored metrics at the start of the next epoch if the resume is mid-epoch."""
        self._kept_metrics = mid_epoch

    def reset_metrics(self):
        if self._kept_metrics:
            self._kept_metrics = False
            return
        super().reset_metrics()

    def call(self, inputs, training=False):
        images = inputs[0] if isinstance(inputs, (tuple, list)) else inputs
        return self.inner(images, training=training)

    def train_step(self, data) -> None:
        """Run one training step on a batch of augmented images and their labels."""
        images, labels = data
        loss, logits, gradients = self.loss_and_gradients(images, labels)
        all_reduce.average_statistics(self.inner)
        self._rate.assign(keras.ops.cast(self.optimizer.learning_rate, "float32"))
        self.update(gradients)
        self._loss.update_state(loss)
        self._accuracy.update_state(_right(labels, logits))
        bad = tf.logical_and(tf.less(self._lost, 0), tf.logical_not(tf.math.is_finite(loss)))
        self._lost.assign(tf.where(bad, self._done, self._lost))
        self._done.assign_add(1)

    def update(self, gradients: Sequence[tf.Tensor]) -> None:
        """Apply the gradients, summed over all devices, and update the weight averages.

        Args:
            gradients: those of this device, one for each trainable variable.
        """
        self.optimizer.apply(all_reduce.summed(gradients), self.inner.trainable_variables)
        for average in self._averages:
            average.update(self._done.value)

    def loss_and_gradients(self, images, labels) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Return mean loss, logits (N, classes) and gradients of an augmented batch of this device, in microbatches."""
        if self.microbatches == 1:
            return self._microbatch(images, labels)
        sliced = [tf.reshape(x, (self.microbatches, -1, *x.shape[1:])) for x in (images, labels)]
        gradients = [tf.zeros(variable.shape, variable.dtype) for variable in self.inner.trainable_variables]
        logits = tf.TensorArray(tf.float32, self.microbatches)

        def body(index, total, logits, sums):
            loss, found, gradients = self._microbatch(sliced[0][index], sliced[1][index])
            sums = [a + b / self.microbatches for a, b in zip(sums, gradients, strict=True)]
            return index + 1, total + loss / self.microbatches, logits.write(index, found), sums

        # Sequentially: parallel microbatches would need the memory that accumulation saves.
        _, loss, logits, gradients = tf.while_loop(
            lambda index, *_: index < self.microbatches,
            body,
            (0, tf.constant(0.0), logits, gradients),
            parallel_iterations=1,
        )
        return loss, logits.concat(), gradients

    def test_step(self, data) -> None:
        """Update the metrics with the plain cross entropy and accuracy; `weights` are 0 for padding."""
        images, labels, weights = data
        logits = tf.cast(self.inner(images, training=False), tf.float32)
        self._loss.update_state(tf.nn.softmax_cross_entropy_with_logits(labels, logits), weights)
        self._accuracy.update_state(_right(labels, logits), weights)

    def unscaled_gradients(self, images, labels, forward: Callable) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
        """Return the mean loss of a batch and its gradients before loss scaling and clipping, without microbatches.

        Args:
            images, labels: the batch, on one device.
            forward: replaces `inner`: a function from (images, training) to logits.
        """
        loss, _, gradients = self._microbatch(images, labels, forward)
        factor = tf.distribute.get_strategy().num_replicas_in_sync / self.optimizer.scale_loss(tf.constant(1.0))
        return loss, [None if one is None else one * tf.cast(factor, one.dtype) for one in gradients]

    def _microbatch(self, images, labels, forward=None) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        variables = [variable.value for variable in self.inner.trainable_variables]
        # By itself the tape watches weights that were frozen after they were created, and layers below trained ones.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = (forward or self.inner)(images, training=True)
            # Keras divides the mean over a device's examples by the number of devices.
            loss = self.compute_loss(x=images, y=labels, y_pred=logits, training=True)
            scaled = self.optimizer.scale_loss(loss)
        devices = tf.distribute.get_strategy().num_replicas_in_sync
        gradients = tape.gradient(scaled, variables)
        return tf.cast(loss, tf.float32) * devices, tf.cast(logits, tf.float32), gradients

    def make_train_function(self, force=False):
        """Build the training function: one call runs several steps and returns the metrics."""
        if self.train_function is not None and not force:
            return
        several = self._repeated(self.train_step, self.augmented if self.augments else None)

        def execute(iterator):
            progress = self.progress
            count = min(progress.steps_per_execution, progress.steps_per_epoch - progress.step)
            logs = self._observed(several, iterator, count)
            progress.step += count
            return logs

        self.train_function = execute

    def _observed(self, several, iterator, count: int) -> dict[str, tf.Tensor]:
        """Run `count` steps, those that are observed in calls of their own, which does not affect the result."""
        step = self.progress.total_steps
        end, logs = step + count, {}
        while step < end:
            wanted = self.observer.next_step(step) if self.observer else None
            if self.observer and wanted == step:
                with self.observer.observing(step):
                    logs = several(iterator, tf.constant(1))
                step += 1
            else:
                stop = end if wanted is None else min(wanted, end)
                logs = several(iterator, tf.constant(stop - step))
                step = stop
        return logs

    def make_test_function(self, force=False):
        """Build the test function, from (iterator, number of batches) to the accumulated metrics."""
        if self.test_function is None or force:
            self.test_function = self._repeated(self.test_step)

    def _repeated(self, step, augmented=None):
        """Return a function (iterator, count) that runs `count` steps on `augmented` batches and returns metrics."""
        strategy = self.distribute_strategy

        @tf.function(reduce_retracing=True, jit_compile=self.jit_compile, autograph=False)
        def one(data):
            strategy.run(step, (data,))

        @tf.function(autograph=False)
        def several(iterator, count):
            def body(done):
                data = next(iterator)
                if augmented is not None:
                    # Ahead of what XLA compiles: it has other random numbers for noise, rounds otherwise, and needs
                    # shapes that do not depend on the draws. So the values are those of the pipeline.
                    data = strategy.run(augmented, (data,))
                one(data)
                return (done + 1,)

            # The count is a tensor: another one is no other graph.
            tf.while_loop(lambda done: done < count, body, (tf.constant(0),), parallel_iterations=1)
            return {metric.name: metric.result() for metric in self.metrics}

        graphs = {}

        def execute(iterator, count):
            # One graph for batches of one shape, made once. TensorFlow would count it as a retracing: it counts by the
            # line of code, and a new training has a new function of the same lines.
            shapes = tuple(tf.nest.flatten(iterator.element_spec))
            if shapes not in graphs:
                graphs[shapes] = several.get_concrete_function(iterator, tf.TensorSpec((), tf.int32))
            return graphs[shapes](iterator, count)

        return execute

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Everything is built already; what Keras does here fails with many workers (keras-team/keras#20585).
        pass

    def save_weights(self, *args: Any, **kwargs: Any) -> None:
        self.inner.save_weights(*args, **kwargs)

    def load_weights(self, *args: Any, **kwargs: Any) -> None:
        self.inner.load_weights(*args, **kwargs)


def _of_batch(augmentation: Augmentation) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
    """Return the augmentation as a function from ((images, keys, epochs), labels), a batch, to (images, labels)."""

    def augmented(data) -> tuple[tf.Tensor, tf.Tensor]:
        (images, keys, epochs), labels = data
        return augmentation(images, labels, keys, epochs)

    return augmented


def _right(labels, logits) -> tf.Tensor:
    """Return (N,) float32: 1 for a correct prediction, else 0."""
    return tf.cast(tf.equal(tf.argmax(labels, axis=-1), tf.argmax(logits, axis=-1)), tf.float32)
