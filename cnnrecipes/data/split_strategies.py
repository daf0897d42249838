"""Train, validation and test splits: stratified, grouped, by content hash, and k-fold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from cnnrecipes.errors import DataError


def stratified(labels: np.ndarray, shares: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Split examples, stratified by class: each split gets its rounded share of a class, and at least one if possible.

    Args:
        labels: (N,) integers.
        shares: split -> share of each class, with a sum below 1; the rest is "train".
        seed: the same seed and labels give the same splits.

    Returns:
        split -> sorted positions (int64) into `labels`; "train" has at least one example of every class.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("train", *shares)}
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        for name, share in shares.items():
            wanted = max(round(share * np.sum(labels == label)), 1) if share > 0 else 0
            taken = min(wanted, len(members) - 1)
            parts[name].append(members[:taken])
            members = members[taken:]
        parts["train"].append(members)
    return {name: np.sort(np.concatenate(pieces)).astype(np.int64) for name, pieces in parts.items()}


def grouped(labels: np.ndarray, groups: np.ndarray, shares: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Split as `stratified`, with all examples of a group in one split; class shares are then approximate.

    Greedy: groups in order of decreasing size, each to the split that lacks most of its classes.

    Args:
        labels: (N,) integers.
        groups: (N,) integers.
        shares: split -> share of each class; the rest is "train".
        seed: order of groups of equal size.

    Returns:
        split -> sorted positions (int64).

    Raises:
        DataError: too few groups: a split would be empty if "train" is to have every class.
    """
    counts = _table(groups, labels)  # (groups, classes)
    classes = counts.sum(axis=0)
    names = ["train", *(name for name, share in shares.items() if share > 0)]
    wanted = np.asarray([1 - sum(shares.values()), *(shares[name] for name in names[1:])])[:, None] * classes
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(counts))
    dealt, have = np.empty(len(counts), int), np.zeros_like(wanted)
    for group in order[np.argsort(-(counts[order] / classes).sum(axis=1), kind="stable")]:
        dealt[group] = np.argmax(((wanted - have) * counts[group] / classes**2).sum(axis=1))
        have[dealt[group]] += counts[group]
    _fill_empty_splits(dealt, counts, names)
    part_of = dealt[np.unique(groups, return_inverse=True)[1]]
    empty = {name: np.empty(0, np.int64) for name in shares}
    return empty | {name: np.flatnonzero(part_of == number) for number, name in enumerate(names)}


def fold(labels: np.ndarray, groups: np.ndarray | None, folds: int, number: int, seed: int) -> dict[str, np.ndarray]:
    """Return fold `number` of `folds` as "validation" and the others as "train", stratified; no group is divided."""
    kept, taken = _fold(labels, groups, folds, number, seed)
    return {"train": kept, "validation": taken}


def fold_by_content(contents: Sequence[str], folds: int, number: int, seed: int) -> dict[str, np.ndarray]:
    """Return fold `number` as "validation" and the rest as "train"; an example's fold is a hash of its content."""
    # Another hash than that of by_content: what is left of its test part would fill some folds and not others.
    places = np.asarray([_place(f"fold of {text}", seed) for text in contents])
    taken = np.floor(places * folds) == number
    return {"train": np.flatnonzero(~taken), "validation": np.flatnonzero(taken)}


def by_content(
    contents: Sequence[str], shares: Mapping[str, float], seed: int, labels: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Split examples by a hash of the content: adding examples moves no other, and copies stay in one split.

    The shares of a class hold only on average, with a large deviation for small classes. If a class has no example in
    "train", the one with the nearest hash (and its copies) is moved there; only that one may move again when the class
    grows.

    Args:
        contents: (N,) texts that identify the examples, for example digests of their files.
        shares: split -> share of the examples; the rest is "train".
        seed: changes the assignment.
        labels: (N,) integers; None: a class may have no example in "train".

    Returns:
        split -> sorted positions (int64).
    """
    places = np.asarray([_place(text, seed) for text in contents])
    if labels is not None:
        held = sum(shares.values())
        for label in np.unique(labels):
            members = np.flatnonzero(labels == label)
            if (places[members] < held).all():
                last = members[np.argmax(places[members])]
                places[places == places[last]] = 1.0
    parts, start = {}, 0.0
    for name, share in shares.items():
        parts[name] = np.flatnonzero((places >= start) & (places < start + share))
        start += share
    return {"train": np.flatnonzero(places >= start), **parts}


def _table(groups: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the number of examples by group (rows) and class (columns)."""
    rows, columns = (np.unique(which, return_inverse=True)[1] for which in (groups, labels))
    counts = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(counts, (rows, columns), 1)
    return counts


def _fill_empty_splits(dealt: np.ndarray, counts: np.ndarray, names: Sequence[str]) -> None:
    """Move groups in place until "train" (part 0) has every class and no part is empty.

    Raises DataError if there are too few groups.
    """
    size = counts.sum(axis=1)
    for label in np.flatnonzero(counts[dealt == 0].sum(axis=0) == 0):
        if counts[dealt == 0, label].sum() == 0:
            having = np.flatnonzero(counts[:, label])
            dealt[having[np.argmin(size[having])]] = 0
    for part in range(1, len(names)):
        if (dealt == part).any():
            continue
        left = counts[dealt == 0].sum(axis=0)
        spare = [group for group in np.flatnonzero(dealt == 0) if (left > counts[group]).all()]
        if not spare:
            raise DataError(
                f"{len(counts)} groups leave none for the {names[part]} split, since train needs every class; "
                f"give more groups, or set data.{names[part]}=0"
            )
        dealt[min(spare, key=lambda group: size[group])] = part


def _place(content: str, seed: int) -> float:
    """Hash a key, the `content` of an example, with the seed to a number in [0, 1), uniformly distributed."""
    digest = hashlib.blake2b(f"{seed} {content}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _fold(labels, groups, folds: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is None:
        dealt = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    else:
        dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
    kept, taken = list(dealt)[number]
    return kept.astype(np.int64), taken.astype(np.int64)
