"""Learning curve of a recipe by trainings: accuracy by the number of training images, and what more would bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes._support import console
from cnnrecipes._support.garbage_collection import collect_garbage_afterwards
from cnnrecipes.comparison.accuracy_speed_memory import Score
from cnnrecipes.comparison.progress_lines import TrainingClock
from cnnrecipes.comparison.study import Study
from cnnrecipes.comparison.variants import Variant, folder_of
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.errors import RecipeError, TrainingError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe, dotted
from cnnrecipes.runs.run import Run, check_place
from cnnrecipes.training.start_or_resume import complete_recipe
from cnnrecipes.transfer.learning_curves import curve_table

REPEATS = 3
_SIZES = 5  # by default: all images, and halves of them
_FEWEST_A_CLASS = 2


@collect_garbage_afterwards
def training_curve(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = REPEATS,
    same_steps: bool = False,
    seed: int | None = None,
    workdir: str | Path = "comparisons",
    name: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> pd.DataFrame:
    """Train a recipe on parts of its training split, and return the validation accuracy by the number of images.

    Each seed draws other parts, nested over the sizes and with the shares of the classes (`data.train_images`), and
    other initial weights. Trainings are ordinary runs in `workdir/name`; the same call continues after an interruption.

    Args:
        recipe, data, changes: as in `fit`.
        sizes: numbers of training images; None: all, a half, a quarter, an eighth and a sixteenth of them.
        repeats: number of seeds of each size.
        same_steps: train a smaller part for more epochs, so that all sizes have about as many steps as the largest has
            in the recipe's epochs; else all have the recipe's epochs, and fewer images fewer steps.
        seed: the first seed; None: the recipe's `train.seed`.
        workdir, name: folder of the runs, as in `compare`.
        progress: print a line for each training.

    Returns:
        As `transfer.learning_curve`, with repeats as the number of trainings; `attrs["doubling"]` tells what twice the
        images would bring, by a power law, which needs 4 sizes.

    Raises:
        RecipeError: before any training: fewer than two sizes, an invalid one, or an invalid recipe.
        DataError: there is no validation split, or a size is larger than the training split.
        RunError: the folder has trainings of other recipes, data or code.
        TrainingError: the loss becomes NaN or infinite.
        CNNRecipesError: as for `fit`.
    """
    base, changes = catalog.load(recipe), dotted(changes)
    first = changes.pop("train.seed", base.train.seed) if seed is None else seed
    if repeats < 1:
        raise RecipeError(f"repeats is {repeats}; give 1 or more, {REPEATS} by default")
    check_place(workdir)
    chosen = _default_sizes(base, data, changes) if sizes is None else _checked_sizes(sizes)
    epochs = base.change(**changes).train.epochs
    variants = [_variant(base, changes, size, epochs, chosen[-1] if same_steps else size) for size in chosen]
    say = console.say if progress else console.silent
    folder = Path(workdir) / (name or folder_of(f"{base.name}_train_images"))
    with Study.opened(folder, variants, data, seed=first, split="validation", say=say) as study:
        clock = TrainingClock(len(variants) * repeats, say)
        scores: dict[int, list[Score]] = {size: [] for size in chosen}
        for number in range(first, first + repeats):
            for size, variant in zip(chosen, variants, strict=True):
                score, was_trained = study.trained(variant, number)
                clock.tell(variant.label, score, was_trained, "validation")
                if score.failed:
                    raise TrainingError(f"the loss with {size:,} training images is not finite at seed {number}")
                scores[size].append(score)
        hits = {size: np.array([_right(score, data) for score in row]) for size, row in scores.items()}
        classes = len(study.plan["data"]["class_names"])
    frame = curve_table(hits, classes, np.random.default_rng(first))
    frame.attrs["of"] = f"trainings of {base.name}"
    return frame


def _variant(base: Recipe, changes: Mapping[str, Any], size: int, epochs: int, largest: int) -> Variant:
    longer = {"train.epochs": round(epochs * largest / size)} if largest > size else {}
    return Variant(f"train_images={size}", base, {**changes, **longer, "data.train_images": size})


def _right(score: Score, data: Any) -> np.ndarray:
    """Return (validation images,) bool: which a training classifies correctly."""
    return Run(score.run).answers(data, "validation").right


def _checked_sizes(sizes: Sequence[int]) -> list[int]:
    """Return the sizes, rising. Raises RecipeError for fewer than two, or one that is no positive integer."""
    if bad := [size for size in sizes if not isinstance(size, (int, np.integer)) or size < 1]:
        raise RecipeError(f"sizes has {bad[0]!r}; give numbers of training images, for example 100, 200, 400, 800")
    found = sorted({int(size) for size in sizes})
    if len(found) < 2:
        raise RecipeError(f"a learning curve needs two sizes or more, and there is {len(found)}; give more")
    return found


def _default_sizes(base: Recipe, data: Any, changes: Mapping[str, Any]) -> list[int]:
    with InputPipeline.open(complete_recipe(base, data, None, changes), data) as pipeline:
        count, fewest = pipeline.images("train"), _FEWEST_A_CLASS * len(pipeline.class_names)
    return _checked_sizes([count // 2**power for power in range(_SIZES) if power == 0 or count // 2**power >= fewest])
