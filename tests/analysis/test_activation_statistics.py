"""Activation statistics against NumPy; the model is unchanged; errors."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.analysis.activation_statistics import activation_statistics

L = keras.layers


def chain(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers], name="chain")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype("float32")


def after(layer, values, **options):
    """The row of one layer for given input values, (N, C)."""
    frame = activation_statistics(chain(values.shape[1:], layer), values, **options)
    return frame.iloc[-1]


def test_statistics_match_numpy():
    images = noise(5, 4, 4, 1)
    model = chain((4, 4, 1), L.Conv2D(3, 1, name="conv"), L.Activation("relu", name="act"), L.Flatten(), L.Dense(2))
    model.layers[0].set_weights([np.array([1.0, -1.0, 0.5]).reshape(1, 1, 1, 3), np.array([0.0, 0.0, -100.0])])
    conv = images * [1.0, -1.0, 0.5] + [0.0, 0.0, -100.0]
    relu = np.maximum(conv, 0)
    dense = relu.reshape(5, -1) @ model.layers[-1].kernel.numpy()
    frame = activation_statistics(model, images)
    assert list(frame["type"]) == ["Conv2D", "relu", "Dense"]
    assert list(frame["kind"]) == ["weighted", "activation", "weighted"]
    for row, values in zip(frame.itertuples(), (conv, relu, dense), strict=True):
        np.testing.assert_allclose([row.mean, row.std], [values.mean(), values.std()], rtol=1e-4)
        assert row.zero == pytest.approx(np.mean(values == 0))
        assert row.nonfinite == 0
    # The second channel is below 0 everywhere, the third only for dark pixels.
    assert frame["dead"][1] == pytest.approx(1 / 3)
    assert 0 < np.mean(relu[..., 2] == 0) < 1
    assert frame[["dead", "saturated"]].iloc[[0, 2]].isna().all(axis=None)


# Input values -9, -1, 0, 1, 9, one per channel, and the expected shares.
@pytest.mark.parametrize(
    ("layer", "dead", "saturated"),
    [
        (L.Activation("relu"), 3 / 5, np.nan),
        (L.ReLU(), 3 / 5, np.nan),
        (L.ReLU(6.0), 3 / 5, 1 / 5),
        (L.Activation("relu6"), 3 / 5, 1 / 5),
        (L.Activation("sigmoid"), 1 / 5, 2 / 5),
        (L.Activation("tanh"), 1 / 5, 2 / 5),
        (L.Activation("elu"), 1 / 5, 1 / 5),
        (L.Activation("celu"), 1 / 5, 1 / 5),
        (L.Activation("selu"), 1 / 5, 1 / 5),
        (L.ELU(2.0), 1 / 5, 1 / 5),
        (L.Activation("gelu"), np.nan, np.nan),
        (L.Activation("silu"), np.nan, np.nan),
        (L.LeakyReLU(), np.nan, np.nan),
        (L.ReLU(negative_slope=0.1), np.nan, np.nan),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_dead_channels_and_saturated_values_are_counted(layer, dead, saturated):
    row = after(layer, np.tile([-9.0, -1.0, 0.0, 1.0, 9.0], (4, 1)))
    np.testing.assert_allclose([row.dead, row.saturated], [dead, saturated])


def test_channel_with_one_positive_value_is_not_dead():
    values = np.full((4, 2), -9.0)
    values[3, 1] = 1e-6
    assert after(L.Activation("relu"), values).dead == 1 / 2
    assert after(L.Activation("relu"), values).zero == 7 / 8


def test_activation_argument_of_a_layer_is_measured():
    assert after(L.Dense(4, activation="relu", kernel_initializer="zeros"), np.ones((2, 3))).dead == 1


def test_nonfinite_values_are_counted_and_excluded():
    row = after(L.Rescaling(1.0), np.array([[1.0, 3.0], [np.inf, np.nan]]))
    assert (row["mean"], row["std"], row["nonfinite"]) == (2, 1, 1 / 2)
    row = after(L.Rescaling(1.0), np.full((2, 2), np.nan))
    assert np.isnan(row["mean"])
    assert row["nonfinite"] == 1


def test_standard_deviation_of_large_values_does_not_overflow():
    row = after(L.Rescaling(1e30), np.array([[-1.0], [1.0]]))
    assert row["std"] == pytest.approx(1e30)


@pytest.mark.parametrize(("dtype", "off"), [("mixed_float16", 1e-2), ("mixed_bfloat16", 3e-2)])
def test_half_precision_is_measured_accurately(dtype, off):
    def stds(policy):
        model = chain((8, 8, 3), L.Rescaling(1 / 255), L.Conv2D(8, 3, dtype=policy), L.Activation("relu", dtype=policy))
        model.layers[1].set_weights([np.random.default_rng(1).normal(size=(3, 3, 3, 8)), np.zeros(8)])
        return activation_statistics(model, noise(4, 8, 8, 3))["std"]

    np.testing.assert_allclose(stds(dtype), stds("float32"), rtol=off)


def test_every_computing_layer_has_a_row():
    frame = activation_statistics(cr.build("resnet8", input_shape=(8, 8, 1), classes=3), noise(4, 8, 8, 1))
    assert list(frame["layer"][:4]) == ["stem_conv", "stem_norm", "stem_act", "stage1_block1_conv1"]
    assert list(frame["layer"][-3:]) == ["stage3_block1_out", "pool", "logits"]
    assert not frame["layer"].str.contains("pad|images|channels").any()
    counts = frame["kind"].value_counts()
    assert dict(counts) == {"weighted": 8, "norm": 7, "activation": 7, "merge": 3, "other": 3}
    assert set(frame["stage"]) == {"stem", "stage1", "stage2", "stage3", "pool", "logits"}
    plain = activation_statistics(cr.build("plain20", norm="none", input_shape=(8, 8, 1), classes=3), noise(1, 8, 8, 1))
    assert "norm" not in set(plain["kind"])


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_uses_batch_statistics_in_training_only(training):
    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=3, zero_init_residual=False)
    frame = activation_statistics(model, noise(16, 8, 8, 1), training=training)
    norms = frame[frame["kind"] == "norm"]["std"]
    assert np.allclose(norms, 1, atol=0.01) == training


def dropping():
    conv, norm = L.Conv2D(4, 3), L.BatchNormalization()
    inner = chain((6, 6, 4), L.BatchNormalization(), L.Dropout(0.5))
    return chain((8, 8, 1), conv, norm, inner, L.Dropout(0.5), L.GlobalAveragePooling2D(), L.Dense(2))


@pytest.mark.parametrize("make", [dropping, lambda: cr.build("resnet8", input_shape=(8, 8, 1), classes=3)])
def test_model_is_unchanged(make):
    model = make()
    before = [variable.numpy().copy() for variable in model.variables]
    first, second = (activation_statistics(model, noise(4, 8, 8, 1)) for _ in range(2))
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    # Random states are variables of the model: the same units are dropped again.
    assert first.equals(second)


class Failing(L.Layer):
    broken = False

    def call(self, inputs):
        if self.broken:
            raise RuntimeError("broken on purpose")
        return inputs


def test_model_is_restored_after_an_error():
    model = chain((8, 8, 1), L.BatchNormalization(), Failing())
    model.layers[1].broken = True
    before = [variable.numpy().copy() for variable in model.variables]
    with pytest.raises(RuntimeError, match="on purpose"):
        activation_statistics(model, noise(4, 8, 8, 1))
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (noise(2, 9, 9, 1), r"chain takes images \(None, 8, 8, 1\), got \(2, 9, 9, 1\); give"),
        (noise(8, 8, 1), r"got \(8, 8, 1\); for a single image give images\[None\]"),
        (noise(0, 8, 8, 1), "the batch is empty"),
        ([[1, 2], [3]], "cannot be converted to an array"),
        (np.full((1, 8, 8, 1), "x"), "are not numbers"),
        (None, "are not numbers"),
    ],
)
def test_invalid_images_raise(images, message):
    with pytest.raises(cr.DataError, match=message):
        activation_statistics(chain((8, 8, 1), L.Conv2D(1, 3)), images)


class Subclassed(keras.Model):
    def call(self, images):
        return images


def test_models_without_a_graph_or_with_two_inputs_are_refused():
    with pytest.raises(cr.ModelError, match="no graph of layers"):
        activation_statistics(Subclassed(), noise(1, 8, 8, 1))
    two = [keras.Input((8, 8, 1)), keras.Input((8, 8, 1))]
    with pytest.raises(cr.ModelError, match="has 2 inputs"):
        activation_statistics(keras.Model(two, L.Add()(two)), noise(1, 8, 8, 1))
