"""From encoded bytes to uint8 images of one size; training, validation and prediction all read through here."""

from __future__ import annotations

import importlib.util
import io
import re
import warnings
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, features

from cnnrecipes.data.images.header import MAX_PIXELS, kind_of, read_header

Size = tuple[int, int]  # height, width

# What is read; AVIF with Pillow from 11.3 on, HEIC with pillow-heif (`pip install cnnrecipes[heic]`).
HEIC = (".heic", ".heif", ".hif")
HAS_AVIF = "avif" in features.modules and features.check("avif")
HAS_HEIC = importlib.util.find_spec("pillow_heif") is not None
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm"),
    *((".avif",) if HAS_AVIF else ()),
    *(HEIC if HAS_HEIC else ()),
)
# Images, by their names, that are not read: they are counted and named, never passed over in silence.
OTHER_EXTENSIONS = tuple(
    extension
    for extension in (
        *(*HEIC, ".avif", ".jxl", ".jxr", ".tga", ".ico", ".svg", ".psd", ".xcf", ".exr", ".hdr", ".dcm", ".dicom"),
        *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef"),
        *(".srw", ".raw", ".3fr", ".fff", ".iiq", ".mrw", ".erf", ".kdc", ".dcr", ".x3f", ".rwl"),
    )
    if extension not in EXTENSIONS
)

# What Pillow and its decoders raise for damaged files; DecompressionBombError where a frame of a GIF claims far more
# than the file does, the others from AVIF, HEIC and TIFF.
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

# A kind's decoders in Pillow; MPO is a JPEG with more images behind the first.
_FORMATS = {
    **{kind: [kind.upper()] for kind in ("png", "gif", "bmp", "webp", "tiff", "jpeg2000", "avif")},
    "jpeg": ["JPEG", "MPO"],
    "pnm": ["PPM"],
    "heic": ["HEIF"],
    "unknown": [],
}
# How to decode: 1 to 8 by TensorFlow, then turned by this EXIF orientation; BY_PILLOW altogether by Pillow.
BY_PILLOW = 0
# What a decoder of a part of a JPEG gets wrong at the edges, in columns: colour is stored for two of them together.
_MARGIN = 2


def decode(content: bytes, channels: int) -> tf.Tensor:
    """The bytes of an image file to (H, W, channels) uint8; 1 channel is gray, 3 are RGB.

    JPEG, PNG, GIF, BMP, WebP, TIFF, JPEG 2000, PNM, AVIF and HEIC; of several frames or pages the first. Turned as
    EXIF says. Transparency is dropped, CMYK converted as Pillow does, 16 bits become the upper 8. JPEG goes through
    the exact DCT, so that the values are libjpeg's and Pillow's to the last bit.

    Raises:
        tf.errors.InvalidArgumentError: not an image, a truncated one, or one that claims more than MAX_PIXELS pixels.
    """
    try:
        route = choose_route(content)
        if route == BY_PILLOW:
            return tf.constant(_pillow(content, channels))
    except _OF_PILLOW as error:
        raise tf.errors.InvalidArgumentError(None, None, str(error)) from None
    # As `decode_routed`, chosen in Python: of a small image tf.case takes most of the time.
    encoded = tf.constant(content)
    image = _jpeg(encoded, channels) if kind_of(content[:64]) == "jpeg" else _decode_other(encoded, channels)
    return image if route == 1 else _turn(image, tf.constant(route))


def choose_route(content: bytes) -> int:
    """How to decode a file, from its header. Raises ValueError where it is no image, or a too large one."""
    header = read_header(content)
    return BY_PILLOW if header.by_pillow else header.orientation


def decode_routed(encoded: tf.Tensor, route: tf.Tensor, channels: int) -> tf.Tensor:
    """`decode` inside a graph, with the route that `choose_route` gave for these bytes."""
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
    """A part of a decoded image; of an upright JPEG, no more than that is decoded. The same values either way.

    Args:
        box: top, left, rows, columns; int32 scalars, inside the image as it is seen, turned.
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
    """Height and width (2,) int32 of the image as it is seen, turned; from the header where the file is a JPEG."""

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
        # Outside a graph numpy_function would hand the bytes over without their last zeros, and WebP ends in those.
        return tf.constant(_pillow(encoded.numpy(), channels))
    return tf.numpy_function(lambda content: _pillow(content, channels), [encoded], tf.uint8, stateful=False)


def _pillow(content: bytes, channels: int) -> np.ndarray:
    kind = kind_of(content[:64])
    if kind == "heic":
        _register_heic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the limit here
        warnings.simplefilter("ignore", UserWarning)  # of Pillow, about odd tags in TIFF
        # Only the decoder of this kind: Pillow has others that run programs.
        with Image.open(io.BytesIO(content), formats=_FORMATS[kind]) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ValueError(f"it claims {opened.width} x {opened.height} pixels, the limit is {MAX_PIXELS:,}")
            image = _eight_bits(ImageOps.exif_transpose(opened)).convert("L" if channels == 1 else "RGB")
    return np.asarray(image).reshape(image.height, image.width, channels)


def _eight_bits(image: Image.Image) -> Image.Image:
    """The upper 8 of 16 bits, as of PNG. Raises ValueError where the range of the pixels is not known."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of mode {image.mode!r}, 32 bits wide; convert it to 8 or 16 bits")
    return image


def _register_heic() -> None:
    """Let Pillow read HEIC. Raises ValueError where pillow-heif is not installed."""
    if not HAS_HEIC:
        raise ValueError("HEIC is read with pillow-heif; `pip install cnnrecipes[heic]`, or convert it to JPEG")
    import pillow_heif

    if "HEIF" not in Image.OPEN:
        pillow_heif.register_heif_opener()


def _turn(image, orientation):
    """Upright, by EXIF's orientation: 5 to 8 lie on their side."""

    def turned():
        lies = tf.cond(orientation > 4, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
        lies = tf.cond(mirrored, lambda: tf.reverse(lies, [1]), lambda: lies)
        upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
        return tf.cond(upside_down, lambda: tf.reverse(lies, [0]), lambda: lies)

    return tf.cond(orientation > 1, turned, lambda: image)


def resize(images: tf.Tensor, size: Size | int, how: str, short_side: int | None = None) -> tf.Tensor:
    """Resize to (height, width) without changing proportions, antialiased, rounded to uint8; exact where it fits.

    Args:
        images: (H, W, C) or (N, H, W, C), uint8.
        size: height and width; an int: of a square.
        how: "crop": the image is scaled to cover the size, the middle is kept; "pad": it is scaled to fit into it,
            black borders fill the rest.
        short_side: of "crop": the short side of what is covered before the crop, at least that of `size`; None: that.

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
    """Height and width (2,) int32 after resizing the short side to this length."""
    return covering_shape(shape, (1, 1), short_side)


def covering_shape(shape: tf.Tensor, size: Size, short_side=None) -> tf.Tensor:
    """Height and width (2,) int32 of an image of `shape` scaled until it just covers `size`.

    short_side: scale `size` first until its short side has this length; a number or an int32 scalar.
    """
    return _scaled(shape, _enlarged(size, short_side), tf.argmin)


def _enlarged(size: Size, short_side) -> tf.Tensor:
    """(2,) float64: a size scaled until its short side has a length."""
    if short_side is None:
        return tf.constant(size, tf.float64)
    return tf.constant(size, tf.float64) * tf.cast(short_side, tf.float64) / min(size)


def _scaled(shape: tf.Tensor, target: tf.Tensor, which: Callable) -> tf.Tensor:
    """A shape scaled until one of its sides is the target's: tf.argmin: so that it covers it; argmax: fits into it."""
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
    """What is wrong with a file, in a line, without TensorFlow's names of graph nodes."""
    text = getattr(error, "message", None) or str(error)
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", text.partition("\n")[0])


def to_uint8(images: tf.Tensor) -> tf.Tensor:
    """Rounded, and cut off at 0 and 255."""
    return tf.saturate_cast(tf.round(images), tf.uint8)
