"""Pictures of kernels and feature maps: what is drawn is what is there."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import cnnrecipes as cr
from cnnrecipes.debug.features import plot_feature_maps, plot_filters


def model_of(kernel: np.ndarray) -> keras.Model:
    """One convolution with these weights (h, w, C, K), and a global pooling."""
    inputs = keras.Input((8, 8, kernel.shape[2]))
    conv = keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], padding="same", use_bias=False, name="stage1_conv")
    x = keras.layers.ReLU(name="stage1_act")(conv(inputs))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="pool")(x), name="small")
    conv.set_weights([kernel])
    return model


def random_kernel(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def pictures(figure):
    return [axis.images[0].get_array() for axis in figure.axes if axis.images]


def test_a_colour_kernel_is_drawn_about_gray_scaled_by_its_largest_weight():
    kernel = random_kernel(3, 3, 3, 5)
    drawn = pictures(plot_filters(model_of(kernel)))
    assert len(drawn) == 5
    for k, picture in enumerate(drawn):
        np.testing.assert_allclose(picture, 0.5 + 0.5 * kernel[..., k] / np.abs(kernel[..., k]).max(), rtol=1e-6)


def test_a_kernel_over_other_channels_is_drawn_by_their_mean():
    kernel = random_kernel(3, 3, 4, 2)
    picture = pictures(plot_filters(model_of(kernel)))[1]
    mean = kernel[..., 1].mean(-1)
    np.testing.assert_allclose(picture, 0.5 + 0.5 * mean / np.abs(mean).max(), rtol=1e-5)


def test_feature_maps_are_the_layers_own_the_largest_mean_first():
    model, image = model_of(random_kernel(3, 3, 3, 6)), np.random.default_rng(1).uniform(0, 255, (8, 8, 3))
    figure = plot_feature_maps(model, image, ["stage1_act"], channels=4)
    maps = keras.Model(model.input, model.get_layer("stage1_act").output)(image[None].astype("float32"))[0].numpy()
    strongest = np.argsort(-maps.mean((0, 1)))[:4]
    for channel, picture in zip(strongest, pictures(figure)[1:], strict=True):
        np.testing.assert_allclose(picture, maps[..., channel], rtol=1e-5)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == [str(channel) for channel in strongest]


def test_by_itself_a_row_is_the_last_map_of_each_stage():
    model = cr.build("resnet8", input_shape=(16, 16, 1), classes=2)
    figure = plot_feature_maps(model, np.zeros((16, 16, 1)), channels=2)
    names = [text.get_text().splitlines()[0] for axis in figure.axes for text in axis.texts]
    assert names == ["image", "stem act", "stage1 block1 out", "stage2 block1 out", "stage3 block1 out"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_pictures_are_written_by_suffix(suffix, tmp_path):
    model = model_of(random_kernel(3, 3, 1, 2))
    plot_filters(model, path=tmp_path / f"f{suffix}")
    plot_feature_maps(model, np.zeros((8, 8, 1)), channels=2, path=tmp_path / f"m{suffix}")
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert all(path.read_bytes().startswith(start) for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda m: plot_filters(m, "stage1_cnv"), "unknown layer 'stage1_cnv'.*did you mean stage1_conv"),
        (
            lambda m: plot_filters(m, "pool"),
            "pool is a GlobalAveragePooling2D, no convolution; take one as stage1_conv",
        ),
        (lambda m: plot_filters(m, path="f.bmp"), "suffix is '.bmp'"),
        (lambda m: plot_feature_maps(m, np.zeros((8, 9, 3))), r"takes an image \(8, 8, 3\); got \(8, 9, 3\)"),
        (lambda m: plot_feature_maps(m, np.zeros((8, 8, 3)), ["pool"]), r"pool gives \(None, 6\), no feature maps"),
    ],
)
def test_what_cannot_be_drawn_is_explained(draw, words):
    with pytest.raises(cr.CNNRecipesError, match=words):
        draw(model_of(random_kernel(3, 3, 3, 6)))


def test_a_model_without_a_convolution_has_no_filters():
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)], name="dense")
    with pytest.raises(cr.ModelError, match="dense has no convolution"):
        plot_filters(model)
