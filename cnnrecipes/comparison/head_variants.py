"""`head_variants`: the heads that `compare_heads` compares, and the keys in which they can differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnrecipes.comparison.variants import Variant, label_of, make_variants, short_names
from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe, known_keys

# What is compared if nothing else is asked for: the rates of the recipes for photos are those of fine-tuning.
DEFAULT_OVER: Mapping[str, Sequence[Any]] = {
    "transfer.head": ("logistic", "linear", "mlp"),
    "optimizer.learning_rate": (1e-3, 3e-3, 1e-2),
}
KEYS_OF_LOGISTIC = ("transfer.head", "transfer.views", "data.balance")  # that change a logistic regression
KEYS_OF_HEADS = (  # that change any head, beside those of `optimizer`
    *KEYS_OF_LOGISTIC,
    "model.dropout",
    "data.batch_size",
    "train.epochs",
    "train.loss",
    "train.label_smoothing",
    "train.early_stopping",
    "train.monitor",
    "train.artifact",
)


def head_variants(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    over: Mapping[str, Sequence[Any]] | None,
    changes: Mapping[str, Any],
    *,
    pairs: bool = False,
) -> list[Variant]:
    """Return the heads that differ; arguments as for `compare_heads`.

    Raises:
        RecipeError: a key that does not belong to the head; fewer than two heads.
    """
    base, changes = catalog.load(recipe), _on_features(known_keys(changes))
    if pairs and not over:
        raise RecipeError("pairs are those of keys with several values, and there is no such key; give two or more")
    asked = over or {key: values for key, values in DEFAULT_OVER.items() if key not in changes}
    for key in known_keys(dict.fromkeys(asked)):
        _check_key(key)
    _check_fixed(base.change(**changes))
    if not asked:
        raise RecipeError(
            "there is one head to compare; give several values of a key, for example optimizer.learning_rate=1e-3,1e-2"
        )
    distinct: dict[str, Variant] = {}
    for one in make_variants(base, asked, changes, pairs=pairs):
        head = _as_logistic(one, asked) if one.recipe.transfer.head == "logistic" else one
        distinct.setdefault(head.label, head)
    if len(distinct) < 2:
        raise RecipeError(
            "there is one head to compare, a logistic regression, which is not trained by an optimizer; give several "
            f"heads, transfer.head=logistic,linear,mlp, or several values of {' or '.join(KEYS_OF_LOGISTIC[1:])}"
        )
    return list(distinct.values())


def _as_logistic(variant: Variant, over: Mapping[str, Sequence[Any]]) -> Variant:
    """Return the variant of a logistic regression without the keys that it does not depend on."""
    left_out = over.keys() - KEYS_OF_LOGISTIC
    kept = {key: value for key, value in variant.changes.items() if key not in left_out}
    row = {key: value for key, value in kept.items() if key in over}
    return Variant(label_of("", row, short_names(over)) or "head=logistic", variant.base, kept)


def _check_key(key: str) -> None:
    """Raise RecipeError for a key that cannot differ between heads on the same features."""
    if key not in KEYS_OF_HEADS and not key.startswith("optimizer."):
        raise RecipeError(
            f"{key} cannot have several values here: all heads have the same images, features and seed. These keys "
            f"can: {', '.join(KEYS_OF_HEADS)}, and those of [optimizer]; `cnnrecipes compare` compares whole trainings"
        )


def _check_fixed(recipe: Recipe) -> None:
    """Raise RecipeError for settings with which a head would not be that of `fit`."""
    if given := recipe.train.start_from:
        raise RecipeError(
            f"train.start_from = {given!r}: heads start from drawn weights here; give the run as model.weights instead"
        )
    if recipe.train.time_budget:
        raise RecipeError(
            f"train.time_budget = '{recipe.train.time_budget}': the number of steps would depend on the machine's "
            "speed, and a head takes a second; leave it out"
        )


def _on_features(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes with `transfer.how` = "features". Raises RecipeError if it is another."""
    if (how := changes.get("transfer.how", "features")) != "features":
        raise RecipeError(f"transfer.how = {how!r}: heads are compared on frozen features; leave it out")
    return {**changes, "transfer.how": "features"}
