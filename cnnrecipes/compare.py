"""`compare`: paired trainings of several recipes, and which of them differ; `compare_runs`: two finished runs."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnrecipes._support import console
from cnnrecipes._support.garbage_collection import collect_garbage_afterwards
from cnnrecipes.comparison.accuracy_speed_memory import Score
from cnnrecipes.comparison.code_version import code_version
from cnnrecipes.comparison.contrasts import Contrast, Scores, contrast_all, contrast_answers
from cnnrecipes.comparison.progress_lines import TrainingClock
from cnnrecipes.comparison.record import Question, caution, read_evaluations
from cnnrecipes.comparison.result import Comparison
from cnnrecipes.comparison.study import Study
from cnnrecipes.comparison.two_runs import RunComparison, compare_runs
from cnnrecipes.comparison.variants import Variant, default_name, find_variant, make_variants
from cnnrecipes.errors import CNNRecipesWarning, RecipeError, RunError, TrainingError
from cnnrecipes.models.cost import cost
from cnnrecipes.recipe.schema import dotted
from cnnrecipes.recipe.values import folder_name
from cnnrecipes.runs.run import Run, check_place

__all__ = ["Comparison", "RunComparison", "compare", "compare_runs"]

SEEDS, MOST_SEEDS, MARGIN = 5, 20, 0.005
_SPLITS = ("validation", "test")


@collect_garbage_afterwards
def compare(
    recipes: Any,
    data: Any = None,
    *,
    over: Mapping[str, Sequence[Any]] | None = None,
    pairs: bool = False,
    seeds: int = SEEDS,
    baseline: str | None = None,
    split: str = "validation",
    until_clear: bool = False,
    max_seeds: int = MOST_SEEDS,
    margin: float = 0.0,
    seed: int | None = None,
    workdir: str | Path = "comparisons",
    name: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> Comparison:
    """Train each variant with the same seeds, and return the paired differences to the baseline.

    A seed has the same split, order of images, augmentation draws and initialization seed in all variants. Networks
    that differ only in norm or activation begin with the same weights; behind an additional layer the weights differ.
    Trainings are ordinary runs in `workdir/name/variant/seed_k`; all variants of a seed are trained one after the
    other, in a rotating order, so that a change of the machine's speed hits all alike. The same call continues after an
    interruption, and trains no finished run again.

    Args:
        recipes: a recipe as in `fit`, or a list of them.
        data: as in `fit`; the same for all variants.
        over: dotted keys to lists of values, for example {"model.norm": ["batch", "group"]}: a variant for each
            combination of them, and of the recipes.
        pairs: the first values of all keys in `over` together, the second ones, and so on, instead of all combinations.
        seeds: number of seeds; with 1, the predictions are compared by McNemar's test, which says nothing about other
            seeds.
        baseline: label of the variant that the others are compared to; None: the first.
        split: "validation", or "test": then do not compare again after changing the variants by what you saw.
        until_clear: after `seeds` seeds, add one at a time until each variant is better, worse, or within the margin,
            but at most `max_seeds`. The statistics are then anytime-valid (see `comparison.sequential`).
        max_seeds: highest number of seeds with `until_clear`.
        margin: difference of the accuracy, 0..1, below which variants count as alike; with `until_clear` by default
            0.005, that is half a point.
        seed: the first seed; the others follow. None: the recipe's `train.seed`.
        workdir: parent of the comparison's folder.
        name: of the folder; None: made from the recipes and keys.
        progress: print a line for each training.
        changes: recipe keys to override in all variants.

    Returns:
        The comparison, of which the files are written.

    Raises:
        RecipeError: before any training: an unknown key, a value that a recipe does not accept, fewer than two
            variants, equal ones, too few seeds, or an unknown baseline or split.
        RunError: the folder has trainings of other recipes, data or code.
        TrainingError: the loss of the baseline becomes NaN or infinite.
        Interrupted: Ctrl-C or SIGTERM.
        CNNRecipesError: as for `fit`.
    """
    changes = dotted(changes)
    first = changes.pop("train.seed", None) if seed is None else seed
    variants = make_variants(recipes, over, changes, pairs=pairs)
    base = find_variant(variants, baseline)
    _check_numbers(seeds, max_seeds if until_clear else None, split, margin)
    margin = margin or (MARGIN if until_clear else 0.0)
    first = variants[0].base.train.seed if first is None else first
    name = default_name(recipes, over) if name is None else name
    check_place(workdir)
    _check_name(name)
    say = console.say if progress else console.silent
    most = max_seeds if until_clear else seeds
    with Study.opened(Path(workdir) / name, variants, data, seed=first, split=split, say=say) as study:
        labels, numbers = frozenset(one.label for one in variants), frozenset(range(first, first + seeds))
        asked = Question(labels, base.label, split, until_clear, margin, numbers)
        if said := caution(asked, read_evaluations(study.folder)):
            warnings.warn(said, CNNRecipesWarning, stacklevel=3)
        scores = _train_all(study, variants, base, range(first, first + most), seeds, until_clear, margin)
        if seeds == 1 and not until_clear:
            contrasts = contrast_answers(_right(scores, data, split), scores, base.label, margin=margin)
        else:
            contrasts = contrast_all(scores, base.label, sequential=until_clear, margin=margin)
        images = next(one.images for one in scores[base.label].values())
        found = Comparison(
            study.folder,
            base.label,
            split,
            images,
            any(_chooses(one) for one in variants),
            until_clear,
            scores,
            contrasts,
            {label: _cost(row) for label, row in scores.items()},
            {"data": study.plan["data"], "code": dict(code_version()), "command": sys.argv},
            said,
        )
        found.write()
    return found


def _train_all(
    study: Study,
    variants: Sequence[Variant],
    base: Variant,
    all_seeds: range,
    fewest: int,
    until_clear: bool,
    margin: float,
) -> dict[str, dict[int, Score]]:
    """Train seed by seed; a variant whose answer is clear, or that diverged, gets no more seeds."""
    scores: dict[str, dict[int, Score]] = {one.label: {} for one in variants}
    clock = TrainingClock(len(variants) * fewest, study.say)
    closed: set[str] = set()
    for number, seed in enumerate(all_seeds):
        if until_clear and number >= fewest:
            found = contrast_all(scores, base.label, sequential=True, margin=margin)
            closed |= {label for label, one in found.items() if one.verdict != "unclear"}
            if len(closed) == len(variants) - 1:
                break
            clock.total = clock.done + len(variants) - len(closed)
            study.say(f"{_open(found, closed)}: seed {seed} is added")
        turn = number % len(variants)
        for variant in [*variants[turn:], *variants[:turn]]:
            if variant.label in closed:
                clock.total -= 1 if number < fewest else 0
                continue
            score, was_trained = study.trained(variant, seed)
            clock.tell(variant.label, score, was_trained, study.split)
            scores[variant.label][seed] = score
            if score.failed:
                closed.add(variant.label)
        if base.label in closed:
            raise TrainingError(
                f"the loss of the baseline {base.label!r} is not finite at seed {seed}; choose another baseline"
            )
    return scores


def _open(found: Mapping[str, Contrast], closed: set[str]) -> str:
    left = [label for label in found if label not in closed]
    return f"{console.printable_list(left)} cannot be told from the baseline yet"


def _right(scores: Scores, data: Any, split: str) -> dict[str, np.ndarray]:
    """Return which images the only training of each variant classifies correctly, without those that diverged."""
    runs = {label: one for label, row in scores.items() for one in row.values() if not one.failed}
    return {label: Run(one.run).answers(data, split).right for label, one in runs.items()}


def _cost(row: Mapping[int, Score]) -> dict[str, int]:
    """Return parameters, multiply-adds and bytes of activations of a variant's model; {} if they cannot be counted."""
    done = [one for one in row.values() if not one.failed]
    if not done:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers that are not counted
        return {str(name): int(count) for name, count in cost(Run(done[0].run).model).attrs.items()}


def _chooses(variant: Variant) -> bool:
    """Return True if a training selects its epoch by the validation split."""
    table = variant.recipe.train
    return table.artifact == "best" or table.early_stopping is not None


def _check_numbers(seeds: int, most: int | None, split: str, margin: float) -> None:
    """Raise RecipeError for a number of seeds, a split or a margin that no comparison can have."""
    if not isinstance(seeds, int) or seeds < 1:
        raise RecipeError(f"seeds is {seeds!r}; give 1 or more, {SEEDS} by default")
    if most is not None and seeds < 2:
        raise RecipeError(f"until_clear needs the differences of 2 seeds or more, and seeds is {seeds}; give more")
    if most is not None and most < seeds:
        raise RecipeError(f"max_seeds is {most}, below the {seeds} seeds to begin with; give at least as many")
    if split not in _SPLITS:
        raise RecipeError(f"split is {split!r}; give {' or '.join(map(repr, _SPLITS))}")
    if not (isinstance(margin, (int, float)) and 0 <= margin < 1 and math.isfinite(margin)):
        raise RecipeError(f"margin is {margin!r}; give a difference of the accuracy, 0 to 1, for example {MARGIN}")


def _check_name(name: str) -> None:
    try:
        folder_name(name)
    except ValueError as error:
        raise RunError(f"the comparison's name is {name!r}; {error}") from None
