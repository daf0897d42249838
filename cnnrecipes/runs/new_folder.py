"""Place and name of a new run folder: checked before the training, and made without overwriting another."""

from __future__ import annotations

from pathlib import Path

from cnnrecipes._support.atomic_files import is_utf8
from cnnrecipes.errors import RunError
from cnnrecipes.recipe.values import folder_name


def check_place(workdir: str | Path, name: str | None = None) -> None:
    """Raise RunError if a run folder called `name` cannot be created in `workdir`."""
    if not isinstance(workdir, (str, Path)):
        raise RunError(f"workdir is {workdir!r}; give the path of the parent folder of run folders")
    if not is_utf8(workdir):
        raise RunError(f"workdir {str(workdir)!r} is not UTF-8, which TensorFlow requires; give another folder")
    if name is None:
        return
    try:
        folder_name(name)
    except ValueError as error:
        raise RunError(f"the run's name is {name!r}; {error}") from None
    if (Path(workdir) / name).exists():
        raise RunError(f"{str(Path(workdir) / name)!r} exists already; give another name, or move it away")


def named(workdir: Path, name: str) -> Path:
    """Create the folder `name` in `workdir`. Raises RunError if it exists."""
    try:
        (workdir / name).mkdir()
    except FileExistsError:
        raise RunError(f"{str(workdir / name)!r} exists already; give another name, or move it away") from None
    return workdir / name


def first_free(workdir: Path, base: str) -> Path:
    """Create the folder `<base>_<number>` in `workdir` with the first free number, from 1 on."""
    number = 1
    while True:
        try:
            (workdir / f"{base}_{number}").mkdir()
            return workdir / f"{base}_{number}"
        except FileExistsError:
            number += 1
