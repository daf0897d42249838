"""Pseudorandom weights, images and directions shared by PyTorch and the tests, each determined by its name."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np


def draw(name: str, shape: tuple[int, ...], scale: float = 1.0) -> np.ndarray:
    """Normal random numbers that depend on the name only, float32."""
    return (np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape) * scale).astype("float32")


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Values of reasonable scale for a state_dict with these names and shapes; running statistics are not 0 and 1."""
    made = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            made[name] = draw(name, shape, (2 / np.prod(shape[1:])) ** 0.5)
        elif name.endswith("running_var"):
            made[name] = 1 + 0.2 * np.abs(draw(name, shape))
        elif name.endswith("weight"):
            made[name] = 1 + draw(name, shape, 0.2)
        else:
            made[name] = draw(name, shape, 0.2)
    return made


def directions(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A random direction for each weight, along which its gradient is compared."""
    return {name: draw(f"direction of {name}", shape) for name, shape in shapes.items()}
