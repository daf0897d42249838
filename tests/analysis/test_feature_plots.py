"""Plots of kernels and feature maps: pixel values, selection, labels, legibility, errors."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from legible import assert_legible
from matplotlib.text import Text
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.analysis.activation_statistics import activation_statistics
from cnnrecipes.analysis.activation_statistics_plot import plot_activation_statistics
from cnnrecipes.analysis.feature_plots import plot_feature_maps, plot_filters
from cnnrecipes.analysis.grayscale_mosaic import mosaic
from cnnrecipes.models.graph import calls, run

L = keras.layers


def convolution(kernel, name="conv", **options):
    """A model of one convolution without bias, with the given kernel (h, w, in, out), for 6x6 images."""
    conv = L.Conv2D(kernel.shape[-1], kernel.shape[:2], use_bias=False, padding="same", name=name, **options)
    model = keras.Sequential([keras.Input((6, 6, kernel.shape[2])), conv, L.Flatten(), L.Dense(2, name="logits")])
    conv.set_weights([kernel])
    return model


def kernels(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def pixels(figure):
    return figure.axes[0].images[0].get_array()


def words(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("channels", [1, 3])
def test_filter_tiles_show_the_scaled_kernels(channels):
    kernel = kernels(3, 3, channels, 5)
    kernel[..., 2] = 0
    image = pixels(plot_filters(convolution(kernel)))
    # A weight has 8 pixels, a tile 24 with a border of 1, the gap 3; three tiles per row.
    assert image.shape[:2] == (2 * 26 + 3, 3 * 26 + 2 * 3)
    for k in range(5):
        top, left = k // 3 * 29 + 1, k % 3 * 29 + 1
        tile = image[top + 4 : top + 24 : 8, left + 4 : left + 24 : 8]
        own = kernel[..., k]
        expected = 0.5 + own / (2 * (np.abs(own).max() or 1))
        np.testing.assert_allclose(tile, np.broadcast_to(expected, (3, 3, 3)), rtol=1e-6)
    assert (image[30:, 60:] == 1).all()  # no sixth tile


def test_kernel_of_many_channels_is_a_row_with_a_common_scale():
    kernel = kernels(1, 1, 20, 4)
    figure = plot_filters(convolution(kernel))
    centers = pixels(figure)[13::29, 13::29, 0]
    expected = 0.5 + kernel[0, 0].T / (2 * np.abs(kernel[0, 0]).max(axis=0)[:, None])
    np.testing.assert_allclose(centers, expected[:, :16], rtol=1e-6)
    assert "rows: all 4 kernels; columns: the first 16 channels" in words(figure)[0]


def test_depthwise_kernels_have_one_tile_per_channel():
    kernel = kernels(3, 3, 2, 2)
    model = keras.Sequential([keras.Input((6, 6, 2)), L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)])
    model.set_weights([kernel])
    image = pixels(plot_filters(model))
    own = kernel[:, :, 1, 0]  # channel 1, its first kernel: the third tile
    np.testing.assert_allclose(image[30 + 4 : 30 + 24 : 8, 5:25:8, 0], 0.5 + own / (2 * np.abs(own).max()), rtol=1e-6)


def test_nonfinite_weights_are_white():
    kernel = kernels(1, 1, 1, 1)
    kernel[:] = np.nan
    assert (pixels(plot_filters(convolution(kernel)))[1:-1, 1:-1] == 1).all()


def test_first_convolution_is_the_default():
    figure = plot_filters(cr.build("resnet50", input_shape=(32, 32, 3), classes=3))
    assert words(figure)[0].startswith("resnet50, stem_conv\n64 kernels of 7x7x3\n")


def test_layers_other_than_convolutions_are_refused():
    model = cr.build("resnet8", input_shape=(8, 8, 1), classes=3)
    with pytest.raises(cr.ModelError, match=r"'stem_norm' is a BatchNormalization, not a 2D .*did you mean stem_conv"):
        plot_filters(model, "stem_norm")
    with pytest.raises(cr.UnknownNameError, match=r"unknown layer 'stem_cnv' \(did you mean stem_conv"):
        plot_filters(model, "stem_cnv")
    with pytest.raises(cr.ModelError, match="has no 2D convolution"):
        plot_filters(keras.Sequential([keras.Input((4,)), L.Dense(2)]))


def shown_maps(figure):
    """The feature maps below the input image, and the channel numbers above them."""
    numbers = [int(text.get_text()) for text in figure.axes[0].texts if text.get_text().isdigit()]
    return [image.get_array() for image in figure.axes[0].images[1:]], numbers


def test_feature_maps_are_sorted_by_their_mean():
    kernel = np.array([1.0, 3.0, -1.0, 2.0, 0.0]).reshape(1, 1, 1, 5)
    image = np.random.default_rng(0).uniform(10, 250, (6, 6, 1))
    maps, numbers = shown_maps(plot_feature_maps(convolution(kernel), image, "conv", channels=4))
    assert numbers == [1, 3, 0, 4]
    stretched = (image[..., 0] - image.min()) / (image.max() - image.min())
    for one in maps[:3]:
        np.testing.assert_allclose(one, stretched, atol=1e-5)
    assert (maps[3] == 0).all()


def test_input_image_is_shown_first_at_its_brightness():
    image = np.random.default_rng(0).integers(0, 200, (6, 6, 3))
    figure = plot_feature_maps(convolution(kernels(3, 3, 3, 2)), image)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), image / 255, atol=1e-6)
    assert "image 6x6x3" in words(figure)
    # Other value ranges are stretched.
    shown = plot_feature_maps(convolution(kernels(3, 3, 3, 2)), image / 100 - 1).axes[0].images[0].get_array()
    assert (shown.min(), shown.max()) == (0, 1)


def test_last_feature_map_of_each_stage_is_the_default():
    model = cr.build("resnet8", input_shape=(16, 16, 3), classes=3, zero_init_residual=False)
    image = np.random.default_rng(0).uniform(0, 255, (16, 16, 3)).astype("float32")
    figure = plot_feature_maps(model, image, channels=2)
    labels = [text for text in words(figure) if "   " in text]
    assert labels == [
        "stem 16x16x16   stem_act",
        "stage1 16x16x16   stage1_block1_out",
        "stage2 8x8x32   stage2_block1_out",
        "stage3 4x4x64   stage3_block1_out",
    ]
    maps, numbers = shown_maps(figure)
    for row, name in enumerate(label.split()[-1] for label in labels):
        value = next(value for call, value in run(calls(model), image[None]) if call.name == name).numpy()[0]
        best = np.argsort(-value.mean(axis=(0, 1)))[:2]
        assert numbers[2 * row : 2 * row + 2] == list(best)
        own = value[..., best[0]]
        np.testing.assert_allclose(maps[2 * row], (own - own.min()) / (own.max() - own.min()), atol=1e-6)


def test_stages_of_other_models_are_named_by_size_and_exclude_padding():
    model = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), include_top=False, alpha=0.35)
    labels = [text for text in words(plot_feature_maps(model, np.zeros((64, 64, 3)), channels=1)) if "   " in text]
    assert [label.split("x")[0] for label in labels] == ["32", "16", "8", "4", "2"]
    assert not any("pad" in label for label in labels)


def test_nonfinite_feature_map_is_empty():
    kernel = np.array([np.nan, 1.0]).reshape(1, 1, 1, 2)
    maps, numbers = shown_maps(plot_feature_maps(convolution(kernel), np.ones((6, 6, 1)), "conv"))
    assert numbers == [1, 0]
    assert np.ma.masked_invalid(maps[1]).mask.all()


def test_invalid_layers_images_and_numbers_are_refused():
    model, image = convolution(kernels(3, 3, 1, 2)), np.zeros((6, 6, 1))
    with pytest.raises(cr.ModelError, match=r"'logits' is a Dense with output \(None, 2\); give one with feature maps"):
        plot_feature_maps(model, image, ["conv", "logits"])
    with pytest.raises(cr.UnknownNameError, match=r"did you mean conv\?"):
        plot_feature_maps(model, image, "convs")
    for layers, channels in (([], 4), (None, 0), (None, 401)):
        with pytest.raises(cr.ModelError, match="at most 400 maps in all"):
            plot_feature_maps(model, image, layers, channels)
    with pytest.raises(cr.DataError, match=r"expected one image \(H, W, C\), got the shape \(1, 6, 6, 1\)"):
        plot_feature_maps(model, image[None])
    with pytest.raises(cr.DataError, match=r"takes images \(None, 6, 6, 1\), got \(1, 5, 6, 1\)"):
        plot_feature_maps(model, image[1:])


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_suffix_selects_the_file_format(tmp_path, suffix):
    model = convolution(kernels(3, 3, 1, 2))
    plot_filters(model, path=tmp_path / f"a.{suffix}")
    plot_feature_maps(model, np.zeros((6, 6, 1)), path=str(tmp_path / f"b.{suffix}"))
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"a.{suffix}", f"b.{suffix}"]
    assert all(file.read_bytes().startswith(starts[suffix]) for file in files)
    with pytest.raises(cr.ModelError, match="suffix"):
        plot_filters(model, path=tmp_path / "a.txt")


@pytest.mark.parametrize(("name", "size"), [("resnet20", 32), ("resnet50", 64), ("vgg16", 64)])
def test_plots_of_a_photo_are_legible(name, size, hymenoptera):
    photo = Image.open(sorted(hymenoptera.rglob("*.jpg"))[0]).convert("RGB").resize((size, size))
    model = cr.build(name, input_shape=(size, size, 3), classes=2, head="average")
    assert_legible(plot_filters(model))
    assert_legible(plot_filters(model, [c.name for c in calls(model) if isinstance(c.layer, L.Conv2D)][-1]))
    assert_legible(plot_feature_maps(model, np.asarray(photo)))
    assert_legible(plot_activation_statistics(activation_statistics(model, np.asarray(photo)[None])))


def test_mosaic_has_a_white_gap_between_frames():
    image = mosaic(np.zeros((2, 24, 24, 1)), 2)
    assert list(image[10, 24:33, 0]) == [0, 0.3, 1, 1, 1, 0.3, 0, 0, 0]
