"""Checkpoints: the complete training state in one file, for a bit-exact resume.

A checkpoint is an uncompressed zip (`np.load` opens it) with one array per variable, and `state.json` for all other
state. Its last bytes, the zip comment, are a SHA-256 digest of all bytes before them, which detects every flipped bit,
truncation or addition: the CRC-32 checksums of a zip cover the contents of its members, not their names, sizes and
number.

Writes are atomic: to a temporary file in the same folder, which is read back and then renamed. The previous checkpoint
is kept, so a valid one remains after a kill, a full disk or a flipped bit.
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
from cnnrecipes.recipe.renamed_keys import upgraded

STATE = "state.json"
KEPT = 2  # the newest, and the one before it
_NAME = re.compile(r"step_(\d{9})\.npz")
_LABEL = b"cnnrecipes checkpoint, SHA-256 of the bytes before this: "
_TRAILER = len(_LABEL) + 64
_OLD_END = b"PK\5\6"  # with which the last 22 bytes of a zip without a comment begin
_DAMAGED = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)


class Checkpoint(NamedTuple):
    """A loaded checkpoint: its path, the arrays by name, and the content of state.json."""

    path: Path
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


def write(path: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

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


def read(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. Raises RunError if it is missing or a single bit has changed."""
    try:
        with open(path, "rb") as file:
            return Checkpoint(path, *parse(file))
    except _DAMAGED as error:
        raise RunError(f"the checkpoint {str(path)!r} is damaged ({error})") from None


def parse(file: BinaryIO) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays by name and the state of an open checkpoint. Raises ValueError if the digest differs."""
    _verify(file)
    with zipfile.ZipFile(file) as archive:
        state = json.loads(archive.read(STATE))
        if "recipe" in state:
            state["recipe"] = upgraded(state["recipe"])
        arrays = {}
        for name in archive.namelist():
            if name != STATE:
                with archive.open(name) as member:
                    array = np.lib.format.read_array(member, allow_pickle=False)
                arrays[name.removesuffix(".npy")] = array
    return arrays, state


def _verify(file: BinaryIO) -> None:
    """Raise ValueError unless the file ends with the digest of all bytes before it."""
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
    """Return the last bytes of a checkpoint: the digest of the bytes before them."""
    left = file.seek(0, os.SEEK_END) - _TRAILER
    file.seek(0)
    digest = hashlib.sha256()
    while left > 0 and (some := file.read(min(left, 2**20))):
        digest.update(some)
        left -= len(some)
    return _LABEL + digest.hexdigest().encode()


def found(folder: Path) -> list[Path]:
    """Return the paths of the checkpoints of a folder, newest first, without reading them."""
    return sorted((path for path in folder.glob("step_*.npz") if _NAME.fullmatch(path.name)), reverse=True)


def newest(folder: Path, say: Callable[[str], None] = print) -> Checkpoint | None:
    """Return the newest valid checkpoint; None if the folder has none.

    Args:
        say: receives a message for every damaged checkpoint that is skipped.

    Raises:
        RunError: there are checkpoints, but all are damaged.
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
    """Return the values of groups of variables, keyed "group/number"."""
    return {
        f"{group}/{number:05d}": np.asarray(variable.numpy())
        for group, members in variables.items()
        for number, variable in enumerate(members)
    }


def restore(checkpoint: Checkpoint, variables: Mapping[str, Sequence[keras.Variable]]) -> None:
    """Assign the values of a checkpoint. Raises RunError, before any assignment, if names or shapes differ."""
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
    """Return the first 16 hexadecimal digits of the SHA-256 of the arrays' bytes: equal only for bit-equal weights."""
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]


class Writer:
    """Background writer of checkpoints, one at a time; deletes all but the `KEPT` newest.

    Args:
        folder: the checkpoint folder; temporary files of a killed process are deleted.
        say: receives a message if a checkpoint cannot be written.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = print):
        self.folder, self.say = folder, say
        for left in folder.glob(".*.npz"):
            left.unlink(missing_ok=True)  # of a training that was killed while it wrote
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """True while a checkpoint is being written."""
        return self._thread is not None and self._thread.is_alive()

    def write(self, step: int, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Start writing, after the previous write has finished; if the disk is full, report it and keep the old ones.

        Args:
            step: optimizer steps since the start of the training, which name the file.
        """
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
        """Wait until the current write has finished."""
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
