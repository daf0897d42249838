"""Sizes of memory with a unit."""

from __future__ import annotations

import pytest

from cnnrecipes._support.memory_sizes import memory_text, parse_memory


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GiB", 8 * 2**30), ("1.5 gib", 3 * 2**29), ("512MiB", 2**29), ("16 GB", 16 * 10**9), (" 2TB ", 2 * 10**12)],
)
def test_size_with_a_unit_is_parsed(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["8", "8 G", "GiB", "-1GiB", "0 MiB", "8 GiB more", "", 8, None])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="memory is a number with its unit"):
        parse_memory(text)


def test_text_has_three_digits():
    assert [memory_text(size) for size in (0, 1536, 2**20, 751 * 2**20, 2**30, 7.416 * 2**30)] == [
        "0 KiB",
        "1.5 KiB",
        "1 MiB",
        "751 MiB",
        "1 GiB",
        "7.42 GiB",
    ]
