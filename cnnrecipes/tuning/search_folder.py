"""The folder of a search: created, or checked to be one of the same search; its lock."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from cnnrecipes._support.atomic_files import write_text
from cnnrecipes._support.locks import NAME, locked
from cnnrecipes.comparison.code_version import code_version, differences
from cnnrecipes.errors import DataError, Interrupted, RunError
from cnnrecipes.recipe.keys_and_defaults import fixed_part
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.run import check_place
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.records import TRIALS
from cnnrecipes.tuning.search import FILE, Search, sizes_of
from cnnrecipes.tuning.space_models import check_models
from cnnrecipes.tuning.trial_recipe import trial_start, without_search


def search_folder(base: Recipe, workdir: str | Path, name: str | None) -> Path:
    """Return the folder of a search. Raises RunError for a place that cannot be one."""
    check_place(workdir)
    folder = Path(workdir) / (name or f"search_{base.name}")
    if not (folder / FILE).is_file():
        check_place(workdir, folder.name)
    return folder


def open_search(
    base: Recipe, folder: Path, opened: OpenData, say: Callable[[str], None], *, worker: bool = False
) -> Search:
    """Open the data, and create the folder of a search or check that it has the same one.

    Args:
        base: the recipe with its `search` table.
        folder: of the search.
        opened: the data.
        say: receives messages.
        worker: a worker, which takes the numbers of trials and trainings from the folder, and writes nothing.

    Raises:
        RunError: the folder has another search.
    """
    complete = trial_start(base, opened.data, {}, 0).recipe
    pipeline = opened.pipeline(complete, say)
    if not pipeline.images("validation"):
        raise DataError(
            "a search compares trials on a validation split, and there is none; set data.validation above 0"
        )
    search, identity = Search(folder), _identity(base, pipeline.fingerprint())
    if (folder / FILE).is_file():
        if different := _differences(search.document.get("identity", {}), identity):
            raise RunError(
                f"{str(folder)!r} has another search: {'; '.join(different[:5])}; give another name or workdir for a "
                "new search, or the settings of the old one to continue it"
            )
        _tell_code(search, say)
        _take_sizes(search, base, say, worker=worker)
        return search
    check_models(base, opened)
    try:
        (folder / TRIALS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot write a search folder at {str(folder)!r} ({error.strerror}); give another workdir"
        ) from None
    write_text(folder / "recipe.toml", base.to_toml())
    search.write(
        {
            "format": 1,
            "created": datetime.now().astimezone().isoformat(timespec="seconds"),
            "identity": identity,
            "code": dict(code_version()),
        }
    )
    return search


def _take_sizes(search: Search, base: Recipe, say: Callable[[str], None], *, worker: bool) -> None:
    """Write another number of trials or trainings into the folder of a search, or say whose number holds."""
    assert base.search is not None
    asked, known = sizes_of(base.search), sizes_of(search.settings)
    if asked == known:
        return
    shown = ", ".join(f"{name} = {size}" for name, size in known.items())
    if worker:
        say(f"the chief's numbers hold for this worker: {shown}")
    elif search.covers(base.search):
        say(f"the search is over with {shown}, which a smaller one is a part of; its result is unchanged")
    else:
        write_text(search.folder / "recipe.toml", base.to_toml())
        search.__dict__.pop("recipe", None)


def _tell_code(search: Search, say: Callable[[str], None]) -> None:
    """Say what of the code has changed since the search began: its new trials are not those of one code."""
    if changed := differences(search.document.get("code", code_version())):
        say(
            f"the code has changed since this search began ({'; '.join(changed[:3])}), so its trials may differ by "
            "more than their values; a new search in another folder compares them under one code"
        )


@contextlib.contextmanager
def held(search: Search) -> Iterator[None]:
    """Hold the lock of a search in the `with` block. Raises RunError if another process holds it."""
    with locked(search.folder / NAME) as free:
        if not free:
            raise RunError(
                f"another process is at work on the search {str(search.folder)!r}; wait for it, or stop it first"
            )
        yield


@contextlib.contextmanager
def naming_resume(search: Search, say: Callable[[str], None]) -> Iterator[None]:
    """Name the command that continues the search if it is interrupted, or ends in an error."""
    resume = f"`cnnrecipes tune --resume {search.folder}` continues inside its trial"
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as error:
        raise Interrupted(
            f"the search was interrupted ({str(error).partition(';')[0] or 'Ctrl-C'}); {resume}"
        ) from None
    except Exception:
        say(f"the search ends with an error, and no trial is lost by it: {resume}")
        raise


def _identity(base: Recipe, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may not change in the folder of a search."""
    assert base.search is not None
    table = base.search.model_dump(mode="json", exclude=set(sizes_of(base.search)))
    return {"recipe": fixed_part(without_search(base).to_dict()), "search": table, "data": dict(data)}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return "key was old and is now new" for each difference."""
    old, new = (dict(_flat(each)) for each in (before, after))
    return [
        f"{key} was {json.dumps(old.get(key))} and is {json.dumps(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tables.items():
        if isinstance(value, Mapping) and prefix.count(".") < 2:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
