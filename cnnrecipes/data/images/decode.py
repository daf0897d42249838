"""Image decoding and resizing to uint8, shared by training, validation and prediction."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, features

from cnnrecipes._support.warning_filter_per_thread import ignored_in_this_thread
from cnnrecipes.data.images.header import MAX_PIXELS, kind_of, read_header

Size = tuple[int, int]  # height, width

# Supported file extensions; AVIF with Pillow from 11.3 on, HEIC with pillow-heif (`pip install cnnrecipes[heic]`).
HEIC = (".heic", ".heif", ".hif")
HAS_AVIF = "avif" in features.modules and features.check("avif")
HAS_HEIC = importlib.util.find_spec("pillow_heif") is not None
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm"),
    *((".avif",) if HAS_AVIF else ()),
    *(HEIC if HAS_HEIC else ()),
)
# Extensions of images that are not supported: such files are counted and reported, never skipped silently.
OTHER_EXTENSIONS = tuple(
    extension
    for extension in (
        *(*HEIC, ".avif", ".jxl", ".jxr", ".tga", ".ico", ".svg", ".psd", ".xcf", ".exr", ".hdr", ".dcm", ".dicom"),
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef"),
        *(".srw", ".raw", ".3fr", ".fff", ".iiq", ".mrw", ".erf", ".kdc", ".dcr", ".x3f", ".rwl"),
    )
    if extension not in EXTENSIONS
)

# Exceptions of Pillow and its decoders for damaged files: DecompressionBombError if a GIF frame claims to be far larger
# than the file's header, the others from AVIF, HEIC and TIFF.
_OF_PILLOW = (
    ValueError,
    OSError,
    SyntaxError,
    Image.DecompressionBombError,
    RuntimeError,
    EOFError,
    TypeError,
    KeyError,
)

# Pillow decoders by kind; MPO is a JPEG followed by further images.
_FORMATS = {
    **{kind: [kind.upper()] for kind in ("png", "gif", "bmp", "webp", "tiff", "jpeg2000", "avif")},
    "jpeg": ["JPEG", "MPO"],
    "pnm": ["PPM"],
    "heic": ["HEIF"],
    "unknown": [],
}
# Decoding route: 1 to 8: TensorFlow, then rotation by this EXIF orientation; BY_PILLOW: Pillow only.
BY_PILLOW = 0
# Columns that decode_and_crop_jpeg gets wrong at the edges of a crop: two columns share one chroma value.
_MARGIN = 2


def decode(content: bytes, channels: int) -> tf.Tensor:
    """Decode the bytes of an image file to uint8 (H, W, channels), 0..255.

    Formats: JPEG, PNG, GIF, BMP, WebP, TIFF, JPEG 2000, PNM, AVIF and HEIC; the first frame or page of several. EXIF
    orientation is applied, alpha is dropped, CMYK is converted as by Pillow, and 16 bits are reduced to the upper 8.
    JPEG uses the exact integer DCT: the values are bit-identical to libjpeg and Pillow.

    Args:
        content: the encoded file.
        channels: 1 (gray) or 3 (RGB).

    Raises:
        tf.errors.InvalidArgumentError: not an image, truncated, or a header with more than MAX_PIXELS pixels.
    """
    try:
        route = choose_route(content)
        if route == BY_PILLOW:
            return tf.constant(_pillow(content, channels))
    except _OF_PILLOW as error:
        raise tf.errors.InvalidArgumentError(None, None, str(error)) from None
    # As `decode_routed`, with the route chosen in Python: for a small image tf.case takes most of the time.
    encoded = tf.constant(content)
    image = _jpeg(encoded, channels) if kind_of(content[:64]) == "jpeg" else _decode_other(encoded, channels)
    return image if route == 1 else _turn(image, tf.constant(route))


def choose_route(content: bytes) -> int:
    """Return how to decode a file, from its header: BY_PILLOW, or for TensorFlow the EXIF orientation, 1 to 8.

    Raises ValueError if the file is not a supported image, or has more than MAX_PIXELS pixels.
    """
    header = read_header(content)
    return BY_PILLOW if header.by_pillow else header.orientation


def decode_routed(encoded: tf.Tensor, route: tf.Tensor, channels: int) -> tf.Tensor:
    """Decode an image inside a graph, as `decode` does; `route` is the result of `choose_route` for its bytes."""
    route = tf.convert_to_tensor(route)
    image = tf.case(
        [
            (route == BY_PILLOW, lambda: _by_pillow(encoded, channels)),
            (tf.io.is_jpeg(encoded), lambda: _turn(_jpeg(encoded, channels), route)),
        ],
        default=lambda: _turn(_decode_other(encoded, channels), route),
    )
    return tf.ensure_shape(image, (None, None, channels))


def decode_box(encoded: tf.Tensor, route: tf.Tensor, box: tuple, channels: int) -> tf.Tensor:
    """Decode a box of an image; of an upright JPEG only the box. Bit-identical to cropping the decoded image.

    Args:
        encoded, route: the file's bytes, and the result of `choose_route`.
        box: top, left, rows, columns; int32 scalars, inside the image after EXIF rotation.
        channels: 1 or 3.

    Returns:
        (rows, columns, channels), uint8.
    """
    top, left, rows, columns = box
    upright = (tf.convert_to_tensor(route) == 1) & tf.io.is_jpeg(encoded)

    def part():
        width = tf.io.extract_jpeg_shape(encoded)[1]
        start, stop = tf.maximum(left - _MARGIN, 0), tf.minimum(left + columns + _MARGIN, width)
        window = tf.stack([top, start, rows, stop - start])
        image = tf.io.decode_and_crop_jpeg(encoded, window, channels=channels, dct_method="INTEGER_ACCURATE")
        return image[:, left - start : left - start + columns]

    def whole():
        return decode_routed(encoded, route, channels)[top : top + rows, left : left + columns]

    return tf.ensure_shape(tf.cond(upright, part, whole), (None, None, channels))


def image_size(encoded: tf.Tensor, route: tf.Tensor) -> tf.Tensor:
    """Return height and width (2,) int32 of an image after EXIF rotation, of a JPEG without decoding."""

    def other():
        return tf.shape(decode_routed(encoded, route, 3))[:2]

    def jpeg():
        size = tf.io.extract_jpeg_shape(encoded)[:2]
        return tf.where(route > 4, tf.reverse(size, [0]), size)

    return tf.cond((tf.convert_to_tensor(route) != BY_PILLOW) & tf.io.is_jpeg(encoded), jpeg, other)


def _jpeg(encoded, channels):
    return tf.io.decode_jpeg(encoded, channels=channels, dct_method="INTEGER_ACCURATE")


def _decode_other(encoded, channels):
    rgb = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    return rgb if channels == 3 else tf.image.rgb_to_grayscale(rgb)


def _by_pillow(encoded, channels):
    if tf.executing_eagerly():
        # Outside a graph numpy_function strips trailing zero bytes, which a WebP file may have.
        return tf.constant(_pillow(encoded.numpy(), channels))
    return tf.numpy_function(lambda content: _pillow(content, channels), [encoded], tf.uint8, stateful=False)


def _pillow(content: bytes, channels: int) -> np.ndarray:
    kind = kind_of(content[:64])
    if kind == "heic":
        _register_heic()
    # Only the decoder of this kind: other Pillow decoders start external programs. Pillow warns of many pixels, where
    # MAX_PIXELS is the limit, and of invalid TIFF tags.
    with ignored_in_this_thread(), Image.open(io.BytesIO(content), formats=_FORMATS[kind]) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f"the header claims {opened.width} x {opened.height} pixels, the limit is {MAX_PIXELS:,}")
        image = _eight_bits(ImageOps.exif_transpose(opened)).convert("L" if channels == 1 else "RGB")
    return np.asarray(image).reshape(image.height, image.width, channels)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Reduce 16-bit pixels to the upper 8 bits, as for PNG. Raises ValueError for 32-bit pixels of unknown range."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"the image has 32-bit pixels (mode {image.mode!r}); convert it to 8 or 16 bits")
    return image


def _register_heic() -> None:
    """Register the HEIC decoder with Pillow. Raises ValueError if pillow-heif is not installed."""
    if not HAS_HEIC:
        raise ValueError("HEIC needs pillow-heif; run `pip install cnnrecipes[heic]`, or convert the image to JPEG")
    import pillow_heif

    if "HEIF" not in Image.OPEN:
        pillow_heif.register_heif_opener()


def _turn(image, orientation):
    """Apply the EXIF orientation; 5 to 8 swap height and width."""

    def turned():
        lies = tf.cond(orientation > 4, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
        lies = tf.cond(mirrored, lambda: tf.reverse(lies, [1]), lambda: lies)
        upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
        return tf.cond(upside_down, lambda: tf.reverse(lies, [0]), lambda: lies)

    return tf.cond(orientation > 1, turned, lambda: image)


def resize(images: tf.Tensor, size: Size | int, how: str, short_side: int | None = None) -> tf.Tensor:
    """Resize images to (height, width), with the aspect ratio preserved and antialiasing; no change at equal size.

    Args:
        images: (H, W, C) or (N, H, W, C), uint8.
        size: height and width; an int for a square.
        how: "crop": scale the image to cover `size`, then crop the center; "pad": scale it to fit into `size`, then pad
            with black.
        short_side: for "crop": the short side after scaling, at least that of `size`; None: that of `size`.

    Returns:
        (height, width, C) or (N, height, width, C), uint8.
    """
    size = (size, size) if isinstance(size, int) else size
    shape = tf.shape(images)[-3:-1]
    done = tf.reduce_all(shape == size) & (short_side in (None, min(size)))
    scale = (lambda: _crop(images, shape, size, short_side)) if how == "crop" else (lambda: _pad(images, shape, size))
    resized = tf.cond(done, lambda: images, lambda: to_uint8(scale()))
    return tf.ensure_shape(resized, (*images.shape[:-3], *size, images.shape[-1]))


def scaled_shape(shape: tf.Tensor, short_side) -> tf.Tensor:
    """Return height and width (2,) int32 after resizing the short side to `short_side` pixels."""
    return covering_shape(shape, (1, 1), short_side)


def covering_shape(shape: tf.Tensor, size: Size, short_side=None) -> tf.Tensor:
    """Return height and width (2,) int32 of an image of `shape`, scaled to cover `size`.

    Args:
        shape: (2,) int32, height and width.
        size: height and width to cover.
        short_side: if given, `size` is first scaled to this short side; a number or an int32 scalar.
    """
    return _scaled(shape, _enlarged(size, short_side), tf.argmin)


def _enlarged(size: Size, short_side) -> tf.Tensor:
    """Return `size` scaled to a short side of `short_side`, (2,) float64; unscaled for None."""
    if short_side is None:
        return tf.constant(size, tf.float64)
    return tf.constant(size, tf.float64) * tf.cast(short_side, tf.float64) / min(size)


def _scaled(shape: tf.Tensor, target: tf.Tensor, which: Callable) -> tf.Tensor:
    """Return a shape scaled to cover `target` (`which` is tf.argmin) or to fit into `target` (tf.argmax)."""
    shape = tf.cast(shape, tf.float64)
    side = which(shape / target)
    return tf.cast(tf.round(shape * target[side] / shape[side]), tf.int32)


def _crop(images, shape, size, short_side):
    scaled = covering_shape(shape, size, short_side)
    images = tf.image.resize(images, scaled, antialias=True)
    top, left = tf.unstack((scaled - size) // 2)
    return images[..., top : top + size[0], left : left + size[1], :]


def _pad(images, shape, size):
    scaled = tf.maximum(_scaled(shape, tf.constant(size, tf.float64), tf.argmax), 1)
    images = tf.image.resize(images, scaled, antialias=True)
    top, left = tf.unstack((size - scaled) // 2)
    return tf.image.pad_to_bounding_box(images, top, left, *size)


def reason(error: Exception) -> str:
    """Return the first line of a decoding error, without TensorFlow's graph node names."""
    text = getattr(error, "message", None) or str(error)
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", text.partition("\n")[0])


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Round the values of float images and clip them to 0..255, uint8."""
    return tf.saturate_cast(tf.round(images), tf.uint8)
