"""Groups of images that are the same, or look the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Bits of 128 in which the looks of two copies differ: recompressed and resized copies of a photo differ in 0 to 6.
NEAR = 7
_ROUNDS = 200


def same(keys: Sequence[str]) -> list[list[int]]:
    """Positions of equal keys, in groups of two and more; empty keys are equal to none."""
    groups = defaultdict(list)
    for position, key in enumerate(keys):
        if key:
            groups[key].append(position)
    return [group for group in groups.values() if len(group) > 1]


def near(looks: Sequence[str]) -> list[list[int]]:
    """Positions of looks that differ in at most NEAR bits of 128 from another of their group; empty ones are near none.

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
    links = [link for band in bits.view(np.uint16).T for link in _links(band, bits)]
    rows, columns = np.asarray(links, int).reshape(-1, 2).T
    _, group_of = connected_components(coo_array((np.ones(len(rows)), (rows, columns)), (len(bits), len(bits))))
    groups = defaultdict(list)
    for position, group in zip(positions.tolist(), group_of.tolist(), strict=True):
        groups[group].append(position)
    return [group for group in groups.values() if len(group) > 1]


def _links(band: np.ndarray, bits: np.ndarray) -> Iterator[tuple[int, int]]:
    """Near pairs among those that agree in a band; of many that are near to one, only the pairs with that one."""
    order = np.argsort(band, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
        # The limit is for a band that thousands share and that tells nothing: copies agree in others too.
        for _ in range(_ROUNDS):
            if len(group) < 2:
                break
            one, others = group[0], group[1:]
            close = np.bitwise_count(bits[others] ^ bits[one]).sum(1) <= NEAR
            yield from ((one, other) for other in others[close])
            group = others[~close]
