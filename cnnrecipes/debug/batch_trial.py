"""A trial of one batch size in a process of its own: memory and speed of real training steps.

The process (`python -m cnnrecipes.debug.batch_trial JOB RESULT`) can run out of memory without ending its parent.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnnrecipes import errors
from cnnrecipes._support.process_memory import peak_resident_memory, reset_peak, resident_memory
from cnnrecipes.errors import CNNRecipesError, TrainingError, one_line

_WARM_UP, _FEWEST, _MOST = 2, 2, 50  # steps
_TIMED = 1.0  # seconds from which enough steps are timed
_POLL = 0.01  # seconds between two looks at the memory
_NO_MEMORY = re.compile("RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)  # in an InternalError of XLA
_RAISED = ("RecipeError", "DataError", "ModelError", "TrainingError", "RunError")
# Parts of the recipe that depend on the number of steps, which the batch size changes.
_SCHEDULE = {"optimizer.schedule": "constant", "optimizer.warmup": "0 epochs", "optimizer.extensions": []}


@dataclass(frozen=True)
class BatchTrial:
    """Result of training some steps with a batch size.

    Attributes:
        batch_size: images of a step.
        fits: False if the memory ran out, or the limit was exceeded.
        memory: peak in bytes: resident memory of the process, or allocated memory of the GPU; of a trial that does not
            fit, when it ended.
        base: memory before the first step; 0 if it was ended before.
        step: mean seconds of a step with its batch from the input pipeline; NaN if it does not fit.
        images: number of training images.
        gpu: True if `memory` is that of a GPU.
    """

    batch_size: int
    fits: bool
    memory: int
    base: int = 0
    step: float = math.nan
    images: int = 0
    gpu: bool = False

    @property
    def images_per_second(self) -> float:
        """Training speed in images/s; NaN if the batch size does not fit into memory."""
        return self.batch_size / self.step


def run_trial(
    recipe: Mapping[str, Any],
    name: str,
    data: Any,
    batch_size: int,
    limit: int | None,
    timeout: float,
    *,
    asked: bool = True,
) -> BatchTrial:
    """Train some steps of a recipe with a batch size in a new process, and return its memory and speed.

    Args:
        recipe, name: the recipe's tables, and its name.
        data: as in `fit`.
        batch_size: images of a step.
        limit: bytes of memory at which the process ends itself; None: no limit.
        timeout: seconds after which the process is ended.
        asked: True if the user gave `limit`; False if it is a share of the host's memory, and ignored on a GPU.

    Raises:
        TrainingError: the data cannot be given to another process, or that fails otherwise than by its memory.
        CNNRecipesError: the recipe or the data is invalid.
    """
    with tempfile.TemporaryDirectory() as folder:
        job, result = Path(folder) / "job", Path(folder) / "result"
        try:
            job.write_bytes(pickle.dumps((dict(recipe), name, data, batch_size, limit, asked)))
        except Exception as error:  # pickle raises many kinds
            raise TrainingError(
                f"data of type {type(data).__name__} cannot be given to another process ({one_line(error)}); give "
                "arrays, a folder or a name"
            ) from None
        command = [sys.executable, "-m", "cnnrecipes.debug.batch_trial", str(job), str(result)]
        code, printed = _finished(command, timeout)
        found = json.loads(result.read_text()) if result.is_file() else {}
    if "raised" in found:
        raise getattr(errors, found["raised"])(found["message"])
    if found:
        return BatchTrial(**found)
    if code == -signal.SIGKILL:  # by the system, which was out of memory
        return BatchTrial(batch_size, False, 0)
    raise TrainingError(f"the training of a batch of {batch_size} ended with status {code}: {printed.strip()[-500:]}")


def _finished(command: list[str], timeout: float) -> tuple[int, str]:
    """Run a command; return its exit status, and what it printed."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )
    try:
        printed, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise TrainingError(
            f"steps of this batch size take more than {timeout:.0f} s; give a smaller model, or find the size on a "
            "faster device"
        ) from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return process.returncode, printed


def main() -> None:
    """Run the trial of the file JOB, and write its result to the file RESULT."""
    job, result = map(Path, sys.argv[1:3])
    recipe, name, data, batch_size, limit, asked = pickle.loads(job.read_bytes())
    try:
        warnings.simplefilter("ignore")
        found: dict[str, Any] = asdict(_measured(recipe, name, data, batch_size, limit, result, asked))
    except CNNRecipesError as error:
        kind = type(error).__name__
        found = {"raised": kind if kind in _RAISED else "TrainingError", "message": str(error)}
    _write(result, found)


def _measured(
    recipe: dict, name: str, data: Any, batch_size: int, limit: int | None, result: Path, asked: bool
) -> BatchTrial:
    """Return the trial of a batch size; if it exceeds the limit, write its result and end the process."""
    from cnnrecipes._support.console import import_tensorflow

    import_tensorflow()
    import tensorflow as tf

    from cnnrecipes.debug.examined_training import opened_subject
    from cnnrecipes.debug.profile import require_steps
    from cnnrecipes.recipe.schema import Recipe

    gpu, known = bool(tf.config.list_physical_devices("GPU")), {"base": 0, "images": 0}
    limit = limit_on(gpu, limit, asked)
    if limit is not None and not gpu:
        _end_above(limit, batch_size, result, known)
    changes = {**_SCHEDULE, "data.batch_size": batch_size, "devices.strategy": "single"}
    try:
        with opened_subject(Recipe.from_dict(recipe, name), data, changes=changes) as job:
            require_steps(job)
            known |= {"base": _memory(gpu), "images": len(job.pipeline.train)}
            opening = _peak(gpu)
            reset_peak()
            step = _seconds(job)
            peak = max(_peak(gpu), opening)
            fits = limit is None or not gpu or peak <= limit  # on a CPU the watcher has ended the process
            return BatchTrial(batch_size, fits, peak, known["base"], step, known["images"], gpu)
    except tf.errors.OpError as error:
        if not (isinstance(error, tf.errors.ResourceExhaustedError) or _NO_MEMORY.search(str(error))):
            raise
        return BatchTrial(batch_size, False, _peak(gpu), known["base"], images=known["images"], gpu=gpu)


def limit_on(gpu: bool, limit: int | None, asked: bool) -> int | None:
    """Return the limit that holds on a device: a part of the host's memory, if none was asked for, is none of a GPU."""
    return limit if asked or not gpu else None


def _seconds(job: Any) -> float:
    """Return the mean seconds of a training step after those that compile."""
    from cnnrecipes.debug.step_timing import compiled_step, timed

    steps = 1 + _WARM_UP + _MOST
    step = compiled_step(job, lambda: iter(job.training_batches(0, steps)), steps)
    for _ in range(_WARM_UP):
        timed(step)
    start, done = time.perf_counter(), 0
    while done < _FEWEST or (done < _MOST and time.perf_counter() - start < _TIMED):
        timed(step)
        done += 1
    return (time.perf_counter() - start) / done


def _memory(gpu: bool) -> int:
    return _of_gpu("current") if gpu else resident_memory()


def _peak(gpu: bool) -> int:
    return _of_gpu("peak") if gpu else peak_resident_memory()


def _of_gpu(which: str) -> int:
    import tensorflow as tf

    try:
        return int(tf.config.experimental.get_memory_info("GPU:0")[which])
    except ValueError as error:  # some allocators count nothing
        raise TrainingError(
            f"TensorFlow does not report the memory of the GPU ({one_line(error)}); unset TF_GPU_ALLOCATOR"
        ) from None


def _end_above(limit: int, batch_size: int, result: Path, known: dict[str, int]) -> None:
    """Start a thread that ends this process, with its result written, when its memory exceeds the limit.

    `known` has the base and the number of images as soon as they are known.
    """

    def look() -> None:
        while (size := resident_memory()) <= limit:
            time.sleep(_POLL)
        _write(result, asdict(BatchTrial(batch_size, False, size, known["base"], images=known["images"])))
        os._exit(0)

    threading.Thread(target=look, daemon=True, name="memory limit").start()


def _write(path: Path, found: dict[str, Any]) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(found))
    beside.replace(path)


if __name__ == "__main__":
    main()
