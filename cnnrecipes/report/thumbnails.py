"""Thumbnails of many images in one picture, the sheet: a header for each would take more than the pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from PIL import Image

from cnnrecipes.report.cards import Place, spec_of
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.pictures import as_picture, network_input

SIDES = ((500, 64), (1000, 48), (math.inf, 32))  # up to so many images, pixels of the longer side of a thumbnail
_EXACT = 16  # pixels up to which the sheet is kept without loss
_BLOCK = 8  # pixels of a JPEG block: thumbnails begin at one, so that none is seen in its neighbor


@dataclass(frozen=True)
class Sheet:
    """A sheet of thumbnails, row by row.

    Attributes:
        uri: the picture as a data URI; "" if there is none.
        width, height: of a thumbnail, in pixels.
        cell: distance from one to the next, across and down.
        columns: thumbnails in a row.
        shown: (N,) bool, False where the image could not be read.
        refused: it is left out to keep the page small.
    """

    uri: str = ""
    width: int = 1
    height: int = 1
    cell: tuple[int, int] = (1, 1)
    columns: int = 1
    shown: tuple[bool, ...] = ()
    refused: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet in pixels."""
        return self.columns * self.cell[0], math.ceil(len(self.shown) / self.columns) * self.cell[1]

    def corner(self, i: int) -> tuple[int, int]:
        """Return the left and upper end of a thumbnail."""
        return i % self.columns * self.cell[0], i // self.columns * self.cell[1]


def sheet(facts: Facts, places: Sequence[Place]) -> Sheet:
    """Return the thumbnails of images; one without a picture if none can be read, or the room on the page is spent."""
    images = _thumbnails(facts, places)
    first = next((image for image in images if image is not None), None)
    if first is None:
        return Sheet()
    width, height = first.size
    exact = max(height, width) <= _EXACT
    cell = (width, height) if exact else tuple(math.ceil(side / _BLOCK) * _BLOCK for side in (width, height))
    columns = max(math.ceil(math.sqrt(len(images) * cell[1] / cell[0])), 1)
    made = Sheet("", width, height, (cell[0], cell[1]), columns, tuple(image is not None for image in images))
    whole = Image.new("RGB", made.size, (128, 128, 128))
    for i, image in enumerate(images):
        if image is not None:
            whole.paste(image.resize(made.cell), made.corner(i))  # its colors beside it, in the rest of the block
            whole.paste(image, made.corner(i))
    uri = facts.pictures.encoded(whole, exact=exact, subsampling="4:4:4")
    return replace(made, uri=uri, refused=not uri)


def _thumbnails(facts: Facts, places: Sequence[Place]) -> list[Image.Image | None]:
    """Return the images as the network sees them, reduced; None for those that cannot be read."""
    source, spec = facts.source, spec_of(facts)
    side = next(side for most, side in SIDES if len(places) <= most)
    if source is None:
        return [None] * len(places)

    def one(place: Place) -> Image.Image | None:
        try:
            image = network_input(source, *place, spec)
        except (OSError, IndexError):
            return None
        picture = as_picture(image)
        picture.thumbnail((side, side))
        return picture

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, places))
