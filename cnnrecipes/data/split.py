"""Splits: which examples train, which choose, which are left for the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from cnnrecipes.errors import DataError


def stratified(labels: np.ndarray, shares: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Deal examples into parts so that every class has its share in each, rounded, but one where there is one to give.

    Args:
        labels: (N,) integers.
        shares: part -> share of each class, adding up to less than 1; the rest is the part "train".
        seed: the same seed and labels give the same parts.

    Returns:
        part -> sorted positions into `labels`; "train" has at least one example of every class.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    parts = {name: [] for name in ("train", *shares)}
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
    """As `stratified`, but all examples of a group in one part; the shares of a class are then only near.

    The groups are dealt from the largest to the smallest, each to the part that still lacks most of its classes.

    groups: (N,) integers.

    Raises:
        DataError: the groups do not go round: a part gets none, where "train" is to keep every class.
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
    _make_ends_meet(dealt, counts, names)
    part_of = dealt[np.unique(groups, return_inverse=True)[1]]
    empty = {name: np.empty(0, np.int64) for name in shares}
    return empty | {name: np.flatnonzero(part_of == number) for number, name in enumerate(names)}


def fold(labels: np.ndarray, groups: np.ndarray | None, folds: int, number: int, seed: int) -> dict[str, np.ndarray]:
    """Fold `number` of `folds` as "validation", the others as "train"; stratified, and groups kept together."""
    kept, taken = _fold(labels, groups, folds, number, seed)
    return {"train": kept, "validation": taken}


def fold_by_content(contents: Sequence[str], folds: int, number: int, seed: int) -> dict[str, np.ndarray]:
    """As `fold`, with the fold of each example from a hash of what it is, as in `by_content`."""
    # Another hash than that of by_content: what is left of its test part would fill some folds and not others.
    places = np.asarray([_place(f"fold of {text}", seed) for text in contents])
    taken = np.floor(places * folds) == number
    return {"train": np.flatnonzero(~taken), "validation": np.flatnonzero(taken)}


def by_content(
    contents: Sequence[str], shares: Mapping[str, float], seed: int, labels: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Deal each example by a hash of what it is, so that adding others moves none; copies keep together.

    The price: the shares of a class hold on average, within chance, which for a class of 10 is wide. One thing is
    made good: of a class that has none left for "train", the example (and its copies) whose hash is nearest to that
    part goes there; it is the only one that may move, when the class grows.

    Args:
        contents: (N,) texts that stand for the examples, as digests of their files.
        labels: (N,) integers; None: a class may have none in "train".
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
    """How many examples of each class (columns) each group (rows) has."""
    rows, columns = (np.unique(which, return_inverse=True)[1] for which in (groups, labels))
    counts = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(counts, (rows, columns), 1)
    return counts


def _make_ends_meet(dealt: np.ndarray, counts: np.ndarray, names: Sequence[str]) -> None:
    """Move groups, in place, until "train" (part 0) has every class and no part is empty. Raises DataError."""
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
                f"{len(counts)} groups leave none for the {names[part]} split, as every class is to be trained on; "
                f"give more groups, or set data.{names[part]}=0"
            )
        dealt[min(spare, key=lambda group: size[group])] = part


def _place(content: str, seed: int) -> float:
    """A number from [0, 1), evenly spread."""
    digest = hashlib.blake2b(f"{seed} {content}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _fold(labels, groups, folds: int, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if groups is None:
        dealt = StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels)
    else:
        dealt = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
    return [part.astype(np.int64) for part in list(dealt)[number]]
