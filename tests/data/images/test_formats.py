"""Decoding of image files of every mode that Pillow writes, and resizing of extreme shapes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from encoding import encoded
from PIL import Image

from cnnrecipes.data import batching
from cnnrecipes.data.channel_statistics import split_statistics
from cnnrecipes.data.images.decode import decode, resize
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

NOISE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
PHOTO = Image.fromarray(NOISE).resize((30, 20), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *[("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")],
        *[("JPEG", mode) for mode in ("RGB", "L", "CMYK")],
        *[("BMP", mode) for mode in ("RGB", "RGBA", "L", "P")],
        *[("GIF", mode) for mode in ("RGB", "L", "P")],
        *[("WEBP", mode) for mode in ("RGB", "RGBA", "L")],
    ],
)
def test_rgb_decoding_is_bit_identical_to_pillow(kind, mode):
    file = encoded(PHOTO.convert(mode), kind)
    np.testing.assert_array_equal(decode(file, 3), Image.open(io.BytesIO(file)).convert("RGB"))


@pytest.mark.parametrize("options", [{"quality": 30}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}])
def test_jpeg_options_are_decoded_like_pillow(options):
    file = encoded(PHOTO, "JPEG", **options)
    np.testing.assert_array_equal(decode(file, 3), Image.open(io.BytesIO(file)))
    gray = Image.open(io.BytesIO(file))
    gray.draft("L", gray.size)  # the luma that the file stores
    np.testing.assert_array_equal(decode(file, 1)[..., 0], gray)


def test_sixteen_bit_png_is_scaled_to_eight_bits():
    levels = np.asarray(PHOTO)[..., 0]
    deep = Image.fromarray(levels.astype(np.uint16) * 257)
    np.testing.assert_array_equal(decode(encoded(deep, "PNG"), 1)[..., 0], levels)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_photo_raises(flowers, share):
    for path in sorted(flowers.rglob("*.jpg"))[::150]:
        content = path.read_bytes()
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(content[: int(len(content) * share)], 3)


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (33, 91)])
@pytest.mark.parametrize("how", ["crop", "pad"])
def test_resize_is_centered(shape, how):
    """Rotating the image by 180 degrees rotates the result."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    size = min(shape) if how == "crop" else max(shape)
    there, back = (resize(tf.constant(i), size, how).numpy() for i in (image, image[::-1, ::-1]))
    np.testing.assert_array_equal(there, back[::-1, ::-1])
    small, large = (there, image) if how == "crop" else (image, there)
    top, left = ((a - b) // 2 for a, b in zip(large.shape[:2], small.shape[:2], strict=True))
    np.testing.assert_array_equal(large[top : top + small.shape[0], left : left + small.shape[1]], small)


@pytest.mark.parametrize("how", ["crop", "pad"])
def test_resize_keeps_circles_round(how):
    rows, columns = np.mgrid[:120, :180]
    disc = (((rows - 59.5) ** 2 + (columns - 89.5) ** 2 < 40**2) * 255).astype(np.uint8)[..., None]
    found = resize(tf.constant(disc), 48, how).numpy()[..., 0] > 127
    height, width = (found.any(axis=axis).sum() for axis in (1, 0))
    assert height == width == pytest.approx(80 * 48 / (120 if how == "crop" else 180), abs=1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 900), (900, 3)])
@pytest.mark.parametrize("how", ["crop", "pad"])
def test_extreme_aspect_ratios_are_resized(shape, how):
    found = resize(tf.fill((*shape, 3), tf.constant(90, tf.uint8)), 10, how)
    assert found.shape == (10, 10, 3)
    assert found.numpy().max() == 90


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"\xff\xd8\xff\xe0nothing"])
def test_invalid_image_file_is_named(tmp_path, content):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PHOTO.save(tmp_path / name)
    (tmp_path / "b" / "page.jpg").write_bytes(content)
    spec = Data(name="x", image_size=8, validation=0.0)
    with pytest.raises(DataError, match=r"b/page\.jpg.*train") as caught:
        split_statistics(open_source(tmp_path, spec).split("train"), spec)
    assert "__wrapped__" not in str(caught.value)


@pytest.mark.parametrize("how", ["crop", "pad"])
def test_batches_are_resized_like_single_images(how, flowers):
    spec = Data(name="x", image_size=24, resize=how, validation=0.0)
    split = open_source(flowers, spec).split("train")
    first, _, _ = next(batching.arrays(split, spec, 5))
    for i, image in enumerate(first):
        np.testing.assert_array_equal(image, resize(decode(split.read(i)[0], 3), 24, how))
