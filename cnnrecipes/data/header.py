"""What an image file says of itself in its first bytes: its size, and how it is to be decoded.

Every training image passes here, so this reads only what it needs: Pillow's `Image.open` takes ten times as long.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

# Photos have up to 100 or so; a file of a few kilobytes can claim ten thousand, and fill the memory when it is decoded.
MAX_PIXELS = 100_000_000

_ORIENTATION_TAG = 0x0112
_PNG_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}


@dataclass(frozen=True)
class Header:
    """A file's format, and what is known of it without decoding; width and height are as stored, before turning."""

    kind: Literal["jpeg", "png", "gif", "bmp", "webp", "unknown"]
    width: int = 0
    height: int = 0
    orientation: int = 1  # EXIF's 1 to 8
    mode: str = ""  # what is stored, in Pillow's words: "RGB", "L", "CMYK", "RGBA", "P", "I;16"; "" where not known

    @property
    def by_pillow(self) -> bool:
        """Whether TensorFlow cannot decode it, or not rightly: CMYK, BMP (palettes), GIF (transparency), WebP."""
        return self.kind in ("bmp", "gif", "webp") or self.mode == "CMYK"


def read_header(content: bytes) -> Header:
    """The header of an encoded image; what cannot be made out is left at its default.

    Raises:
        ValueError: it is empty, no image of a known kind, or claims more than MAX_PIXELS pixels.
    """
    header = _parse(content)
    if header.kind == "unknown":
        what = "is empty" if not content else f"begins with {content[:12]!r}"
        raise ValueError(f"the file {what}, as no JPEG, PNG, GIF, BMP or WebP does")
    if header.width * header.height > MAX_PIXELS:
        raise ValueError(f"it claims {header.width} x {header.height} pixels, the limit is {MAX_PIXELS:,}")
    return header


def _parse(content: bytes) -> Header:
    try:
        if content[:3] == b"\xff\xd8\xff":
            return _jpeg(content)
        if content[:8] == b"\x89PNG\r\n\x1a\n":
            return _png(content)
        if content[:6] in (b"GIF87a", b"GIF89a"):
            return Header("gif", *struct.unpack("<HH", content[6:10]), mode="P")
        if content[:2] == b"BM":
            # The header of OS/2 is 12 bytes long, and has shorter numbers.
            of_os2 = content[14:18] == b"\x0c\0\0\0"
            width, height = struct.unpack("<HH", content[18:22]) if of_os2 else struct.unpack("<ii", content[18:26])
            return Header("bmp", abs(width), abs(height))
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp(content)
    except struct.error:
        raise ValueError("the file ends within its header") from None
    return Header("unknown")


def _jpeg(content: bytes) -> Header:
    """Walk the segments up to the start of frame."""
    place, orientation = 2, 1
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            break
        marker = content[place + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:  # filling, or a marker alone
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
    width, height, bits, colours = struct.unpack(">IIBB", content[16:26])
    place, orientation = 8, 1
    while place + 8 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kind = content[place + 4 : place + 8]
        if kind == b"eXIf":
            orientation = _orientation(content[place + 8 : place + 8 + length])
        if kind == b"IDAT":
            break
        place += 12 + length
    mode = "I;16" if bits == 16 else _PNG_MODES.get(colours, "")
    return Header("png", width, height, orientation, mode)


def _webp(content: bytes) -> Header:
    """Of the extended format only; Pillow checks the others when it decodes them: they are at most 16,384 wide."""
    if content[12:16] != b"VP8X":
        return Header("webp")
    width, height = (1 + int.from_bytes(content[at : at + 3], "little") for at in (24, 27))
    return Header("webp", width, height)


def _orientation(tiff: bytes) -> int:
    """The orientation in a block of EXIF, 1 where there is none or it cannot be made out."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack(order + "I", tiff[4:8])
        (count,) = struct.unpack(order + "H", tiff[start : start + 2])
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack(order + "HHIH", tiff[entry : entry + 10])
            if tag == _ORIENTATION_TAG:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
