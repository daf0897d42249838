"""The recipe of a trial, the checks of a space before a search, and the space of a recipe without one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from cnnrecipes import models
from cnnrecipes.errors import CNNRecipesError, RecipeError, counted, one_line
from cnnrecipes.recipe.keys_and_defaults import all_keys
from cnnrecipes.recipe.messages import unknown_key
from cnnrecipes.recipe.schema import SPLIT_KEYS, Recipe
from cnnrecipes.recipe.search import Bayesian, Hyperband, NoPruning, Search
from cnnrecipes.recipe.space import Entry, shown_choice
from cnnrecipes.training.start_or_resume import Start, adjustable_keys, complete_recipe, find_start
from cnnrecipes.tuning.hyperband import planned_trials

# Scores on other validation images cannot be compared, and test images of one trial would train another.
_REFUSED = {
    "name": "the trials are trials of one recipe",
    "train.seed": "each trial has its own seed, derived from search.seed",
    **{f"data.{key}": "trials with other validation images cannot be compared" for key in SPLIT_KEYS},
}


def without_search(recipe: Recipe) -> Recipe:
    """Return the recipe without its `search` table."""
    return recipe.model_copy(update={"search": None})


def changes_of(base: Recipe, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of a trial: its values; no TensorBoard files; and the best epoch by the search's objective.

    TensorBoard's pictures and graphs would take as long as the rest of a trial's start; history.csv has the values.
    """
    changes: dict[str, Any] = {"logging.loggers": [one for one in base.logging.loggers if one != "tensorboard"]}
    if base.search is not None and base.search.objective == "val_loss":
        changes["train.monitor"] = "loss"
    return {**changes, **values}


def trial_start(base: Recipe, data: Any, values: Mapping[str, Any], seed: int) -> Start:
    """Return the start of a trial: as `fit(base, data, seed=seed, **changes)` begins.

    Args:
        base: the recipe with its `search` table.
        data: as in `fit`.
        values: recipe key -> value.
        seed: `train.seed`.

    Raises:
        CNNRecipesError: the values do not fit together.
    """
    plain, changes = without_search(base), changes_of(base, values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a shortened schedule; the run's recipe.toml has it
        complete = complete_recipe(plain, data, seed, changes)
    return find_start(complete, adjustable=adjustable_keys(plain, complete, changes))


def default_trials(recipe: Recipe) -> int:
    """Return the number of trials of a recipe whose `search` table has none: Hyperband's are those of the algorithm."""
    assert recipe.search is not None
    method = recipe.search.proposals
    return planned_trials(method, recipe.train.epochs)[1] if isinstance(method, Hyperband) else recipe.search.limit


def check_space(base: Recipe, data: Any = None) -> None:
    """Check the `search` table of a recipe against the recipe, before anything runs.

    The recipe is built with each end of each range, and with each choice.

    Raises:
        RecipeError: no space; an unknown key, or one that cannot be searched; a value that the recipe does not accept;
            settings of the search that do not fit together.
    """
    search = base.search
    if search is None or not search.space:
        raise RecipeError(
            'the search has no space; give one in the table [search.space], for example "optimizer.learning_rate" = '
            '"log(1e-3, 1)"'
        )
    for entry in search.entries:
        _check_key(entry.key)
    _check_method(search, base.train.epochs)
    for values, key in extremes(search.entries):
        try:
            recipe = trial_start(base, data, values, 0).recipe
            models.find(recipe.model.name).complete(recipe.model)
        except CNNRecipesError as error:
            raise RecipeError(
                f"search.space: {key} = {shown_choice(values[key])} is a value that the recipe does not accept: "
                f"{one_line(error)}"
            ) from None


def default_space(recipe: Recipe) -> dict[str, Any]:
    """Return a space around the values of a recipe that has none.

    The learning rate within a factor of 10, logarithmic; the weight decay alike, or from 1e-5 to 1e-2 if it is 0; label
    smoothing 0 or 0.1 with cross entropy; the rates of fine-tuning and low-rank adaptation.

    Raises:
        RecipeError: the recipe is a logistic regression, which has none of these.
    """
    if not recipe.transfer.trains_by_steps:
        raise RecipeError(
            "transfer.how = 'features' with a logistic head has no learning rate to search; give a space, for example "
            '--space "transfer.views=[0, 2, 4]", or transfer.head=linear'
        )
    rate, decay = recipe.optimizer.learning_rate, recipe.optimizer.weight_decay
    space: dict[str, Any] = {
        "optimizer.learning_rate": _around(rate),
        "optimizer.weight_decay": _around(decay) if decay else "log(1e-5, 1e-2)",
    }
    if recipe.train.loss == "cross_entropy":
        space["train.label_smoothing"] = [0.0, 0.1]
    if recipe.transfer.how in ("finetune", "auto"):
        space["transfer.stage_decay"] = "uniform(0.2, 1)"
    if recipe.transfer.how in ("lora", "auto"):
        space["transfer.update_rate"] = _around(recipe.transfer.update_rate)
    return space


def _around(value: float) -> str:
    return f"log({value / 10:.4g}, {value * 10:.4g})"


def _check_key(key: str) -> None:
    if key in _REFUSED:
        raise RecipeError(f"search.space: {key} cannot be searched: {_REFUSED[key]}; leave it out")
    if key.startswith("search."):
        raise RecipeError(f"search.space: {key} is a setting of the search itself; leave it out")
    if key not in all_keys():
        raise RecipeError(f"search.space: {unknown_key(key)}")


def _check_method(search: Search, epochs: int) -> None:
    method = search.proposals
    if isinstance(method, Bayesian) and (initial := method.random_trials(len(search.entries))) >= search.limit:
        raise RecipeError(
            f"search.method = {search.method!r} begins with {counted(initial, 'random trial')}, and search.trials is "
            f"{search.limit}, so it would propose nothing; set search.trials above {initial}, or fewer random trials, "
            f'for example "bayesian(initial={max(search.limit // 2, 1)})"'
        )
    if isinstance(method, Hyperband):
        first, whole = planned_trials(method, epochs)
        if search.limit < first:
            raise RecipeError(
                f"search.method = {search.method!r} with train.epochs = {epochs} needs {first} trials until the first "
                f"of them are trained to the end, and search.trials is {search.limit}; set search.trials = {first} or "
                f"more ({whole} for the whole algorithm, the default), or fewer epochs"
            )
        if not isinstance(search.rule, NoPruning):
            raise RecipeError(
                f"search.method = {search.method!r} stops trials by itself, and search.pruning is {search.pruning!r}; "
                "leave one of them out"
            )
        if "train.epochs" in search.space:
            raise RecipeError(f"search.method = {search.method!r} divides train.epochs; leave it out of the space")


def extremes(entries: tuple[Entry, ...]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield values of a trial for each end or choice of each key, with the values that its conditions need."""
    known = {entry.key: entry for entry in entries}

    def needed(entry: Entry) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, allowed in entry.when.items():
            values |= {**needed(known[key]), key: allowed[0]}
        return values

    for entry in entries:
        for value in entry.values.ends:
            yield {**needed(entry), entry.key: value}, entry.key
