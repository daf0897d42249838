"""Batch-size finder: the largest batch size that fits into memory, and the smallest that is about as fast as any."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cnnrecipes._support import console
from cnnrecipes._support.memory_sizes import memory_text, parse_memory
from cnnrecipes._support.process_memory import available_memory
from cnnrecipes.debug.batch_trial import BatchTrial, run_trial
from cnnrecipes.errors import OutOfMemory, TrainingError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training.start_or_resume import complete_recipe

SECONDS = 60.0  # of the steps of a trial
_FIRST = 8  # batch size of the first trial
_AS_FAST = 0.95  # of the best speed
_SHARE = 0.8  # of the available memory, if no limit is given
_STEPS = 4  # of a trial at least
_PARTS = 8  # of the largest power of two, in which it is refined
_OPENING = 600.0  # seconds in which a trial has to open the data and compile


@dataclass(frozen=True)
class BatchSizes:
    """Result of `find_batch_size`.

    Attributes:
        trials: the trials, by batch size.
        limit: bytes of memory; None: that of the GPU.
        end: why no larger size was tried.
    """

    trials: tuple[BatchTrial, ...]
    limit: int | None
    end: str

    @property
    def table(self) -> pd.DataFrame:
        """One row for each trial: batch_size, fits, memory_gib, step_seconds, images_per_second."""
        rows = [(t.batch_size, t.fits, t.memory / 2**30, t.step, t.images_per_second) for t in self.trials]
        return pd.DataFrame(rows, columns=["batch_size", "fits", "memory_gib", "step_seconds", "images_per_second"])

    @property
    def largest(self) -> int:
        """The largest batch size that fits."""
        return max(trial.batch_size for trial in self.trials if trial.fits)

    @property
    def recommended(self) -> int:
        """The smallest batch size that has at least 95% of the best images/s."""
        fitting = [trial for trial in self.trials if trial.fits]
        best = max(trial.images_per_second for trial in fitting)
        return min(trial.batch_size for trial in fitting if trial.images_per_second >= _AS_FAST * best)

    def record(self) -> dict[str, Any]:
        """Return all results as a dict of JSON types."""
        own = {"largest": self.largest, "recommended": self.recommended, "limit": self.limit, "end": self.end}
        return {"trials": self.table.to_dict("records"), **own, "conclusion": str(self)}

    def __str__(self) -> str:
        size = {trial.batch_size: trial for trial in self.trials}
        largest, recommended = size[self.largest], size[self.recommended]
        best = max(trial.images_per_second for trial in self.trials if trial.fits)
        room = "the GPU's memory" if self.limit is None else memory_text(self.limit)
        return (
            f"The largest tried batch size that fits into {room} is {largest.batch_size} "
            f"({memory_text(largest.memory)}); {self.end}. The smallest within 5% of the best speed "
            f"({best:,.0f} images/s) is {recommended.batch_size} ({recommended.images_per_second:,.0f} images/s): set "
            f"data.batch_size={recommended.batch_size}. Another batch size needs another learning rate."
        )


def find_batch_size(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    memory: str | int | None = None,
    refine: bool = False,
    seconds: float = SECONDS,
    seed: int | None = None,
    progress: bool = True,
    **changes: Any,
) -> BatchSizes:
    """Find the largest `data.batch_size` per device whose training step fits into memory, and how fast each size is.

    Real training steps with powers of two, each in a process of its own, so that the memory of one trial is not in the
    next and running out of it ends only the trial. On a GPU the sizes grow until its memory is exhausted. On a CPU the
    memory is the peak resident memory of the process; the next size is tried if the peaks so far, extrapolated
    linearly, fit into the limit, and a trial that exceeds it nevertheless ends itself. No size exceeds the number of
    training images. The images/s include the input pipeline.

    Args:
        recipe, data, seed, changes: as in `fit`; arrays are copied to the trials by a file.
        memory: the limit, for example "8GiB", or bytes; None: the memory of the GPU, or on a CPU 80% of what is
            available now.
        refine: also try sizes between the largest power of two and the next, in steps of an eighth.
        seconds: of the steps of a trial; sizes that would take longer are not tried.
        progress: print each trial.

    Raises:
        OutOfMemory: not even the smallest batch fits, or the limit is below what the model needs without a step.
        TrainingError: the limit is not understood, `seconds` is not above 0, or data that cannot be given to another
            process.
        CNNRecipesError: as for `fit`.
    """
    if not 0 < seconds < math.inf:
        raise TrainingError(f"seconds of a trial (--seconds) are {seconds:g}; give a number above 0, for example 60")
    limit = _limit(memory)
    spec = complete_recipe(catalog.load(recipe), data, seed, changes)
    tables, asked = spec.to_dict(), memory is not None
    say = console.say if progress else console.silent

    def trial(size: int) -> BatchTrial:
        return run_trial(tables, spec.name, data, size, limit, _OPENING + 10 * seconds, asked=asked)

    unit = math.lcm(spec.train.microbatches, spec.augment.repeats)
    return Search(trial, unit=unit, limit=limit, asked=asked, refine=refine, seconds=seconds, say=say).run()


def _limit(memory: str | int | None) -> int | None:
    """Return the limit in bytes. Raises TrainingError if it is not understood."""
    if isinstance(memory, int) and not isinstance(memory, bool) and memory > 0:
        return memory
    if memory is None:
        free = available_memory()
        return None if free is None else int(_SHARE * free)
    try:
        return parse_memory(memory)
    except ValueError as error:
        raise TrainingError(f"the limit of the memory is {memory!r}; {error}") from None


@dataclass
class Search:
    """Search for the largest batch size that fits into memory, by doubling; every trial also measures the speed.

    Attributes:
        trial: function from a batch size to its BatchTrial.
        unit: all sizes are multiples of it: microbatches, and repeats of an image.
        limit: bytes; None: unknown, so that only a GPU can be searched.
        asked: the user gave the limit, which then holds on a GPU too.
        refine, seconds: as in `find_batch_size`.
        say: receives a line for each trial.
    """

    trial: Callable[[int], BatchTrial]
    unit: int = 1
    limit: int | None = None
    asked: bool = True
    refine: bool = False
    seconds: float = SECONDS
    say: Callable[[str], None] = console.silent
    done: dict[int, BatchTrial] = field(default_factory=dict)

    def run(self) -> BatchSizes:
        """Return the result. Raises OutOfMemory if no size fits."""
        size = self.unit
        while size < _FIRST:
            size *= 2
        first = self._first(size)
        if not first.gpu and self.limit is None:
            raise TrainingError("the available memory is unknown on this system; give a limit, for example 8GiB")
        size = first.batch_size
        while not (end := self._reason_against(2 * size)):
            if self._try(2 * size).fits:
                size *= 2
        if self.refine:
            self._refine(size)
        trials = tuple(self.done[size] for size in sorted(self.done))
        return BatchSizes(trials, self.limit if self.asked or not first.gpu else None, end)

    def _first(self, size: int) -> BatchTrial:
        """Return the first trial that fits into memory: of batch size `size`, half of it, a quarter, ...

        Raises OutOfMemory if none does.
        """
        while True:
            found = self._try(size)
            if found.images and size > found.images and size > self.unit:
                del self.done[size]  # it had fewer images than it should
            elif found.fits:
                return found
            if size == self.unit or (found.memory and not found.base):
                raise OutOfMemory(self._message(found))
            size //= 2

    def _message(self, found: BatchTrial) -> str:
        limit = "the memory of the GPU" if found.gpu else f"the limit of {memory_text(self.limit or 0)}"
        if found.memory and not found.base:
            return (
                f"{limit} is below what the process needs before its first step: it had {memory_text(found.memory)} "
                "when it was ended; give a higher limit, or a smaller model"
            )
        held = "; does this process hold the GPU's memory? `cnnrecipes find-batch-size` does not" if found.gpu else ""
        return (
            f"not even a batch of {found.batch_size} fits into {limit} ({memory_text(found.memory)} used); give a "
            f"smaller model or data.image_size{held}"
        )

    def _reason_against(self, size: int) -> str:
        """Return why a size is not tried; "" if it is."""
        last = self._fitting()[-1]
        if size in self.done:
            return f"{size} does not fit"
        if size > last.images:
            return f"{size} would be more than the {last.images:,} training images"
        if self._exceeds(size) and len(self._fitting()) == 1 and last.batch_size > self.unit:
            self._try(last.batch_size // 2)  # one trial does not tell what an image takes from what any step does
        if self._exceeds(size):
            return f"{size} would need about {memory_text(self._expected(size))}"
        if _STEPS * last.step * size / last.batch_size > self.seconds:
            return f"a step of {size} would take about {last.step * size / last.batch_size:.0f} s"
        return ""

    def _exceeds(self, size: int) -> bool:
        """Return True if a size is expected not to fit; a GPU's own memory is tried instead."""
        has_limit = self.asked or not self._fitting()[-1].gpu
        return has_limit and self.limit is not None and self._expected(size) > self.limit

    def _fitting(self) -> list[BatchTrial]:
        return sorted((trial for trial in self.done.values() if trial.fits), key=lambda trial: trial.batch_size)

    def _expected(self, size: int) -> float:
        """Return the memory of a batch size, linearly from the two nearest trials, or from the base and one trial."""
        fitting = self._fitting()
        last = fitting[-1]
        if len(fitting) > 1:
            before = fitting[-2]
            slope = (last.memory - before.memory) / (last.batch_size - before.batch_size)
        else:
            slope = (last.memory - last.base) / last.batch_size
        return last.memory + max(slope, 0.0) * (size - last.batch_size)

    def _refine(self, size: int) -> None:
        """Try multiples of an eighth of a size, between it and its double, by bisection."""
        step = max(size // _PARTS // self.unit, 1) * self.unit
        low, high = size, 2 * size
        while high - low > step:
            middle = low + (high - low) // (2 * step) * step
            fits = not self._reason_against(middle) and self._try(middle).fits
            low, high = (middle, high) if fits else (low, middle)

    def _try(self, size: int) -> BatchTrial:
        found = self.done[size] = self.trial(size)
        if found.fits:
            speed = f"{found.images_per_second:,.1f} images/s, {found.step:.3g} s a step"
            self.say(f"batch size {size}: {memory_text(found.memory)}, {speed}")
        else:
            self.say(f"batch size {size}: does not fit")
        return found
