"""Splits: which examples train, which choose, which are left for the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np


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

    groups: (N,) integers.
    """
    parts, left = {}, np.arange(len(labels))
    whole = 1.0
    for name, share in shares.items():
        parts[name] = np.empty(0, np.int64)
        if share > 0:
            folds = max(round(whole / share), 2)
            kept, taken = _fold(labels[left], groups[left], folds, 0, seed)
            parts[name], left = left[taken], left[kept]
            whole -= share
    return {"train": left, **parts}


def fold(labels: np.ndarray, groups: np.ndarray | None, folds: int, number: int, seed: int) -> dict[str, np.ndarray]:
    """Fold `number` of `folds` as "validation", the others as "train"; stratified, and groups kept together."""
    kept, taken = _fold(labels, groups, folds, number, seed)
    return {"train": kept, "validation": taken}


def by_content(contents: Sequence[str], shares: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
    """Deal each example by a hash of what it is, so that adding others moves none; copies keep together.

    The price: shares hold on average, within chance, and not class by class.

    Args:
        contents: (N,) texts that stand for the examples, as digests of their files.
    """
    places = np.asarray([_place(text, seed) for text in contents])
    parts, start = {}, 0.0
    for name, share in shares.items():
        parts[name] = np.flatnonzero((places >= start) & (places < start + share))
        start += share
    return {"train": np.flatnonzero(places >= start), **parts}


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
