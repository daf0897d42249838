"""Image headers: format, size and EXIF orientation, and limits of the image size."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from encoding import encoded
from PIL import Image, ImageOps

from cnnrecipes.data.images.decode import choose_route, decode, decode_box, decode_routed, image_size
from cnnrecipes.data.images.header import MAX_PIXELS, read_header

NOISE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
PHOTO = Image.fromarray(NOISE).resize((35, 21), Image.Resampling.BICUBIC)


def oriented(kind: str, orientation: int, order: str = ">", **options) -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[0x0112] = orientation
    return encoded(PHOTO, kind, exif=exif, **options)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_header_has_format_and_size(kind):
    header = read_header(encoded(PHOTO, kind))
    assert header.kind == kind.lower()
    if kind != "WEBP":
        assert (header.width, header.height) == (35, 21)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(kind, orientation):
    content = oriented(kind, orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    np.testing.assert_array_equal(decode(content, 3), expected)
    route = choose_route(content)
    assert tuple(image_size(tf.constant(content), route)) == expected.shape[:2]
    part = decode_box(tf.constant(content), route, (3, 5, 11, 9), 3)
    np.testing.assert_array_equal(part, expected[3:14, 5:14])


def test_exif_of_either_byte_order_is_read():
    for order in "<>":
        assert read_header(oriented("JPEG", 6, order)).orientation == 6


@pytest.mark.parametrize(
    "content", [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08\0\xff", b"Exif\0\0XX" + b"\1" * 40]
)
def test_damaged_exif_is_ignored(content):
    plain = encoded(PHOTO, "JPEG")
    damaged = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + plain[2:]
    assert read_header(damaged).orientation == 1
    np.testing.assert_array_equal(decode(damaged, 3), decode(plain, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP"])
def test_oversized_images_are_refused_before_decoding(kind):
    content = bytearray(encoded(PHOTO, kind, **({"exif": Image.Exif().tobytes()} if kind == "WEBP" else {})))
    if kind == "JPEG":
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", 60_000, 50_000)
    elif kind == "PNG":
        content[16:24] = struct.pack(">II", 50_000, 60_000)
    elif kind == "BMP":
        content[18:26] = struct.pack("<ii", 50_000, 60_000)
    elif kind == "GIF":
        content[6:10] = struct.pack("<HH", 50_000, 60_000)
    else:
        content[24:30] = (49_999).to_bytes(3, "little") + (59_999).to_bytes(3, "little")
    if kind != "WEBP" or content[12:16] == b"VP8X":
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"50000 x 60000 pixels, the limit is {MAX_PIXELS:,}"):
            decode(bytes(content), 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b"<!DOCTYPE html><html>", "begins with b'<!DOCTYPE ht'"), (b"\x89PNG\r\n\x1a\n\0\0", "ends")],
)
def test_invalid_content_raises_with_a_reason(content, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        decode(content, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_damaged_file_decodes_or_raises_an_op_error(kind):
    """500 damaged files: no crash, no other class of error."""
    random = np.random.default_rng(1)
    whole = encoded(PHOTO, kind)
    for i in range(100):
        content = bytearray(whole[: random.integers(0, len(whole))] if i % 2 else whole)
        for _ in range(random.integers(0, 6)):
            if content:
                content[random.integers(0, min(len(content), 60 if i % 4 else len(content)))] = random.integers(0, 256)
        try:
            image = decode(bytes(content), 3)
        except tf.errors.OpError:
            continue
        assert image.shape[-1] == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_decoded_box_equals_the_crop_of_the_whole_image(flowers, hymenoptera, channels):
    """A decoder of boxes alone gets the first and last column wrong under chroma subsampling."""
    random = np.random.default_rng(0)
    for path in [*sorted(flowers.rglob("*.jpg"))[::40], *sorted(hymenoptera.rglob("*.jpg"))[::40]]:
        content = path.read_bytes()
        route = choose_route(content)
        whole = decode_routed(tf.constant(content), route, channels).numpy()
        assert tuple(image_size(tf.constant(content), route)) == whole.shape[:2]
        for _ in range(5):
            rows, columns = (int(random.integers(1, n + 1)) for n in whole.shape[:2])
            top = int(random.integers(0, whole.shape[0] - rows + 1))
            left = int(random.integers(0, whole.shape[1] - columns + 1))
            part = decode_box(tf.constant(content), route, (top, left, rows, columns), channels)
            np.testing.assert_array_equal(part, whole[top : top + rows, left : left + columns])
