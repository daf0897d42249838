"""`Study`: the folder of several paired trainings; each is an ordinary run, trained once and resumed after a kill."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from filelock import FileLock, Timeout

from cnnrecipes._support.atomic_files import make_folder, write_text
from cnnrecipes._support.console import silent
from cnnrecipes.comparison import code_version
from cnnrecipes.comparison.variants import Variant
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.errors import (
    CNNRecipesError,
    CNNRecipesWarning,
    DataError,
    Interrupted,
    RunError,
    TrainingError,
    one_line,
)
from cnnrecipes.fit import fit, resume
from cnnrecipes.runs.checkpoint import Fingerprint
from cnnrecipes.runs.evaluation import images_digest
from cnnrecipes.runs.records import FAILURE, read_failure
from cnnrecipes.runs.run import Run
from cnnrecipes.training.start_or_resume import complete_recipe

PLAN = "plan.json"


@dataclass(frozen=True)
class Score:
    """The result of one training.

    Attributes:
        seed: its `train.seed`.
        run: its folder.
        accuracy: on the measured split, 0..1; NaN if the loss became NaN or infinite.
        images: number of images of that split.
        seconds_per_epoch: median over the epochs after the first one, which compiles; NaN without epochs.
        images_per_second: likewise, of the training steps alone.
        peak_memory_mib: of the GPU; None on a CPU, where all trainings share the process.
        machine: platform and devices.
        failed: the loss became NaN or infinite.
    """

    seed: int
    run: Path
    accuracy: float
    images: int
    seconds_per_epoch: float
    images_per_second: float
    peak_memory_mib: float | None
    machine: str
    failed: bool = False


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
        about = _data_record(variants[0], data, split)
        recorded = _read_plan(folder)
        if recorded:
            _require_same(folder, recorded, variants, data, about)
        trained = {
            one.folder: recorded["variants"][one.folder]["trained"]
            if recorded and one.folder in recorded["variants"]
            else _checked(one, data, seed)
            for one in variants
        }
        with _locked(make_folder(folder)):
            entries = {
                one.folder: {"label": one.label, "recipe": _recorded(one, data), "trained": trained[one.folder]}
                for one in variants
            }
            plan = {
                "variants": {**(recorded["variants"] if recorded else {}), **entries},
                "data": about,
                "code": dict(code_version.code_version()),
            }
            write_text(folder / PLAN, json.dumps(plan, indent=2))
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
                return self._score(Run(place), seed), False
            if read_failure(place / FAILURE):
                return self._failed(Run(place), seed), False
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
            return self._failed(Run(place), seed), True
        return self._score(run, seed), True

    def _require_same_recipe(self, run: Run, variant: Variant, seed: int) -> None:
        wanted = _with_seed(self.plan["variants"][variant.folder]["trained"], seed)
        recorded = run.recipe.to_dict()
        if variant.recipe.transfer.how == "auto":
            recorded["transfer"]["how"] = wanted["transfer"]["how"]
        if found := Fingerprint(recorded, {}).differences(Fingerprint(wanted, {})):
            raise RunError(
                f"{str(run.folder)!r} is a run of another recipe: {_told(found)}; move it away, or give another name"
            )

    def _score(self, run: Run, seed: int) -> Score:
        metrics = run.metrics.get(self.split)
        if metrics is None:
            raise RunError(f"{str(run.folder)!r} has no accuracy on the {self.split} split; give another split")
        seconds, speed, memory = np.nan, np.nan, None
        if run.recipe.transfer.trains_by_steps:
            history = run.history
            steady = history.iloc[1:] if len(history) > 1 else history
            seconds, speed = (float(steady[name].median()) for name in ("seconds", "images_per_second"))
            memory = float(history["memory_mib"].max()) if _on_gpu(run) and "memory_mib" in history else None
        return Score(seed, run.folder, metrics["accuracy"], metrics["n"], seconds, speed, memory, _machine(run))

    def _failed(self, run: Run, seed: int) -> Score:
        return Score(seed, run.folder, np.nan, 0, np.nan, np.nan, None, _machine(run), failed=True)


class Clock:
    """Messages about trainings, with an estimate of the time that the others take.

    Args:
        total: number of trainings.
        say: receives the messages.
    """

    def __init__(self, total: int, say: Callable[[str], None]):
        self.total, self.say, self.done = total, say, 0
        self.seconds: list[float] = []
        self.started = time.monotonic()

    def tell(self, label: str, score: Score, was_trained: bool, split: str) -> None:
        """Say one line about a training that has just ended, or was found finished."""
        self.done += 1
        now = time.monotonic()
        seconds, self.started = now - self.started, now
        result = "the loss is not finite" if score.failed else f"{split} {score.accuracy:.2%}"
        if not was_trained:
            self.say(f"[{self.done}/{self.total}] seed {score.seed}, {label}: {result}, trained before")
            return
        self.seconds.append(seconds)
        left = (self.total - self.done) * float(np.median(self.seconds))
        rest = f"; about {_duration(left)} left" if self.done < self.total else ""
        self.say(f"[{self.done}/{self.total}] seed {score.seed}, {label}: {result} in {_duration(seconds)}{rest}")


def _checked(variant: Variant, data: Any, seed: int) -> dict[str, Any]:
    """Build the training of a variant, which finds all errors, and return its complete recipe."""
    try:
        with opened_subject(variant.base, data, seed=seed, changes=variant.changes) as job:
            return job.recipe.to_dict()
    except CNNRecipesError as error:
        error.args = (f"the variant {variant.label!r}: {error}", *error.args[1:])
        raise


def _data_record(variant: Variant, data: Any, split: str) -> dict[str, Any]:
    """Return what identifies the data: the fingerprint of the whole training split, and digests of the others.

    Raises:
        DataError: there is no split `split`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CNNRecipesWarning)  # `opened_subject` warns of the same
        recipe = complete_recipe(variant.base, data, None, {**variant.changes, "data.train_images": None})
        with InputPipeline.open(recipe, data) as pipeline:
            splits = pipeline.source.splits
            if split not in splits:
                raise DataError(
                    f"{pipeline.source.name} has no {split} split to compare on; it has {', '.join(splits)}; set "
                    f"data.{split} above 0, or choose another split"
                )
            held_out = {name: images_digest(part) for name, part in splits.items() if name != "train"}
            return {**pipeline.fingerprint(), **{f"{name}_images": digest for name, digest in held_out.items()}}


def _recorded(variant: Variant, data: Any) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CNNRecipesWarning)
        return complete_recipe(variant.base, data, 0, variant.changes).to_dict()


def _read_plan(folder: Path) -> dict[str, Any] | None:
    """Return plan.json of a folder; None for a new or empty folder.

    Raises:
        RunError: the folder has other content, or its plan.json is damaged.
    """
    path = folder / PLAN
    if not path.is_file():
        content = [one for one in folder.iterdir() if not one.name.startswith(".")] if folder.is_dir() else []
        if content or folder.is_file():
            raise RunError(f"{str(folder)!r} exists and is not the folder of a comparison; give another name")
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not {"variants", "data", "code"} <= found.keys():
            raise ValueError("it has not all entries")
        return found
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"cannot read {str(path)!r} ({one_line(error)}); move the folder away") from None


def _require_same(
    folder: Path, recorded: Mapping[str, Any], variants: Sequence[Variant], data: Any, about: Mapping[str, Any]
) -> None:
    """Raise RunError if the folder has trainings of other variants, data or code; the message has the differences."""
    remedy = "give another name, or move the folder away"
    known = recorded["variants"]
    if not any(one.folder in known for one in variants):
        labels = ", ".join(repr(entry["label"]) for entry in known.values())
        raise RunError(f"{str(folder)!r} is another comparison, of {labels}; {remedy}")
    for one in variants:
        if one.folder in known:
            before, now = (Fingerprint(tables, {}) for tables in (known[one.folder]["recipe"], _recorded(one, data)))
            if found := before.differences(now):
                raise RunError(f"{str(folder)!r} has {one.label!r} of another recipe: {_told(found)}; {remedy}")
    if found := Fingerprint({}, recorded["data"]).differences(Fingerprint({}, about)):
        raise RunError(f"{str(folder)!r} was trained on other data: {_told(found)}; {remedy}")
    if changed := code_version.differences(recorded["code"]):
        raise RunError(f"{str(folder)!r} was trained by other code: {'; '.join(changed[:5])}; {remedy}")


def _told(found: Sequence[tuple[str, Any, Any]]) -> str:
    return "; ".join(f"{name} was {before!r} and is {now!r}" for name, before, now in found[:5])


def _with_seed(tables: Mapping[str, Any], seed: int) -> dict[str, Any]:
    return {**tables, "train": {**tables["train"], "seed": seed}}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(f"{str(folder)!r} is being trained by another process; wait for it, or stop it first") from None
    except (NotImplementedError, OSError):
        pass  # file systems without locks
    try:
        yield
    finally:
        lock.release()


def _remove_empty(place: Path) -> None:
    """Remove the folder of a run that was killed before its recipe was written; it has no file of any worth."""
    if place.is_dir() and not (place / "recipe.toml").is_file():
        if any(one.is_file() and not one.name.startswith(".") for one in place.rglob("*")):
            raise RunError(f"{str(place)!r} exists and is not a run; move it away")
        shutil.rmtree(place)


def _environment(run: Run) -> dict[str, Any]:
    try:
        return json.loads((run.folder / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _machine(run: Run) -> str:
    about = _environment(run)
    return f"{about.get('platform')}, {about.get('cpu_count')} CPUs, {', '.join(about.get('devices', []))}"


def _on_gpu(run: Run) -> bool:
    return any("GPU" in device for device in _environment(run).get("devices", []))


def _reset_peak_memory() -> None:
    """Begin a new measurement of the peak memory of each GPU."""
    for number in range(len(tf.config.list_logical_devices("GPU"))):
        tf.config.experimental.reset_memory_stats(f"GPU:{number}")


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def score_table(scores: Mapping[str, Mapping[int, Score]]) -> pd.DataFrame:
    """Return one row for each training: variant, and the attributes of its `Score`."""
    return pd.DataFrame([{"variant": label, **vars(one)} for label, row in scores.items() for one in row.values()])
