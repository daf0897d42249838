"""Decoding and resizing of image files, compared with Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from encoding import encoded
from PIL import Image

from cnnrecipes.data.images.decode import decode, resize

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)


def test_jpeg_decoding_is_bit_identical_to_pillow(flowers, hymenoptera):
    for path in [*sorted(flowers.rglob("*.jpg"))[:40], *sorted(hymenoptera.rglob("*.jpg"))[:10]]:
        expected = Image.open(path)
        if expected.mode == "RGB":
            np.testing.assert_array_equal(decode(path.read_bytes(), 3), np.asarray(expected))


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_formats_are_decoded_exactly(kind):
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(PIXELS), kind), 3), PIXELS)


def test_grayscale_and_rgba_become_rgb():
    gray, alpha = PIXELS[..., 0], np.dstack([PIXELS, PIXELS[..., :1]])
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(gray), "PNG"), 3), np.dstack([gray] * 3))
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(alpha), "PNG"), 3), PIXELS)


def test_first_frame_of_an_animation_is_decoded():
    frames = [Image.fromarray(np.full((5, 6), level, np.uint8)) for level in (40, 200)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(file.getvalue(), 3), np.full((5, 6, 3), 40))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG"])
def test_grayscale_decoding_matches_pillow(kind):
    gray = np.asarray(decode(encoded(Image.fromarray(PIXELS), kind), 1))
    opened = Image.open(io.BytesIO(encoded(Image.fromarray(PIXELS), kind)))
    opened.draft("L", None)  # the stored luma of JPEG
    luma = np.asarray(opened.convert("L"), int)
    assert gray.shape == (9, 14, 1)
    assert np.abs(gray[..., 0] - luma).max() <= 2


@pytest.mark.parametrize(
    "content", [b"", b"<html>", encoded(Image.fromarray(PIXELS), "PNG")[:60], b"\xff\xd8\xff\xe0x"]
)
def test_invalid_content_raises(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(content, 3)


@pytest.mark.parametrize("how", ["crop", "pad"])
def test_resize_leaves_images_of_the_target_size_unchanged(how):
    image = PIXELS[:, :9]
    np.testing.assert_array_equal(resize(tf.constant(image), 9, how), image)


@pytest.mark.parametrize("shape", [(40, 20), (20, 40), (21, 33)])
@pytest.mark.parametrize("how", ["crop", "pad"])
def test_resize_keeps_the_aspect_ratio(shape, how):
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    ramp = np.stack([rows * 6, columns * 6, np.full(shape, 255.0)], -1).astype(np.uint8)
    result = resize(tf.constant(ramp), 10, how).numpy().astype(float)
    assert result.shape == (10, 10, 3)
    inside = result[..., 2] > 250
    assert inside.all() or how == "pad"
    down, right = np.diff(result[..., 0], axis=0), np.diff(result[..., 1])
    steps = [down[inside[1:] & inside[:-1]], right[inside[:, 1:] & inside[:, :-1]]]
    scale = (min if how == "crop" else max)(shape) / 10
    assert [np.median(step) for step in steps] == pytest.approx([6 * scale] * 2, abs=1.01)


def test_padding_is_black_and_centered():
    result = resize(tf.constant(np.full((10, 20, 3), 200, np.uint8)), 20, "pad").numpy()
    np.testing.assert_array_equal(result[5:15], 200)
    assert result[:5].max() == result[15:].max() == 0


@pytest.mark.parametrize("how", ["crop", "pad"])
def test_batch_is_resized_like_single_images(how):
    batch = np.random.default_rng(0).integers(0, 256, (3, 13, 17, 3), dtype=np.uint8)
    whole = resize(tf.constant(batch), 8, how)
    for image, resized in zip(batch, whole, strict=True):
        np.testing.assert_array_equal(resize(tf.constant(image), 8, how), resized)
