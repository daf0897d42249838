"""Checkpoints: the complete training state in one file, for a bit-exact resume.

A checkpoint holds one array per variable, the `TrainState`, and the recipe and data fingerprint of the training. Files
are verified and written atomically (`verified_npz`), and the previous checkpoint is kept, so a valid one remains after
a kill, a full disk or a flipped bit.
"""

from __future__ import annotations

import copy
import hashlib
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnrecipes.errors import RunError
from cnnrecipes.recipe.keys_and_defaults import fixed_part, with_new_keys
from cnnrecipes.recipe.renamed_keys import upgraded
from cnnrecipes.runs import verified_npz
from cnnrecipes.runs.training_progress import TrainState

FOLDER = "checkpoints"  # in a run folder
MODEL = "model"  # the group of a model's variables
PLATEAU_FACTOR = "schedule/00000"  # the first variable of `RecipeSchedule`
KEPT = 2  # the newest, and the one before it
_NAME = re.compile(r"step_(\d{9})\.npz")


@dataclass(frozen=True)
class Fingerprint:
    """The recipe and data of a training; only a training with an equal fingerprint may resume its checkpoints.

    Attributes:
        recipe: the recipe as nested tables.
        data: class names, number of training images, digests of their labels and of a sample of images.
    """

    recipe: Mapping[str, Any]
    data: Mapping[str, Any]

    def differences(self, other: Fingerprint) -> list[tuple[str, Any, Any]]:
        """Return (key, own value, other value) for each difference, except for keys that may change on resume."""
        own, others = (_flat(fixed_part(each.recipe)) | _flat({"data": each.data}) for each in (self, other))
        names = sorted(own.keys() | others.keys())
        return [(name, own.get(name), others.get(name)) for name in names if own.get(name) != others.get(name)]


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training at one step: its variables by name, `TrainState`, and fingerprint of recipe and data."""

    path: Path
    arrays: dict[str, np.ndarray]
    state: TrainState
    fingerprint: Fingerprint

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read and verify a checkpoint. Raises RunError if it is missing, damaged, or not a checkpoint."""
        arrays, document = verified_npz.read(path)
        if not {"recipe", "data"} <= document.keys():
            raise RunError(f"{str(path)!r} has weights but no training state; give a file step_*.npz of a run")
        recipe = with_new_keys(upgraded(document["recipe"]))
        record = document["state"] if "state" in document else _state_of_first_format(document)
        return cls(path, arrays, TrainState.of(record), Fingerprint(recipe, document["data"]))

    def write(self, path: Path) -> None:
        """Write a copy atomically. Raises OSError."""
        document = {"recipe": self.fingerprint.recipe, "data": self.fingerprint.data, "state": self.state.record()}
        verified_npz.write(path, self.arrays, document)

    def extended(self, recipe: Mapping[str, Any], *, full_rate: bool) -> Checkpoint:
        """Return the checkpoint as the start of a training for more epochs.

        Args:
            recipe: the longer recipe as nested tables.
            full_rate: undo the reductions of the learning rate by plateaus.
        """
        arrays = {**self.arrays, **({PLATEAU_FACTOR: np.asarray(1.0, np.float32)} if full_rate else {})}
        fingerprint = replace(self.fingerprint, recipe=recipe)
        return replace(self, arrays=arrays, state=self.state.extended(), fingerprint=fingerprint)

    def require(self, fingerprint: Fingerprint) -> None:
        """Raise RunError naming the differences if the checkpoint belongs to another training."""
        if differing := self.fingerprint.differences(fingerprint):
            what = "; ".join(f"{name} was {before!r} and is {now!r}" for name, before, now in differing[:5])
            raise RunError(
                f"the checkpoint {str(self.path)!r} belongs to another training: {what}; use the same recipe and data, "
                "or start a new training with `cnnrecipes fit`"
            )

    def restore(self, variables: Mapping[str, Sequence[keras.Variable]]) -> None:
        """Assign the stored values to groups of variables. Raises RunError, before any assignment, if they differ."""
        wanted = _named(variables)
        if wanted.keys() != self.arrays.keys():
            raise RunError(
                f"{str(self.path)!r} has {len(self.arrays)} variables, this training {len(wanted)}; "
                "resume with the recipe and the versions of cnnrecipes and Keras that wrote it"
            )
        for name, variable in wanted.items():
            if tuple(variable.shape) != self.arrays[name].shape:
                raise RunError(
                    f"{str(self.path)!r}: {variable.path} has shape {self.arrays[name].shape} in the checkpoint and "
                    f"{tuple(variable.shape)} in this model; resume with the recipe that wrote it"
                )
        for name, variable in wanted.items():
            variable.assign(self.arrays[name])


def found(run: Path) -> list[Path]:
    """Return the paths of all checkpoint files in a run folder, newest first, without opening them."""
    paths = (run / FOLDER).glob("step_*.npz")
    return sorted((path for path in paths if _NAME.fullmatch(path.name)), reverse=True)


def step_of(path: Path) -> int:
    """Return the completed steps of a checkpoint file, from its name."""
    return int(path.stem.removeprefix("step_"))


def newest(run: Path, say: Callable[[str], None] = print) -> Checkpoint | None:
    """Return the newest valid checkpoint of a run folder; None if the folder has no checkpoint.

    Args:
        say: receives a message for every damaged checkpoint that is skipped.

    Raises:
        RunError: there are checkpoints, but all are damaged.
    """
    paths, why = found(run), None
    for path in paths:
        try:
            return Checkpoint.read(path)
        except RunError as error:
            why = error
            if path != paths[-1]:
                say(f"{error}; the one before it is used")
    if why is not None:
        raise RunError(f"{why}, and there is no other checkpoint; train again with `cnnrecipes fit`")
    return None


def capture(variables: Mapping[str, Sequence[keras.Variable]]) -> dict[str, np.ndarray]:
    """Return the values of groups of variables, keyed "group/number"."""
    return {name: np.asarray(variable.numpy()) for name, variable in _named(variables).items()}


def digest(arrays: Sequence[np.ndarray]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the arrays' bytes: equal only for bit-equal weights."""
    hashed = hashlib.sha256()
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]


class Writer:
    """Background writer of checkpoints, one at a time; deletes all but the `KEPT` newest.

    Args:
        run: the run folder.
        say: receives a message if a checkpoint cannot be written.
    """

    def __init__(self, run: Path, say: Callable[[str], None] = print):
        self.run, self.folder, self.say = run, run / FOLDER, say
        self._thread: threading.Thread | None = None

    def delete_leftovers(self) -> None:
        """Delete the temporary files of a training that was killed while it wrote a checkpoint."""
        for path in self.folder.glob(".*.npz"):
            path.unlink(missing_ok=True)

    @property
    def busy(self) -> bool:
        """True while a checkpoint is being written."""
        return self._thread is not None and self._thread.is_alive()

    def write(self, arrays: Mapping[str, np.ndarray], state: TrainState, fingerprint: Fingerprint) -> None:
        """Start writing a checkpoint, after the previous one is written; the state may change afterwards.

        If the disk is full, this is reported, and the previous checkpoints are kept.
        """
        self.finish()
        size = sum(array.nbytes for array in arrays.values())
        free = shutil.disk_usage(self.folder).free
        if free < 1.05 * size + 2**20:
            self.say(
                f"the disk of {str(self.folder)!r} has {free / 2**20:.0f} MiB left and a checkpoint needs "
                f"{size / 2**20:.0f}: none is written until space is freed; the last one is kept"
            )
            return
        path = self.folder / f"step_{state.total_steps:09d}.npz"
        made = Checkpoint(path, dict(arrays), copy.deepcopy(state), fingerprint)
        self._thread = threading.Thread(target=self._write, args=(made,), name="checkpoint")
        self._thread.start()

    def finish(self) -> None:
        """Wait until the current write has finished."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, made: Checkpoint) -> None:
        try:
            made.write(made.path)
        except OSError as error:
            self.say(f"cannot write the checkpoint {str(made.path)!r} ({error}); the last one is kept")
            return
        for old in found(self.run)[KEPT:]:
            old.unlink(missing_ok=True)


def _named(variables: Mapping[str, Sequence[keras.Variable]]) -> dict[str, keras.Variable]:
    return {
        f"{group}/{number:05d}": variable
        for group, members in variables.items()
        for number, variable in enumerate(members)
    }


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables as one flat dict with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _state_of_first_format(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of `TrainState` for a checkpoint of the first format, which has none."""
    parts = document["parts"]
    budget, waited = parts.get("budget", {}), parts.get("patience", {}).get("waited", 0)
    patience = document["recipe"]["train"].get("early_stopping")
    stopped = "the time budget is used up" if budget.get("ended") else None
    if patience and waited >= patience:
        stopped = f"no better validation for {waited} epochs"
    return {
        "steps_per_epoch": document["steps_per_epoch"],
        **parts["position"],
        "epoch_seconds": parts["record"]["seconds"],
        "history": parts["history"]["rows"],
        "best_epoch": parts["best"]["epoch"],
        "best_score": parts["best"]["score"],
        "epochs_without_improvement": waited,
        "epochs_at_this_rate": parts.get("drop", {}).get("waited", 0),
        "seconds": budget.get("used", 0.0),
        "seconds_per_image": budget.get("per_image", 0.0),
        "validation_timed": budget.get("measured", False),
        "stop_reason": stopped,
    }
