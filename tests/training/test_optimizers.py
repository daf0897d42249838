"""Optimizers against PyTorch on a linear model, and against Keras' own."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnrecipes import recipe
from cnnrecipes.training.optimizers import SGD, optimizer

X = np.array([[1.0, 2.0], [-1.0, 0.5], [3.0, -0.25]], np.float32)
Y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)


def trained(steps, **changes):
    """Kernel and bias of a linear model after some steps, as PyTorch's below."""
    spec = recipe.Train(epochs=1, weight_decay=0.1, **changes)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.set_weights([np.array([[1.0, -2.0], [0.5, 3.0]]), np.array([0.25, -1.5])])
    model.compile(optimizer(spec, model, 0.1), "mse", jit_compile=False)
    model.fit(X, Y, batch_size=3, epochs=steps, verbose=0)
    return np.concatenate([weights.ravel() for weights in model.get_weights()])


# Recorded with torch 2.13.0; w, b, x, y as above and in trained:
#   o = torch.optim.SGD([{"params": [w], "weight_decay": 0.1}, {"params": [b], "weight_decay": 0.0}], lr=0.1, ...)
#   for _ in range(steps): o.zero_grad(); ((x @ w + b - y) ** 2).mean().backward(); o.step()
# with momentum=0.9, nesterov=True; with momentum=0.0; and torch.optim.AdamW(..., lr=0.1, eps=1e-7). Keras adds its
# epsilon before it corrects the second moment's bias, which is a few 1e-6 after three steps.
@pytest.mark.parametrize(
    ("changes", "steps", "recorded"),
    [
        ({}, 1, [0.466416627, -0.299500048, 0.381645828, 2.44820833, 0.0679166541, -1.13583326]),
        ({}, 2, [0.12744379, 0.865977168, 0.298701704, 1.6897037, -0.0389495417, -0.930072963]),
        ({}, 3, [0.0305211581, 1.30960453, 0.262512803, 0.868542969, -0.0539902523, -0.870752513]),
        ({"momentum": 0.0}, 3, [0.459394723, -0.222112522, 0.374726534, 2.16648173, 0.071805723, -1.142658]),
        ({"optimizer": "adamw"}, 1, [0.890000045, -1.88, 0.395000041, 2.87000012, 0.150000006, -1.39999998]),
        ({"optimizer": "adamw"}, 3, [0.677919686, -1.64433587, 0.213066965, 2.61423993, -0.0393163562, -1.20085299]),
    ],
)
def test_steps_are_pytorchs(changes, steps, recorded):
    atol = 5e-6 if changes.get("optimizer") == "adamw" and steps > 1 else 1e-6
    np.testing.assert_allclose(trained(steps, **changes), recorded, rtol=1e-6, atol=atol)


def fitted(cls, *, strategy=None, scaled=False, **options):
    """The weights that some steps on noise give."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        layers = [keras.Input((5,)), keras.layers.Dense(7, activation="tanh"), keras.layers.Dense(3)]
        model = keras.Sequential(layers)
        made = cls(0.1, **options)
        model.compile(keras.optimizers.LossScaleOptimizer(made) if scaled else made, "mse", jit_compile=False)
    model.fit(random.normal(size=(64, 5)), random.normal(size=(64, 3)), batch_size=16, shuffle=False, verbose=0)
    return np.concatenate([weights.ravel() for weights in model.get_weights()])


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9},
        {"nesterov": True, "momentum": 0.9},
        {"nesterov": True, "momentum": 0.9, "clipnorm": 0.1},
        {"nesterov": True, "momentum": 0.9, "gradient_accumulation_steps": 2},
        {"momentum": 0.9, "use_ema": True, "ema_overwrite_frequency": 3},
        {"momentum": 0.9, "scaled": True},
    ],
)
def test_without_decay_it_is_keras_sgd(options):
    np.testing.assert_allclose(fitted(SGD, **options), fitted(keras.optimizers.SGD, **options), rtol=1e-6, atol=1e-7)


def test_a_strategy_gives_the_same():
    options = {"momentum": 0.9, "nesterov": True, "coupled_decay": 0.1}
    mirrored = fitted(SGD, strategy=tf.distribute.MirroredStrategy(["CPU:0"]), **options)
    np.testing.assert_allclose(mirrored, fitted(SGD, **options), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_vectors_are_not_decayed(name):
    """With no gradient, only decay moves a weight."""
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(3, 3), keras.layers.BatchNormalization()])
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])
    made = optimizer(recipe.Train(epochs=1, optimizer=name, weight_decay=0.1), model, 0.5)
    made.apply([tf.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    moved = {v.path.split("/")[-1]: not np.array_equal(v.numpy(), np.ones(v.shape)) for v in model.trainable_variables}
    assert moved == {"kernel": True, "bias": False, "gamma": False, "beta": False}
    # sgd: Nesterov's first step is (1 + momentum) times lr * decay
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), {"sgd": 1 - 1.9 * 0.05, "adamw": 0.95}[name], rtol=1e-6)
