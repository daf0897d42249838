"""Initializers: standard deviations, independence between layers, serialization, errors."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.layers import conv2d, initializer

FAN_IN, FAN_OUT = 9 * 64, 9 * 128


@pytest.mark.parametrize(
    ("kind", "std"),
    [
        ("he_normal", (2 / FAN_IN) ** 0.5),
        ("he_uniform", (2 / FAN_IN) ** 0.5),
        ("glorot_normal", (2 / (FAN_IN + FAN_OUT)) ** 0.5),
        ("glorot_uniform", (2 / (FAN_IN + FAN_OUT)) ** 0.5),
        ("lecun_normal", (1 / FAN_IN) ** 0.5),
        ("lecun_uniform", (1 / FAN_IN) ** 0.5),
        ("he_normal(0.5)", 0.5 * (2 / FAN_IN) ** 0.5),
        ("lecun_uniform( 2 )", 2 * (1 / FAN_IN) ** 0.5),
        ("fixed(0.01)", 0.01),
    ],
)
def test_standard_deviation_matches_the_formula(kind, std):
    keras.utils.set_random_seed(0)
    weights = initializer(kind)()((3, 3, 64, 128))
    assert np.std(weights) == pytest.approx(std, rel=0.02)
    assert np.mean(weights) == pytest.approx(0, abs=0.02 * std)


@pytest.mark.parametrize("kind", ["he_normal", "he_normal(0.5)", "fixed(0.1)"])
def test_layers_are_initialized_differently_and_reproducibly_by_seed(kind):
    def two_layers():
        keras.utils.set_random_seed(3)
        x = keras.Input((4, 4, 2))
        y = conv2d(conv2d(x, 2, init=kind, name="a"), 2, init=kind, name="b")
        return keras.Model(x, y).get_weights()

    first, second = two_layers()
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, two_layers()[0])


def test_custom_initializer_factory_is_called_for_every_layer():
    made = []

    def own():
        made.append(keras.initializers.Constant(0.25))
        return made[-1]

    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=2, init=own)
    kernels = [w for w in model.weights if w.path.endswith("kernel")]
    assert len(made) == len(kernels)
    assert {float(w.numpy().ravel()[0]) for w in kernels} == {0.25}


@pytest.mark.parametrize("kind", ["he_normal", "fixed(0.01)", "he_normal(0.5)"])
def test_initializer_is_saved_with_the_model(kind, tmp_path):
    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=2, init=kind)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    saved, own = (m.get_layer("stem_conv").kernel_initializer.get_config() for m in (again, model))
    assert {**saved, "seed": None} == {**own, "seed": None}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("xavier", "unknown initialization 'xavier'"),
        ("he_norml", "did you mean he_normal"),
        ("fixed", r"write fixed\(0.01\)"),
        ("fixed(zero)", "'zero' is not a positive number"),
        ("he_normal(0)", "'0' is not a positive number"),
        ("he_normal(inf)", "'inf' is not a positive number"),
        ("he_normal(1, 2)", "'1, 2' is not a positive number"),
        ("he normal", "cannot read the initialization 'he normal'"),
    ],
)
def test_invalid_initializer_raises_with_a_remedy(text, words):
    with pytest.raises(cr.RecipeError, match=words):
        initializer(text)
