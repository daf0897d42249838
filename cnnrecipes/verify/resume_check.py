"""Whether a recipe's training, killed at a random moment and resumed, ends as if nothing had been: bit for bit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes._support.atomic_files import make_folder, write_text
from cnnrecipes.errors import TrainingError
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.run import Run

# Often, so that a kill is rarely before the first one.
CHECKPOINTS = "2%"
# What a clock or the machine says, not the training.
MEASURED = ("seconds", "images_per_second", "memory_mib")


def resume_check(
    recipe: Recipe,
    *,
    kills: int = 5,
    data: str | None = None,
    workdir: str | Path | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Train once without, then `kills` times with a SIGKILL at a random moment and a resume; each in its own process.

    Args:
        data: as on the command line.
        workdir: where the runs go; None: a folder that is taken away afterwards.
        seed: of the moments.

    Returns:
        one row a kill: "killed_after" (seconds since the run's folder was there), "resumed_from" (the step; None where
        the kill was before the first checkpoint), "weights" (their SHA-256, shortened), "equal" (whether weights,
        optimizer, all else that a checkpoint has, metrics and history are those of the run that was not killed).

    Raises:
        TrainingError: a training fails by itself.
        WriteError: workdir cannot be made or written to.
    """
    if kills < 1:
        raise TrainingError(f"{kills} kills check nothing; give at least 1")
    moments = random.Random(seed)
    with ExitStack() as stack:
        folder = make_folder(workdir or stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / f"{recipe.name}.toml"
        write_text(file, recipe.change(**{"train.checkpoint_every": CHECKPOINTS}).to_toml())
        options = ["--data", data] if data else []
        say("training without a kill")
        reference, seconds = _train(["fit", str(file), *options, "--workdir", str(folder / "whole")], folder / "whole")
        say(f"it took {seconds:.0f} s, and ends with weights {reference.metrics['weights']}")
        rows = []
        for number in range(1, kills + 1):
            # One in each part of the training, or all might come at its end.
            wait = seconds * (number - 1 + moments.random()) / kills
            place = folder / f"killed_{number}"
            killed = _kill(["fit", str(file), *options, "--workdir", str(place)], place, wait)
            found = checkpoint.newest(killed.folder / "checkpoints", say)
            if not killed.finished:
                _train(["resume", str(killed.folder), *options], place)
            rows.append(
                {
                    "killed_after": round(wait, 2),
                    "resumed_from": found.state["parts"]["position"] if found else None,
                    "weights": killed.metrics["weights"],
                    "equal": not differences(reference, killed),
                }
            )
            say(_line(number, rows[-1], differences(reference, killed)))
    return pd.DataFrame(rows)


def differences(one: Run, other: Run) -> list[str]:
    """What differs between the ends of two runs: names of arrays, metrics and columns of the history."""
    last = [checkpoint.newest(run.folder / "checkpoints") for run in (one, other)]
    names = sorted(last[0].arrays.keys() | last[1].arrays.keys())
    found = [name for name in names if not _equal(*(state.arrays.get(name) for state in last))]
    found += [key for key, value in one.metrics.items() if other.metrics.get(key) != value]
    histories = [run.history.drop(columns=list(MEASURED)) for run in (one, other)]
    return found + ([] if histories[0].equals(histories[1]) else ["history"])


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and one.tobytes() == other.tobytes()


def _command(arguments: Sequence[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "cnnrecipes", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _train(arguments: Sequence[str], place: Path) -> tuple[Run, float]:
    """Run a command to its end; the run, and the seconds since its folder was there."""
    process = _command(arguments)
    started = _wait_for_folder(place, process)
    output, _ = process.communicate()
    if process.returncode:
        raise TrainingError(f"`cnnrecipes {' '.join(arguments)}` fails by itself: {output.strip()[-500:]}")
    return Run(_folders(place)[0]), time.monotonic() - started


def _kill(arguments: Sequence[str], place: Path, wait: float) -> Run:
    """Start a command and kill it so many seconds after its run's folder is there."""
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
    """Run folders that have their recipe: what a resume needs."""
    return [path.parent for path in place.glob("*/recipe.toml") if (path.parent / "environment.json").exists()]


def _line(number: int, row: dict[str, Any], differing: Sequence[str]) -> str:
    where = row["resumed_from"]
    place = f"epoch {where['epoch'] + 1}, step {where['step']}" if where else "its start"
    said = "equal" if row["equal"] else f"DIFFERENT in {', '.join(differing[:5])}"
    return f"kill {number} after {row['killed_after']:.1f} s, resumed from {place}: weights {row['weights']}, {said}"
