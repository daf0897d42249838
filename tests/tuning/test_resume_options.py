"""`cnnrecipes tune --resume`: sizes may change, every other option is refused instead of ignored."""

from __future__ import annotations

import pytest
from synthetic_search import search_with, trial

from cnnrecipes.cli.tune import tune
from cnnrecipes.errors import RecipeError

VALUES = {"optimizer.name": "adamw", "optimizer.learning_rate": 0.1, "train.label_smoothing": 0.0}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"objective": "val_loss"}, "--objective"),
        ({"pruning": "median", "name": "other"}, "--pruning, --name"),
        ({"workdir": "elsewhere"}, "--workdir"),
        ({"seed": 0}, "--seed"),
        ({"recipe": "resnet8_digits"}, "RECIPE"),
    ],
)
def test_options_of_another_search_are_refused(tmp_path, options, named):
    search = search_with(tmp_path / "a", [trial(1, VALUES, 0.9)])
    with pytest.raises(RecipeError, match=f"only --trials, --best and --seeds may change; leave {named} out"):
        tune(resume=search.folder, **options)
