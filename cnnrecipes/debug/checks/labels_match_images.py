"""Check that labels fit their images: not shuffled, and not shifted by one position."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check
from cnnrecipes.debug.checks.label_probe import UNKNOWN, Relation, neighbor_ratio, relations
from cnnrecipes.debug.checks.pixel_and_patch_features import LARGEST, patch_features, pixel_features, standardized
from cnnrecipes.debug.examples import read_images

NAME = "labels fit images"
RELATED, UNRELATED = 5.0, 3.0  # deviations above which labels are related, and below which not
ARRAYS, FILES, FROZEN = 600, 500, 240  # images that are looked at; decoding and a backbone take longer
_MORE = 4  # times as many if these have no clear relation
_ENOUGH, _ENOUGH_FROZEN = 1000, 500  # images from which on missing relations are evidence
_FEWEST = 8
_RARE, _RARER = 50, 0.5  # images of the smallest class below which it is rare, and its share of the median class
_FEWEST_SHIFTED = 50  # images, as of a balanced sample, below which labels are not taken for shifted
_OF_A_CLASS = 4  # images at least that the sample has of a class
_ALIKE = 0.65  # `neighbor_ratio` below which images have look-alikes, whose labels should agree
_BETTER = 4.0  # standard errors by which shifted labels must be predicted better
_SHIFTS = (-1, 1)
_REMEDY = "check the code that pairs images and labels: they must be shuffled, sorted and filtered together"

Backbone = Callable[[np.ndarray], np.ndarray]


def check_labels(pipeline: InputPipeline, *, frozen: Backbone | None = None, seed: int = 0) -> Check:
    """Check that labels are related to the images more than permuted labels are, and not shifted by one position.

    The sample has equally many images of each class, as far as there are. Images predict the labels of others by
    nearest neighbors and linear models on pixels, on patches, and on frozen features if there are any. Labels that are
    not related fail if those of another split are related, or with frozen features; if the images have look-alikes and
    the features see all pixels, they are a warning. Otherwise, or if a class is rare, the check cannot tell, since a
    network may see what these features do not.

    Args:
        pipeline: the data.
        frozen: images (N, H, W, C) -> features (N, D) of a pretrained backbone; None: there is none.
        seed: of the sample and the permutations.
    """
    train, classes = pipeline.train, len(pipeline.class_names)
    most = FROZEN if frozen else _most(train)
    for size in (most, _MORE * most):
        index = _sample(train, size, seed)
        images, labels = read_images(train, pipeline, index), train.labels[index]
        if len(images) < _FEWEST or len(np.unique(labels)) < 2 or images.std() == 0:
            return Check(NAME, CANNOT_TELL, f"{len(images)} images are too few")
        features = _features(images, frozen)
        found = relations(features, labels, classes, _shifted(pipeline, index), seed)
        if (moved := _moved(found)) is not None:
            return moved
        if found[0].deviations >= RELATED:
            return Check(NAME, OK, f"predicted {found[0]}")
        if len(index) == len(train):
            break
    if found[0].deviations > UNRELATED:
        return Check(NAME, CANNOT_TELL, f"a weak relation: predicted {found[0]}")
    if rare := _rare(labels):
        return Check(NAME, CANNOT_TELL, f"{rare}: predicted {found[0]}")
    shuffled = f"labels look shuffled: predicted {found[0]}"
    if (other := _related_split(pipeline, seed)) is not None:
        return Check(NAME, FAIL, f"{shuffled}; those of the validation split {other}", _REMEDY)
    evidence, why = _evidence(features, images, uses_backbone=frozen is not None)
    if evidence:
        return Check(NAME, FAIL if frozen else WARNING, f"{shuffled}, although {evidence}", _REMEDY)
    return Check(NAME, CANNOT_TELL, f"{why}: predicted {found[0]}")


def _rare(labels: np.ndarray) -> str:
    """Return which class has too few images beside the others; "" if none."""
    sizes = np.unique(labels, return_counts=True)[1]
    rare = sizes.min() < min(_RARE, _RARER * np.median(sizes))
    return f"the smallest class has {sizes.min()} of {len(labels)} images" if rare else ""


def _evidence(features: dict[str, np.ndarray], images: np.ndarray, *, uses_backbone: bool) -> tuple[str, str]:
    """Return why labels of these images should be related, "" if that is not known, and then why not."""
    if len(images) < (_ENOUGH_FROZEN if uses_backbone else _ENOUGH):
        return "", "too few images"
    if uses_backbone:
        return "the backbone is pretrained", ""
    ratio = min(neighbor_ratio(rows) for rows in features.values())
    if max(images.shape[1:3]) > LARGEST or ratio > _ALIKE:
        return "", "pixels carry too little"
    return f"images have look-alikes (at {ratio:.0%} of the distance of two images)", ""


def _moved(found: list[Relation]) -> Check | None:
    """Return FAIL if the labels of the image before or after are predicted much better than the own ones."""
    for one in found:
        if one.balanced_n < _FEWEST_SHIFTED:
            continue
        for shift, accuracy in one.shifted.items():
            error = np.sqrt((accuracy * (1 - accuracy) + one.accuracy * (1 - one.accuracy) + 1e-9) / one.balanced_n)
            above_chance = accuracy - one.permuted > RELATED * np.sqrt(
                one.permuted * (1 - one.permuted) / one.balanced_n + 1e-12
            )
            if above_chance and accuracy - one.accuracy > _BETTER * error:
                where = "before" if shift < 0 else "after"
                what = (
                    f"labels are shifted by one position: the label of the image {where} is predicted {accuracy:.1%} "
                    f"by {one.method}, the own one {one.accuracy:.1%}"
                )
                return Check(NAME, FAIL, what, _REMEDY)
    return None


def _related_split(pipeline: InputPipeline, seed: int) -> str | None:
    """Return how well the images of the validation split predict its labels, as text; None if they do not.

    None also for too few images, or if the split was split off the training images.
    """
    split = pipeline.source.splits.get("validation")
    if split is None or split.images is pipeline.train.images:  # split off the training images
        return None
    index = _sample(split, _most(split), seed)
    if len(index) < _FEWEST:
        return None
    features = _features(read_images(split, pipeline, index))
    best = relations(features, split.labels[index], len(pipeline.class_names), seed=seed)[0]
    return str(best) if best.deviations >= RELATED else None


def _features(images: np.ndarray, frozen: Callable[[np.ndarray], np.ndarray] | None = None) -> dict[str, np.ndarray]:
    features = {"pixels": pixel_features(images), "patches": patch_features(images)}
    if frozen is not None:
        features["frozen features"] = standardized(frozen(images))
    return {name: rows for name, rows in features.items() if rows.shape[1]}


def _shifted(pipeline: InputPipeline, index: np.ndarray) -> dict[int, np.ndarray]:
    """Return shift -> labels (N,) of the images at the next positions of the data as given, before it was split."""
    train, labels = pipeline.train, np.full(len(pipeline.train.images) + 2, UNKNOWN)
    for split in pipeline.source.splits.values():
        if split.images is train.images:
            labels[split.positions] = split.labels
    # The two entries at the end are unknown: position -1 is the last of them.
    return {shift: labels[train.positions[index] + shift] for shift in _SHIFTS}


def _sample(split: Split, most: int, seed: int) -> np.ndarray:
    """Return positions of drawn images, equally many of each class as far as there are, `most` in all at most."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.unique(split.labels))[: max(most // _OF_A_CLASS, 2)]
    each = -(-most // len(classes))
    drawn = [rng.permutation(np.flatnonzero(split.labels == one))[:each] for one in classes]
    return np.sort(rng.permutation(np.concatenate(drawn))[:most])


def _most(split: Split) -> int:
    return ARRAYS if split.files() is None else FILES
