"""Image headers: format, size, color mode and EXIF orientation, without decoding.

Every training image is parsed here, so only the necessary fields are read: Pillow's `Image.open` takes ten times
as long.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

# Photos have up to about 100 megapixels; a few kilobytes can claim ten thousand and exhaust memory when decoded.
MAX_PIXELS = 100_000_000

_ORIENTATION_TAG = 0x0112
_PNG_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}


Kind = Literal["jpeg", "png", "gif", "bmp", "webp", "tiff", "jpeg2000", "pnm", "avif", "heic", "unknown"]

# File signatures; AVIF and HEIC share a container format and are told apart by brand names.
_SIGNATURES: dict[Kind, tuple[bytes, ...]] = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "gif": (b"GIF87a", b"GIF89a"),
    "bmp": (b"BM",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "jpeg2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


@dataclass(frozen=True)
class Header:
    """Metadata from an image header; width and height as stored, before EXIF rotation."""

    kind: Kind
    width: int = 0
    height: int = 0
    orientation: int = 1  # EXIF's 1 to 8
    mode: str = ""  # Pillow mode of the stored pixels: "RGB", "L", "CMYK", "RGBA", "P", "I;16"; "" if unknown

    @property
    def by_pillow(self) -> bool:
        """True if TensorFlow cannot decode the image correctly: CMYK, BMP (palettes), GIF (transparency), WebP, ..."""
        return self.kind not in ("jpeg", "png") or self.mode == "CMYK"


def read_header(content: bytes) -> Header:
    """Parse the header of an encoded image; unknown fields keep their defaults.

    Raises:
        ValueError: empty, not a supported image format, a camera raw file, or more than MAX_PIXELS pixels.
    """
    header = _parse(content)
    if header.kind == "unknown":
        what = "is empty" if not content else f"begins with {content[:12]!r}"
        raise ValueError(f"the file {what}; it is not a JPEG, PNG, GIF, BMP, WebP, TIFF or other supported image")
    if header.width * header.height > MAX_PIXELS:
        raise ValueError(f"the header claims {header.width} x {header.height} pixels, the limit is {MAX_PIXELS:,}")
    return header


def kind_of(content: bytes) -> Kind:
    """Return the image format from the first 64 bytes of a file; "unknown" if they are not of an image."""
    for kind, signatures in _SIGNATURES.items():
        if content.startswith(signatures):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[:1] == b"P" and content[1:2] in b"123456" and content[2:3].isspace():
        return "pnm"
    if content[4:8] == b"ftyp":
        size = min(int.from_bytes(content[:4], "big"), 64)
        brands = {content[8:12], *(content[at : at + 4] for at in range(16, size, 4))}
        # Files of both kinds may have the brand "mif1".
        return "avif" if brands & _AVIF_BRANDS else "heic" if brands & _HEIC_BRANDS else "unknown"
    return "unknown"


def _parse(content: bytes) -> Header:
    kind = kind_of(content)
    try:
        if kind in ("jpeg", "png", "webp", "tiff"):
            return {"jpeg": _jpeg, "png": _png, "webp": _webp, "tiff": _tiff}[kind](content)
        if kind == "gif":
            width, height = struct.unpack("<HH", content[6:10])
            return Header("gif", width, height, mode="P")
        if kind == "bmp":
            # The OS/2 header has 12 bytes and 16-bit dimensions.
            of_os2 = content[14:18] == b"\x0c\0\0\0"
            width, height = struct.unpack("<HH", content[18:22]) if of_os2 else struct.unpack("<ii", content[18:26])
            return Header("bmp", abs(width), abs(height))
    except struct.error:
        raise ValueError("the file ends within its header") from None
    return Header(kind)


def _jpeg(content: bytes) -> Header:
    """Parse the segments of a JPEG up to the start of frame."""
    place, orientation = 2, 1
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            break
        marker = content[place + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:  # fill byte, or marker without a segment
            place += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", content[place + 2 : place + 4])
        if marker in _START_OF_FRAME:
            height, width, components = struct.unpack(">HHB", content[place + 5 : place + 10])
            return Header("jpeg", width, height, orientation, {1: "L", 4: "CMYK"}.get(components, "RGB"))
        if marker == 0xE1 and content[place + 4 : place + 10] == b"Exif\0\0":
            orientation = _orientation(content[place + 10 : place + 2 + length])
        place += 2 + max(length, 2)
    return Header("jpeg", orientation=orientation)


def _png(content: bytes) -> Header:
    width, height, bits, colors = struct.unpack(">IIBB", content[16:26])
    place, orientation = 8, 1
    while place + 8 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kind = content[place + 4 : place + 8]
        if kind == b"eXIf":
            orientation = _orientation(content[place + 8 : place + 8 + length])
        if kind == b"IDAT":
            break
        place += 12 + length
    mode = "I;16" if bits == 16 else _PNG_MODES.get(colors, "")
    return Header("png", width, height, orientation, mode)


def _webp(content: bytes) -> Header:
    """Parse the extended WebP format only; the others are at most 16,384 pixels wide, and Pillow checks their size."""
    if content[12:16] != b"VP8X":
        return Header("webp")
    width, height = (1 + int.from_bytes(content[at : at + 3], "little") for at in (24, 27))
    return Header("webp", width, height)


def _tiff(content: bytes) -> Header:
    """Parse the first image of a TIFF.

    Raises:
        ValueError: a TIFF-based camera raw file, whose first image is a preview.
    """
    tags = _tags(content)
    raw_colors = tags.get(262) in (32803, 34892)  # PhotometricInterpretation: CFA, linear raw
    if content[8:10] == b"CR" or 50706 in tags or raw_colors or tags.get(254, 0) & 1:  # DNGVersion, NewSubfileType
        raise ValueError("a camera raw file, which is not supported; convert it to JPEG or PNG")
    orientation = tags.get(_ORIENTATION_TAG, 1)
    return Header("tiff", tags.get(256, 0), tags.get(257, 0), orientation if 1 <= orientation <= 8 else 1)


def _orientation(tiff: bytes) -> int:
    """Return the orientation (1 to 8) in an EXIF block; 1 if it is missing or invalid."""
    value = _tags(tiff).get(_ORIENTATION_TAG, 1)
    return value if 1 <= value <= 8 else 1


def _tags(tiff: bytes) -> dict[int, int]:
    """Return the first inline integer of each tag of the first directory (IFD); {} if damaged."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    found: dict[int, int] = {}
    if order is None:
        return found
    try:
        (start,) = struct.unpack(order + "I", tiff[4:8])
        (count,) = struct.unpack(order + "H", tiff[start : start + 2])
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _ = struct.unpack(order + "HHI", tiff[entry : entry + 8])
            wide = order + ("I" if kind == 4 else "H")
            (found[tag],) = struct.unpack(wide, tiff[entry + 8 : entry + 8 + struct.calcsize(wide)])
    except struct.error:
        pass
    return found
