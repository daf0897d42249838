"""Maps the folder recipes/ into the package, as cnnrecipes.recipes; everything else stands in pyproject.toml."""

from setuptools import setup

setup(
    packages=[
        "cnnrecipes",
        "cnnrecipes.data",
        "cnnrecipes.data.augment",
        "cnnrecipes.debug",
        "cnnrecipes.layers",
        "cnnrecipes.models",
        "cnnrecipes.training",
        "cnnrecipes.recipes",
    ],
    package_dir={"cnnrecipes.recipes": "recipes"},
    package_data={"cnnrecipes.recipes": ["*.toml"]},
)
