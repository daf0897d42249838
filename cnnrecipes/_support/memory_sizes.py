"""Sizes of memory and files with a unit: "8GiB", "512 MiB", "16 GB"."""

from __future__ import annotations

import re

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B)\s*", re.IGNORECASE)


def parse_memory(text: object) -> int:
    """Return a size in bytes: "8GiB" is 2^33. Raise ValueError for anything else than a number above 0 with a unit."""
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None or float(match[1]) == 0:
        raise ValueError("memory is a number with its unit, MiB, GiB, MB or GB, for example 8GiB")
    units = {name.lower(): size for name, size in UNITS.items()}
    return round(float(match[1]) * units[match[2].lower()])


def memory_text(size: float) -> str:
    """Return bytes as text with three digits: "6.91 GiB", "512 MiB", "0 KiB"."""
    unit = next((unit for unit in ("GiB", "MiB") if size >= UNITS[unit]), "KiB")
    amount = size / UNITS[unit]
    return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"
