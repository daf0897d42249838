"""`explain_run`: confusions, mistakes, Grad-CAM, slices, embedding and robustness of a run, as tables and pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cnnrecipes._support.atomic_files import make_folder
from cnnrecipes.errors import CNNRecipesError, DataError, UnknownNameError, WriteError, one_line
from cnnrecipes.explain.explained_run import ExplainedRun, Explanation
from cnnrecipes.explain.explanation_parts import DEFAULT_PARTS, PARTS
from cnnrecipes.explain.run_data import RunData
from cnnrecipes.runs.evaluation import predict_split
from cnnrecipes.runs.predictions import Predictions
from cnnrecipes.runs.run import Run

SPLIT = "validation"


def explain_run(
    run: str | Path | Run,
    folder: str | Path,
    *,
    parts: Sequence[str] | None = None,
    split: str = SPLIT,
    data: Any = None,
    images: Sequence[str | Path] = (),
    n: int = 12,
    progress: bool = True,
) -> Explanation:
    """Explain a run: write tables (CSV) and pictures (PNG) into a folder, and return them with a sentence for each.

    robustness.csv and embedding.csv are also written into the run folder, where its report finds them, if they are of
    the images on which the run was evaluated.

    Args:
        run: the run.
        folder: created if missing; files of the same name are replaced.
        parts: names from PARTS; None: all but the slower embedding and robustness.
        split: "validation", "test" or "train".
        data: as in `fit`, for a run on arrays or on data that has been moved; None: the data of the recipe. If they
            cannot be read, the sentences say so, and what the kept predictions tell is still there.
        images: files for Grad-CAM; none: the images with the largest losses.
        n: number of images with the largest losses.
        progress: show progress bars.

    Raises:
        UnknownNameError: no such part.
        RunError: the run has no model.
        WriteError: the folder cannot be written.
        DataError: the data cannot be read, and the run has no predictions of the split.
    """
    chosen = tuple(DEFAULT_PARTS if parts is None else parts)
    for part in chosen:
        if part not in PARTS:
            raise UnknownNameError("part of an explanation", part, PARTS)
    run = Run.open(run)
    with _opened(run, data) as (opened, missing):
        kept: dict[str, Predictions] = run.kept_predictions()
        predictions = _predictions(run, kept if data is None else {}, opened, missing, split)
        own = split in kept and kept[split].images == predictions.images
        subject = ExplainedRun(run, predictions, own, opened, missing, make_folder(folder), tuple(images), n, progress)
        found = Explanation(split)
        for part in chosen:
            try:
                PARTS[part](subject, found)
            except WriteError:
                raise
            except CNNRecipesError as error:  # the other parts are still worth having
                found.sentences.append(f"no {part.replace('-', ' ')}: {one_line(error)}")
    return found


@contextlib.contextmanager
def _opened(run: Run, data: Any) -> Iterator[tuple[RunData | None, str]]:
    """Yield the data of a run and ""; or None and the reason why they cannot be read."""
    with contextlib.ExitStack() as stack:
        opened, missing = None, ""
        try:
            opened = stack.enter_context(RunData.open(run, data))
        except DataError as error:
            missing = one_line(error)
        yield opened, missing


def _predictions(run: Run, kept: dict[str, Predictions], data: RunData | None, missing: str, split: str) -> Predictions:
    """Return the kept predictions of a split; else those of a forward pass."""
    if split in kept:
        return kept[split]
    if data is None:
        raise DataError(f"{missing}; and {str(run.folder)!r} has kept no predictions of the {split} split")
    return predict_split(run.artifact, data.source.split(split), data.source)
