"""Validation and test splits, split off the training images by shares or folds."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from cnnrecipes.data import split_strategies
from cnnrecipes.data.audit.file_info import inspect_files
from cnnrecipes.data.sources.class_problems import class_problems
from cnnrecipes.data.sources.contents import SPLITS
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import schema


def split_off(source: Source, spec: schema.Data) -> tuple[Source, list[str]]:
    """Split the validation and test splits that the source lacks off its training images.

    Args:
        source: with a training split.
        spec: the recipe's `data` table: shares or folds, grouping, and the seed of the split.

    Returns:
        the source with these splits, and the problems that prevent training on it.

    Raises:
        DataError: too few images or groups for the splits.
    """
    splits, whole = dict(source.splits), source.split("train")
    parts = _positions(whole, set(splits), spec)
    for name, some in parts.items():
        groups = None if whole.groups is None else whole.groups[some]
        splits[name] = Split(name, whole.images, whole.labels[some], whole.positions[some], groups)
    kept = {name: splits[name] for name in SPLITS if name in splits and len(splits[name])}
    divided = replace(source, splits=kept, divided=frozenset(parts) - {"train"})
    return divided, class_problems(divided)


def _positions(whole: Split, given: Collection[str], spec: schema.Data) -> dict[str, np.ndarray]:
    """Return the positions of each split in the training images; an empty dict if nothing is split off."""
    shares = {s: share for s, share in (("test", spec.test), ("validation", spec.validation)) if s not in given}
    contents = _contents(whole) if spec.split == "content" and (spec.folds or any(shares.values())) else None
    if spec.folds:
        if "validation" in given:
            raise DataError(f"data.folds = {spec.folds}, but the data has a validation split; remove one of them")
        # Taken first, so that the test split is the same for every fold.
        shares.pop("validation")
        parts = _by_shares(whole, contents, shares, spec) if any(shares.values()) else {}
        rest = parts.pop("train", np.arange(len(whole.labels)))
        return parts | {name: rest[some] for name, some in _fold(whole, contents, rest, spec.folds, spec).items()}
    return _by_shares(whole, contents, shares, spec) if any(shares.values()) else {}


def _by_shares(
    whole: Split, contents: list[str] | None, shares: Mapping[str, float], spec: schema.Data
) -> dict[str, np.ndarray]:
    """Return split -> positions, for splits that get the given shares, and "train" for all other examples."""
    if contents is not None:
        return split_strategies.by_content(contents, shares, spec.split_seed, whole.labels)
    if whole.groups is not None:
        return split_strategies.grouped(whole.labels, whole.groups, shares, spec.split_seed)
    return split_strategies.stratified(whole.labels, shares, spec.split_seed)


def _fold(
    whole: Split, contents: list[str] | None, rest: np.ndarray, folds: int, spec: schema.Data
) -> dict[str, np.ndarray]:
    """Return the training and validation split of the fold `spec.fold`, as positions in `rest`.

    Args:
        whole: all training images of the source.
        contents: group or digest of each image of `whole`, to split by its hash; None: stratified, or by groups.
        rest: positions in `whole` of the images that are not in the test split.
        folds: number of folds.
        spec: the recipe's `data` table.

    Raises:
        DataError: too few images or groups.
    """
    labels, groups = whole.labels[rest], None if whole.groups is None else whole.groups[rest]
    counts = np.bincount(labels)
    if counts[counts > 0].min() < folds:
        raise DataError(
            f"data.folds = {folds}, but a class has {counts[counts > 0].min()} images; set data.folds lower"
        )
    if groups is not None and len(np.unique(groups)) < folds:
        raise DataError(f"data.folds = {folds}, but there are {len(np.unique(groups))} groups; set data.folds lower")
    if contents is not None:
        return split_strategies.fold_by_content([contents[place] for place in rest], folds, spec.fold, spec.split_seed)
    return split_strategies.fold(labels, groups, folds, spec.fold, spec.split_seed)


def _contents(whole: Split) -> list[str]:
    """Return a key for each example: its group if groups are known, otherwise a digest of its content."""
    if whole.groups is not None:
        return [str(group) for group in whole.groups]
    if (files := whole.files()) is not None:
        return [one.digest or one.path for one in inspect_files(files)]
    contents = (whole.images.read(int(place)) for place in whole.positions)
    # Via bytes, since hashlib accepts only contiguous arrays, and an image may be a strided view.
    texts = (one if isinstance(one, bytes) else one.tobytes() for one in contents)
    return [hashlib.blake2b(text, digest_size=16).hexdigest() for text in texts]
