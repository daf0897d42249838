"""`compare_heads`: heads on the same frozen features, each in a second or less."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

from cnnrecipes._support import console
from cnnrecipes._support.garbage_collection import collect_garbage_afterwards
from cnnrecipes.comparison.head_comparison import ComparedHead, HeadComparison
from cnnrecipes.comparison.head_variants import head_variants
from cnnrecipes.comparison.variants import Variant
from cnnrecipes.errors import DataError, Interrupted, NonFinite
from cnnrecipes.recipe.schema import Recipe, dotted
from cnnrecipes.training.start_or_resume import Start, adjustable_keys, complete_recipe, find_start
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline
from cnnrecipes.transfer.frozen_features import frozen_features
from cnnrecipes.transfer.head_trainer import HeadTrainer, check_recipe_head


@collect_garbage_afterwards
def compare_heads(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    over: Mapping[str, Sequence[Any]] | None = None,
    pairs: bool = False,
    seed: int | None = None,
    progress: bool = True,
    **changes: Any,
) -> HeadComparison:
    """Train heads on the same frozen features of a pretrained backbone, and measure each on the validation split.

    The features are computed once; then a head takes a second or less for a few hundred images. `fit` with the
    `changes` of a head trains the same one, and writes the whole model: nothing is written here, and the test split is
    not read.

    Args:
        recipe, data, seed, progress, changes: as in `fit`, for example "features_photos" and a folder. `transfer.how`
            is "features".
        over: dotted keys to lists of values: a head for each combination. The keys are those of `optimizer` and
            `head_variants.KEYS_OF_HEADS`. A logistic regression depends on the views and the balance alone, and is
            fitted once for other keys. None: the three kinds of head, with three learning rates.
        pairs: the first values of all keys in `over` together, the second ones, and so on, instead of all combinations.

    Raises:
        RecipeError: a key that does not belong to the head; fewer than two heads.
        TrainingError: the recipe has no pretrained backbone.
        DataError: there is no validation split.
        NonFinite: the features, or the loss of every head, are NaN or infinite.
        Interrupted: Ctrl-C or SIGTERM.
        CNNRecipesError: as for `fit`.
    """
    variants = head_variants(recipe, over, dotted(changes), pairs=pairs)
    base, say = variants[0].base, console.say if progress else console.silent
    starts = [_start(base, data, seed, one.changes) for one in variants]
    found: list[ComparedHead] = []
    with frozen_features(base, data, seed=seed, progress=progress, changes=variants[0].changes) as features:
        _compute(features, max(start.recipe.transfer.views for start in starts), say)
        labels, trainer = features.source.split("validation").labels, HeadTrainer(features)
        for variant, start in zip(variants, starts, strict=True):
            try:
                found.append(_measured(trainer, variant, start, labels))
            except Interrupted as error:
                raise Interrupted(f"head {len(found) + 1} of {len(variants)}, {variant.label}: {error}") from None
            say(f"[{len(found)}/{len(variants)}] {found[-1]}")
    if all(one.diverged for one in found):
        raise NonFinite("the loss of every head became NaN or infinite; give lower values of optimizer.learning_rate")
    found.sort(key=lambda one: (one.diverged, -one.accuracy, one.cross_entropy))
    return HeadComparison(tuple(found))


def _start(base: Recipe, data: Any, seed: int | None, changes: Mapping[str, Any]) -> Start:
    """Return the training of a head, as `fit` would start it. Raises ModelError if it has another head."""
    complete = complete_recipe(base, data, seed, changes)
    check_recipe_head(complete)
    return find_start(complete, adjustable=adjustable_keys(base, complete, changes))


def _compute(features: FeaturePipeline, views: int, say) -> None:
    """Compute the features of the training images, of so many views of them, and of the validation images."""
    if not features.images("validation"):
        raise DataError("heads are compared on the validation split, and there is none; set data.validation above 0")
    started = time.monotonic()
    features.split_features("validation")
    for view in (None, *range(views)):
        features.split_features("train", view)
    images = features.images("train") * (1 + views) + features.images("validation")
    say(f"features of {images:,} images in {time.monotonic() - started:.1f} s")


def _measured(trainer: HeadTrainer, variant: Variant, start: Start, labels: np.ndarray) -> ComparedHead:
    """Return a trained head with its answers to the validation images, whose labels are given."""
    started = time.monotonic()
    try:
        head = trainer.train(start)
    except NonFinite:
        wrong = np.zeros(len(labels), bool)
        seconds = time.monotonic() - started
        return ComparedHead(variant.label, variant.changes, wrong, np.inf, 0, seconds, "diverged", diverged=True)
    losses = -log_softmax(head.logits, axis=-1)[np.arange(len(labels)), labels]
    return ComparedHead(
        variant.label,
        variant.changes,
        head.logits.argmax(axis=1) == labels,
        float(losses.mean()),
        head.parameters,
        time.monotonic() - started,
        head.chosen,
    )
