"""Grad-CAM against hand-computed maps, in nested backbones, and the sanity check by randomized weights."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest

from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError, ModelError, UnknownNameError
from cnnrecipes.explain import GradCam, draw_heat, grad_cam, occlusion, randomization_check
from cnnrecipes.explain.image_geometry import in_images
from cnnrecipes.recipe.schema import Data
from cnnrecipes.runs.trained_model import Artifact

RANDOM = np.random.default_rng(0)


def bright_and_dark() -> keras.Model:
    """Two maps of a gray image, x and 255 - x, global average pooling, and known class weights."""
    images = keras.Input((6, 8, 1))
    maps = keras.layers.Conv2D(2, 1, name="conv")(images)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    model = keras.Model(images, keras.layers.Dense(3, name="logits")(pooled))
    model.get_layer("conv").set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 255.0])])
    model.get_layer("logits").set_weights([np.array([[2.0, 0.0, -1.0], [0.0, 1.0, -1.0]]), np.zeros(3)])
    return model


def pooled_model(side: int, classes: int) -> keras.Model:
    """One 1x1 convolution to one map, global average pooling and a linear layer, for square gray images."""
    layers = [keras.layers.Conv2D(1, 1), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input((side, side, 1)), *layers])


def convolutions() -> list[keras.layers.Layer]:
    return [
        keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="one"),
        keras.layers.MaxPooling2D(name="pool"),
        keras.layers.Conv2D(5, 3, padding="same", activation="relu", name="two"),
    ]


@pytest.fixture(scope="module")
def nested_and_flat():
    """The same layers, in a backbone that is called as a layer, and one after the other."""
    layers, head = convolutions(), [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    inner = keras.Sequential([keras.Input((16, 16, 3)), *layers], name="backbone")
    images, flat_images = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    x, y = inner(images), flat_images
    for layer in layers:
        y = layer(y)
    for layer in head:
        x, y = layer(x), layer(y)
    return keras.Model(images, x), keras.Model(flat_images, y)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return RANDOM.integers(0, 256, (5, 16, 16, 3), np.uint8)


def test_maps_are_those_computed_by_hand():
    image = RANDOM.integers(0, 256, (1, 6, 8, 1), np.uint8)
    x = image[0, ..., 0].astype(float)
    bright, dark = (grad_cam(bright_and_dark(), image, number)[0] for number in (0, 1))
    np.testing.assert_allclose(bright, x / x.max(), atol=1e-5)  # 2 x / 48, divided by its maximum
    np.testing.assert_allclose(dark, (255 - x) / (255 - x).max(), atol=1e-5)


def test_map_is_zero_if_nothing_speaks_for_the_class():
    image = RANDOM.integers(0, 256, (1, 6, 8, 1), np.uint8)
    assert (grad_cam(bright_and_dark(), image, 2) == 0).all()  # -x - (255 - x) is negative everywhere


def test_heat_is_on_a_planted_bright_patch():
    image = np.zeros((1, 6, 8, 1), np.uint8)
    image[0, 1:3, 4:7] = 200
    heat = grad_cam(bright_and_dark(), image, 0)[0]
    np.testing.assert_array_equal(heat > 0.5, image[0, ..., 0] > 0)


def test_predicted_class_is_the_default_and_each_image_has_its_own():
    images = np.stack([np.full((6, 8, 1), 250, np.uint8), np.full((6, 8, 1), 5, np.uint8)])
    images[:, 0, 0] = 100
    model = bright_and_dark()
    np.testing.assert_array_equal(grad_cam(model, images), grad_cam(model, images, [0, 1]))


def test_nested_backbone_gives_the_same_maps(nested_and_flat, photos):
    nested, flat = nested_and_flat
    assert GradCam(nested).layer == "backbone/two"
    found = grad_cam(nested, photos)
    assert found.shape == (5, 16, 16)
    assert found.max() == pytest.approx(1)
    np.testing.assert_allclose(found, grad_cam(flat, photos), atol=1e-5)


def test_layer_before_the_last_map_can_be_chosen(nested_and_flat, photos):
    nested, flat = nested_and_flat
    np.testing.assert_allclose(
        grad_cam(nested, photos, layer="backbone/one"), grad_cam(flat, photos, layer="one"), atol=1e-5
    )
    with pytest.raises(UnknownNameError, match="three"):
        grad_cam(flat, photos, layer="three")


def test_backbone_of_keras_applications_is_explained_nested():
    inner = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(64, 64, 3), alpha=0.35, pooling="avg"
    )
    images = keras.Input((64, 64, 3))
    model = keras.Model(images, keras.layers.Dense(2)(inner(keras.layers.Rescaling(1 / 127.5, -1)(images))))
    found = GradCam(model)
    assert found.layer.endswith("/out_relu")
    heat = found(RANDOM.integers(0, 256, (2, 64, 64, 3), np.uint8), 1)
    assert heat.shape == (2, 64, 64)
    assert np.isfinite(heat).all()


def test_low_rank_updates_are_part_of_the_map(photos):
    images = keras.Input((16, 16, 3))
    conv = keras.layers.Conv2D(4, 3, name="conv")
    model = keras.Model(images, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(conv(images))))
    before = grad_cam(model, photos, 0)
    conv.enable_lora(2)
    conv.lora_kernel_b.assign(np.ones(conv.lora_kernel_b.shape))
    assert not np.allclose(grad_cam(model, photos, 0), before)


def test_a_map_of_one_position_is_not_taken():
    images = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(2, 3, padding="same", name="spatial")(images)
    x = keras.layers.Conv2D(2, 4, name="single")(x)
    model = keras.Model(images, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    assert GradCam(model).layer == "spatial"


def test_more_than_one_batch_gives_the_same_maps(nested_and_flat, photos, monkeypatch):
    _, flat = nested_and_flat
    whole = grad_cam(flat, photos)
    monkeypatch.setattr(sys.modules["cnnrecipes.explain.grad_cam"], "BATCH", 2)
    np.testing.assert_allclose(grad_cam(flat, photos), whole, atol=1e-5)


def test_bad_input_is_named(nested_and_flat, photos):
    _, flat = nested_and_flat
    without = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ModelError, match="no convolutional map"):
        grad_cam(without, np.zeros((1, 4, 4, 1), np.uint8))
    with pytest.raises(DataError, match="16x16"):
        grad_cam(flat, np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="class 7"):
        grad_cam(flat, photos, 7)
    with pytest.raises(DataError, match="2 classes for 5 images"):
        grad_cam(flat, photos, [0, 1])
    with pytest.raises(DataError, match="2 sizes"):
        grad_cam(flat, [photos[0], photos[1, :8]])
    with pytest.raises(DataError, match="does not exist"):
        grad_cam(flat, "nowhere.png")
    with pytest.raises(ModelError, match="got str"):
        grad_cam("resnet8", photos)


def test_of_a_run_takes_class_names(digits_run):
    images = open_source(None, digits_run.recipe.data).split("validation").images.array[:3]
    np.testing.assert_array_equal(
        grad_cam(digits_run, images, digits_run.class_names[3]), grad_cam(digits_run.artifact, images, 3)
    )
    with pytest.raises(UnknownNameError, match="class 'eleven'"):
        grad_cam(digits_run, images, "eleven")


@pytest.mark.parametrize("how", ["crop", "pad"])
def test_maps_of_resized_images_are_in_their_place(how):
    spec = Data(name="-", image_size=8, resize=how)
    model = pooled_model(8, 2)
    model.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1), np.array([[0.0, 1.0]]), np.zeros(2)])
    recipe = type("Recipe", (), {"data": spec})()
    image = np.zeros((1, 16, 32, 1), np.uint8)
    image[0, 6:10, 14:18] = 255
    heat = grad_cam(Artifact(model, recipe, ("a", "b")), image, 1)[0]
    assert heat.shape == (16, 32)
    top, left = np.unravel_index(heat.argmax(), heat.shape)
    assert 5 <= top <= 10
    assert 12 <= left <= 19
    if how == "crop":
        assert (heat[:, :7] == 0).all()


def test_map_of_an_image_with_a_larger_short_side_is_inside():
    spec = Data(name="-", image_size=8, short_side=16)
    heat = in_images(np.ones((1, 8, 8), np.float32), (32, 32), spec)[0]
    assert heat[16, 16] == 1
    assert heat[2, 2] == 0


def test_occlusion_finds_the_planted_patch():
    region = np.zeros((12, 12), np.float32)
    region[4:8, 6:10] = 1
    model = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.set_weights([np.stack([-region.ravel(), region.ravel()], 1) / 2000, np.zeros(2)])
    image = RANDOM.integers(0, 60, (1, 12, 12, 1), np.uint8)
    image[0, 4:8, 6:10] = 250
    falls = occlusion(model, image, 1, patch=3, stride=1)[0]
    assert falls.shape == (12, 12)
    assert falls[5:7, 7:9].min() > 5 * falls[:3].max()
    np.testing.assert_allclose(falls[:2], 0, atol=1e-5)
    with pytest.raises(DataError, match="patch of 20"):
        occlusion(model, image, patch=20)


def test_occlusion_of_a_run_has_the_size_of_the_images(digits_run):
    images = open_source(None, digits_run.recipe.data).split("validation").images.array[:2]
    falls = occlusion(digits_run, images)
    assert falls.shape == images.shape[:3]
    assert falls.max() > 0


def test_randomized_weights_change_the_map(digits_run):
    """Adebayo et al. 2018: the map depends on what was learned; and the weights are restored."""
    images = open_source(None, digits_run.recipe.data).split("validation").images.array[:16]
    before = digits_run.model.get_weights()
    logits = digits_run.artifact.logits(images)
    found = randomization_check(digits_run, images)
    assert found.shape == (16,)
    assert found.mean() < 0.6
    assert (found < 0.999).all()
    for one, other in zip(before, digits_run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(digits_run.artifact.logits(images), logits)


def test_a_map_that_ignores_the_kernels_is_found_out():
    """With one channel a shuffled 1x1 kernel is the same kernel: the correlation is 1."""
    model = pooled_model(6, 1)
    model.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    image = RANDOM.integers(0, 256, (1, 6, 6, 1), np.uint8)
    assert randomization_check(model, image, 0) == pytest.approx([1.0])


def test_overlay_is_an_image_of_the_same_size():
    image = RANDOM.integers(0, 256, (6, 8, 1), np.uint8)
    heat = np.zeros((6, 8), np.float32)
    heat[2, 3] = 0.5
    drawn = draw_heat(image, heat)
    assert drawn.shape == (6, 8, 3)
    assert drawn.dtype == np.uint8
    assert drawn[2, 3].astype(int).sum() > drawn[0, 0].astype(int).sum() - image[0, 0]
    with pytest.raises(DataError, match="size"):
        draw_heat(image, heat.T)
