"""A check of the architectures of a search space: each is built, without its weights, before anything is trained."""

from __future__ import annotations

from cnnrecipes import models
from cnnrecipes.errors import RecipeError, one_line
from cnnrecipes.models.without_values import without_values
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.space import shown_choice
from cnnrecipes.training.seeding import seeded
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.trial_recipe import extremes, trial_start


def check_models(base: Recipe, opened: OpenData) -> None:
    """Build the model of each end and each choice of a key of the table `model`, on the images of the data.

    Raises:
        RecipeError: one cannot be built.
    """
    assert base.search is not None
    shape = opened.pipeline(trial_start(base, opened.data, {}, 0).recipe).for_model
    for values, key in extremes(base.search.entries):
        if not key.startswith("model."):
            continue
        spec = trial_start(base, opened.data, values, 0).recipe.model.model_copy(update={"weights": "none"})
        try:
            with seeded(0), without_values():
                models.build(spec, **shape)
        except ValueError as error:  # also Keras', of shapes that do not fit
            raise RecipeError(
                f"search.space: {key} = {shown_choice(values[key])} is a value with which the model cannot be built: "
                f"{one_line(error)}; leave it out, or give it a condition on other keys"
            ) from None
