"""TIFF, JPEG 2000, PNM, AVIF and HEIC through Pillow, eagerly and in graphs; camera raw files are refused."""

from __future__ import annotations

import contextlib
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from encoding import encoded
from PIL import Image, ImageOps

from cnnrecipes.data.images.decode import HAS_AVIF, HAS_HEIC, choose_route, decode, decode_routed
from cnnrecipes.data.images.header import MAX_PIXELS, read_header
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.errors import DataError
from cnnrecipes.recipe.schema import Data

NOISE = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
PHOTO = Image.fromarray(NOISE).resize((34, 20), Image.Resampling.BICUBIC)
LOSSLESS = [("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("JPEG2000", {}), ("PPM", {})]
needs_avif = pytest.mark.skipif(not HAS_AVIF, reason="Pillow reads AVIF from 11.3 on")
needs_heic = pytest.mark.skipif(not HAS_HEIC, reason="pillow-heif is not installed")


def heic(image: Image.Image, **options) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    return encoded(image, "HEIF", quality=-1, chroma=444, matrix_coefficients=0, **options)


def in_graph(content: bytes, channels: int = 3) -> np.ndarray:
    function = tf.function(lambda content, route: decode_routed(content, route, channels))
    return function(tf.constant(content), tf.constant(choose_route(content))).numpy()


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_lossless_formats_are_exact_eagerly_and_in_graphs(kind, options):
    content = encoded(PHOTO, kind, **options)
    np.testing.assert_array_equal(decode(content, 3), PHOTO)
    np.testing.assert_array_equal(in_graph(content), PHOTO)


@needs_heic
def test_lossless_heic_is_exact_eagerly_and_in_graphs():
    content = heic(PHOTO)
    np.testing.assert_array_equal(decode(content, 3), PHOTO)
    np.testing.assert_array_equal(in_graph(content), PHOTO)


@needs_avif
def test_avif_matches_pillow_eagerly_and_in_graphs():
    content = encoded(PHOTO, "AVIF", quality=100, subsampling="4:4:4")
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode(content, 3), expected)
    np.testing.assert_array_equal(in_graph(content), expected)
    assert np.abs(expected.astype(int) - np.asarray(PHOTO)).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["TIFF", pytest.param("HEIF", marks=needs_heic), pytest.param("AVIF", marks=needs_avif)]
)
def test_exif_orientation_is_applied_once(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    png = Image.open(io.BytesIO(encoded(PHOTO, "PNG", exif=exif)))
    expected = np.asarray(ImageOps.exif_transpose(png)).astype(int)
    options = {"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {}
    content = heic(PHOTO, exif=exif.tobytes()) if kind == "HEIF" else encoded(PHOTO, kind, exif=exif, **options)
    found = decode(content, 3).numpy().astype(int)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (6 if kind == "AVIF" else 0)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK"])
def test_tiff_modes_are_bit_identical_to_pillow(mode):
    content = encoded(PHOTO.convert(mode), "TIFF")
    np.testing.assert_array_equal(decode(content, 3), Image.open(io.BytesIO(content)).convert("RGB"))


def test_sixteen_bit_tiff_and_png_keep_the_upper_eight_bits():
    deep = Image.fromarray(np.random.default_rng(0).integers(0, 2**16, (6, 8), dtype=np.uint16))
    expected = (np.asarray(deep) >> 8).astype(np.uint8)
    for kind in ("TIFF", "PNG"):
        np.testing.assert_array_equal(decode(encoded(deep, kind), 1)[..., 0], expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused(dtype):
    content = encoded(Image.fromarray(np.ones((6, 8), dtype)), "TIFF")
    with pytest.raises(tf.errors.InvalidArgumentError, match="32-bit pixels .*; convert"):
        decode(content, 1)


def test_first_page_of_a_tiff_is_decoded():
    content = encoded(PHOTO, "TIFF", save_all=True, append_images=[ImageOps.invert(PHOTO)])
    np.testing.assert_array_equal(decode(content, 3), PHOTO)


@pytest.mark.parametrize("tag", [(50706, 1, 4, 1), (254, 4, 1, 1), (262, 3, 1, 32803)], ids=["DNG", "preview", "CFA"])
def test_camera_raw_files_in_tiff_containers_are_refused(tag):
    content = b"II*\0" + struct.pack("<IHHHII", 8, 1, *tag[:2], *tag[2:]) + b"\0" * 40
    with pytest.raises(tf.errors.InvalidArgumentError, match="camera raw file"):
        decode(content, 3)


def test_oversized_tiff_is_refused():
    content = bytearray(encoded(PHOTO, "TIFF"))
    start = struct.unpack("<I", content[4:8])[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack("<H", content[start : start + 2])[0], 12):
        if struct.unpack("<H", content[entry : entry + 2])[0] in (256, 257):
            content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, 60_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"60000 x 60000 pixels, the limit is {MAX_PIXELS:,}"):
        decode(bytes(content), 3)


@pytest.mark.parametrize("kind", ["TIFF", "JPEG2000", "PPM", "AVIF", "HEIF"])
def test_damaged_file_decodes_or_raises_invalid_argument(kind):
    if (kind == "HEIF" and not HAS_HEIC) or (kind == "AVIF" and not HAS_AVIF):
        pytest.skip(f"{kind} is not read here")
    whole = heic(PHOTO) if kind == "HEIF" else encoded(PHOTO, kind)
    random = np.random.default_rng(0)
    for i in range(60):
        content = bytearray(whole[: random.integers(4, len(whole))] if i % 2 else whole)
        for place in random.integers(0, min(len(content), 200), 4):
            content[place] = random.integers(0, 256)
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            assert decode(bytes(content), 3).shape[2] == 3


def test_heic_without_pillow_heif_raises_with_install_command(monkeypatch):
    monkeypatch.setattr("cnnrecipes.data.images.decode.HAS_HEIC", False)
    content = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40
    assert read_header(content).kind == "heic"
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"pip install cnnrecipes\[heic\]"):
        decode(content, 3)


def test_folder_of_many_image_formats_is_read(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for i, ending in enumerate((".tif", ".TIFF", ".ppm", ".jp2", ".png")):
            kind = {".ppm": "PPM", ".jp2": "JPEG2000", ".png": "PNG"}.get(ending, "TIFF")
            (tmp_path / name / f"{i}{ending}").write_bytes(encoded(PHOTO, kind))
    source = open_source(tmp_path, Data(name="x", validation=0.0))
    assert len(source.split("train")) == 10
    assert not source.layout.left_out
    (tmp_path / "birds").mkdir()
    (tmp_path / "birds" / "1.cr2").write_bytes(b"")
    with pytest.raises(DataError, match="birds' has no usable images"):
        open_source(tmp_path, Data(name="x", validation=0.0))
