"""Maps the folder recipes/ into the package, as cnnrecipes.recipes; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["cnnrecipes", "cnnrecipes.*"]), "cnnrecipes.recipes"],
    package_dir={"cnnrecipes.recipes": "recipes"},
    package_data={"cnnrecipes": ["py.typed"], "cnnrecipes.report": ["templates/*"], "cnnrecipes.recipes": ["*.toml"]},
)
