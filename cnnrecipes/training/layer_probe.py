"""Statistics of the layers of a model in training: activations, gradients and updates, measured outside of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.models.graph import Call, calls, run
from cnnrecipes.models.layer_kinds import activation_range, computes, dead_share, kind
from cnnrecipes.runs.watch_records import BINS, histogram
from cnnrecipes.training.training_step import TrainModel

MOST_IMAGES = 32
_SAMPLE = 16_384  # values of a layer that its standard deviation and histogram are computed from


class LayerProbe:
    """Measures the layers of a model on a fixed batch of training images, without changing any variable.

    The forward and backward pass runs eagerly in a `keras.StatelessScope`, which discards the updates of moving
    statistics and random states. It is not compiled: that takes as long as dozens of measurements, and its graph would
    stay in memory.

    Args:
        model: the model in training.
        images, labels: the batch after augmentation.

    Raises:
        ModelError: a model without a graph of layers.
    """

    def __init__(self, model: TrainModel, images: tf.Tensor, labels: tf.Tensor):
        self._calls = calls(model.inner)
        self._model, self._labels = model, labels
        self._images = tf.cast(images, model.inner.inputs[0].dtype)
        numbers = {id(variable): number for number, variable in enumerate(model.inner.trainable_variables)}
        self._watched = [place for place, call in enumerate(self._calls) if computes(call)]
        self._variables = {
            place: [numbers[id(v)] for v in self._calls[place].layer.trainable_variables if id(v) in numbers]
            for place in self._watched
        }

    def measure(self) -> list[dict[str, Any]]:
        """Return a row for each layer, with the columns of watch.csv except `step`; `update_ratio` is NaN.

        `gradient_norm` and `weight_norm` are L2 norms over the trained weights of the layer, NaN without any; the
        gradient is that of the mean loss of the batch.
        """
        values: list[tf.Tensor] = []
        with keras.StatelessScope():
            _, gradients = self._model.unscaled_gradients(self._images, self._labels, self._forward_into(values))
        gradient, weight = _squares(gradients), _squares(self._weights())
        rows = []
        for place in self._watched:
            call, own = self._calls[place], self._variables[place]
            row = {"layer": call.name, "kind": kind(call), **_statistics(call, values[place])}
            norms = {"gradient_norm": _norm(gradient, own), "weight_norm": _norm(weight, own)}
            rows.append({**row, **norms, "update_ratio": math.nan})
        return rows

    def copy_weights(self) -> list[tf.Tensor]:
        """Return copies of all trained weights, in memory of their own, so that the optimizer updates them in place."""
        return [tf.raw_ops.DeepCopy(x=weight) for weight in self._weights()]

    def add_updates(self, rows: Sequence[dict[str, Any]], before: Sequence[tf.Tensor]) -> None:
        """Set `update_ratio` of the rows: norm of the change of the weights since `before`, divided by their norm.

        NaN for a layer without trained weights, or whose weights were all 0.
        """
        updates = _squares([after - old for after, old in zip(self._weights(), before, strict=True)])
        for row, place in zip(rows, self._watched, strict=True):
            if row["weight_norm"] > 0:
                row["update_ratio"] = _norm(updates, self._variables[place]) / row["weight_norm"]

    def _weights(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(variable.value) for variable in self._model.inner.trainable_variables]

    def _forward_into(self, values: list[tf.Tensor]) -> Callable:
        """Return a forward function that collects the output of each layer call in `values`."""

        def forward(images, training):
            values.extend(value for _, value in run(self._calls, images, training=training))
            return values[-1]

        return forward


def probe_batch(model: TrainModel, pipeline: InputPipeline) -> tuple[tf.Tensor, tf.Tensor]:
    """Return images (or features) and labels of the first training batch: at most 32, and at most half a microbatch.

    So the measurement needs less memory than a training step.
    """
    size = pipeline.images_per_step
    most = min(MOST_IMAGES, max(size // (2 * model.microbatches), 1))
    # A shard is read without the rest of its batch. An even number of images: mixing needs pairs.
    rows = next((rows for rows in range(most - most % 2, 1, -2) if size % rows == 0), None)
    shard = (0, size // rows) if rows else (0, 1)
    images, labels = model.augmented(next(iter(pipeline.training_batches(0, 1, shard))))
    return images[:most], labels[:most]


def _statistics(call: Call, value: tf.Tensor) -> dict[str, Any]:
    """Return mean, std, dead, nonfinite and the histogram of an activation (N, ..., C).

    The mean, the dead channels and the non-finite values are those of all values, the others of a sample.
    """
    size, bounds = int(tf.size(value)), activation_range(call.layer)
    mean = float(tf.reduce_sum(tf.cast(value, tf.float32))) / size
    # NaN and infinity in any value are in the sum too, so they are rarely counted.
    bad = 0 if math.isfinite(mean) else int(tf.math.count_nonzero(tf.logical_not(tf.math.is_finite(value))))
    sample = tf.cast(tf.reshape(value, (-1,))[:: _stride(size)], tf.float32).numpy().astype(np.float64)
    finite = sample[np.isfinite(sample)]
    highest = tf.reduce_max(value, axis=range(value.shape.rank - 1)) if bounds else None
    return {
        "mean": mean if not bad else float(finite.mean()) if finite.size else math.nan,
        "std": float(finite.std()) if finite.size else math.nan,
        "dead": dead_share(tf.cast(highest, tf.float32).numpy(), bounds) if bounds else math.nan,
        "nonfinite": bad,
        **dict(zip(BINS, histogram(sample), strict=True)),
    }


def _stride(size: int) -> int:
    """Return the step of a sample x[::step] of the `size` values of an activation, coprime with `size`.

    `size` is a multiple of the number of channels, so the sample has values of every channel.
    """
    stride = -(-size // _SAMPLE)
    while math.gcd(stride, size) > 1:
        stride += 1
    return stride


def _squares(tensors: Sequence[tf.Tensor | None]) -> np.ndarray:
    """Return the sum of squares of each tensor, (n,) float64; 0 for None."""
    if not tensors:
        return np.zeros(0)
    sums = [tf.constant(0.0) if x is None else tf.reduce_sum(tf.square(tf.cast(x, tf.float32))) for x in tensors]
    return tf.stack(sums).numpy().astype(np.float64)


def _norm(squares: np.ndarray, numbers: Sequence[int]) -> float:
    return math.sqrt(squares[list(numbers)].sum()) if numbers else math.nan
