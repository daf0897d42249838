"""`diagnose`: causes of what went wrong in a run, with the evidence, and what to try next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cnnrecipes._support.console import say, silent
from cnnrecipes.debug.run_evidence import measured_evidence, recorded_evidence
from cnnrecipes.diagnosis.diagnosis import Diagnosis, diagnosed
from cnnrecipes.diagnosis.evidence import Evidence
from cnnrecipes.errors import CNNRecipesError, DataError, RunError
from cnnrecipes.runs.run import Run
from cnnrecipes.training.seeding import undisturbed_random_numbers


def diagnose(
    run: str | Path | Run, data: Any = None, *, measure: bool = True, images: int = 2000, progress: bool = False
) -> Diagnosis:
    """Diagnose a finished, unfinished or failed run: the causes found, their evidence, and what to try next.

    Nothing of the run is changed: its model is loaded once more, and the test split is not read. Random number
    generators are restored.

    Args:
        run: the run, or the path of its folder.
        data: the data that was passed to `fit`; None: the data set of the run's recipe.
        measure: also predict training and validation images with the run's model, without augmentation; False: use
            the records of the run alone.
        images: at most this many images of each split are predicted, evenly spaced.
        progress: print what is measured.

    Returns:
        a Diagnosis: `verdict`, `findings`, `cannot_tell`; as text, a paragraph.

    Raises:
        RunError: not a run folder, its training did not finish an epoch, or a file is damaged.
        DataError: `data` cannot be opened or has other classes, or `images` is below 1.
    """
    run = Run.open(run)
    with undisturbed_random_numbers():
        evidence, missing = gathered(run, data, measure=measure, images=images, say=say if progress else silent)
    return diagnosed(evidence, missing)


def gathered(
    run: Run, data: Any, *, measure: bool, images: int, say: Callable[[str], None] = silent
) -> tuple[Evidence, str | None]:
    """Return the evidence of a run, and why its model's predictions are missing; None if they are not.

    Raises:
        RunError, DataError: as `diagnose`.
    """
    if images < 1:
        raise DataError(f"images = {images} leaves no image to measure; give at least 1, or measure=False")
    evidence = recorded_evidence(run)
    if not measure:
        return evidence, "they were not asked for"
    try:
        return measured_evidence(run, data, images, say), None
    except RunError as error:
        return evidence, str(error)
    except CNNRecipesError as error:
        if data is not None:
            raise
        return evidence, str(error)
