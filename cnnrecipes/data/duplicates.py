"""Groups of images that are the same, or look the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

# Bits of 128 in which the looks of two copies differ: recompressed and resized copies of a photo differ in 0 to 6.
NEAR = 7


def same(keys: Sequence[str]) -> list[list[int]]:
    """Positions of equal keys, in groups of two and more; empty keys are equal to none."""
    groups = defaultdict(list)
    for position, key in enumerate(keys):
        if key:
            groups[key].append(position)
    return [group for group in groups.values() if len(group) > 1]


def near(looks: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of positions whose looks differ in at most NEAR bits of 128; empty looks are near to none.

    Of 8 bands of 16 bits, two that differ in 7 bits agree in one at least: only those are compared. What has hardly
    a rise anywhere, as a drawing on white, would be near to all of its kind, and is passed over.
    """
    positions = np.flatnonzero([bool(text) for text in looks])
    if not positions.size:
        return []
    bits = np.frombuffer(bytes.fromhex("".join(looks[i] for i in positions)), np.uint8).reshape(-1, 16)
    rises = np.bitwise_count(bits).sum(1)
    telling = (rises >= 12) & (rises <= 116)
    positions, bits = positions[telling], bits[telling]
    bands = bits.view(np.uint16)
    pairs = set()
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        edges = np.flatnonzero(np.diff(band[order])) + 1
        for group in np.split(order, edges):
            pairs.update(_close(group, bits))
    return sorted((int(positions[i]), int(positions[j])) for i, j in pairs)


def _close(group: np.ndarray, bits: np.ndarray) -> list[tuple[int, int]]:
    found = []
    for place, i in enumerate(group[:-1]):
        others = group[place + 1 :]
        apart = np.bitwise_count(bits[others] ^ bits[i]).sum(1)
        found += [(min(i, j), max(i, j)) for j in others[apart <= NEAR]]
    return found
