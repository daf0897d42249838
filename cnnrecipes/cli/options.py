"""Arguments and options that several commands share, and the reading of KEY=VALUE arguments."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from cnnrecipes.cli import completion

if TYPE_CHECKING:
    from cnnrecipes.recipe.schema import Recipe

# Typer on Python 3.10 reads Optional[...] only, which ruff would rewrite: UP045.
RecipeArgument = Annotated[
    str,
    typer.Argument(help="Name of a shipped recipe, or path of a .toml file.", autocompletion=completion.recipe_names),
]
ChangesArgument = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Recipe keys to override, for example train.epochs=5 model.norm=group.",
        autocompletion=completion.recipe_keys,
    ),
]
DataOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        help="Data set: a folder with one sub-folder per class, its .zip, a table, a URL or a TFDS name; "
        "default: the recipe's."
    ),
]
SeedOption = Annotated[Optional[int], typer.Option(help="Short for train.seed=...")]  # noqa: UP045
TTAOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        help="Test-time augmentation: a view to average over, for example flip_lr, shift(2), ten_crop or "
        "multi_scale; may be given several times."
    ),
]
AverageOption = Annotated[
    str,
    typer.Option(
        help="Quantity averaged over the views: probabilities or logits.",
        autocompletion=completion.words("probabilities", "logits"),
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
PictureOption = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--output", "-o", help="Picture to write: .png, .svg or .pdf; default: a new file in the current folder."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout, messages to stderr.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the logs of TensorFlow, and the traceback of an error.")
]


def parsed(settings: list[str] | None) -> dict[str, Any]:
    """Return KEY=VALUE arguments as a dictionary. Raises RecipeError."""
    from cnnrecipes.recipe.toml import parse_override

    return dict(map(parse_override, settings or []))


def overrides(changes: list[str] | None) -> dict[str, Any]:
    """Return KEY=VALUE arguments as dotted keys of a recipe. Raises RecipeError, also for an unknown key."""
    from cnnrecipes.recipe.schema import known_keys

    return known_keys(parsed(changes))


def load_recipe(recipe: str, changes: list[str] | None) -> Recipe:
    """Load a recipe and apply KEY=VALUE arguments. Raises RecipeError."""
    from cnnrecipes.recipe import catalog

    return catalog.load(recipe).change(**overrides(changes))


def recipe_and_overrides(recipe: str, changes: list[str] | None) -> tuple[Recipe, dict[str, Any]]:
    """Load a recipe, and return it with the KEY=VALUE arguments, validated, as keyword arguments of `fit`.

    The key `name` is already applied, since `name` of `fit` is that of the run folder. Raises RecipeError.
    """
    from cnnrecipes.recipe import catalog

    loaded, keys = catalog.load(recipe), overrides(changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `fit` applies the keys again, and warns then
        loaded.change(**keys)
    return loaded.change(**{key: keys.pop(key) for key in ("name",) if key in keys}), keys
