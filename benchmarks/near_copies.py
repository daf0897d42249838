"""The search for near copies among the difference hashes of a data set: seconds, and the groups found.

    python benchmarks/near_copies.py --images 2000 50000

Four kinds of data sets: photos of which none are alike; frames of a video, each near the one before; images that are
all near one; and images of which all share a quarter of the bits and none are near, which is the worst case, since then
all pairs are compared. Printed are wall-clock seconds and the CPU seconds of the process.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from cnnrecipes.data.audit import duplicates

BITS = 128


def unlike(random: np.random.Generator, count: int) -> np.ndarray:
    """Random bits."""
    return random.integers(0, 2, (count, BITS), np.uint8)


def video(random: np.random.Generator, count: int) -> np.ndarray:
    """Each differs from the one before in at most 3 bits."""
    flips = np.zeros((count, BITS), np.uint8)
    flips[np.arange(count)[:, None], random.integers(0, BITS, (count, 3))] = 1
    return (unlike(random, 1) + flips.cumsum(0, dtype=np.int64)).astype(np.uint8) % 2


def alike(random: np.random.Generator, count: int) -> np.ndarray:
    """Each differs from one in at most 3 bits."""
    bits = np.repeat(unlike(random, 1), count, axis=0)
    bits[np.arange(count)[:, None], random.integers(0, BITS, (count, 3))] ^= 1
    return bits


def worst(random: np.random.Generator, count: int) -> np.ndarray:
    """Two of the bands by which near copies are found are the same in all."""
    bits = unlike(random, count)
    bits[:, :32] = bits[0, :32]
    return bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 50_000])
    arguments = parser.parse_args()
    print("| images | kind | seconds | CPU seconds | groups | images in them |\n|---|---|---|---|---|---|")
    for count in arguments.images:
        for kind in (unlike, video, alike, worst):
            looks = [np.packbits(row).tobytes().hex() for row in kind(np.random.default_rng(0), count)]
            wall, cpu = time.perf_counter(), time.process_time()
            groups = duplicates.near(looks)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(
                f"| {count:,} | {kind.__name__} | {wall:.2f} | {cpu:.2f} | {len(groups)} | {sum(map(len, groups)):,} |"
            )


if __name__ == "__main__":
    main()
