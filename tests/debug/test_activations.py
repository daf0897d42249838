"""What flows through a network: shares and deviations against NumPy, and the lesson of initialization."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.debug.activations import activation_statistics, compare_initializations, plot_activation_statistics


def images(count: int = 8, size: int = 16, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, size, size, channels)).astype("float32")


def one_layer(activation: str, kernel: np.ndarray) -> keras.Model:
    """A 1x1 convolution with these weights (C, K) and an activation."""
    inputs = keras.Input((4, 4, kernel.shape[0]))
    conv = keras.layers.Conv2D(kernel.shape[1], 1, use_bias=False, name="conv")
    model = keras.Model(inputs, keras.layers.Activation(activation, name="act")(conv(inputs)))
    conv.set_weights([kernel[None, None]])
    return model


def test_means_deviations_and_dead_channels_are_numpys():
    x = np.abs(images(8, 4, 2))
    kernel = np.array([[1.0, -1.0, 0.5], [2.0, -3.0, -1.0]], "float32")  # the second channel is negative everywhere
    table = activation_statistics(one_layer("relu", kernel), x).set_index("layer")
    y = x @ kernel
    np.testing.assert_allclose(table.loc["conv", ["mean", "std"]].astype(float), [y.mean(), y.std()], rtol=1e-5)
    rectified = np.maximum(y, 0)
    np.testing.assert_allclose(
        table.loc["act", ["mean", "std"]].astype(float), [rectified.mean(), rectified.std()], rtol=1e-5
    )
    assert table.loc["act", "type"] == "relu"
    assert table.loc["act", "dead"] == pytest.approx(1 / 3)
    assert table.loc["act", "zeros"] == pytest.approx((rectified == 0).mean())
    assert np.isnan(table.loc["conv", "dead"])


@pytest.mark.parametrize(
    ("activation", "function", "low"), [("tanh", np.tanh, -1), ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), 0)]
)
def test_saturation_is_within_a_hundredth_of_the_range(activation, function, low):
    x = 5 * images(8, 4, 2)
    table = activation_statistics(one_layer(activation, np.eye(2, dtype="float32")), x).set_index("layer")
    y, margin = function(x), 0.01 * (1 - low)
    expected = ((y < low + margin) | (y > 1 - margin)).mean()
    assert 0.1 < expected < 0.9
    assert table.loc["act", "saturated"] == pytest.approx(expected, abs=1e-3)
    assert np.isnan(table.loc["conv", "saturated"])


def test_what_is_not_finite_is_counted_and_left_out_of_means():
    x = images(2, 4, 2)
    x[0, 0, 0, 0] = np.inf
    row = activation_statistics(one_layer("linear", np.eye(2, dtype="float32")), x).iloc[0]
    finite = x.reshape(-1, 2)[1:]  # infinity times 0 is no number, so both channels of the first pixel are lost
    assert row.nonfinite == pytest.approx(1 - finite.size / x.size)
    assert row["std"] == pytest.approx(finite.std(), rel=1e-5)


def test_the_model_is_left_as_it_was():
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=2)
    before = model.get_weights()
    table = activation_statistics(model, images())
    for weight, again in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)
    # normalized by the batch, not by the moving statistics
    assert table.set_index("layer").loc["stem_norm", "std"] == pytest.approx(1, abs=0.01)


def test_he_normal_keeps_the_deviation_half_of_it_halves_and_twice_doubles_it_with_every_layer():
    """He et al. 2015b, section 2.2"""
    tables = compare_initializations(images=images(16, 24))
    rates = {}
    for kind, table in tables.items():
        spread = table[table.type == "relu"]["std"].to_numpy()
        assert len(spread) == 19
        rates[kind] = (spread[-1] / spread[0]) ** (1 / 18)
    assert rates["he_normal"] == pytest.approx(1, abs=0.1)
    assert rates["he_normal(0.5)"] == pytest.approx(0.5, abs=0.05)
    assert rates["he_normal(2.0)"] == pytest.approx(2, abs=0.2)
    assert rates["fixed(0.01)"] < 0.2


def test_batch_normalization_hides_the_initialization():
    tables = compare_initializations("plain20", ["he_normal", "he_normal(2.0)"], images(16, 16), norm="batch")
    first, second = (table.set_index("layer").loc["stage3_block3_norm2", "std"] for table in tables.values())
    assert first == pytest.approx(second, rel=1e-2)


def test_the_picture_has_a_line_for_each_table_and_names_the_stages(tmp_path):
    tables = compare_initializations(kinds=["he_normal", "fixed(0.01)"], images=images(4))
    figure = plot_activation_statistics(tables, tmp_path / "a.png")
    above = figure.axes[0]
    assert [text.get_text() for text in above.get_legend().get_texts()] == ["he_normal", "fixed(0.01)"]
    assert {"stage1", "stage2", "stage3"} <= {text.get_text() for text in above.texts}
    np.testing.assert_array_equal(above.lines[0].get_ydata(), tables["he_normal"]["std"])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(0, 16, 16, 3), (2, 16, 16, 1), (16, 16, 3), (2, 8, 16, 3)])
def test_images_of_another_shape_are_refused(shape):
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=2)
    with pytest.raises(cr.ModelError, match=r"takes images \(N, 16, 16, 3\); got"):
        activation_statistics(model, np.zeros(shape))
