"""Splits: which examples train, which choose, which are left for the end."""

from __future__ import annotations

from collections.abc import Mapping

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
