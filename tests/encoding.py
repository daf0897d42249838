"""Helper: an image encoded as the bytes of a file."""

from __future__ import annotations

import io

from PIL import Image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """Encode an image in a format that Pillow writes, for example "JPEG" or "PNG"."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
