"""Recipes: the schema, loading with `extends` and overrides, and the catalog of shipped recipes."""
