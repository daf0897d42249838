"""Commands about recipes: list, show, schema."""

from __future__ import annotations

import json

from cnnrecipes.cli import result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import ChangesArgument, JsonOption, RecipeArgument, load_recipe
from cnnrecipes.cli.output import print_json

GROUP = "Recipes"


@command("list", group=GROUP)
def list_recipes(as_json: JsonOption = False) -> None:
    """List the shipped recipes."""
    from cnnrecipes.recipe import catalog

    summaries = {name: catalog.summary(name) for name in catalog.names()}
    if as_json:
        print_json([{"recipe": name, "summary": summary} for name, summary in summaries.items()])
    else:
        result_printing.print_recipes(summaries)


@command("show", group=GROUP)
def show(recipe: RecipeArgument, changes: ChangesArgument = None) -> None:
    """Print a recipe with all its defaults, as TOML."""
    print(load_recipe(recipe, changes).to_toml(), end="")


@command("schema", group=GROUP)
def schema() -> None:
    """Print the JSON Schema of recipe files, for editors."""
    from cnnrecipes.recipe.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
