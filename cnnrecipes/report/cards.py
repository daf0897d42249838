"""Cards: images of the data with what is known of them; a click enlarges one, with its Grad-CAM beside it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cnnrecipes import explain
from cnnrecipes.data.image_names import image_names
from cnnrecipes.errors import CNNRecipesError
from cnnrecipes.recipe.schema import Data
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.pictures import network_input

SMALL = 64  # pixels up to which images are enlarged with visible pixels


@dataclass
class Card:
    """An image and what is known of it.

    Attributes:
        file: its name.
        label: its class name.
        other: the class name beside it, which Grad-CAM explains.
        relation: what `other` is, for screen readers: "predicted as".
        share: a number after it, as text; "" for none.
        facts: all of it as a sentence.
        label_share: a number after the label.
        mark: a remark below.
        picture, heat: the image and its Grad-CAM as data URIs; "" if missing.
    """

    file: str
    label: str
    other: str
    relation: str
    share: str
    facts: str
    label_share: str = ""
    mark: str = ""
    picture: str = ""
    heat: str = ""

    @property
    def short(self) -> str:
        """The file name without its folder."""
        return self.file.rpartition("/")[2]

    @property
    def same(self) -> bool:
        """True if both classes are the same."""
        return self.label == self.other


@dataclass(frozen=True)
class Pictured:
    """The number of cards with a picture, and the reason for which others have none.

    Attributes:
        shown: number of cards with one.
        small: the images have few pixels.
        refused: number of pictures that were left out to keep the page small.
        missing: the reason for which there are none, "" if there are.
        no_heat: the reason for which there is no Grad-CAM, as a sentence.
    """

    shown: int
    small: bool
    refused: int
    missing: str
    no_heat: str


Place = tuple[str, int]  # split, and position in its store


def add_pictures(facts: Facts, cards: Sequence[Card], places: Sequence[Place | None]) -> Pictured:
    """Add images to cards, and Grad-CAM of their class `other`; report what is missing.

    Args:
        facts: of the run, with its data open if there are to be pictures.
        cards: the cards.
        places: of each image; None: it is not in the data.
    """
    images, reason = _images(facts, places)
    heat, no_heat = _heat(facts, {i: cards[i].other for i in images}, images)
    before = facts.pictures.refused
    for i, image in images.items():
        cards[i].picture = facts.pictures.uri(image)
    for i in heat:  # after all images, which matter more if the room is not enough
        if cards[i].picture:
            cards[i].heat = facts.pictures.uri(heat[i])
    return Pictured(
        shown=len(images),
        small=any(max(image.shape[:2]) <= SMALL for image in images.values()),
        refused=facts.pictures.refused - before,
        missing="" if images else facts.why.get("data", reason),
        no_heat=no_heat,
    )


def places_of(facts: Facts, files: Iterable[str], splits: Collection[str]) -> list[Place | None]:
    """Return where the images with these names are in the data; None for those that are not there."""
    found: dict[str, Place] = {}
    files = list(files)
    wanted = set(files)
    for name, split in facts.source.splits.items() if facts.source is not None else ():
        if name in splits:
            named = zip(image_names(split, facts.source), split.positions.tolist(), strict=True)
            found |= {file: (name, position) for file, position in named if file in wanted}
    return [found.get(file) for file in files]


def spec_of(facts: Facts) -> Data:
    """Return the recipe's `data` table with the image size of the model."""
    if facts.image_shape is None:
        return facts.recipe.data
    height, width, channels = facts.image_shape
    return facts.recipe.data.model_copy(update={"image_size": (height, width), "channels": channels})


def _images(facts: Facts, places: Sequence[Place | None]) -> tuple[dict[int, np.ndarray], str]:
    """Return the images that can be read by their index, and why one cannot be."""
    if facts.source is None:
        return {}, "the data were not opened"
    found, reason = {}, "the images are not in the data"
    for i, place in enumerate(places):
        if place is None or place[0] not in facts.source.splits:
            continue
        try:
            found[i] = network_input(facts.source, *place, spec_of(facts))
        except (OSError, IndexError) as error:
            reason = f"an image of the data cannot be read: {error}"
    return found, reason


def _heat(facts: Facts, classes: dict[int, str], images: dict[int, np.ndarray]) -> tuple[dict[int, np.ndarray], str]:
    """Return Grad-CAM over its image, by index, and why there is none."""
    if not images:
        return {}, ""
    if not facts.thorough:
        return {}, f"Grad-CAM is left out: {facts.why.get('thorough', '')}."
    known = [i for i in images if classes[i] in facts.class_names]
    if not known:
        return {}, "Grad-CAM is missing: the model does not have these classes."
    try:
        numbers = [facts.class_names.index(classes[i]) for i in known]
        maps = facts.grad_cam(np.stack([images[i] for i in known]), numbers)
    except (CNNRecipesError, ValueError) as error:
        return {}, f"Grad-CAM is missing: {error}"
    return {i: explain.draw_heat(images[i], heat) for i, heat in zip(known, np.asarray(maps), strict=True)}, ""
