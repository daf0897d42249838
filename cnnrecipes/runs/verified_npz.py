"""An uncompressed zip of arrays (`np.load` opens it) and a JSON document, written atomically and verified when read.

The arrays are members `<name>.npy`, the document is `state.json`. The last bytes, the zip comment, are a SHA-256 digest
of all bytes before them, which detects every flipped bit, truncation or addition: the CRC-32 checksums of a zip cover
the contents of its members, not their names, sizes and number.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cnnrecipes.errors import RunError

STATE = "state.json"
_LABEL = b"cnnrecipes checkpoint, SHA-256 of the bytes before this: "
_TRAILER = len(_LABEL) + 64
_OLD_END = b"PK\5\6"  # with which the last 22 bytes of a zip without a comment begin
_DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)


def write(path: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Write a file atomically: to a temporary file in the same folder, which is read back and then renamed.

    Args:
        path: the file; an existing one is overwritten.
        arrays: by name, for example "model/00000".
        state: JSON-serializable values.

    Raises:
        OSError: the disk is full, or verification of the written file fails.
    """
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with open(beside, "w+b") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.comment = bytes(_TRAILER)  # its length is a part of what the digest is of
                archive.writestr(STATE, json.dumps(state))
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            with zipfile.ZipFile(file) as archive:
                if (damaged := archive.testzip()) is not None:
                    raise OSError(f"{damaged} of {path.name} does not read back as it was written")
            trailer = _trailer(file)
            file.seek(-_TRAILER, os.SEEK_END)
            file.write(trailer)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays by name and the document. Raises RunError if the file is missing or a bit has changed."""
    try:
        with open(path, "rb") as file:
            return parse(file)
    except _DAMAGED as error:
        raise RunError(f"the checkpoint {str(path)!r} is damaged ({error})") from None


def parse(file: BinaryIO) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays by name and the document of an open file. Raises ValueError if the digest differs."""
    _verify(file)
    with zipfile.ZipFile(file) as archive:
        state = json.loads(archive.read(STATE))
        arrays = {}
        for name in archive.namelist():
            if name != STATE:
                with archive.open(name) as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                arrays[name.removesuffix(".npy")] = array
    return arrays, state


def _verify(file: BinaryIO) -> None:
    """Raise ValueError unless the file ends with the digest of all bytes before that digest."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _TRAILER, 0))
    there = file.read()
    if end < _TRAILER or there != _trailer(file):
        if there[-22:].startswith(_OLD_END):
            raise ValueError(
                "it has no digest; if a version of cnnrecipes before digests wrote it, resume it with that version "
                "(environment.json names it), or start a new run with its model.keras as train.start_from"
            )
        raise ValueError("its bytes do not match its digest")


def _trailer(file: BinaryIO) -> bytes:
    """Compute the trailer of a file: a label and the SHA-256 of all bytes before the last `_TRAILER` ones.

    The stored trailer is not read.
    """
    left = file.seek(0, os.SEEK_END) - _TRAILER
    file.seek(0)
    digest = hashlib.sha256()
    while left > 0 and (some := file.read(min(left, 2**20))):
        digest.update(some)
        left -= len(some)
    return _LABEL + digest.hexdigest().encode()
