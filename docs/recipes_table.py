"""Write recipes/README.md from the recipes: run `python docs/recipes_table.py` after changing one."""

from __future__ import annotations

from cnnrecipes.recipe import catalog

HEAD = """# Recipes

One file a recipe; `cnnrecipes fit NAME` trains it, `cnnrecipes show NAME` prints it complete. This table is written by
`make recipes-table`.

| recipe | what it is | data | model | epochs | augmentation |
|---|---|---|---|---|---|
"""


def table() -> str:
    """The whole page."""
    rows = []
    for name in catalog.names():
        recipe = catalog.load(name)
        cells = (
            f"[{name}]({name}.toml)",
            catalog.summary(name),
            recipe.data.name,
            recipe.model.name,
            str(recipe.train.epochs),
            ", ".join(f"`{op}`" for op in recipe.augment.ops),
        )
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    (catalog.folder() / "README.md").write_text(table(), encoding="utf-8")
