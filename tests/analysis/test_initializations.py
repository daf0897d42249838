"""The scale factors of He et al. 2015b, section 2.2, measured on plain networks; and their plot."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest

import cnnrecipes as cr
from cnnrecipes.analysis.activation_statistics_plot import growth_per_layer, plot_activation_statistics
from cnnrecipes.analysis.initializations import KINDS, compare_initializations


@pytest.fixture(scope="module")
def frames():
    return compare_initializations("plain20", (*KINDS, "glorot_normal"))


def weighted(frame):
    return frame[frame["kind"] == "weighted"]["std"].to_numpy()


def test_he_keeps_the_scale_and_its_multiples_grow_geometrically(frames):
    growth = {kind: growth_per_layer(frame) for kind, frame in frames.items()}
    # Zero padding and chance in 16 channels contribute a few percent per layer.
    assert growth["he_normal"] == pytest.approx(1, abs=0.1)
    # The same random numbers scaled, through ReLU: the factor is exact in every layer.
    for kind, factor in (("he_normal(0.5)", 0.5), ("he_normal(2.0)", 2.0)):
        assert growth[kind] == pytest.approx(factor, rel=0.1)
        depth = np.arange(1, 21)
        np.testing.assert_allclose(weighted(frames[kind]), weighted(frames["he_normal"]) * factor**depth, rtol=1e-3)
    # Glorot's variance is half of He's if fan_in equals fan_out.
    assert growth["glorot_normal"] == pytest.approx(np.sqrt(1 / 2), abs=0.1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_he_keeps_the_scale_for_other_seeds(seed):
    frame = compare_initializations("plain20", "he_normal", seed=seed)["he_normal"]
    assert growth_per_layer(frame) == pytest.approx(1, abs=0.15)
    assert 0.1 < weighted(frame)[18] / weighted(frame)[0] < 10


def test_fixed_standard_deviation_vanishes_as_equation_8_predicts(frames):
    std = weighted(frames["fixed(0.01)"])
    fan_in = 9 * np.array([16] * 7 + [32] * 6 + [64] * 5)
    expected = 0.01 * np.sqrt(fan_in / 2)
    assert np.exp(np.mean(np.log(std[1:19] / std[:18] / expected))) == pytest.approx(1, abs=0.1)
    assert std[-1] < 1e-15


def test_tanh_saturates_with_large_weights_only():
    frames = compare_initializations("plain20", ("glorot_normal", "he_normal(4.0)"), activation="tanh")
    last = {kind: frame[frame["kind"] == "activation"]["saturated"].iloc[-1] for kind, frame in frames.items()}
    assert last["glorot_normal"] < 0.01
    assert last["he_normal(4.0)"] > 0.4


def test_norms_remove_the_scale():
    frames = compare_initializations("resnet8", ("he_normal", "he_normal(2.0)"), norm="batch")
    for frame in frames.values():
        assert growth_per_layer(frame) == pytest.approx(1, abs=0.25)


def test_result_depends_on_the_seed_only_and_global_state_is_unchanged():
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 1))
    keras.utils.set_random_seed(1)
    first = compare_initializations("plain20", "he_normal", images)["he_normal"]
    drawn = np.random.random()
    keras.utils.set_random_seed(1)
    assert np.random.random() == drawn
    keras.utils.set_random_seed(2)
    assert compare_initializations("plain20", "he_normal", images)["he_normal"].equals(first)
    assert not compare_initializations("plain20", "he_normal", images, seed=5)["he_normal"].equals(first)


def test_unknown_names_and_invalid_images_are_refused():
    with pytest.raises(cr.UnknownNameError, match="he_normal"):
        compare_initializations("plain20", "he_norma")
    with pytest.raises(cr.UnknownNameError, match="plain20"):
        compare_initializations("plan20")
    for images in (np.zeros((8, 8, 3)), np.zeros((0, 8, 8, 3))):
        with pytest.raises(cr.DataError, match="at least one image"):
            compare_initializations(images=images)


def test_growth_is_geometric_without_the_last_layer():
    frame = pd.DataFrame({"kind": ["weighted", "norm"] * 6, "std": np.repeat(3 * 0.7 ** np.arange(6), 2)})
    frame.loc[10, "std"] = 1e-9  # the last weighted layer
    assert growth_per_layer(frame) == pytest.approx(0.7)
    assert np.isnan(growth_per_layer(frame.assign(std=0.0)))


def test_plot_shows_the_statistics(frames, tmp_path):
    path = tmp_path / "std.svg"
    figure = plot_activation_statistics(frames, path)
    above, below = figure.axes
    assert above.get_yscale() == "log"
    for line, frame in zip(above.lines, frames.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), weighted(frame))
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 21))
    words = [text.get_text() for text in above.get_legend().get_texts()]
    assert words[1] == f"he_normal(0.5): x {growth_per_layer(frames['he_normal(0.5)']):.2f} a layer"
    assert below.get_ylabel() == "share of dead channels"
    assert {text.get_text() for text in above.texts} == {"stem", "stage1", "stage2", "stage3", "logits"}
    assert path.read_text().startswith("<?xml")
    assert [file.name for file in tmp_path.iterdir()] == ["std.svg"]


def test_stage_name_is_omitted_if_there_is_no_space():
    stages = ["stem"] + ["stage1"] * 9 + ["stage2"] * 140 + ["logits"]
    frame = pd.DataFrame({"kind": "weighted", "stage": stages, "std": 1.0, "dead": np.nan, "saturated": np.nan})
    above = plot_activation_statistics(frame).axes[0]
    assert sorted(text.get_text() for text in above.texts) == ["logits", "stage1", "stage2"]


@pytest.mark.parametrize("std", [0.0, np.nan])
def test_plot_reports_values_that_a_log_axis_cannot_show(frames, std):
    frame = frames["he_normal"].copy()
    places = frame.index[frame["kind"] == "weighted"][15:]
    frame.loc[places, "std"] = std
    figure = plot_activation_statistics(frame)
    assert "(0 or not finite in 5 of 20 layers)" in figure.axes[0].get_legend().get_texts()[0].get_text()
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[15:]).all()


def test_plot_reports_missing_bounded_activations(frames):
    unbounded = frames["he_normal"].assign(dead=np.nan)
    assert "no activation with a floor" in plot_activation_statistics(unbounded).axes[1].texts[0].get_text()


@pytest.mark.parametrize("frames", [{}, None, {"a": 1}, pd.DataFrame({"x": [1]})])
def test_invalid_frame_is_refused(frames):
    with pytest.raises(cr.DataError, match="activation_statistics"):
        plot_activation_statistics(frames)
