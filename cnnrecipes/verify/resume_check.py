"""Check that a training run killed by SIGKILL at a random time and resumed is bit-exact with an uninterrupted run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes._support.atomic_files import make_folder, write_text
from cnnrecipes.errors import RunError, TrainingError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.run import Run

# Frequent checkpoints, so that a kill rarely precedes the first one.
CHECKPOINTS = "2%"
# Columns measured by the clock or the machine, which differ between runs.
MEASURED = ("seconds", "images_per_second", "memory_mib")


def resume_check(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    *,
    kills: int = 5,
    data: str | None = None,
    workdir: str | Path | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train once uninterrupted, then `kills` times with a SIGKILL at a random time and a resume, in subprocesses.

    Args:
        recipe: the recipe to train, as for `fit`; its checkpoint interval is overridden.
        kills: number of killed and resumed runs, at least 1.
        data: folder, table, archive, URL or TFDS name, as for `cnnrecipes fit --data`; None: the recipe's data set.
        workdir: folder of the runs; None: a temporary folder.
        seed: seed of the kill times.
        say: called with each progress message.

    Returns:
        one row per kill: "killed_after" (seconds since the run folder was created), "resumed_from" (the step; None if
        the kill preceded the first checkpoint), "weights" (their truncated SHA-256), "equal" (whether the arrays of the
        last checkpoint, the metrics and the history are equal to those of the uninterrupted run).

    Raises:
        TrainingError: kills is below 1, or a training run fails without being killed.
        RecipeError: there is no such recipe, or it is invalid.
        WriteError: workdir cannot be created or written to.
    """
    if kills < 1:
        raise TrainingError(f"kills is {kills}; the check needs at least 1 killed training")
    recipe = catalog.load(recipe)
    moments = random.Random(seed)
    with ExitStack() as stack:
        folder = make_folder(workdir or stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / f"{recipe.name}.toml"
        write_text(file, recipe.change(**{"logging.checkpoint_every": CHECKPOINTS}).to_toml())
        options = ["--data", data] if data else []
        say("training without a kill")
        reference, seconds = _train(["fit", str(file), *options, "--workdir", str(folder / "whole")], folder / "whole")
        say(f"it took {seconds:.0f} s, and ends with weights {reference.metrics['weights']}")
        rows = []
        for number in range(1, kills + 1):
            # One kill in each of `kills` equal intervals, so that they do not all fall at the end.
            wait = seconds * (number - 1 + moments.random()) / kills
            place = folder / f"killed_{number}"
            killed = _kill(["fit", str(file), *options, "--workdir", str(place)], place, wait)
            found = checkpoint.newest(killed.folder, say)
            if not killed.finished:
                _train(["resume", str(killed.folder), *options], place)
            rows.append(
                {
                    "killed_after": round(wait, 2),
                    "resumed_from": {"epoch": found.state.epoch, "step": found.state.step} if found else None,
                    "weights": killed.metrics["weights"],
                    "equal": not differences(reference, killed),
                }
            )
            say(_line(number, rows[-1], differences(reference, killed)))
    return pd.DataFrame(rows)


def differences(one: Run, other: Run) -> list[str]:
    """Return the names of checkpoint arrays and metrics that differ between two runs, and "history" if that differs.

    A run without epochs, a logistic regression, has no history.
    """
    first, second = _last_arrays(one), _last_arrays(other)
    names = sorted(first.keys() | second.keys())
    found = [name for name in names if not _equal(first.get(name), second.get(name))]
    found += [key for key, value in one.metrics.items() if other.metrics.get(key) != value]
    if not one.recipe.transfer.trains_by_steps:
        return found
    histories = [run.history.drop(columns=list(MEASURED)) for run in (one, other)]
    return found + ([] if histories[0].equals(histories[1]) else ["history"])


def _last_arrays(run: Run) -> Mapping[str, np.ndarray]:
    """Return the arrays of a run's last checkpoint. Raise RunError if the run has no checkpoint."""
    last = checkpoint.newest(run.folder)
    if last is None:
        raise RunError(f"{run.folder} has no checkpoint to compare; train it again")
    return last.arrays


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and one.tobytes() == other.tobytes()


def _command(arguments: Sequence[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "cnnrecipes", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _train(arguments: Sequence[str], place: Path) -> tuple[Run, float]:
    """Run a command to its end; return the run, and the seconds since its folder was created."""
    process = _command(arguments)
    started = _wait_for_folder(place, process)
    output, _ = process.communicate()
    if process.returncode:
        raise TrainingError(
            f"`cnnrecipes {' '.join(arguments)}` fails without a kill; correct the cause: {output.strip()[-500:]}"
        )
    return Run(_folders(place)[0]), time.monotonic() - started


def _kill(arguments: Sequence[str], place: Path, wait: float) -> Run:
    """Start a command, and kill it `wait` seconds after its run folder was created."""
    process = _command(arguments)
    started = _wait_for_folder(place, process)
    try:
        process.communicate(timeout=max(wait - (time.monotonic() - started), 0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return Run(_folders(place)[0])


def _wait_for_folder(place: Path, process: subprocess.Popen) -> float:
    while not _folders(place) and process.poll() is None:
        time.sleep(0.02)
    return time.monotonic()


def _folders(place: Path) -> list[Path]:
    """Return the run folders that contain recipe.toml and environment.json, which a resume needs."""
    return [path.parent for path in place.glob("*/recipe.toml") if (path.parent / "environment.json").exists()]


def _line(number: int, row: dict[str, Any], differing: Sequence[str]) -> str:
    where = row["resumed_from"]
    place = f"epoch {where['epoch'] + 1}, step {where['step']}" if where else "its start"
    said = "equal" if row["equal"] else f"DIFFERENT in {', '.join(differing[:5])}"
    return f"kill {number} after {row['killed_after']:.1f} s, resumed from {place}: weights {row['weights']}, {said}"
