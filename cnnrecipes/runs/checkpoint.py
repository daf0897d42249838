"""Checkpoints: everything that a training needs to go on as if it had not stopped, in one file.

A checkpoint is an uncompressed zip (`np.load` opens it) of one array a variable and of `state.json`, what is no array.
Its last bytes, the zip's comment, are a digest of all bytes before them, so that no flipped bit, cut or addition goes
unnoticed: the zip's own CRC-32 checksums are of the members' contents, not of their names, sizes and number.

It is written beside its place, read back, and only then renamed; the one before it stays. So whatever a kill, a full
disk or a flipped bit destroys, a whole one is left.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import keras
import numpy as np

from cnnrecipes.errors import RunError

STATE = "state.json"
KEPT = 2  # the newest, and the one before it
_NAME = re.compile(r"step_(\d{9})\.npz")
_LABEL = b"cnnrecipes checkpoint, SHA-256 of the bytes before this: "
_TRAILER = len(_LABEL) + 64
_OLD_END = b"PK\5\6"  # with which the last 22 bytes of a zip without a comment begin
_DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)


class Checkpoint(NamedTuple):
    """One that was read: arrays by name, and the state beside them."""

    path: Path
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


def write(path: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Write a file that is whole or not there.

    Raises:
        OSError: the disk is full, or what was written does not read back.
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


def read(path: Path) -> Checkpoint:
    """Read one. Raises RunError where a single bit of it is not as it was written."""
    try:
        with open(path, "rb") as file:
            return Checkpoint(path, *parse(file))
    except _DAMAGED as error:
        raise RunError(f"the checkpoint {str(path)!r} is damaged ({error})") from None


def parse(file: BinaryIO) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays by name and the state of an open checkpoint. Raises ValueError where its digest says otherwise."""
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
    """Raises ValueError unless the file ends with the digest of all that is before it."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _TRAILER, 0))
    there = file.read()
    if end < _TRAILER or there != _trailer(file):
        if there[-22:].startswith(_OLD_END):
            raise ValueError(
                "or it was written by a version of cnnrecipes before digests: it has none; resume it with that version "
                "(environment.json names it), or start a new run with its model.keras as train.start_from"
            )
        raise ValueError("its bytes do not match its digest")


def _trailer(file: BinaryIO) -> bytes:
    """What a checkpoint ends with, from the bytes before it."""
    left = file.seek(0, os.SEEK_END) - _TRAILER
    file.seek(0)
    digest = hashlib.sha256()
    while left > 0 and (some := file.read(min(left, 2**20))):
        digest.update(some)
        left -= len(some)
    return _LABEL + digest.hexdigest().encode()


def found(folder: Path) -> list[Path]:
    """The checkpoints of a folder, newest first; not looked into."""
    return sorted((path for path in folder.glob("step_*.npz") if _NAME.fullmatch(path.name)), reverse=True)


def newest(folder: Path, say: Callable[[str], None] = print) -> Checkpoint | None:
    """The newest whole checkpoint, None where there is none at all.

    Args:
        say: told of a damaged one, for which the one before it stands in.

    Raises:
        RunError: there are checkpoints, and all are damaged.
    """
    paths, why = found(folder), None
    for path in paths:
        try:
            return read(path)
        except RunError as error:
            why = error
            if path != paths[-1]:
                say(f"{error}; the one before it is used")
    if why is not None:
        raise RunError(f"{why}, and there is no other; train again with `cnnrecipes fit`")
    return None


def capture(variables: Mapping[str, Sequence[keras.Variable]]) -> dict[str, np.ndarray]:
    """The values of groups of variables, by "group/number"."""
    return {
        f"{group}/{number:05d}": np.asarray(variable.numpy())
        for group, members in variables.items()
        for number, variable in enumerate(members)
    }


def restore(checkpoint: Checkpoint, variables: Mapping[str, Sequence[keras.Variable]]) -> None:
    """Put the values back. Raises RunError, before anything is changed, where they are of other variables."""
    wanted = {
        f"{group}/{number:05d}": variable
        for group, members in variables.items()
        for number, variable in enumerate(members)
    }
    if wanted.keys() != checkpoint.arrays.keys():
        raise RunError(
            f"{str(checkpoint.path)!r} has {len(checkpoint.arrays)} variables, this training {len(wanted)}; "
            "it is of another recipe or another version of cnnrecipes or Keras"
        )
    for name, variable in wanted.items():
        if tuple(variable.shape) != checkpoint.arrays[name].shape:
            raise RunError(
                f"{str(checkpoint.path)!r}: {variable.path} has shape {checkpoint.arrays[name].shape} there and "
                f"{tuple(variable.shape)} here; it is of another model"
            )
    for name, variable in wanted.items():
        variable.assign(checkpoint.arrays[name])


def digest(arrays: Sequence[np.ndarray]) -> str:
    """SHA-256 of the bytes of some arrays, as 16 hexadecimal digits: equal only where the weights are, bit for bit."""
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]


class Writer:
    """Writes checkpoints in a thread of its own, one at a time, and takes away those that are no longer needed."""

    def __init__(self, folder: Path, say: Callable[[str], None] = print):
        self.folder, self.say = folder, say
        for left in folder.glob(".*.npz"):
            left.unlink(missing_ok=True)  # of a training that was killed while it wrote
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether it is still writing."""
        return self._thread is not None and self._thread.is_alive()

    def write(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Begin to write; waits for the one before it. A full disk is said, and what is there stays."""
        self.finish()
        size = sum(array.nbytes for array in arrays.values())
        free = shutil.disk_usage(self.folder).free
        if free < 1.05 * size + 2**20:
            self.say(
                f"the disk of {str(self.folder)!r} has {free / 2**20:.0f} MiB left and a checkpoint needs "
                f"{size / 2**20:.0f}: none is written until there is more room; the last one stays"
            )
            return
        path = self.folder / f"step_{step:09d}.npz"
        self._thread = threading.Thread(target=self._write, args=(path, arrays, state), name="checkpoint")
        self._thread.start()

    def finish(self) -> None:
        """Wait until what was begun is written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, path: Path, arrays, state) -> None:
        try:
            write(path, arrays, state)
        except OSError as error:
            self.say(f"cannot write the checkpoint {str(path)!r} ({error}); the last one stays")
            return
        for old in found(self.folder)[KEPT:]:
            old.unlink(missing_ok=True)
