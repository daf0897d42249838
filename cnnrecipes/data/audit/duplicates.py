"""Groups of exact and near duplicate images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Maximum Hamming distance of near duplicates, of 128 bits: recompressed and resized copies of a photo differ in 0 to 6.
NEAR = 7
_SMALL = 64  # largest bucket (words that share a band) whose pairs are compared together with those of other buckets
_ROWS, _COLUMNS = 64, 8192  # block of pairs compared at once in larger buckets: 4 MiB per word


def same(keys: Sequence[str]) -> list[list[int]]:
    """Return the positions of equal keys, in groups of two or more; empty keys are ignored."""
    groups = defaultdict(list)
    for position, key in enumerate(keys):
        if key:
            groups[key].append(position)
    return [group for group in groups.values() if len(group) > 1]


def near(looks: Sequence[str]) -> list[list[int]]:
    """Return the positions of near duplicates by difference hash, in groups of two or more.

    A group is a connected component of all pairs with a Hamming distance of at most NEAR bits. Hashes that are empty or
    almost constant (a drawing on white) are ignored: they would match all images of that kind.

    Args:
        looks: 128-bit difference hashes as hexadecimal digits; "" for none.
    """
    positions = np.flatnonzero([bool(text) for text in looks])
    if not positions.size:
        return []
    words = np.frombuffer(bytes.fromhex("".join(looks[i] for i in positions.tolist())), np.uint64).reshape(-1, 2)
    rises = np.bitwise_count(words).sum(1)
    distinctive = (rises >= 12) & (rises <= 116)
    words, which = np.unique(words[distinctive], axis=0, return_inverse=True)
    groups = defaultdict(list)
    for position, group in zip(positions[distinctive].tolist(), _components(words)[which].tolist(), strict=True):
        groups[group].append(position)
    return [group for group in groups.values() if len(group) > 1]


def _components(words: np.ndarray) -> np.ndarray:
    """Return component labels (N,) of 128-bit hashes (N, 2) uint64; hashes within NEAR bits are connected.

    Multi-index hashing (Norouzi et al. 2012): two hashes that differ in 7 bits agree in at least one of 8 bands of 16
    bits, so only hashes that share a band are compared.
    """
    links, large = [], []
    for band in words.view(np.uint16).T:
        order = np.argsort(band, kind="stable")
        ends = np.flatnonzero(np.diff(band[order])) + 1
        buckets = np.split(order, ends) if len(order) else []
        large += [bucket for bucket in buckets if len(bucket) > _SMALL]
        links.append(_links_in_small_buckets(words, band, order))
    labels = _merge(np.arange(len(words)), *np.concatenate(links, axis=1)) if links else np.arange(0)
    # If most words share a band, comparing all pairs once is less work.
    if sum(len(bucket) ** 2 for bucket in large) > len(words) ** 2:
        large = [np.arange(len(words))]
    for bucket in large:
        labels = _merge_bucket(words, bucket, labels)
    return labels


def _links_in_small_buckets(words: np.ndarray, band: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the pairs (2, M) of hashes within NEAR bits, from buckets (an equal band) of at most _SMALL hashes."""
    sizes = np.bincount(band, minlength=2**16)[band]
    order = order[sizes[order] <= _SMALL]
    pairs = []
    for offset in range(1, _SMALL):
        first, second = order[:-offset], order[offset:]
        agree = band[first] == band[second]
        if not agree.any():
            break
        first, second = first[agree], second[agree]
        close = np.bitwise_count(words[first] ^ words[second]).sum(1) <= NEAR
        pairs.append(np.stack([first[close], second[close]]))
    return np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), int)


def _merge_bucket(words: np.ndarray, bucket: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return component labels after connecting all hashes of one bucket that are within NEAR bits of each other.

    Pairs that are in one component already are not compared.
    """
    for start in range(0, len(bucket), _ROWS):
        rows, rest = bucket[start : start + _ROWS], bucket[start + 1 :]
        for first in range(0, len(rest), _COLUMNS):
            columns = rest[first : first + _COLUMNS]
            together = (labels[rows] == labels[rows[0]]).all()
            if together:
                columns = columns[labels[columns] != labels[rows[0]]]
            # One word at a time: NumPy is several times faster on contiguous memory.
            bits = np.bitwise_count(words[rows, :1] ^ words[columns, 0])
            bits += np.bitwise_count(words[rows, 1:] ^ words[columns, 1])
            close = bits <= NEAR
            if together:
                new = columns[close.any(axis=0)]
                ends = np.full(len(new), rows[0]), new
            else:
                close &= labels[rows][:, None] != labels[columns]
                row, column = np.nonzero(close)
                ends = rows[row], columns[column]
            labels = _merge(labels, *ends)
    return labels


def _merge(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the component labels after connecting `first` and `second`, pairs of hashes by position."""
    if not len(first):
        return labels
    links = coo_array((np.ones(len(first), bool), (labels[first], labels[second])), (len(labels), len(labels)))
    return connected_components(links, directed=False)[1][labels]
