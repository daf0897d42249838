"""Verified .npz files: any changed bit is detected, and NumPy can open them."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest

from cnnrecipes.errors import RunError
from cnnrecipes.runs import verified_npz

ARRAYS = {"model/00000": np.arange(12, dtype=np.float32).reshape(3, 4), "counters/00000": np.int64(7)}
STATE = {"position": {"epoch": 1, "step": 2}, "numbers": [0.1 + 0.2, 1e-300]}


def test_write_and_read_is_bit_exact_and_numpy_compatible(tmp_path):
    path = tmp_path / "step_000000005.npz"
    verified_npz.write(path, ARRAYS, STATE)
    found, document = verified_npz.read(path)
    assert document == STATE
    for name, array in ARRAYS.items():
        assert found[name].tobytes() == array.tobytes()
        assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(np.load(path)["model/00000"], ARRAYS["model/00000"])
    assert list(tmp_path.iterdir()) == [path]


def test_flipped_byte_of_an_array_is_detected(tmp_path):
    path = tmp_path / "step_000000005.npz"
    verified_npz.write(path, ARRAYS, STATE)
    whole = path.read_bytes()
    start = whole.index(ARRAYS["model/00000"].tobytes())
    for place in range(start, start + 48, 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RunError, match="is damaged"):
            verified_npz.read(path)


def damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Every single flipped bit, every truncation, and additional bytes before or after."""
    for bit in range(8 * len(whole)):
        place, mask = bit // 8, 1 << bit % 8
        yield f"bit {bit}", whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :]
    for size in range(len(whole)):
        yield f"cut to {size}", whole[:size]
    for extra in (b"\0", b"\n", whole[-22:], whole):
        yield f"{len(extra)} bytes more", whole + extra
        yield f"{len(extra)} bytes before", extra + whole


def test_flipped_bits_truncation_and_additional_bytes_are_detected(tmp_path):
    """The zip directory, the end record and the digest itself are covered too."""
    verified_npz.write(tmp_path / "whole.npz", ARRAYS, STATE)
    whole = (tmp_path / "whole.npz").read_bytes()
    accepted = []
    for what, content in damaged(whole):
        try:
            verified_npz.parse(io.BytesIO(content))
            accepted.append(what)
        except ValueError as error:
            assert "digest" in str(error)  # noqa: PT017
    assert accepted == []
    assert verified_npz.parse(io.BytesIO(whole))[1] == STATE
