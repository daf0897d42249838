"""Recipes: the schema, and the catalogue of the shipped ones."""
