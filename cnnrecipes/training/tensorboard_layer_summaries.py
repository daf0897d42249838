"""TensorBoard summaries of the watched layers: histograms of activations, and scalars of gradients and updates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes.runs.watch_records import BINS, EDGES

_SCALARS = ("dead", "gradient_norm", "update_ratio")


class WatchSummaries:
    """Writes rows of watch.csv as TensorBoard summaries; a step is an optimizer step, from 0.

    Args:
        folder: the folder of event files; those of a run that is resumed are continued.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._writer: tf.summary.SummaryWriter | None = None

    def __call__(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of a step."""
        self._writer = self._writer or tf.summary.create_file_writer(str(self.folder))
        with self._writer.as_default(step=step):
            for row in rows:
                _write_histogram(f"activations/{row['layer']}", [row[name] for name in BINS])
                for name in _SCALARS:
                    if math.isfinite(row[name]):
                        tf.summary.scalar(f"{name}/{row['layer']}", row[name])
        self._writer.flush()

    def close(self) -> None:
        """Close the event file, if one was opened."""
        if self._writer:
            self._writer.close()
            self._writer = None


def _write_histogram(tag: str, counts: Sequence[int]) -> None:
    """Write a histogram from its bins; `tf.summary.histogram` would need the values."""
    from tensorboard.plugins.histogram import metadata

    edges = EDGES.copy()
    edges[0], edges[-1] = 2 * edges[1], 2 * edges[-2]  # TensorBoard draws no infinite bin
    used = np.flatnonzero(counts)
    kept = slice(used[0], used[-1] + 1) if len(used) else slice(0, 0)
    bins = np.stack([edges[:-1], edges[1:], np.asarray(counts, np.float64)], axis=1)[kept]
    tf.summary.write(tag, tf.constant(bins, tf.float64), metadata=metadata.create_summary_metadata(None, None))
