"""`Study`: the folder of several paired trainings; each is an ordinary run, trained once and resumed after a kill."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from cnnrecipes._support import locks
from cnnrecipes._support.atomic_files import make_folder
from cnnrecipes._support.console import silent
from cnnrecipes._support.locks import locked
from cnnrecipes.comparison.accuracy_speed_memory import Score
from cnnrecipes.comparison.shared_settings import data_record, differing, read_plan, require_same, write_plan
from cnnrecipes.comparison.variants import Variant
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.errors import CNNRecipesError, CNNRecipesWarning, Interrupted, RunError, TrainingError
from cnnrecipes.fit import fit, resume
from cnnrecipes.runs.checkpoint import Fingerprint
from cnnrecipes.runs.records import FAILURE, read_failure
from cnnrecipes.runs.run import Run


@dataclass(frozen=True)
class Study:
    """Paired trainings in one folder: `folder/variant/seed_k`, and plan.json with what they must share.

    Attributes:
        folder: the folder, which this process has locked.
        data: as in `fit`.
        split: the split that is measured.
        say: receives a line for each training.
    """

    folder: Path
    data: Any
    split: str
    say: Callable[[str], None]
    plan: dict[str, Any]

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls,
        folder: Path,
        variants: Sequence[Variant],
        data: Any,
        *,
        seed: int,
        split: str,
        say: Callable[[str], None] = silent,
    ) -> Iterator[Study]:
        """Check all variants before any training, lock the folder, and yield the study.

        Args:
            folder: created if missing; one of an earlier call with the same variants goes on.
            variants: what is trained.
            data: as in `fit`.
            seed: with which the variants are checked.
            split: "validation" or "test".
            say: receives messages.

        Raises:
            RunError: the folder belongs to other variants, data or code, or to another process.
            DataError: there is no such split.
            CNNRecipesError: a variant cannot be trained.
        """
        about = data_record(variants[0], data, split)
        recorded = read_plan(folder)
        if recorded:
            require_same(folder, recorded, variants, data, about)
        trained = {
            one.folder: recorded["variants"][one.folder]["trained"]
            if recorded and one.folder in recorded["variants"]
            else _checked(one, data, seed)
            for one in variants
        }
        with _locked(make_folder(folder)):
            plan = write_plan(folder, variants, data, trained=trained, about=about, recorded=recorded)
            yield cls(folder, data, split, say, plan)

    def run_folder(self, variant: Variant, seed: int) -> Path:
        """Return the folder of one training."""
        return self.folder / variant.folder / f"seed_{seed}"

    def trained(self, variant: Variant, seed: int) -> tuple[Score, bool]:
        """Return the score of one training, and True if it had to be trained now; an unfinished one is resumed.

        Raises:
            RunError: there is a run of another recipe in its folder.
            Interrupted: Ctrl-C or SIGTERM.
            CNNRecipesError: the training fails, other than by a loss that is not finite.
        """
        place = self.run_folder(variant, seed)
        _remove_empty(place)
        exists = (place / "recipe.toml").is_file()
        if exists:
            self._require_same_recipe(Run(place), variant, seed)
            if Run(place).finished:
                return Score.of(Run(place), seed, self.split), False
            if read_failure(place / FAILURE):
                return Score.of_failed(Run(place), seed), False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CNNRecipesWarning)  # shown once, when the variants were checked
                _reset_peak_memory()
                if exists:
                    run = resume(place, self.data, progress=False)
                else:
                    run = fit(
                        variant.base,
                        self.data,
                        workdir=place.parent,
                        name=place.name,
                        seed=seed,
                        progress=False,
                        **variant.changes,
                    )
        except Interrupted:
            raise Interrupted(
                f"interrupted in {str(place)!r}; the same command continues, and does not repeat finished trainings"
            ) from None
        except TrainingError:
            if not read_failure(place / FAILURE):
                raise
            return Score.of_failed(Run(place), seed), True
        return Score.of(run, seed, self.split), True

    def _require_same_recipe(self, run: Run, variant: Variant, seed: int) -> None:
        wanted = _with_seed(self.plan["variants"][variant.folder]["trained"], seed)
        recorded = run.recipe.to_dict()
        if variant.recipe.transfer.how == "auto":
            recorded["transfer"]["how"] = wanted["transfer"]["how"]
        if found := Fingerprint(recorded, {}).differences(Fingerprint(wanted, {})):
            remedy = "move it away, or give another name"
            raise RunError(f"{str(run.folder)!r} is a run of another recipe: {differing(found)}; {remedy}")


def _checked(variant: Variant, data: Any, seed: int) -> dict[str, Any]:
    """Build the training of a variant, which finds all errors, and return its complete recipe."""
    try:
        with opened_subject(variant.base, data, seed=seed, changes=variant.changes) as job:
            return job.recipe.to_dict()
    except CNNRecipesError as error:
        error.args = (f"the variant {variant.label!r}: {error}", *error.args[1:])
        raise


def _with_seed(tables: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {**tables, "train": {**tables["train"], "seed": seed}}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with locked(folder / locks.NAME) as free:
        if not free:
            raise RunError(f"{str(folder)!r} is being trained by another process; wait for it, or stop it first")
        yield


def _remove_empty(place: Path) -> None:
    """Remove the folder of a run that was killed before its recipe was written; it has no file of any worth."""
    if place.is_dir() and not (place / "recipe.toml").is_file():
        if any(one.is_file() and not one.name.startswith(".") for one in place.rglob("*")):
            raise RunError(f"{str(place)!r} exists and is not a run; move it away")
        shutil.rmtree(place)


def _reset_peak_memory() -> None:
    """Begin a new measurement of the peak memory of each GPU."""
    for number in range(len(tf.config.list_logical_devices("GPU"))):
        tf.config.experimental.reset_memory_stats(f"GPU:{number}")
