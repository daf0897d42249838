"""`compare_heads`: heads on the same frozen features, each in a second or less, and which of them is best."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from cnnrecipes._support import console
from cnnrecipes._support.garbage_collection import collect_garbage_afterwards
from cnnrecipes.comparison.paired import ALPHA, Discordance, holm
from cnnrecipes.comparison.variants import Variant, label_of, make_variants, short_names
from cnnrecipes.errors import DataError, NonFinite, RecipeError, counted
from cnnrecipes.recipe.schema import Recipe, dotted
from cnnrecipes.runs.intervals import wilson
from cnnrecipes.training.start_or_resume import Start, adjustable_keys, complete_recipe, find_start
from cnnrecipes.transfer.frozen_features import frozen_features
from cnnrecipes.transfer.head_trainer import HeadTrainer

# What is compared if nothing else is asked for: the rates of the recipes for photos are those of fine-tuning.
DEFAULT_OVER = {
    "transfer.head": ("logistic", "linear", "mlp"),
    "optimizer.learning_rate": (1e-3, 3e-3, 1e-2),
}
_OF_LOGISTIC = ("transfer.head", "transfer.views", "data.balance")  # keys that change a logistic regression
_OF_HEADS = (*_OF_LOGISTIC, "model.dropout", "data.batch_size")  # and, with two tables, any head
_TABLES_OF_HEADS = ("optimizer", "train")
_NOT_OF_HEADS = ("train.start_from", "train.seed")


@dataclass(frozen=True)
class ComparedHead:
    """A head on frozen features, measured on the validation split.

    Attributes:
        label: the values that tell it from the others, for example "head=mlp, learning_rate=0.003".
        changes: keys of the recipe with which `fit` trains it.
        right: (N,) bool, True for each validation image with the right class; (0,) if its training diverged.
        cross_entropy: mean over the validation images, in nats; NaN if it diverged.
        parameters: number of trained parameters.
        seconds: of its training.
        chosen: what the validation split chose for it, for example "L2 strength 0.01" or "epoch 7 of 10".
    """

    label: str
    changes: Mapping[str, Any] = field(repr=False)
    right: np.ndarray = field(repr=False)
    cross_entropy: float = math.nan
    parameters: int = 0
    seconds: float = math.nan
    chosen: str = ""

    @property
    def accuracy(self) -> float:
        """Share of validation images with the right class, 0..1; NaN if the training diverged."""
        return math.nan if self.diverged else float(self.right.mean())

    @property
    def diverged(self) -> bool:
        """True if the loss became NaN or infinite."""
        return not len(self.right)

    def __str__(self) -> str:
        if self.diverged:
            return f"{self.label}: the loss is not finite"
        return f"{self.label}: {self.accuracy:.2%}, {self.chosen}, in {self.seconds:.1f} s"


@dataclass(frozen=True)
class HeadComparison:
    """Result of `compare_heads`; `str()` is its conclusion.

    Attributes:
        heads: the best first: by accuracy, then by cross entropy; those that diverged last.
        images: number of validation images.
    """

    heads: Sequence[ComparedHead]
    images: int

    @property
    def best(self) -> ComparedHead:
        """The head of the highest accuracy, and of several such the one of the lowest cross entropy."""
        return self.heads[0]

    @functools.cached_property
    def table(self) -> pd.DataFrame:
        """One row for each head, the best first.

        | column                     | content                                                                         |
        |----------------------------|---------------------------------------------------------------------------------|
        | head                       | its label                                                                       |
        | accuracy, low, high        | on the validation split, 0..1, with its 95% interval (Wilson)                   |
        | cross_entropy              | mean, in nats                                                                   |
        | difference                 | accuracy minus that of the best; NaN for the best                               |
        | p_holm                     | of McNemar's test against the best, corrected for the number of heads by Holm   |
        | chosen                     | L2 strength or epoch that the validation split chose; "diverged"                |
        | parameters, seconds        | trained parameters; time of the training                                        |
        """
        others = [one for one in self.heads[1:] if not one.diverged]
        p_values = holm([Discordance.of(self.best.right, one.right).p for one in others])
        p_holm = dict(zip((one.label for one in others), p_values, strict=True))
        rows = []
        for one in self.heads:
            low, high = (math.nan, math.nan) if one.diverged else wilson(int(one.right.sum()), self.images)
            rows.append(
                {
                    "head": one.label,
                    "accuracy": one.accuracy,
                    "low": low,
                    "high": high,
                    "cross_entropy": one.cross_entropy,
                    "difference": math.nan if one is self.best else one.accuracy - self.best.accuracy,
                    "p_holm": p_holm.get(one.label, math.nan),
                    "chosen": one.chosen,
                    "parameters": one.parameters,
                    "seconds": one.seconds,
                }
            )
        return pd.DataFrame(rows)

    @property
    def conclusion(self) -> str:
        """Which head is best, from how many others it can be told, and what its accuracy does not tell."""
        row = self.table.iloc[0]
        return (
            f"{self.best.label} is best: {row.accuracy:.1%} of {counted(self.images, 'validation image')} right (95% "
            f"interval {row.low:.1%} to {row.high:.1%}); {self._others()}. The validation split chose it, and the "
            "strength or the epoch of each head, so its accuracy is a little too high."
        )

    def _others(self) -> str:
        """Return from how many of the other heads the best can be told."""
        p_holm = self.table["p_holm"].dropna()
        alike, test = int((p_holm >= ALPHA).sum()), "by McNemar's test, p < 0.05 after Holm's correction"
        if alike:
            return f"it cannot be told from {alike} of the other {len(self.heads) - 1} on these images ({test})"
        return (
            f"it is better than each other one ({test})" if len(p_holm) else "the training of each other one diverged"
        )

    def document(self) -> dict[str, Any]:
        """Return the table with the `changes` of each head, and the conclusion, as JSON types."""
        rows = self.table.to_dict("records")
        heads = [{**row, "changes": dict(one.changes)} for row, one in zip(rows, self.heads, strict=True)]
        return {"heads": heads, "validation_images": self.images, "conclusion": self.conclusion}

    def __str__(self) -> str:
        return self.conclusion


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

    The features are computed once; a head takes a second or less for a few hundred images. `fit` with the `changes` of
    a head trains the same one, and writes the whole model: nothing is written here, and the test split is not read.

    Args:
        recipe, data, seed, progress, changes: as in `fit`, for example "features_photos" and a folder. `transfer.how`
            is "features".
        over: dotted keys to lists of values: a head for each combination. `transfer.head`, `transfer.views`,
            `model.dropout`, `data.batch_size`, `data.balance`, and keys of `optimizer` and `train`. A logistic
            regression depends on the views and the balance alone, and is fitted once for other keys. None:
            the three kinds of head, with three learning rates.
        pairs: the first values of all keys in `over` together, the second ones, and so on, instead of all combinations.

    Raises:
        RecipeError: a key that changes the features, or no head alone; fewer than two heads.
        TrainingError: the recipe has no pretrained backbone.
        DataError: there is no validation split.
        NonFinite: the loss of every head became NaN or infinite.
        CNNRecipesError: as for `fit`.
    """
    changes = _on_features(dotted(changes))
    variants = head_variants(recipe, over, changes, pairs=pairs)
    base, say = variants[0].base, console.say if progress else console.silent
    found = []
    with frozen_features(base, data, seed=seed, progress=progress, changes=variants[0].changes) as features:
        if not features.images("validation"):
            raise DataError(
                "heads are compared on the validation split, and there is none; set data.validation above 0"
            )
        labels, trainer = features.source.split("validation").labels, HeadTrainer(features)
        for number, variant in enumerate(variants):
            complete = complete_recipe(base, data, seed, variant.changes)
            start = find_start(complete, adjustable=adjustable_keys(base, complete, variant.changes))
            found.append(_measured(trainer, variant, start, labels))
            say(f"[{number + 1}/{len(variants)}] {found[-1]}")
    if all(one.diverged for one in found):
        raise NonFinite("the loss of every head became NaN or infinite; give lower values of optimizer.learning_rate")
    found.sort(key=lambda one: (one.diverged, -one.accuracy, one.cross_entropy))
    return HeadComparison(tuple(found), len(labels))


def _measured(trainer: HeadTrainer, variant: Variant, start: Start, labels: np.ndarray) -> ComparedHead:
    """Return a trained head with its answers to the validation images, whose labels are given."""
    try:
        head = trainer.train(start)
    except NonFinite:
        return ComparedHead(variant.label, variant.changes, np.zeros(0, bool), chosen="diverged")
    losses = -log_softmax(head.logits, axis=-1)[np.arange(len(labels)), labels]
    return ComparedHead(
        variant.label,
        variant.changes,
        head.logits.argmax(axis=1) == labels,
        cross_entropy=float(losses.mean()),
        parameters=head.parameters,
        seconds=head.seconds,
        chosen=head.chosen,
    )


def head_variants(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    over: Mapping[str, Sequence[Any]] | None,
    changes: Mapping[str, Any],
    *,
    pairs: bool = False,
) -> list[Variant]:
    """Return the heads that differ; arguments as for `compare_heads`. Raises RecipeError."""
    changes = _on_features(changes)
    over = over or {key: values for key, values in DEFAULT_OVER.items() if key not in changes}
    if not over:
        raise RecipeError(
            "there is one head to compare; give several values of a key, for example optimizer.learning_rate=1e-3,1e-2"
        )
    for key in over:
        _check_key(key)
    distinct: dict[str, Variant] = {}
    for one in make_variants(recipe, over, changes, pairs=pairs):
        head = _as_logistic(one, over) if one.recipe.transfer.head == "logistic" else one
        distinct.setdefault(head.label, head)
    if len(distinct) < 2:
        raise RecipeError(
            f"there is one head to compare, {next(iter(distinct))}: a logistic regression does not depend on "
            f"{', '.join(over)}; give transfer.head=linear, or several values of {', '.join(_OF_LOGISTIC)}"
        )
    if given := next(iter(distinct.values())).recipe.train.start_from:
        raise RecipeError(
            f"train.start_from = {given!r}: heads start from drawn weights here; give the run as model.weights instead"
        )
    return list(distinct.values())


def _as_logistic(variant: Variant, over: Mapping[str, Sequence[Any]]) -> Variant:
    """Return the variant of a logistic regression without the keys that it does not depend on."""
    left_out = over.keys() - _OF_LOGISTIC
    kept = {key: value for key, value in variant.changes.items() if key not in left_out}
    row = {key: value for key, value in kept.items() if key in over}
    return Variant(label_of("", row, short_names(over)) or "head=logistic", variant.base, kept)


def _check_key(key: str) -> None:
    """Raise RecipeError for a key that cannot differ between heads on the same features."""
    if key in _NOT_OF_HEADS or not (key in _OF_HEADS or key.partition(".")[0] in _TABLES_OF_HEADS):
        raise RecipeError(
            f"{key} does not belong to the head alone: give it one value, or compare whole trainings with `cnnrecipes "
            f"compare`. Several values can have {', '.join(_OF_HEADS)}, and keys of "
            f"{' and '.join(f'[{table}]' for table in _TABLES_OF_HEADS)}"
        )


def _on_features(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes with `transfer.how` = "features". Raises RecipeError if it is another."""
    if (how := changes.get("transfer.how", "features")) != "features":
        raise RecipeError(f"transfer.how = {how!r}: heads are compared on frozen features; leave it out")
    return {**changes, "transfer.how": "features"}
