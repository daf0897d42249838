"""What several test files share: an image as the bytes of a file."""

from __future__ import annotations

import io

from PIL import Image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    """The image as a file of a kind that Pillow writes, as "JPEG", "PNG"."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
