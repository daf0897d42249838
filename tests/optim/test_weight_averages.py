"""Weight averages (EMA, Lookahead, schedule-free) against their formulas."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_training import LinearTraining

from cnnrecipes.keras_optim.recipe_optimizer import build_optimizer
from cnnrecipes.optim.weight_averages import EMA, Lookahead, build_averages
from cnnrecipes.recipe import schema
from cnnrecipes.runs.weights import read_weights


def model():
    layers = [keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()]
    made = keras.Sequential(layers)
    made.set_weights([np.full(w.shape, 1.0 + i) for i, w in enumerate(made.get_weights())])
    return made


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_ema_matches_its_formula_for_all_weights(decay):
    """Including batch norm's moving statistics; the first steps have a larger weight."""
    net = model()
    average, expected = EMA(net, decay), [w.copy() for w in net.get_weights()]
    update = tf.function(average.update)
    for step in range(30):
        net.set_weights([w + np.sin(step) for w in net.get_weights()])
        update(tf.constant(step, tf.int64))
        d = min(decay, (1 + step) / (10 + step))
        expected = [d * old + (1 - d) * new for old, new in zip(expected, net.get_weights(), strict=True)]
    assert len(average.variables) == len(net.weights) == 6
    for variable, value in zip(average.variables, expected, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5)


def test_swap_is_exact_and_its_own_inverse():
    net = model()
    average = EMA(net, 0.9)
    net.set_weights([w * np.float32(np.pi) for w in net.get_weights()])
    before = [w.tobytes() for w in net.get_weights()], [v.numpy().tobytes() for v in average.variables]
    average.swap()
    assert ([v.numpy().tobytes() for v in average.variables], [w.tobytes() for w in net.get_weights()]) == before
    average.swap()
    assert ([w.tobytes() for w in net.get_weights()], [v.numpy().tobytes() for v in average.variables]) == before


def test_lookahead_matches_algorithm_1():
    net = model()
    ahead, update = Lookahead(net, 3, 0.5), None
    update = tf.function(ahead.update)
    slow = [v.numpy().copy() for v in net.trainable_variables]
    fast = [v.copy() for v in slow]
    for step in range(10):
        fast = [v + 1.0 + step for v in fast]
        for variable, value in zip(net.trainable_variables, fast, strict=True):
            variable.assign(value)
        update(tf.constant(step, tf.int64))
        if (step + 1) % 3 == 0:
            slow = [s + 0.5 * (f - s) for s, f in zip(slow, fast, strict=True)]
            fast = [s.copy() for s in slow]
        for variable, value in zip(net.trainable_variables, fast, strict=True):
            np.testing.assert_allclose(variable.numpy(), value, rtol=1e-6)


def schedule_free(steps, decay):
    """Weights y and their average x after some steps with given gradients, and both by the reference.

    The reference is facebookresearch/schedule_free's adamw_schedulefree_reference.py with weights of 1 / step:
    z -= lr * (g / denominator + decay * y); x = (1 - 1/k) x + z / k; y = (1 - beta_1) z + beta_1 x.
    """
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    net.set_weights([np.array([[1.0, -2.0], [0.5, 3.0]])])
    spec = schema.Optimizer(name="schedule_free_adamw", schedule="constant", weight_decay=decay)
    made = build_optimizer(spec, net, 0.1)
    made.build(net.trainable_variables)
    y = z = x = net.get_weights()[0].astype(float)
    v = np.zeros_like(y)
    for k in range(1, steps + 1):
        g = np.cos(k + np.arange(4).reshape(2, 2)) + 0.1 * y
        made.apply([tf.constant(np.cos(k + np.arange(4).reshape(2, 2)) + 0.1 * net.get_weights()[0], tf.float32)])
        v = 0.999 * v + 0.001 * g**2
        z = z - 0.1 * (g / (np.sqrt(v / (1 - 0.999**k)) + 1e-8) + decay * y)
        x = (1 - 1 / k) * x + z / k
        y = 0.1 * z + 0.9 * x
    (average,) = build_averages(spec, net, made)
    return net, average, y, x


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_schedule_free_trains_at_y_and_evaluates_at_x(decay):
    net, average, y, x = schedule_free(7, decay)
    np.testing.assert_allclose(net.get_weights()[0], y, rtol=2e-5)
    before = net.get_weights()[0].tobytes()
    average.swap()
    np.testing.assert_allclose(net.get_weights()[0], x, rtol=2e-5)
    average.swap()
    assert net.get_weights()[0].tobytes() == before


def test_validation_and_saved_weights_use_the_average(tmp_path):
    """Applies to the validation during training, the best weights, and the final weights."""
    training = LinearTraining(tmp_path, ema=0.9, artifact="last")
    outcome = training.run()
    (average,) = training.train_model.averages
    for kept, variable in zip(outcome.weights, average.variables, strict=True):
        np.testing.assert_array_equal(kept, variable.numpy())
    assert not np.array_equal(outcome.weights[0], training.model.get_weights()[0])
    _, best = read_weights(tmp_path / "checkpoints" / "best.npz")
    training.model.set_weights(outcome.weights)
    images = np.stack([training.validation.read(i)[0] for i in range(45)])
    right = (training.model.predict(images, verbose=0).argmax(axis=1) == training.validation.labels).mean()
    assert outcome.state.history[-1]["val_accuracy"] == pytest.approx(right)
    assert best["epoch"] <= 3
