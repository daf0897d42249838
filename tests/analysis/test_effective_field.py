"""Effective receptive fields: bounds, the Gaussian case, images, errors and the plot."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.analysis.effective_field import effective_receptive_field, effective_size, plot_receptive_field


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return cr.build("resnet8", input_shape=(32, 32, 3), classes=4, zero_init_residual=False)


def test_field_is_inside_the_theoretical_one_and_peaks_near_its_center(model):
    field = effective_receptive_field(model, "stage3_block1_out")
    # Theory: 3 + 4 + 2 + 4 + 4 + 8 pixels around pixel 4 * 3.
    outside = np.ones_like(field, bool)
    outside[0:25, 0:25] = False
    assert np.all(field[outside] == 0)
    assert field.max() == 1
    assert 1 < effective_size(field) < 25
    row, column = np.unravel_index(field.argmax(), field.shape)
    assert abs(row - 12) < 6
    assert abs(column - 12) < 6


def test_equal_weights_give_the_binomial_of_the_paper():
    # Luo et al. 2016, the simplest case: windows of equal weights, convolved with each other.
    convs = [keras.layers.Conv2D(1, 3, padding="same", kernel_initializer="ones") for _ in range(3)]
    field = effective_receptive_field(keras.Sequential([keras.Input((15, 15, 1)), *convs]))
    line = np.convolve(np.convolve([1, 1, 1], [1, 1, 1]), [1, 1, 1]) / 7
    np.testing.assert_allclose(field[4:11, 4:11], np.outer(line, line), rtol=1e-6)


def test_zero_initialized_branches_are_included_and_left_unchanged():
    """Otherwise the gradient would be that of the shortcuts alone: the stem's 3x3."""
    fields = []
    for zero in (True, False):
        keras.utils.set_random_seed(0)
        model = cr.build("resnet8", input_shape=(32, 32, 3), classes=4, zero_init_residual=zero)
        before = model.get_weights()
        fields.append(effective_receptive_field(model, "stage3_block1_out"))
        for weight, again in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, again)
    np.testing.assert_array_equal(*fields)
    assert np.count_nonzero(fields[0]) > 10 * 3 * 3


def test_given_images_are_used_and_validated(model):
    one, other = (np.random.default_rng(i).uniform(0, 255, (1, 32, 32, 3)) for i in (1, 2))
    field = effective_receptive_field(model, images=one)
    np.testing.assert_array_equal(field, effective_receptive_field(model, images=one))
    assert not np.array_equal(field, effective_receptive_field(model, images=other))
    with pytest.raises(cr.ModelError, match=r"takes images \(None, 32, 32, 3\), got \(1, 28, 28, 1\)"):
        effective_receptive_field(model, images=np.zeros((1, 28, 28, 1)))


def test_unknown_layers_and_layers_without_a_feature_map_are_refused(model):
    with pytest.raises(cr.UnknownNameError, match="stage3_block1_out"):
        effective_receptive_field(model, "stage3_block1_ouch")
    with pytest.raises(cr.ModelError, match=r"'pool' gives \(None, 64\); name one with a feature map"):
        effective_receptive_field(model, "pool")


def test_plot_shows_effective_and_theoretical_sizes(model, tmp_path):
    path = tmp_path / "field.png"
    figure = plot_receptive_field(model, path=path)
    title = figure.axes[0].get_title()
    assert "stage3_block1_out" in title
    assert "25x25 px in theory (box) of an image of 32x32" in title
    box = figure.axes[0].patches[0]
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (-0.5, -0.5, 25, 25)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [path]


def test_invalid_path_is_refused(model, tmp_path):
    with pytest.raises(cr.ModelError, match=r"suffix '.txt' is not supported; give .png or .svg or .pdf"):
        plot_receptive_field(model, path=tmp_path / "field.txt")
    with pytest.raises(cr.WriteError, match="No such file or directory; create the folder first"):
        plot_receptive_field(model, path=tmp_path / "none" / "field.png")
