"""`Score`: accuracy, speed and memory of one training, read from its run folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes.errors import RunError
from cnnrecipes.runs.run import Run


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

    @classmethod
    def of(cls, run: Run, seed: int, split: str) -> Score:
        """Return the score of a finished run. Raises RunError if it has no accuracy on the split."""
        metrics = run.metrics.get(split)
        if metrics is None:
            raise RunError(f"{str(run.folder)!r} has no accuracy on the {split} split; give another split")
        seconds, speed, memory = np.nan, np.nan, None
        if run.recipe.transfer.trains_by_steps:
            history = run.history
            steady = history.iloc[1:] if len(history) > 1 else history
            seconds, speed = (float(steady[name].median()) for name in ("seconds", "images_per_second"))
            memory = float(history["memory_mib"].max()) if _on_gpu(run) and "memory_mib" in history else None
        return cls(seed, run.folder, metrics["accuracy"], metrics["n"], seconds, speed, memory, _machine(run))

    @classmethod
    def of_failed(cls, run: Run, seed: int) -> Score:
        """Return the score of a run whose loss became NaN or infinite."""
        return cls(seed, run.folder, np.nan, 0, np.nan, np.nan, None, _machine(run), failed=True)


def score_table(scores: Mapping[str, Mapping[int, Score]]) -> pd.DataFrame:
    """Return one row for each training: variant, and the attributes of its `Score`."""
    return pd.DataFrame([{"variant": label, **vars(one)} for label, row in scores.items() for one in row.values()])


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
